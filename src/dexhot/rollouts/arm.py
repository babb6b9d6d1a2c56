"""The live chain without ROS: object filter -> controller -> shaper -> arm IK -> the embedded rig, tick by tick.

The nodes run the same classes in the same order; `run_offline` is what they do when no message is late.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import mujoco
import numpy as np

from dexhot.control.controllers import Controller, HandState, Tracker
from dexhot.control.shaper import OWN_LEAD, CommandShaper, shaper_lead
from dexhot.data.types import RATE, Reference, Rollout
from dexhot.geometry import single
from dexhot.rigs.embedded import ARM, EmbeddedWorld
from dexhot.robots.kinematics.arm import ArmKinematics
from dexhot.robots.robot_hand import RobotHand
from dexhot.safety.limits import Limits
from dexhot.simulation.backend import STATE, MujocoSimulator
from dexhot.simulation.physics import Physics
from dexhot.simulation.scene import arm_scene, perturbed
from dexhot.simulation.setup import Setup
from dexhot.tracking.object_filter import FilterOptions, ObjectFilter


@dataclass(frozen=True)
class ChainOptions:
    """The nodes' parameters, in one place. Times in s."""

    ramp: float = 0.5  # from the measured pose to the reference's first
    settle: float = 0.2  # before the ramp
    look_ahead: int = 0  # frames
    lead: float = OWN_LEAD  # of the finger servos' lag: 1 undoes that of the shaper; negative as in `shaper_lead`
    wrist_lead: float = 0.0
    shaper_feedback: str = "none"  # measured draws the shaper's fingers to the measured ones
    position_noise: float = 0.0  # m, sigma of the measured object position
    rotation_noise: float = 0.0  # rad
    seed: int = 0


@dataclass
class Tick:
    """The state at one tick, and the resulting target (zeros before the ramp)."""

    index: int  # frame of the reference
    state: np.ndarray  # the simulator's
    arm_q: np.ndarray
    q: np.ndarray  # (6+n,) hand vector
    object_pose: np.ndarray
    target: np.ndarray


def start_joints(reference: Reference) -> np.ndarray:
    """(7+n,) rad, arm and fingers at the reference's first pose. Raises UnreachableError without an arm path."""
    return np.concatenate([reference.require_arm_path()[0], reference.q[0, 6:]])


def measured_pose(
    pose: np.ndarray, position_noise: float, rotation_noise: float, rng: np.random.Generator
) -> np.ndarray:
    """A pose (7,) with Gaussian measurement noise (sigma: m, rad)."""
    if not (position_noise or rotation_noise):
        return pose.copy()
    turn = single.exp(rng.normal(0.0, rotation_noise, 3))
    return np.concatenate([pose[:3] + rng.normal(0.0, position_noise, 3), single.multiply(turn, pose[3:])])


