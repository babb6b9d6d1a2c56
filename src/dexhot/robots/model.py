"""A robot model: links, joints and primitives read from one YAML file (urdf/leap/leap.yaml shows the format).

`read_model` moves the root link's frame to `root_frame` (a hand's palm frame); `mirrored` returns the other hand.
"""

from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.spatial.transform import Rotation

from dexhot.data.yaml_file import load_yaml
from dexhot.errors import DexhotError, FileFormatError
from dexhot.geometry.poses import compose, inverse, make_pose, transform
from dexhot.geometry.rotations import from_xyzw, quat_to_matrix

GREY = (0.5, 0.5, 0.5, 1.0)


@dataclass(frozen=True)
class Primitive:
    """A box (full sizes), capsule or cylinder (radius, length along z), sphere (radius) or mesh; `pose` in its link.

    Visual only: a hull, of spheres of radius `round` about `points`, and a blend, the convex hull of its `parts`.
    """

    kind: str
    size: tuple[float, ...]
    pose: np.ndarray  # (7,)
    color: tuple[float, ...] = GREY
    round: float = 0.0  # m, edge radius; 0: as sharp as a printed part
    points: np.ndarray = field(default_factory=lambda: np.empty((0, 3)))  # (N, 3) of a hull, in its own frame
    parts: tuple["Primitive", ...] = ()  # of a blend, in its own frame
    mesh: str = ""  # file name of a mesh


@dataclass(frozen=True)
class Link:
    """A rigid body with visual and collision shapes and named points."""

    name: str
    mass: float  # kg
    com: np.ndarray  # (3,) m, link frame
    inertia: np.ndarray  # (3, 3) kg m2 about the com, link axes
    collision: tuple[Primitive, ...]
    visual: tuple[Primitive, ...]
    sites: dict[str, np.ndarray]  # name -> (3,) m, link frame


@dataclass(frozen=True)
class Mimic:
    """The law of a coupled joint: q = multiplier * (q of `joint`) + offset, within its own limits."""

    joint: str
    multiplier: float
    offset: float  # rad
    lower: float  # rad
    upper: float  # rad


@dataclass(frozen=True)
class ModelJoint:
    """A hinge: `pose` places the child's frame in the parent's at q = 0, `axis` is in the child's frame.

    An axis of zeros: the child is fixed.
    """

    name: str
    parent: str
    child: str
    pose: np.ndarray  # (7,)
    axis: np.ndarray  # (3,)
    mimic: Mimic | None = None  # None: it has a motor, and a row in the joint table


@dataclass(frozen=True)
class RobotModel:
    """A tree of links, by name, below `root`."""

    name: str
    root: str
    links: dict[str, Link]
    joints: dict[str, ModelJoint]

    @property
    def coupled(self) -> dict[str, str]:
        """Coupled joint -> the joint that it follows, which has a motor."""
        return {name: joint.mimic.joint for name, joint in self.joints.items() if joint.mimic}


def pose_from(entry: dict[str, Any]) -> np.ndarray:
    """{pos, rpy} (fixed axes, rad; both optional) -> (7,)."""
    rotation = Rotation.from_euler("xyz", entry.get("rpy", (0.0, 0.0, 0.0)))
    return make_pose(entry.get("pos", (0.0, 0.0, 0.0)), from_xyzw(rotation.as_quat()))


@cache
def read_model(path: Path) -> RobotModel:
    """Read a model file, once per process. Raises FileFormatError naming the file and the invalid entry."""
    try:
        content = load_yaml(path)
        colors = {name: tuple(rgba) for name, rgba in content.get("colors", {}).items()}
        links = {name: _link(name, entry, colors) for name, entry in content["links"].items()}
        joints = {
            name: ModelJoint(
                name, e["parent"], e["child"], pose_from(e), np.array(e["axis"], float), _mimic(e.get("mimic"))
            )
            for name, e in content["joints"].items()
        }
        root, name = content["root"], content["name"]
    except (OSError, KeyError, TypeError, yaml.YAMLError) as e:
        raise FileFormatError(f"{path} is not a robot model ({type(e).__name__}: {e}); see urdf/leap/leap.yaml.") from e
    for joint in joints.values():
        if joint.mimic and (joint.mimic.joint not in joints or joints[joint.mimic.joint].mimic):
            raise FileFormatError(
                f"{path}: joint {joint.name} follows {joint.mimic.joint!r}, which is not a driven joint."
            )
        for link in (joint.parent, joint.child):
            if link not in links:
                raise FileFormatError(
                    f"{path}: joint {joint.name} names link {link!r}; the links are {', '.join(links)}."
                )
    return _rebased(RobotModel(name, root, links, joints), pose_from(content.get("root_frame", {})))


