"""RobotModels as URDF text, for ROS tools. Capsules, which URDF lacks, become a cylinder and two spheres."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from dexhot.geometry.poses import IDENTITY, compose, make_pose
from dexhot.geometry.rotations import quat_to_matrix
from dexhot.robots.joints import Joint
from dexhot.robots.looks import plain_shapes
from dexhot.robots.model import Link, ModelJoint, Primitive, RobotModel

_UNTURNED = (1.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class RobotPart:
    """A model and the mount of its root: `pose` (7,) in the link `parent` of an earlier part, or none.

    `prefix`: of the names of its links and joints; `mount`: name of its root's parent joint.
    """

    model: RobotModel
    joints: tuple[Joint, ...]
    parent: str = ""
    pose: np.ndarray = field(default_factory=IDENTITY.copy)
    prefix: str = ""
    mount: str = ""


def to_urdf(name: str, parts: Iterable[RobotPart], root: str = "", meshes: str = "") -> str:
    """One robot of all parts, below a link `root` if given. Sites become massless links on fixed joints.

    `meshes`: prefix of the file names of meshes.
    """
    robot = Element("robot", name=name)
    if root:
        SubElement(robot, "link", name=root)
    for part in parts:
        if part.parent:
            _fixed(robot, part.parent, part.prefix + part.model.root, part.pose, part.mount)
        for link in part.model.links.values():
            _link(robot, part.prefix, link, meshes)
        table = {joint.name: joint for joint in part.joints}
        for joint in part.model.joints.values():
            _hinge(robot, part.prefix, joint, table)
    ElementTree.indent(robot)
    return '<?xml version="1.0"?>\n' + ElementTree.tostring(robot, encoding="unicode") + "\n"


def _link(robot: Element, prefix: str, link: Link, meshes: str) -> None:
    name = prefix + link.name
    element = SubElement(robot, "link", name=name)
    if link.mass:
        inertial = SubElement(element, "inertial")
        _origin(inertial, make_pose(link.com, _UNTURNED))
        SubElement(inertial, "mass", value=_text(link.mass))
        entries = {f"i{'xyz'[i]}{'xyz'[j]}": _text(link.inertia[i, j]) for i in range(3) for j in range(i, 3)}
        SubElement(inertial, "inertia", entries)
    for kind, shapes in (("visual", link.visual), ("collision", link.collision)):
        for i, plain in enumerate(plain for shape in shapes for plain in plain_shapes(shape)):
            _shape(element, kind, f"{name}_{kind}_{i}", plain, meshes)
    for site, position in link.sites.items():
        SubElement(robot, "link", name=prefix + site)
        _fixed(robot, name, prefix + site, make_pose(position, _UNTURNED))


def _hinge(robot: Element, prefix: str, joint: ModelJoint, table: dict[str, Joint]) -> None:
    parent, child, mimic = prefix + joint.parent, prefix + joint.child, joint.mimic
    if not joint.axis.any():
        return _fixed(robot, parent, child, joint.pose)
    row = table[mimic.joint if mimic else joint.name]
    element = _joint(robot, prefix + joint.name, "revolute", parent, child, joint.pose)
    SubElement(element, "axis", xyz=_text(*joint.axis))
    limits = {key: _text(getattr(mimic or row, key)) for key in ("lower", "upper")}
    speed = row.velocity * (abs(mimic.multiplier) if mimic else 1.0)
    SubElement(element, "limit", {**limits, "effort": _text(row.effort), "velocity": _text(speed)})
    if mimic:
        follows = {"multiplier": _text(mimic.multiplier), "offset": _text(mimic.offset)}
        SubElement(element, "mimic", {"joint": prefix + mimic.joint, **follows})


def _shape(element: Element, kind: str, name: str, shape: Primitive, meshes: str) -> None:
    for i, (tag, attributes, pose) in enumerate(_urdf_shapes(shape, meshes)):
        part = SubElement(element, kind, name=f"{name}_{i}" if i else name)
        _origin(part, pose)
        SubElement(SubElement(part, "geometry"), tag, attributes)
        if kind == "visual":
            material = SubElement(part, "material", name="rgba_" + "_".join(f"{c:g}" for c in shape.color))
            SubElement(material, "color", rgba=_text(*shape.color))


def _urdf_shapes(shape: Primitive, meshes: str) -> list[tuple[str, dict[str, str], np.ndarray]]:
    if shape.kind == "mesh":
        return [("mesh", {"filename": meshes + shape.mesh}, shape.pose)]
    if shape.kind == "box":
        return [("box", {"size": _text(*shape.size)}, shape.pose)]
    if shape.kind == "sphere":
        return [("sphere", {"radius": _text(*shape.size)}, shape.pose)]
    radius, length = shape.size
    tube = ("cylinder", {"radius": _text(radius), "length": _text(length)}, shape.pose)
    if shape.kind == "cylinder":
        return [tube]
    ends = [compose(shape.pose, make_pose((0.0, 0.0, z), _UNTURNED)) for z in (-length / 2, length / 2)]
    return [tube, *(("sphere", {"radius": _text(radius)}, end) for end in ends)]


def _fixed(robot: Element, parent: str, child: str, pose: np.ndarray, name: str = "") -> None:
    _joint(robot, name or f"{child}_fixed", "fixed", parent, child, pose)


def _joint(robot: Element, name: str, kind: str, parent: str, child: str, pose: np.ndarray) -> Element:
    element = SubElement(robot, "joint", name=name, type=kind)
    _origin(element, pose)
    SubElement(element, "parent", link=parent)
    SubElement(element, "child", link=child)
    return element


def _origin(element: Element, pose: np.ndarray) -> None:
    SubElement(element, "origin", xyz=_text(*pose[:3]), rpy=_text(*fixed_axis_angles(quat_to_matrix(pose[3:]))))


def fixed_axis_angles(R: np.ndarray) -> tuple[float, float, float]:
    """Roll, pitch, yaw with R = Rz Ry Rx. Most LEAP joints pitch by 90 degrees, where yaw is arbitrary and set to 0."""
    pitch = np.arctan2(-R[2, 0], np.hypot(R[2, 1], R[2, 2]))
    if abs(R[2, 0]) > 1.0 - 1e-10:
        return np.arctan2(-R[2, 0] * R[0, 1], -R[2, 0] * R[0, 2]), pitch, 0.0
    return np.arctan2(R[2, 1], R[2, 2]), pitch, np.arctan2(R[1, 0], R[0, 0])


def _text(*values: float) -> str:
    """Ten significant digits; the + 0.0 turns a rounded -0 into 0."""
    return " ".join(f"{round(float(v), 12) + 0.0:.10g}" for v in values)