def displaced(pose: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """A pose (7,) moved by offset (x m, y m, yaw rad) in the world, rotated about its own origin."""
    turn = single.exp((0.0, 0.0, offset[2]))
    return np.concatenate([pose[:2] + offset[:2], pose[2:3], single.multiply(turn, pose[3:])])


class Follower:
    """Turns targets into commands of arm and hand: shaper, arm kinematics and the drivers' limits."""

    def __init__(self, hand: RobotHand, reference: Reference, physics: Physics, options: ChainOptions):
        leads = shaper_lead(None, options.lead, options.shaper_feedback), options.wrist_lead
        self.feedback = options.shaper_feedback == "measured"
        self.shaper = CommandShaper(hand, reference.base_quat, reference.arm_q, physics, *leads)
        self.hand_limits, self.arm_limits = Limits.of(hand.name), Limits.of("fr3")
        self.hand_q: np.ndarray | None = None  # (n,) the last command, None before the first target
        self.arm_q = np.zeros(ARM)

    def drive(self, world: EmbeddedWorld, target: np.ndarray, index: int, joints: np.ndarray) -> None:
        """Apply one tick's `target` (6+n,), from frame `index` to the next; `joints` (7+n,): the measured ones, rad,
        where the first command starts."""
        if self.hand_q is None:
            self.shaper.reset(target, joints[:ARM])
            self.hand_q, self.arm_q = joints[ARM:], joints[:ARM]
        command = self.shaper.step(target, index, joints[ARM:] if self.feedback else None)
        self.hand_q = self.hand_limits.apply(command.hand_q, self.hand_q, 1.0 / RATE)
        self.arm_q = self.arm_limits.apply(command.arm_q, self.arm_q, 1.0 / RATE)
        world.drive_hand(self.hand_q)
        world.drive_arm(self.arm_q, command.arm_qd, command.arm_torque)


def run_ticks(
    world: EmbeddedWorld,
    reference: Reference,
    controller: Controller,
    hand: RobotHand,
    options: ChainOptions,
    object_pose: np.ndarray | None = None,
    follower: Follower | None = None,
) -> Iterator[Tick]:
    """Play one clip; yields every tick. The object starts at `object_pose` (7,), by default the reference's first.

    follower: a new one, for callers that inspect it between ticks.
    """
    physics = world.scene.physics
    follower = follower or Follower(hand, reference, physics, options)
    kinematics, rng = ArmKinematics(hand), np.random.default_rng(options.seed)
    first = reference.object_pose[0] if object_pose is None else object_pose
    world.reset(start_joints(reference), first, hold_object=True)
    asset = world.scene.object
    filtered = ObjectFilter(FilterOptions(), asset.symmetry if asset else None)
    tracker = Tracker(controller, physics, options.ramp, options.look_ahead)
    before = round((options.settle + options.ramp) * RATE)
    tracker.begin(before / RATE)
    simulator = MujocoSimulator(world.scene)
    state = np.empty(simulator.state_size)
    for k in range(before + len(reference.q)):
        stamp = k / RATE
        if k:
            world.step()
        if k == before:
            world.release()
        mujoco.mj_getState(world.scene.model, world.data, state, STATE)
        joints = world.joints()[0]
        q = kinematics.hand_vector(joints[:ARM], joints[ARM:], reference.base_quat, reference.q[0])
        pose = world.object_pose()
        seen = measured_pose(pose, options.position_noise, options.rotation_noise, rng)
        filtered.update(stamp, seen)
        target = tracker.step(stamp, filtered.state(), HandState(stamp, q))
        yield Tick(
            k - before,
            state.copy(),
            joints[:ARM].copy(),
            q,
            pose.copy(),
            np.zeros_like(q) if target is None else target,
        )
        if target is not None:
            follower.drive(world, target, k - before, joints)


def run_offline(
    reference: Reference,
    controller: Controller,
    setup: Setup,
    options: ChainOptions | None = None,
    friction: float = 1.0,
    mass: float = 1.0,
    object_offset: np.ndarray | None = None,
    palm: np.ndarray | None = None,
) -> Rollout:
    """Track `reference` on the embedded rig. Returns a Rollout of kind "arm", metrics not yet computed.

    The reference must be placed within the arm's reach (retargeting.placement). `friction` and `mass` scale the
    world's values; `object_offset` (x m, y m, yaw rad) moves the object from its reference pose, rotated about its
    origin; `palm` (3,) m offsets the palm from the kinematics, in its mount's frame.
    """
    options = options or ChainOptions()
    lead = shaper_lead(getattr(controller, "card", None), options.lead, options.shaper_feedback)
    options = replace(options, lead=lead)
    hand, physics = setup.hand, setup.physics
    scene = arm_scene(hand, setup.asset, physics, table_height=reference.table_height)
    scene.model = perturbed(scene, friction, mass, palm=palm)
    world = EmbeddedWorld(scene)
    start = reference.object_pose[0] if object_offset is None else displaced(reference.object_pose[0], object_offset)
    ticks = [t for t in run_ticks(world, reference, controller, hand, options, start) if t.index >= 0]
    contacts = MujocoSimulator(world.scene).contacts(np.stack([t.state for t in ticks]))
    q = np.stack([t.q for t in ticks])
    q[:, 3:6] = np.unwrap(q[:, 3:6], axis=0)
    return Rollout(
        name=f"{reference.name} on the embedded rig",
        reference=reference,
        kind="arm",
        time=reference.time,
        q=q,
        command=np.stack([t.target for t in ticks]),
        object_pose=np.stack([t.object_pose for t in ticks]),
        penetration=contacts.penetration,
        self_penetration=contacts.self_penetration,
        table_contact=contacts.table_contact,
        tip_contact=contacts.tip_contact,
        arm_q=np.stack([t.arm_q for t in ticks]),
        provenance={
            **physics.named(hand),
            "chain": asdict(options),
            "controller": type(controller).__name__.lower(),
        },
    )