def mirrored(model: RobotModel) -> RobotModel:
    """The other hand: the reflection S = diag(1, -1, 1) in the root frame, every child frame becoming S T S.

    S R(a, q) S = R(-S a, q): axes flip as pseudo-vectors, so a joint's angle and limits keep their meaning.
    """
    flip = np.array([1.0, -1.0, 1.0])

    def pose(p: np.ndarray) -> np.ndarray:
        reflected: np.ndarray = p * (1, -1, 1, 1, -1, 1, -1)
        return reflected

    def primitives(items: tuple[Primitive, ...]) -> tuple[Primitive, ...]:
        return tuple(
            replace(item, pose=pose(item.pose), points=item.points * flip, parts=primitives(item.parts))
            for item in items
        )

    links = {
        name: replace(
            link,
            com=link.com * flip,
            inertia=link.inertia * np.outer(flip, flip),
            collision=primitives(link.collision),
            visual=primitives(link.visual),
            sites={site: position * flip for site, position in link.sites.items()},
        )
        for name, link in model.links.items()
    }
    joints = {name: replace(j, pose=pose(j.pose), axis=-flip * j.axis) for name, j in model.joints.items()}
    return replace(model, links=links, joints=joints)


def _mimic(entry: dict[str, Any] | None) -> Mimic | None:
    if entry is None:
        return None
    lower, upper = entry["limits"]
    return Mimic(entry["joint"], float(entry["multiplier"]), float(entry.get("offset", 0.0)), lower, upper)


def children(model: RobotModel, link: str) -> list[ModelJoint]:
    """The joints whose parent is `link`."""
    return [joint for joint in model.joints.values() if joint.parent == link]


def _link(name: str, entry: dict[str, Any], colors: dict[str, tuple[float, ...]]) -> Link:
    xx, yy, zz, xy, xz, yz = entry["inertia"]
    return Link(
        name,
        float(entry["mass"]),
        np.array(entry["com"], float),
        np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]], float),
        tuple(_primitive(e, colors) for e in entry.get("collision", ())),
        tuple(_primitive(e, colors) for e in entry.get("visual", ())),
        {site: np.array(position, float) for site, position in entry.get("sites", {}).items()},
    )


def _primitive(entry: dict[str, Any], colors: dict[str, tuple[float, ...]]) -> Primitive:
    kinds = ("box", "capsule", "cylinder", "sphere", "hull", "blend")
    kind = next((k for k in kinds if k in entry), None)
    if kind is None:
        raise DexhotError(f"primitive {entry} is not one of {', '.join(kinds)}.")
    color, rounded = colors[entry["color"]] if "color" in entry else GREY, float(entry.get("round", 0.0))
    if kind == "box":
        return Primitive(kind, tuple(entry["box"]), pose_from(entry), color, rounded)
    if kind == "sphere":
        return Primitive(kind, (entry["sphere"],), pose_from(entry), color, rounded)
    if kind == "hull":
        return Primitive(kind, (), pose_from(entry), color, rounded, points=np.array(entry["hull"], float))
    if kind == "blend":
        parts = tuple(_primitive(part, colors) for part in entry["blend"])
        return Primitive(kind, (), pose_from(entry), color, rounded, parts=parts)
    start, end = np.array(entry["from"], float), np.array(entry["to"], float)
    rotation, _ = Rotation.align_vectors((end - start)[None], [[0.0, 0.0, 1.0]])
    pose = make_pose((start + end) / 2, from_xyzw(rotation.as_quat()))
    return Primitive(kind, (entry[kind], float(np.linalg.norm(end - start))), pose, color, rounded)


def _rebased(model: RobotModel, root_T_new: np.ndarray) -> RobotModel:
    """The same robot with its root frame moved to root_T_new."""
    new_T_root = inverse(root_T_new)
    R = quat_to_matrix(new_T_root[3:])
    link = model.links[model.root]

    def primitives(items: tuple[Primitive, ...]) -> tuple[Primitive, ...]:
        return tuple(replace(item, pose=compose(new_T_root, item.pose)) for item in items)

    moved = replace(
        link,
        com=transform(new_T_root, link.com),
        inertia=R @ link.inertia @ R.T,
        collision=primitives(link.collision),
        visual=primitives(link.visual),
        sites={site: transform(new_T_root, position) for site, position in link.sites.items()},
    )
    joints = {
        name: replace(j, pose=compose(new_T_root, j.pose)) if j.parent == model.root else j
        for name, j in model.joints.items()
    }
    return replace(model, links={**model.links, model.root: moved}, joints=joints)
