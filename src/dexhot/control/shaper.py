"""The command shaper of DexTrack (appendix C): a simulated hand between the controller and the robot.

The floating hand with the training gains, alone in its world, is stepped with the controller's targets; its joint
state is commanded to the real hand and, through the arm's inverse kinematics, to the arm. So discontinuous targets
reach the robot as smoothly as they move the simulated hand.

In free space the hand lags its targets: neglecting inertia, kp (u - q) = kv dq/dt, so q trails u by kv/kp, 37 to 48 ms
with the LEAP hand's servos. A real hand that tracked q would squeeze late and, in contact, less firmly than the
demonstration's servos did. The lead compensates: q + lag dq/dt is u again, filtered by the inertia alone. Lead 1
compensates the whole lag, 0 is the paper's shaper.

The paper computes the command from the simulated and the real hand's state, and in practice from the simulated one
alone. Both are here: with the feedback "measured" the simulated fingers are drawn to the measured ones before each
tick, so that they do not run ahead of fingers that an object stops, or that are weaker than simulated.
"""

from dataclasses import dataclass

import mujoco
import numpy as np

from dexhot.control.arm_dynamics import ArmDynamics
from dexhot.data.types import PolicyCard
from dexhot.errors import DexhotError
from dexhot.geometry.rotations import quat_to_matrix
from dexhot.robots.joint_table import joint_table
from dexhot.robots.joints import columns
from dexhot.robots.kinematics.wrist import wrist_to_palm, wrist_twist
from dexhot.robots.robot_hand import RobotHand
from dexhot.simulation.physics import Physics
from dexhot.simulation.scene import Scene, floating_scene

DRAWN = 0.01  # of the way to the planned posture per tick, for a free arm: its elbow drifts back within 2 s
BLEND = 0.2  # of the way from the simulated to the measured fingers per tick: noise and delay stay small, 80 ms in all
LEAD = 1.0  # of the finger servos' lag
OWN_LEAD = -1.0  # none is asked for: that of the policy's training, else LEAD
NEWTON = 3  # steps of the inverse kinematics from the planned joints to those of a palm near the planned one


def shaper_scene(hand: RobotHand, base_quat: np.ndarray, physics: Physics) -> Scene:
    """The shaper's world: the floating hand alone."""
    return floating_scene(hand, None, base_quat, physics, visual=False)


