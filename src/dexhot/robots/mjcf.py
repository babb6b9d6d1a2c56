"""A RobotModel as a MuJoCo MjSpec: kinematics, inertias, shapes and joint ranges.

Contact parameters, armature and actuators belong to the physics (config/physics/) and are added by the scene.
"""

from collections.abc import Iterable

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from dexhot.geometry.poses import IDENTITY
from dexhot.robots.joints import Joint
from dexhot.robots.looks import link_meshes, plain_shapes
from dexhot.robots.model import Primitive, RobotModel, children

COLLISION_GROUP, VISUAL_GROUP = 3, 2  # group 3 is hidden by MuJoCo's viewers and renderer by default
_TYPES = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
}


def to_spec(model: RobotModel, joints: Iterable[Joint], detailed: bool = False, visual: bool = True) -> mujoco.MjSpec:
    """The model as a spec with one root body, ranges from `joints`; `detailed` and `visual`: see `add_model`."""
    spec = mujoco.MjSpec()
    spec.modelname = model.name
    spec.compiler.degree = False
    add_model(spec, spec.worldbody, model, joints, detailed=detailed, visual=visual)
    return spec


def add_model(
    spec: mujoco.MjSpec,
    parent: mujoco.MjsBody,
    model: RobotModel,
    joints: Iterable[Joint],
    pose: np.ndarray = IDENTITY,
    detailed: bool = False,
    visual: bool = True,
) -> None:
    """Add the model's bodies below `parent`, a body of `spec`, the root at `pose` (7,), and its couplings.

    Bodies are named as the links, collision geoms "{link}_{i}", visual ones "{link}_visual_{i}". Gravity is
    compensated
        on every body: the arm's controller does this, and the benchmark defines it for the hand. With `detailed`,
        for
    pictures, each link's visual geoms are meshes with rounded edges, one per colour; else plain primitives. Without
    `visual` there are none: what does not draw starts and steps faster.
    """
    seen = _add_meshes if detailed else _add_primitives
    for name, body in _add_body(parent, model, model.root, {joint.name: joint for joint in joints}, pose).items():
        seen(spec, body, name, model.links[name].visual if visual else ())
    for name, joint in model.joints.items():
        if joint.mimic:
            coupling = spec.add_equality(type=mujoco.mjtEq.mjEQ_JOINT, name1=name, name2=joint.mimic.joint)
            coupling.objtype = mujoco.mjtObj.mjOBJ_JOINT
            coupling.data[:2] = joint.mimic.offset, joint.mimic.multiplier


def strip_prefix(spec: mujoco.MjSpec, prefix: str) -> None:
    """Remove the prefix that MuJoCo requires for an attached spec, from names and references."""
    named = [(element, "name") for element in (*spec.bodies, *spec.joints, *spec.sites, *spec.geoms)]
    named += [(equality, key) for equality in spec.equalities for key in ("name1", "name2")]
    named += [(exclude, key) for exclude in spec.excludes for key in ("bodyname1", "bodyname2")]
    for element, key in named:
        setattr(element, key, getattr(element, key).removeprefix(prefix))


def add_mesh_geom(
    spec: mujoco.MjSpec, body: mujoco.MjsBody, name: str, vertices: ArrayLike, faces: ArrayLike
) -> mujoco.MjsGeom:
    """A massless, non-colliding mesh geom on `body`, at the body's frame."""
    mesh = spec.add_mesh(name=name)
    mesh.uservert, mesh.userface = np.asarray(vertices, float).ravel(), np.asarray(faces, np.int32).ravel()
    mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL  # never used, but defined also for an open mesh
    geom = body.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name)
    geom.mass = 0.0
    geom.contype, geom.conaffinity = 0, 0
    return geom


def _add_body(
    parent: mujoco.MjsBody, model: RobotModel, name: str, table: dict[str, Joint], pose: np.ndarray
) -> dict[str, mujoco.MjsBody]:
    """Add link `name` and its descendants without visuals; returns them by name, parents first."""
    link = model.links[name]
    xx, xy, xz, _, yy, yz, _, _, zz = link.inertia.ravel()
    body = parent.add_body(name=name, gravcomp=1.0, pos=pose[:3], quat=pose[3:])
    body.mass, body.ipos, body.explicitinertial = link.mass, link.com, True
    body.fullinertia = [xx, yy, zz, xy, xz, yz]
    for i, shape in enumerate(link.collision):
        _add_geom(body, f"{name}_{i}", shape, group=COLLISION_GROUP)
    for site, position in link.sites.items():
        body.add_site(name=site, pos=position, size=[0.003, 0.003, 0.003], group=4)
    bodies = {name: body}
    for joint in children(model, name):
        below = _add_body(body, model, joint.child, table, joint.pose)
        row = joint.mimic or table[joint.name]
        below[joint.child].add_joint(
            name=joint.name,
            type=mujoco.mjtJoint.mjJNT_HINGE,
            axis=joint.axis,
            limited=mujoco.mjtLimited.mjLIMITED_TRUE,
            range=[row.lower, row.upper],
        )
        bodies.update(below)
    return bodies


def _add_primitives(_spec: mujoco.MjSpec, body: mujoco.MjsBody, link: str, shapes: Iterable[Primitive]) -> None:
    for i, plain in enumerate(plain for shape in shapes for plain in plain_shapes(shape)):
        _add_geom(body, f"{link}_visual_{i}", plain, group=VISUAL_GROUP, contype=0, conaffinity=0)


def _add_meshes(spec: mujoco.MjSpec, body: mujoco.MjsBody, link: str, shapes: Iterable[Primitive]) -> None:
    for i, (color, vertices, faces) in enumerate(link_meshes(shapes)):
        geom = add_mesh_geom(spec, body, f"{link}_visual_{i}", vertices, faces)
        geom.group, geom.rgba = VISUAL_GROUP, color


def _add_geom(body: mujoco.MjsBody, name: str, shape: Primitive, **options: int) -> None:
    halves = [s / 2 for s in shape.size] if shape.kind == "box" else [shape.size[0], *(s / 2 for s in shape.size[1:])]
    body.add_geom(
        name=name,
        type=_TYPES[shape.kind],
        size=[*halves, 0.0, 0.0][:3],
        pos=shape.pose[:3],
        quat=shape.pose[3:],
        rgba=shape.color,
        mass=0.0,
        **options,
    )
