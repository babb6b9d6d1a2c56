"""The embedded rig's world: one MuJoCo arm scene that the twins of arm and hand read and write, in one process.

`install` makes a world the process's own; the drivers' twins find it with `installed`, as real drivers find a bus.
"""

import time
from collections.abc import Callable

import mujoco
import numpy as np

from dexhot.errors import DexhotError
from dexhot.hardware.franka.limits import STEP, Setpoint, fr3_limits
from dexhot.simulation.scene import Scene, reset

ARM = 7  # joints
REMEMBERED = 64  # ticks


class EmbeddedWorld:
    """The arm scene in motion. One thread steps it; whoever listens is told after every tick.

    `unanswered`: who has not answered the last tick, of arm and hand where they are driven and of those who follow; the
    rig can wait for them.
    """

    def __init__(self, scene: Scene):
        self.scene, self.data = scene, mujoco.MjData(scene.model)
        self.listeners: list[Callable[[float], None]] = []
        self.answered: Callable[[], None] = lambda: None  # called when nobody is unanswered any more
        self.driven: set[str] = set()
        self.following: set[str] = set()
        self.unanswered: set[str] = set()
        self.stamp = 0.0  # of the last tick
        self.ticked: dict[float, float] = {}  # stamp -> steady time of the last ticks
        arm = scene.physics.arm
        self.arm_stiffness = np.array(arm.kp)
        self.arm_lead = np.divide(arm.kv, arm.kp)  # s
        self.setpoint, self.arm_torque = Setpoint(fr3_limits()), np.zeros(ARM)

    def reset(self, q: np.ndarray, object_pose: np.ndarray, hold_object: bool = False) -> None:
        """Robot at rest at q (7+n,), object (7,) at rest; with `hold_object` it stays there until `release`."""
        reset(self.scene, self.data, q, object_pose)
        self.setpoint.reset(q[:ARM])
        self.arm_torque = np.zeros(ARM)
        self._held = object_pose.copy() if hold_object else None

    def release(self) -> None:
        """Let go of a held object."""
        self._held = None

    def step(self) -> None:
        """One control step: the arm's setpoint moves towards its goal as the driver's does, the fingers have theirs.
        Raises when the physics diverged."""
        d, s = self.data, self.scene
        for _ in range(s.physics.substeps):
            self.setpoint.advance(cycles_in(s.physics.timestep, round(d.time / s.physics.timestep)))
            d.ctrl[:ARM] = self.arm_target(self.setpoint.q, self.setpoint.v, self.arm_torque)
            mujoco.mj_step(s.model, d)
        if self._held is not None:
            d.qpos[s.object_qpos], d.qvel[s.object_dof] = self._held, 0.0
            mujoco.mj_forward(s.model, d)
        if not np.isfinite(d.qpos).all() or d.warning[mujoco.mjtWarning.mjWARN_BADQACC].number:
            raise DexhotError("the embedded rig's physics diverged; reset the rig.")

    def tick(self, stamp: float) -> None:
        """Step, then tell the listeners (in the order they came)."""
        self.step()
        self.stamp = stamp
        self.unanswered = self.driven | self.following
        self.ticked[stamp] = time.monotonic()
        if len(self.ticked) > REMEMBERED:
            del self.ticked[next(iter(self.ticked))]
        for listener in self.listeners:
            listener(stamp)

    def joints(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positions, velocities and torques (7+n,) of arm, then hand."""
        d, s = self.data, self.scene
        return d.qpos[s.q_address], d.qvel[s.v_address], d.qfrc_actuator[s.v_address]

    def object_pose(self) -> np.ndarray:
        """(7,) world_T_mesh."""
        found: np.ndarray = self.data.qpos[self.scene.object_qpos]
        return found

    def latency(self, stamp: float) -> float:
        """Seconds of steady time since the tick with this stamp (to the microsecond); infinite for one long gone."""
        ticks = [begin for known, begin in self.ticked.items() if abs(known - stamp) < 1e-5]
        return time.monotonic() - ticks[0] if ticks else np.inf

    def drive(self, who: str) -> None:
        """`who` has new targets, and others will come for every tick."""
        self.driven.add(who)
        self._answer(who)

    def rest(self, who: str) -> None:
        """`who` is no longer driven: nothing waits for it."""
        self.driven.discard(who)
        self._answer(who)

    def follow(self, who: str) -> None:
        """`who` has seen the last tick, and will see every tick."""
        self.following.add(who)
        self._answer(who)

    def _answer(self, who: str) -> None:
        if who in self.unanswered:
            self.unanswered.remove(who)
            if not self.unanswered:
                self.answered()

    def drive_arm(self, q: np.ndarray, qd: np.ndarray, torque: np.ndarray) -> None:
        """Impedance kp (q - q_meas) + kv (qd - qd_meas) + torque, as the real arm's tracker, about a setpoint within
        the arm's limits. q (7,) is for the middle of the coming tick, qd its velocity."""
        self.setpoint.command(q - 0.5 * self.scene.physics.control_dt * qd, qd)
        self.arm_torque = torque

    def rest_arm(self) -> None:
        """Come to rest, as soon as the limits allow."""
        q, qd, _ = self.joints()
        self.setpoint.command(self.setpoint.stopping_point(q[:ARM], qd[:ARM]), np.zeros(ARM))
        self.arm_torque = np.zeros(ARM)

    def arm_target(self, q: np.ndarray, qd: np.ndarray, torque: np.ndarray) -> np.ndarray:
        """(..., 7) for the scene's servo in one substep, which takes a position only: the rest is added as a
        displacement. q is the setpoint at the substep's end.

        The servo looks where the arm is as the substep begins: there the setpoint was a substep ago. Left alone the arm
        would lead by it: 1.7 mm of the palm at 0.4 m/s.
        """
        s = self.scene
        lead = self.arm_lead - s.physics.timestep
        found: np.ndarray = np.clip(q + lead * qd + torque / self.arm_stiffness, s.lower[:ARM], s.upper[:ARM])
        return found

    def drive_hand(self, q: np.ndarray) -> None:
        """Position targets (n,) of the fingers' PD."""
        s = self.scene
        self.data.ctrl[ARM:] = np.clip(q, s.lower[ARM:], s.upper[ARM:])


def cycles_in(timestep: float, substep: int) -> int:
    """Cycles of the arm in one substep, counted from 0 since the reset: 4 or 5 in 1/240 s."""
    return round((substep + 1) * timestep / STEP) - round(substep * timestep / STEP)


_worlds: list[EmbeddedWorld] = []


def install(world: EmbeddedWorld) -> None:
    """Make `world` the one of this process, in place of any other."""
    _worlds[:] = [world]


def uninstall() -> None:
    """The process has no world any more."""
    _worlds.clear()


def installed() -> EmbeddedWorld:
    """The world of this process. Raises DexhotError when there is none."""
    if not _worlds:
        raise DexhotError("there is no embedded rig in this process: the twin's driver must run beside the rig node.")
    return _worlds[0]