class HandShaper:
    """The simulated floating hand."""

    def __init__(self, hand: RobotHand, base_quat: np.ndarray, physics: Physics):
        self.scene = shaper_scene(hand, base_quat, physics)
        self.data = mujoco.MjData(self.scene.model)
        self.substeps = physics.substeps

    def reset(self, q: np.ndarray) -> None:
        """Put the hand at rest at q (6+n,)."""
        mujoco.mj_resetData(self.scene.model, self.data)
        self.scene.set_joints(self.data, q)
        mujoco.mj_forward(self.scene.model, self.data)

    def draw(self, fingers: np.ndarray) -> np.ndarray:
        """Draw the simulated fingers to measured joints (n,) by BLEND; returns q (6+n,)."""
        q: np.ndarray = self.data.qpos[self.scene.q_address]
        q[6:] += BLEND * (np.clip(fingers, self.scene.lower[6:], self.scene.upper[6:]) - q[6:])
        self.scene.set_joints(self.data, q)
        return q

    def step(self, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One control step towards `target` (6+n,). Returns q and dq/dt (6+n,) after it. Raises DexhotError for a
        non-finite target."""
        if not np.isfinite(target).all():
            bad = [self.scene.joint_names[i] for i in np.flatnonzero(~np.isfinite(target))]
            raise DexhotError(f"the controller's target is not finite for {', '.join(bad)}.")
        self.data.ctrl[:] = np.clip(target, self.scene.lower, self.scene.upper)
        mujoco.mj_step(self.scene.model, self.data, self.substeps)
        return self.data.qpos[self.scene.q_address], self.data.qvel[self.scene.v_address]


@dataclass
class Command:
    """The command of one tick, rad and rad/s."""

    hand_q: np.ndarray  # (n,) position targets of the fingers, lead included
    hand_qd: np.ndarray  # (n,) the shaped velocities
    arm_q: np.ndarray  # (7,)
    arm_qd: np.ndarray  # (7,)
    arm_torque: np.ndarray  # (7,) feed-forward, N m
    ik_error: float  # m, distance of the palm from the shaped wrist


class CommandShaper:
    """Targets of the floating hand -> commands of arm and hand.

    The arm's joints are those nearest to the planned ones, `arm_path` (T, 7) rad, that bring the palm to the shaped
    wrist: so the elbow follows its smooth planned path, and a command depends on no earlier tick. With `free`, where
    no plan exists, they are those nearest to the last ones, drawn slowly towards the planned posture.
    """

    def __init__(
        self,
        hand: RobotHand,
        base_quat: np.ndarray,
        arm_path: np.ndarray,
        physics: Physics,
        lead: float,
        wrist_lead: float,
        free: bool = False,
    ):
        """`lead`: fraction of the finger servos' lag; `wrist_lead`: s."""
        self.shaper = HandShaper(hand, base_quat, physics)
        self.dynamics, self.arm_path = ArmDynamics(hand), arm_path
        (self.arm_velocity,) = columns(joint_table("fr3"), "velocity")
        self.torque_limit = 0.5 * np.array(physics.arm.force)
        self.free = free
        self.base_quat, self.base_R, self.rate = base_quat, quat_to_matrix(base_quat), 1.0 / physics.control_dt
        self.lead, self.wrist_lead = lead * physics.finger(hand).lag, wrist_lead
        self.lower, self.upper = hand.lower, hand.upper

    def reset(self, q: np.ndarray, arm_q: np.ndarray) -> None:
        """Start from the floating hand's pose q (6+n,) and the arm joints arm_q (7,), rad."""
        self.shaper.reset(q)
        self.q = q.copy()
        self.arm_q, self.arm_qd = arm_q.copy(), np.zeros_like(arm_q)  # at the end of the last tick
        self._start = arm_q.copy()
        self._first: int | None = None  # the frame before the first planned one

    def planned(self, frame: int) -> np.ndarray:
        """(7,) joints planned for a frame, rad; before the first, interpolated from the arm's start to it."""
        if self._first is None:
            self._first = min(frame, 0) - 1
        s = 1.0 if frame >= 0 else (frame - self._first) / -self._first
        s = s * s * (3.0 - 2.0 * s)
        there: np.ndarray = self.arm_path[min(max(frame, 0), len(self.arm_path) - 1)]
        return (1.0 - s) * self._start + s * there

    def step(self, target: np.ndarray, index: int, measured: np.ndarray | None = None) -> Command:
        """The command of one tick for `target` (6+n,), which leads from frame `index` to the next. measured: finger
        joints (n,) to which the simulated ones are drawn first; None: no feedback.

        The wrist leads by `wrist_lead`, the fingers by `lead` (n,), seconds times their shaped velocity.

        A command is held for a tick, so it is computed for the middle of the tick. So is its acceleration: it uses the
        shaped wrist's velocities at both ends of the tick; mean velocities would give it half a tick late.
        """
        if measured is not None:
            self.q = self.shaper.draw(measured)
        q, qd = (x.copy() for x in self.shaper.step(target))
        middle, mean_qd = 0.5 * (q + self.q), (q - self.q) * self.rate
        self.q = q
        palm = wrist_to_palm(q[:6] + self.wrist_lead * qd[:6], self.base_quat)
        near = self.planned(index + 1)
        if self.free:
            near = self.arm_q + DRAWN * (near - self.arm_q)
        found, ik_error = self.dynamics.kinematics.solve(palm, near, NEWTON)
        farthest = self.arm_velocity / self.rate
        arm_q = np.clip(found, self.arm_q - farthest, self.arm_q + farthest)
        mean = (arm_q - self.arm_q) * self.rate
        arm_qd = self.dynamics.velocity(arm_q, mean, wrist_twist(q[:6], qd[:6], self.base_R))
        arm_qd = np.clip(arm_qd, -self.arm_velocity, self.arm_velocity)
        torque = self.dynamics.torque(0.5 * (self.arm_q + arm_q), mean, (arm_qd - self.arm_qd) * self.rate)
        torque = np.clip(torque, -self.torque_limit, self.torque_limit)
        self.arm_q, self.arm_qd = arm_q, arm_qd
        hand_q = np.clip(middle[6:] + self.lead * mean_qd[6:], self.lower, self.upper)
        return Command(hand_q, mean_qd[6:], arm_q - 0.5 * mean / self.rate, mean, torque, ik_error)


def shaper_lead(card: PolicyCard | None, lead: float, feedback: str) -> float:
    """The lead of the live chain: `lead`, or where that is negative that of the shaper in the training of the policy of
    `card`, where there was one, else LEAD. Raises DexhotError where another one than the training's is asked for, or
    feedback, which the shaper of a training does not have."""
    asked = lead >= 0
    if card is None or card.shaper_lead is None:
        return lead if asked else LEAD
    differ = [] if not asked or lead == card.shaper_lead else [f"lead: {card.shaper_lead:g}, not {lead:g}"]
    if feedback != "none":
        differ.append(f"shaper feedback: none, not {feedback}")
    if differ:
        raise DexhotError(
            f"policy {card.name} was trained with another command shaper ({'; '.join(differ)}): omit lead and "
            "shaper_feedback, and it runs with that of its training."
        )
    return card.shaper_lead


def measure_lag(hand: RobotHand, physics: Physics, lead: float = 0.0, speed: float = 0.5) -> float:
    """Seconds by which a finger joint of the shaper trails a target that moves at `speed` rad/s, in steady motion."""
    shaper = HandShaper(hand, np.array([1.0, 0.0, 0.0, 0.0]), physics)
    start = np.concatenate([[0.0, 0.0, 0.5, 0.0, 0.0, 0.0], hand.nominal])
    shaper.reset(start)
    ticks = 40
    j = 6 + int(np.argmax(hand.upper - hand.nominal))
    target = start.copy()
    for _ in range(ticks):
        target[j] += speed * physics.control_dt
        q, qd = shaper.step(target)
    return float((target[j] - q[j] - lead * physics.servo_lag(hand)[j] * qd[j]) / speed)
