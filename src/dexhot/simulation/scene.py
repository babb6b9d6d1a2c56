"""Scenes composed of hand, arm, object and table, with the indices that map names to arrays."""

import copy
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from dexhot.data.types import WRIST_JOINTS
from dexhot.errors import DexhotError
from dexhot.objects.asset import ObjectAsset
from dexhot.robots.arm import arm_hand_spec
from dexhot.robots.coupling import Coupled
from dexhot.robots.joint_table import joint_table
from dexhot.robots.mjcf import strip_prefix
from dexhot.robots.robot_hand import RobotHand
from dexhot.simulation import bodies
from dexhot.simulation.physics import Physics


@dataclass
class Scene:
    """A compiled world. Joint vectors are in `joint_names` order, which is also the order of ctrl.

    Floating scene: the 6 wrist joints, then the n fingers (the hand vector). Arm scene: 7 arm joints, then n fingers.
    """

    model: mujoco.MjModel
    contact_model: mujoco.MjModel  # for measuring contacts: includes self-contact, whatever the physics
    spec: mujoco.MjSpec
    hand: RobotHand | None  # None: object and table only
    object: ObjectAsset | None
    physics: Physics
    table_height: float
    joint_names: list[str]
    q_address: np.ndarray  # qpos addresses of joint_names
    v_address: np.ndarray  # dof addresses of joint_names
    lower: np.ndarray  # ctrl limits, in joint_names order
    upper: np.ndarray
    object_qpos: slice | None
    object_dof: slice | None
    sensors: dict[str, slice]  # into sensordata, see bodies.add_sensors
    object_geoms: np.ndarray  # ids of the geoms that collide
    hand_geoms: np.ndarray  # of the whole robot
    tip_geoms: list[np.ndarray]  # per fingertip, of the link that carries it
    table_geom: int
    coupled: Coupled  # joints coupled to those of joint_names, the ghost's too

    def set_joints(self, data: mujoco.MjData, q: ArrayLike, qd: ArrayLike | None = None) -> None:
        """Write q, and qd, in joint_names order, into `data`; coupled joints follow. Call mj_kinematics afterwards."""
        data.qpos[self.q_address] = q
        if qd is not None:
            data.qvel[self.v_address] = qd
        self.coupled.follow(data.qpos, data.qvel if qd is not None else None)

    def show_ghost(self, data: mujoco.MjData, q: ArrayLike, object_pose: np.ndarray | None = None) -> None:
        """Pose the ghost of a scene that has one: hand vector q (6+n,), object pose (7,). Call mj_kinematics then."""
        assert self.hand is not None, "a ghost needs a hand"
        names = [f"ghost/{name}" for name in (*WRIST_JOINTS, *self.hand.joint_names)]
        data.qpos[[self.model.joint(name).qposadr[0] for name in names]] = q
        self.coupled.follow(data.qpos)
        if object_pose is not None:
            body = self.model.body("ghost/object").mocapid[0]
            data.mocap_pos[body], data.mocap_quat[body] = object_pose[:3], object_pose[3:]


def floating_scene(
    hand: RobotHand,
    asset: ObjectAsset | None,
    base_quat: ArrayLike,
    physics: Physics,
    table_height: float = 0.0,
    ghost: bool = False,
    visual: bool = True,
) -> Scene:
    """The hand on six servo-driven wrist joints, an object and a table.

    The slides act along the world's axes and the hinges in the frame rotated by `base_quat` (4,) wxyz, so the palm's
    rotation is base_quat Rx Ry Rz. `ghost` adds a translucent copy for pictures; do not step such a model. Without
    `visual` the scene has collision geoms only: bit-identical motion, 5 % faster, and cheap to copy.
    """
    spec = _new_world(physics, table_height, asset)
    turn = bodies.add_wrist(spec, base_quat, physics)
    _attach(spec, hand.spec(detailed=ghost, visual=visual), hand, physics, turn.add_frame())
    for k, name in enumerate(WRIST_JOINTS):
        servo = physics.wrist.translation if k < 3 else physics.wrist.rotation
        bodies.add_servo(spec, name, servo.kp, servo.kv, (-bodies.FAR, bodies.FAR))
    bodies.add_finger_servos(spec, hand, physics)
    if ghost:
        bodies.add_ghost(spec, hand, asset, base_quat, physics)
    if not visual:
        bodies.strip_visuals(spec)
    names = [*WRIST_JOINTS, *hand.joint_names]
    return _compile(spec, hand, asset, physics, table_height, names)


def arm_scene(
    hand: RobotHand,
    asset: ObjectAsset | None,
    physics: Physics,
    table_height: float = 0.0,
    ghost_base_quat: ArrayLike | None = None,
    visual: bool = True,
) -> Scene:
    """The FR3 with the hand on its mount, an object and a table. The arm's base is the world's origin.

    ctrl = 7 arm joints (the impedance of physics.arm), then the fingers. `ghost_base_quat` adds a floating ghost hand;
    `visual`: as in `floating_scene`.
    """
    spec = _new_world(physics, table_height, asset, center=(0.4, 0.0), distance=1.55, height=0.32)
    robot = arm_hand_spec(hand, detailed=ghost_base_quat is not None, visual=visual)
    _attach(spec, robot, hand, physics, spec.worldbody.add_frame())
    arm = joint_table("fr3")
    for joint, kp, kv, force in zip(arm, physics.arm.kp, physics.arm.kv, physics.arm.force):
        bodies.add_servo(spec, joint.name, kp, kv, (joint.lower, joint.upper))
        limited = spec.joint(joint.name)
        limited.actfrclimited, limited.actfrcrange = True, [-force, force]
    bodies.add_finger_servos(spec, hand, physics)
    if ghost_base_quat is not None:
        bodies.add_ghost(spec, hand, asset, ghost_base_quat, physics)
    if not visual:
        bodies.strip_visuals(spec)
    names = [*(j.name for j in arm), *hand.joint_names]
    return _compile(spec, hand, asset, physics, table_height, names)


