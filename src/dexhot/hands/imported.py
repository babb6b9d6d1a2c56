"""Anyone's hand from its URDF or MJCF, brought into the form of our own: one root body "palm" with the palm frame.

Actuators, sensors and keyframes of the file are dropped (the scene adds its own), gravity is compensated on every body,
MuJoCo balances inertias that no rigid body can have, and a body that is called "palm" already becomes "palm_link".
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import mujoco
import numpy as np

from dexhot.errors import FileFormatError
from dexhot.geometry.poses import compose, inverse, make_pose
from dexhot.hands.mjcf import COLLISION_GROUP, VISUAL_GROUP
from dexhot.hands.model import pose_from


@dataclass(frozen=True)
class ImportedModel:
    """A hand as MJCF text: one root body "palm", whose frame is the palm frame."""

    mjcf: str  # with absolute mesh paths
    ranges: dict[str, tuple[float, float]]  # limits of the file's independent joints, in file order

    def spec(self) -> mujoco.MjSpec:
        """A new spec of it."""
        return mujoco.MjSpec.from_string(self.mjcf)


def import_model(path: Path, palm: dict[str, Any], tips: dict[str, dict[str, Any]]) -> ImportedModel:
    """Read a URDF or MJCF file.

    palm: {body, pos, rpy}, the palm frame in a body of the file; tips: site name -> {body, pos}, sites to add.
    Raises FileFormatError for a file MuJoCo refuses, and for a body that is not in it, listing those that are.
    """
    try:
        spec = mujoco.MjSpec.from_file(str(path))
        _normalise(spec, path)
        _check_bodies(path, spec, [palm["body"], *(tip["body"] for tip in tips.values())])
        for name, tip in tips.items():
            spec.body(tip["body"]).add_site(name=name, pos=tip["pos"], size=[0.003, 0.003, 0.003], group=4)
        model = spec.compile()
    except (ValueError, OSError) as e:
        raise FileFormatError(f"{path}: MuJoCo cannot read this model: {e}") from e
    # Joints that follow another, as in underactuated hands, are none of the hand's own.
    coupled = model.eq_obj1id[model.eq_type == mujoco.mjtEq.mjEQ_JOINT]
    free = [model.joint(i) for i in range(model.njnt) if i not in coupled]
    ranges = {joint.name: (float(joint.range[0]), float(joint.range[1])) for joint in free}
    return ImportedModel(_wrapped(spec.to_xml(), *_root_in_palm(model, palm)), ranges)


def _normalise(spec: mujoco.MjSpec, path: Path) -> None:
    compiler = spec.compiler
    compiler.balanceinertia, compiler.fusestatic = True, False
    for mesh in spec.meshes:
        mesh.file = str(_located(mesh.file, path.parent / spec.meshdir)) if mesh.file else ""
    spec.meshdir = ""
    for element in (*spec.actuators, *spec.sensors, *spec.keys):
        spec.delete(element)
    for body in spec.bodies[1:]:
        body.gravcomp = 1.0
        for kind, group, name in ((True, COLLISION_GROUP, body.name), (False, VISUAL_GROUP, f"{body.name}_visual")):
            for i, geom in enumerate(g for g in body.geoms if bool(g.contype or g.conaffinity) == kind):
                geom.name, geom.group = f"{name}_{i}", group
        for joint in body.joints:
            if joint.type == mujoco.mjtJoint.mjJNT_FREE:
                spec.delete(joint)


def _located(file: str, folder: Path) -> Path:
    """A mesh's absolute path; "package://name/rest" is looked for beside the model and in the folders above it."""
    if not file.startswith("package://"):
        return (folder / file).resolve()
    rest = file.removeprefix("package://").split("/", 1)[1]
    above = [parent / rest for parent in (folder.resolve(), *folder.resolve().parents)]
    return next((path for path in above if path.is_file()), above[0])


def _check_bodies(path: Path, spec: mujoco.MjSpec, names: list[str]) -> None:
    bodies = [body.name for body in spec.bodies[1:]]
    for name in names:
        if name not in bodies:
            raise FileFormatError(f"{path} has no body {name!r}; its bodies are {', '.join(bodies)}.")


def _root_in_palm(model: mujoco.MjModel, palm: dict[str, Any]) -> tuple[str, np.ndarray]:
    """The name of the tree's root body, and palm_T_root (7,)."""
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    body = model.body(palm["body"]).id
    root = model.body_rootid[body]

    def world_T(i):
        return make_pose(data.xpos[i], data.xquat[i])

    return model.body(root).name, compose(inverse(compose(world_T(body), pose_from(palm))), world_T(root))


def _wrapped(mjcf: str, root: str, palm_T_root: np.ndarray) -> str:
    """The tree below `root`, and nothing else of the world, inside a body "palm"."""
    document = ElementTree.fromstring(mjcf)
    world = document.find("worldbody")
    assert world is not None
    tree = next(body for body in world.findall("body") if body.get("name") == root)
    tree.set("pos", " ".join(map(repr, palm_T_root[:3].tolist())))
    tree.set("quat", " ".join(map(repr, palm_T_root[3:].tolist())))
    for element in list(world):
        world.remove(element)
    for element in (*tree.iter("body"), *document.iter("exclude")):
        for key in ("name", "body1", "body2"):
            if element.get(key) == "palm":
                element.set(key, "palm_link")
    ElementTree.SubElement(world, "body", name="palm", gravcomp="1").append(tree)
    return ElementTree.tostring(document, encoding="unicode")
