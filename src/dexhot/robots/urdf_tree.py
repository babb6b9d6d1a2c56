"""A robot's URDF as a tree of joints, without MuJoCo and SciPy: for /tf and /joint_states.

tree = read_tree(Path("robot.urdf").read_text())
tree.transforms(q)     every moving link in its parent's frame, at the driven joints' angles
tree.poses(q)          every link in the root's frame
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from dexhot.errors import FileFormatError
from dexhot.geometry import single

WORLD = "world"  # the root link of an arm with a hand, and the frame of all poses
HAND_PREFIX = "hand_"  # prefix of the hand's links and joints
HINGES = ("revolute", "continuous")


@dataclass(frozen=True)
class Coupling:
    """q = multiplier * (q of `joint`) + offset."""

    joint: str
    multiplier: float
    offset: float


@dataclass(frozen=True)
class TreeJoint:
    """A hinge about `axis` (3,), or with None a fixed joint; `pose` (7,) is parent_T_child at q = 0."""

    name: str
    parent: str
    child: str
    pose: np.ndarray
    axis: np.ndarray | None
    mimic: Coupling | None = None

    def transform(self, q: float) -> np.ndarray:
        """parent_T_child (7,) at q rad."""
        if self.axis is None:
            return self.pose
        return np.concatenate([self.pose[:3], single.multiply(self.pose[3:], single.exp(q * self.axis))])


@dataclass(frozen=True)
class UrdfTree:
    """The joints, parents first, below the link `root`."""

    name: str
    root: str
    joints: tuple[TreeJoint, ...]

    @cached_property
    def driven(self) -> tuple[str, ...]:
        """Names of the joints that do not follow another, in file order."""
        return tuple(j.name for j in self.joints if j.axis is not None and j.mimic is None)

    @cached_property
    def fixed(self) -> dict[str, tuple[str, np.ndarray]]:
        """Link on a fixed joint -> its parent, parent_T_link (7,)."""
        return {j.child: (j.parent, j.pose) for j in self.joints if j.axis is None}

    def transforms(self, q: Mapping[str, float]) -> dict[str, tuple[str, np.ndarray]]:
        """Link on a hinge -> its parent, parent_T_link (7,). `q`: rad of each driven joint."""
        return {j.child: (j.parent, j.transform(self._angle(j, q))) for j in self.joints if j.axis is not None}

    def poses(self, q: Mapping[str, float]) -> dict[str, np.ndarray]:
        """Link -> root_T_link (7,). `q`: rad of each driven joint."""
        found = {self.root: np.array([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])}
        steps = self.fixed | self.transforms(q)
        for joint in self.joints:
            parent, step = steps[joint.child]
            found[joint.child] = single.compose(found[parent], step)
        return found

    def _angle(self, joint: TreeJoint, q: Mapping[str, float]) -> float:
        if joint.mimic is None:
            return q[joint.name]
        return joint.mimic.multiplier * q[joint.mimic.joint] + joint.mimic.offset


def read_tree(text: str) -> UrdfTree:
    """The tree of a URDF. Raises FileFormatError for several roots, a loop, or a prismatic joint."""
    try:
        robot = ElementTree.fromstring(text)
        joints = [_joint(element) for element in robot.iterfind("joint")]
    except (ElementTree.ParseError, KeyError, ValueError, AttributeError) as e:
        raise FileFormatError(f"the robot description is not a readable URDF ({type(e).__name__}: {e}).") from e
    links = [element.get("name", "") for element in robot.iterfind("link")]
    roots = sorted(set(links) - {joint.child for joint in joints})
    if len(roots) != 1:
        names = ", ".join(roots) or "none"
        raise FileFormatError(f"the robot description has {len(roots)} root links ({names}), not one.")
    if len({joint.child for joint in joints}) < len(joints):
        raise FileFormatError("the robot description has a link with two parent joints.")
    ordered: list[TreeJoint] = []
    reached = {roots[0]}
    while joints:
        step = [joint for joint in joints if joint.parent in reached]
        if not step:
            raise FileFormatError(f"the parent link of joint {joints[0].name!r} is not connected to the root.")
        ordered += step
        reached |= {joint.child for joint in step}
        joints = [joint for joint in joints if joint.child not in reached]
    return UrdfTree(robot.get("name", ""), roots[0], tuple(ordered))


def locate_meshes(text: str, folder: Path) -> str:
    """The URDF with its relative mesh paths, which are below `folder`, as file:// URIs."""
    robot = ElementTree.fromstring(text)
    for mesh in robot.iter("mesh"):
        name = mesh.get("filename", "")
        if "://" not in name:
            mesh.set("filename", (folder / name).resolve().as_uri())
    return '<?xml version="1.0"?>\n' + ElementTree.tostring(robot, encoding="unicode") + "\n"


def _joint(element: Element) -> TreeJoint:
    name, kind = element.attrib["name"], element.attrib["type"]
    if kind not in (*HINGES, "fixed"):
        raise ValueError(f"joint {name} is {kind}; supported are {', '.join(HINGES)} and fixed")
    parent, child = (element.find(tag).attrib["link"] for tag in ("parent", "child"))  # type: ignore[union-attr]
    origin, mimic = element.find("origin"), element.find("mimic")
    where = {} if origin is None else origin.attrib
    position, rpy = (_floats(where.get(key, "0 0 0")) for key in ("xyz", "rpy"))
    pose = np.concatenate([position, single.from_fixed_axis_angles(rpy)])
    axis = None
    if kind in HINGES:
        given = element.find("axis")
        axis = _floats("1 0 0" if given is None else given.attrib["xyz"])
        axis = axis / np.linalg.norm(axis)
    follows = None
    if mimic is not None:
        multiplier, offset = float(mimic.get("multiplier", "1")), float(mimic.get("offset", "0"))
        follows = Coupling(mimic.attrib["joint"], multiplier, offset)
    return TreeJoint(name, parent, child, pose, axis, follows)


def _floats(text: str) -> np.ndarray:
    found = np.array([float(word) for word in text.split()])
    if found.shape != (3,) or not np.isfinite(found).all():
        raise ValueError(f"{text!r} is not three numbers")
    return found