def object_scene(asset: ObjectAsset, physics: Physics, table_height: float = 0.0) -> Scene:
    """The object alone on the table."""
    spec = _new_world(physics, table_height, asset)
    return _compile(spec, None, asset, physics, table_height, [])


def reset(
    scene: Scene, data: mujoco.MjData, q: ArrayLike, object_pose: ArrayLike | None = None, qd: ArrayLike | None = None
) -> None:
    """Set the state and compute what depends on it, without a step.

    q, qd: in joint_names order; qd defaults to rest. The servos' targets are set to q. object_pose (7,) world_T_mesh.
    Raises DexhotError for a non-finite value or a wrong size.
    """
    _check("q", q, len(scene.joint_names))
    mujoco.mj_resetData(scene.model, data)
    data.ctrl[:] = np.clip(q, scene.lower, scene.upper)
    if qd is not None:
        _check("qd", qd, len(scene.joint_names))
    scene.set_joints(data, q, qd)
    if scene.object_qpos is not None:
        _check("object_pose", object_pose, 7)
        data.qpos[scene.object_qpos] = object_pose
    mujoco.mj_forward(scene.model, data)


def perturbed(
    scene: Scene,
    friction: float = 1.0,
    mass: float = 1.0,
    time_constant: float | None = None,
    gain: float = 1.0,
    palm: ArrayLike | None = None,
    inertia: float = 1.0,
) -> mujoco.MjModel:
    """A copy of the scene's model with every sliding friction, the object's mass and inertia, and the finger servos'
    stiffness and damping scaled; contact `time_constant` in s; the palm shifted by `palm` (3,) m in its parent's frame;
    the object's inertia scaled by `inertia` besides.

    All frictions are scaled together because MuJoCo uses the larger one of the two geoms in contact.
    """
    model = copy.copy(scene.model)
    model.geom_friction[:, 0] *= friction
    body = model.body("object").id
    model.body_mass[body] *= mass
    model.body_inertia[body] *= mass * inertia
    if time_constant is not None:
        model.geom_solref[:, 0] = time_constant
    if palm is not None:
        model.body_pos[model.body("palm").id] += palm
    if gain != 1.0:
        assert scene.hand is not None, "finger servos need a hand"
        bodies.scale_servos(model, [model.actuator(name).id for name in scene.hand.joint_names], gain)
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


def _check(name: str, value: ArrayLike | None, size: int) -> None:
    value = np.asarray(value, float)
    if value.shape != (size,):
        raise DexhotError(f"reset: {name} has shape {value.shape}, this scene needs ({size},).")
    if not np.isfinite(value).all():
        raise DexhotError(f"reset: {name} has a non-finite value: {value}.")


def _new_world(
    physics: Physics,
    table_height: float,
    asset: ObjectAsset | None,
    center: tuple[float, float] = (0.0, 0.0),
    distance: float = 0.9,
    height: float = 0.1,
) -> mujoco.MjSpec:
    spec = bodies.new_spec(physics)
    bodies.add_looks(spec, (*center, table_height + height), distance)
    bodies.add_table(spec, physics, table_height, center)
    if asset is not None:
        bodies.add_object(spec, asset, physics)
    return spec


def _attach(
    spec: mujoco.MjSpec, robot: mujoco.MjSpec, hand: RobotHand, physics: Physics, frame: mujoco.MjsFrame
) -> None:
    bodies.prepare_robot(robot, hand, physics)
    spec.attach(robot, prefix="robot/", frame=frame)  # MuJoCo requires a prefix; the joint names have none
    strip_prefix(spec, "robot/")


def _compile(
    spec: mujoco.MjSpec,
    hand: RobotHand | None,
    asset: ObjectAsset | None,
    physics: Physics,
    table_height: float,
    joint_names: list[str],
) -> Scene:
    sensors = bodies.add_sensors(spec, hand, asset is not None)
    contact_model = spec.compile()
    model = contact_model if physics.self_contact else bodies.without_self_contact(contact_model)
    joints = [model.joint(name) for name in joint_names]
    collides = np.flatnonzero((model.geom_contype | model.geom_conaffinity) > 0)
    table = model.geom("table").id
    owner = model.geom_bodyid[collides]
    object_body = model.body("object").id if asset is not None else -1
    tips = [model.site_bodyid[model.site(name).id] for name in hand.tip_sites] if hand else []
    free = model.joint("object") if asset is not None else None
    return Scene(
        model=model,
        contact_model=contact_model,
        spec=spec,
        hand=hand,
        object=asset,
        physics=physics,
        table_height=table_height,
        joint_names=list(joint_names),
        q_address=np.array([j.qposadr[0] for j in joints], int),
        v_address=np.array([j.dofadr[0] for j in joints], int),
        lower=model.actuator_ctrlrange[:, 0].copy(),
        upper=model.actuator_ctrlrange[:, 1].copy(),
        object_qpos=slice(free.qposadr[0], free.qposadr[0] + 7) if free else None,
        object_dof=slice(free.dofadr[0], free.dofadr[0] + 6) if free else None,
        sensors=sensors,
        object_geoms=collides[owner == object_body],
        hand_geoms=collides[(owner != object_body) & (collides != table)],
        tip_geoms=[collides[owner == body] for body in tips],
        table_geom=table,
        coupled=Coupled(model),
    )
