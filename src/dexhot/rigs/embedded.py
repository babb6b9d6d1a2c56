"""The embedded rig's world: one MuJoCo arm scene that the twins of arm and hand read and write, in one process.

`install` sets the process's world; the drivers' twins get it with `installed`, as real drivers open a bus.
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
    """The running arm scene. One thread steps it; listeners are called after every tick.

    `unanswered`: those who have not responded to the last tick, of arm and hand while they are driven and of the
    followers; the rig can wait for them.
    """

    def __init__(self, scene: Scene):
        self.scene, self.data = scene, mujoco.MjData(scene.model)
        self.listeners: list[Callable[[float], None]] = []
        self.answered: Callable[[], None] = lambda: None  # called when everyone has responded
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
        """Robot at rest at q (7+n,) rad, object at rest at (7,) world_T_mesh, fixed until `release` if held."""
        reset(self.scene, self.data, q, object_pose)
        self.setpoint.reset(q[:ARM])
        self.arm_torque = np.zeros(ARM)
        self._held = object_pose.copy() if hold_object else None

    def release(self) -> None:
        """Release a held object."""
        self._held = None

    def step(self) -> None:
        """One control step: the arm's setpoint moves towards its goal with the driver's code; the fingers have their
        targets. Raises DexhotError when the physics diverges."""
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
        """Step, then call the listeners in order of registration; `stamp` in s."""
        self.step()
        self.stamp = stamp
        self.unanswered = self.driven | self.following
        self.ticked[stamp] = time.monotonic()
        if len(self.ticked) > REMEMBERED:
            del self.ticked[next(iter(self.ticked))]
        for listener in self.listeners:
            listener(stamp)

    def joints(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Positions, velocities and torques (7+n,), arm then hand; rad, rad/s, N m."""
        d, s = self.data, self.scene
        return d.qpos[s.q_address], d.qvel[s.v_address], d.qfrc_actuator[s.v_address]

    def object_pose(self) -> np.ndarray:
        """(7,) world_T_mesh."""
        found: np.ndarray = self.data.qpos[self.scene.object_qpos]
        return found

    def latency(self, stamp: float) -> float:
        """Seconds of steady time since the tick with this stamp (matched to 1 us); inf if it is too old."""
        ticks = (begin for known, begin in reversed(self.ticked.items()) if abs(known - stamp) < 1e-5)
        return time.monotonic() - next(ticks, -np.inf)

    def drive(self, who: str) -> None:
        """`who` has new targets, and will get new ones every tick."""
        self.driven.add(who)
        self._answer(who)

    def rest(self, who: str) -> None:
        """`who` is no longer driven: the rig stops waiting for it."""
        self.driven.discard(who)
        self._answer(who)

    def follow(self, who: str) -> None:
        """`who` has processed the last tick, and will process every tick."""
        self.following.add(who)
        self._answer(who)

    def _answer(self, who: str) -> None:
        if who in self.unanswered:
            self.unanswered.remove(who)
            if not self.unanswered:
                self.answered()

    def drive_arm(self, q: np.ndarray, qd: np.ndarray, torque: np.ndarray) -> None:
        """Impedance kp (q - q_meas) + kv (qd - qd_meas) + torque, as the real arm's tracker, about a setpoint within
        the arm's limits. q (7,) rad, for the middle of the next tick; qd rad/s; torque N m."""
        self.setpoint.command(q - 0.5 * self.scene.physics.control_dt * qd, qd)
        self.arm_torque = torque

    def rest_arm(self) -> None:
        """Bring the arm to rest as fast as its limits allow."""
        q, qd, _ = self.joints()
        self.setpoint.command(self.setpoint.stopping_point(q[:ARM], qd[:ARM]), np.zeros(ARM))
        self.arm_torque = np.zeros(ARM)

    def arm_target(self, q: np.ndarray, qd: np.ndarray, torque: np.ndarray) -> np.ndarray:
        """(..., 7) position target of the scene's servo for one substep; velocity and torque are added as a
        displacement, since the servo takes only a position. q is the setpoint at the substep's end.

        The servo measures the arm at the substep's start, where the setpoint was one substep earlier. Without this
        correction the arm would lead by a substep: 1.7 mm of the palm at 0.4 m/s.
        """
        s = self.scene
        lead = self.arm_lead - s.physics.timestep
        found: np.ndarray = np.clip(q + lead * qd + torque / self.arm_stiffness, s.lower[:ARM], s.upper[:ARM])
        return found

    def drive_hand(self, q: np.ndarray) -> None:
        """Set the position targets (n,) of the fingers, rad."""
        s = self.scene
        self.data.ctrl[ARM:] = np.clip(q, s.lower[ARM:], s.upper[ARM:])


def cycles_in(timestep: float, substep: int) -> int:
    """Number of 1 ms arm cycles in a substep (counted from 0 since the reset): 4 or 5 in 1/240 s."""
    return round((substep + 1) * timestep / STEP) - round(substep * timestep / STEP)


_worlds: list[EmbeddedWorld] = []


def install(world: EmbeddedWorld) -> None:
    """Make `world` this process's world, replacing any other."""
    _worlds[:] = [world]


def uninstall() -> None:
    """Remove this process's world."""
    _worlds.clear()


def installed() -> EmbeddedWorld:
    """This process's world. Raises DexhotError without one."""
    if not _worlds:
        raise DexhotError(
            "there is no embedded rig in this process: the twin's driver must run in the process of the rig node."
        )
    return _worlds[0]
