"""Reads a URDF or MJCF file with MuJoCo and prepares it as a hand: finds meshes, sorts shapes, checks joints.

Actuators, sensors, keyframes and contact pairs of the file are dropped (the scene adds its own), gravity is compensated
on every body, and MuJoCo corrects physically invalid inertias.
"""

from pathlib import Path
from typing import Any, NoReturn
from xml.etree import ElementTree

import mujoco
import numpy as np

from dexhot.errors import DexhotError, FileFormatError
from dexhot.robots.coupling import drive_ranges, drives
from dexhot.robots.joint_checks import check_joints
from dexhot.robots.mjcf import COLLISION_GROUP, VISUAL_GROUP
from dexhot.robots.ros_paths import locate
from dexhot.robots.urdf_source import UrdfSource, read_urdf

DENSITY = 1000.0  # kg/m3 of colliding visuals, if the file has no mass


def is_urdf(path: Path) -> bool:
    """Whether the file is a URDF, by its name or its root element. Raises FileFormatError if it is not a file."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise FileFormatError(f"{path} {what}; the model of a hand is a URDF or MJCF file.")
    if path.suffix.lower() in (".urdf", ".xacro"):
        return True
    try:
        return ElementTree.parse(path).getroot().tag == "robot"
    except ElementTree.ParseError as e:
        if path.read_bytes()[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            return False  # MuJoCo says what is wrong with its XML
        raise FileFormatError(f"{path} is not XML; give a URDF or MJCF file.") from e


class ModelFile:
    """`spec`: the file as read and modified; `model`: compiled. The hand is the subtree of the body `root`."""

    def __init__(self, path: Path, root: str | None = None, near: str | None = None):
        """root: default, the root of the tree with the body `near`, or with most joints.

        Raises FileFormatError if MuJoCo rejects the file or it lacks the body.
        """
        self.path, self.source = path, read_urdf(path, root) if is_urdf(path) else UrdfSource()
        try:
            self._read()
        except FileFormatError as e:
            self._read(visual_meshes=False)
            self.notes.append(f"visual meshes are not rendered, as MuJoCo cannot read them: {e}")
        self._check_bodies([name for name in (root, near) if name])
        self.root = root or (_tree_of(self.model, near) if near else _largest_tree(self.model))

    def below(self) -> list[int]:
        """Ids of the root body and its descendants, parents first."""
        return _below(self.model, self.root)

    def moves(self, joint: int) -> bool:
        """Whether a joint belongs to the hand, and is not the joint by which a robot moves it."""
        body = int(self.model.jnt_bodyid[joint])
        carries = self.model.body_parentid[body] != 0 and self.model.body(body).name == self.root
        return body in self.below() and not carries

    def unlimited(self) -> list[str]:
        """Names of the hand's hinges without limits that follow no other joint."""
        model, coupled = self.model, self.coupled()
        free = [j for j in range(model.njnt) if self.moves(j) and not model.jnt_limited[j]]
        names = [model.joint(j).name for j in free if model.jnt_type[j] == mujoco.mjtJoint.mjJNT_HINGE]
        return [name for name in names if name not in coupled]

    def set_limits(self, limits: dict[str, Any]) -> None:
        """Set limits, joint -> [lower, upper] rad, in place of the file's."""
        names = [joint.name for joint in self.spec.joints]
        for name, (low, high) in limits.items():
            if name not in names:
                self.refuse(f"has no joint {name!r} for `limits`; its joints are {', '.join(names)}.")
            joint = self.spec.joint(name)
            joint.limited, joint.range = mujoco.mjtLimited.mjLIMITED_TRUE, [float(low), float(high)]
        self.compile()

    def free_ranges(self) -> dict[int, tuple[float, float]]:
        """Check the joints; returns id -> range of the hand's drivable joints, in file order."""
        joints = [j for j in range(self.model.njnt) if self.moves(j)]
        wrong = check_joints(self.model, joints, self.below(), self.coupled())
        if wrong:
            self.refuse(wrong)
        try:
            ranges = drive_ranges(self.model)
        except DexhotError as e:
            self.refuse(f"is inconsistent: {e}")
        return {j: ranges[j] for j in joints if j in ranges}

    def require_bodies(self, names: list[str]) -> None:
        """Raise FileFormatError for a body outside the hand."""
        self._check_bodies(names)
        below = [self.model.body(body).name for body in self.below()]
        outside = [name for name in names if name not in below]
        if outside:
            self.refuse(f"has body {outside[0]!r} outside the subtree of {self.root!r}: {', '.join(below)}.")

    def can_touch(self, link: str) -> bool:
        """Whether a link has a collision shape; if it has only visuals, they become collision shapes."""
        body = self.spec.body(link)
        if body.geoms and not any(map(_collides, body.geoms)):
            self.notes.append(f"link {link} has no collision shape: its visuals are used for collision")
            for geom in body.geoms:
                _let_collide(geom)
            self._sort_geoms(body)
        return any(map(_collides, body.geoms))

    def refuse(self, what: str) -> NoReturn:
        """Raise FileFormatError: the file's name and the rest of the sentence."""
        raise FileFormatError(f"{self.path} {what}")

    def _read(self, visual_meshes: bool = True) -> None:
        self.notes = list(self.source.notes)
        self.drawn: set[str] = set()  # geoms to be rendered, because their link has no visuals
        self.spec = self._parsed()
        if not visual_meshes:
            self._drop_visual_meshes()
        self._normalise()
        self.compile()

    def _parsed(self) -> mujoco.MjSpec:
        try:
            if self.source.text:
                return mujoco.MjSpec.from_string(self.source.text, assets=self.source.meshes)
            return mujoco.MjSpec.from_file(str(self.path))
        except (ValueError, OSError) as e:
            raise FileFormatError(f"{self.path}: MuJoCo cannot read this model: {e}") from e

    def compile(self) -> None:
        """Compile `model`. Raises FileFormatError if MuJoCo rejects it."""
        try:
            self.model = self.spec.compile()
        except (ValueError, OSError) as e:
            raise FileFormatError(f"{self.path}: MuJoCo cannot read this model: {e}") from e

    def _normalise(self) -> None:
        spec = self.spec
        spec.compiler.balanceinertia, spec.compiler.fusestatic = True, False
        for element in (*spec.actuators, *spec.sensors, *spec.keys, *spec.pairs):
            spec.delete(element)
        if not self.source.text:
            self._find_assets()
        geoms = [geom for body in spec.bodies[1:] for geom in body.geoms]
        for geom in geoms:
            geom.name = ""  # of those to come, one may be another's
        if geoms and not any(map(_collides, geoms)):
            self.notes.append("no collision shapes: its visuals are used for collision, meshes as convex hulls")
            for geom in geoms:
                _let_collide(geom)
        for i, body in enumerate(spec.bodies[1:]):
            body.name, body.gravcomp = body.name or f"body_{i}", 1.0
            self._sort_geoms(body)
            for k, joint in enumerate(body.joints):
                joint.name = joint.name or f"{body.name}_joint_{k}"
            for joint in body.joints:
                if joint.type == mujoco.mjtJoint.mjJNT_FREE:
                    spec.delete(joint)
        colliding = {geom.meshname for geom in geoms if _collides(geom)}
        for mesh in spec.meshes:
            if mesh.name not in colliding:
                mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL  # defined also for an open mesh

    def _sort_geoms(self, body: mujoco.MjsBody) -> None:
        """Set names and groups of a link's geoms, and whether its collision shapes must be rendered."""
        colliding = [geom for geom in body.geoms if _collides(geom)]
        visual = [geom for geom in body.geoms if not _collides(geom)]
        self.drawn -= {geom.name for geom in body.geoms}
        for geom in body.geoms:
            geom.name = ""
        for i, geom in enumerate(colliding):
            geom.name, geom.group = f"{body.name}_{i}", COLLISION_GROUP
        for i, geom in enumerate(visual):
            geom.name, geom.group = f"{body.name}_visual_{i}", VISUAL_GROUP
        if not visual:
            self.drawn |= {geom.name for geom in colliding}

    def _find_assets(self) -> None:
        """Set absolute paths for the meshes and textures of an MJCF."""
        spec, folder = self.spec, self.path.parent
        for elements, below in ((spec.meshes, spec.meshdir), (spec.textures, spec.texturedir)):
            for element in elements:
                if element.file:
                    file, looked = locate(element.file, folder / below)
                    element.file = str(file or looked[0])
        spec.meshdir = spec.texturedir = ""

    def _drop_visual_meshes(self) -> None:
        for geom in [geom for geom in self.spec.geoms if geom.meshname and not _collides(geom)]:
            self.spec.delete(geom)
        used = {geom.meshname for geom in self.spec.geoms}
        for mesh in [mesh for mesh in self.spec.meshes if mesh.name not in used]:
            self.spec.delete(mesh)

    def _check_bodies(self, names: list[str]) -> None:
        bodies = [body.name for body in self.spec.bodies[1:]]
        for name in names:
            if name not in bodies:
                self.refuse(f"has no body {name!r}; its bodies are {', '.join(bodies)}.")

    def coupled(self) -> dict[str, str]:
        """Name of each joint that follows -> the joint at the end of its chain, "" for a fixed one."""
        try:
            return drives(self.model)
        except DexhotError as e:
            self.refuse(f"is inconsistent: {e}")


def _collides(geom: mujoco.MjsGeom) -> bool:
    return bool(geom.contype or geom.conaffinity)


def _let_collide(geom: mujoco.MjsGeom) -> None:
    geom.contype = geom.conaffinity = 1
    geom.density = DENSITY  # only used if the link has no inertia


def _largest_tree(model: mujoco.MjModel) -> str:
    """The top-level body with most joints below it; "" for a model without bodies."""
    roots = model.body_rootid[model.jnt_bodyid] if model.njnt else model.body_rootid[1:]
    return model.body(int(np.bincount(roots).argmax())).name if len(roots) else ""


def _tree_of(model: mujoco.MjModel, body: str) -> str:
    return str(model.body(int(model.body(body).rootid[0])).name)


def _below(model: mujoco.MjModel, root: str) -> list[int]:
    """Ids of the body `root` and its descendants, parents first."""
    if not root:
        raise FileFormatError("the model has no links, so it contains no hand.")
    found = [model.body(root).id]
    for body in range(found[0] + 1, model.nbody):
        if model.body_parentid[body] in found:
            found.append(body)
    return found
