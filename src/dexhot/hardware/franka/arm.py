"""The real Franka Research 3: a Device over franky. Needs the extra `hardware` to connect.

connect: a network connection, collision thresholds, load; nothing moves. The first hold: franky's joint impedance
tracker at the measured pose. From then on a thread polls the robot and moves the tracker's reference towards the last
command, within the limits of position, velocity, acceleration and jerk. The tracker would hold its last reference
forever, so the thread also monitors the commands: when they stop, the arm comes to rest.

A reflex, a lost connection, a frozen controller or a tracking error is a fault, latched until `recover`. The limits and
their clock are the robot's own, so that a simulated robot may be slower than real time.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from dexhot.errors import DexhotError
from dexhot.hardware.devices import Polled, Reading
from dexhot.hardware.franka.clock_watch import ClockWatch
from dexhot.hardware.franka.limits import STEP, Setpoint, check_finite, fr3_limits
from dexhot.hardware.franka.settings import ArmError, ArmSettings
from dexhot.robots.joint_table import joint_table

if TYPE_CHECKING:
    import franky

    from dexhot.hardware.franka.link import ArmLink

POLL = 0.004  # s
LONGEST = 50  # robot cycles caught up in one poll; after a longer pause the setpoint is late instead
STALL = 0.05  # s without an advance of the robot's clock that is a warning, but no fault yet
NOTICE = 0.1  # s until the end of an aborted motion is known, after the mode that shows it
BEARABLE = 0.8  # fraction of a joint's torque limit for the tracker; the robot moves on until the next poll
BEHIND = 0.05  # rad of lag behind the command, because of a limit, that is a warning
GOOD_NETWORK = 0.9  # fraction of the control commands that reach the robot in time
COUNTED = 200  # robot cycles of control until that fraction, of the last hundred cycles, is meaningful


class FrankaArm(Polled):
    """`address`: the robot's. `fault`: reason, or "". `counts`: commands, command timeouts, stalls, limited torques."""

    def __init__(self, address: str, settings: ArmSettings | None = None):
        self.address, self.settings = address, settings or ArmSettings()
        joints = joint_table("fr3")
        self.joint_names = tuple(joint.name for joint in joints)
        self.torque = np.array([joint.effort for joint in joints])  # N m
        self.stiffness, self.damping = np.array(self.settings.stiffness), np.array(self.settings.damping)
        self.setpoint = Setpoint(fr3_limits(self.settings.velocity_scale))
        self.fault = ""
        self.warnings: dict[str, str] = {}
        self.counts = {"commands": 0, "silences": 0, "stalls": 0, "torque_limited": 0}
        self.longest_stall = 0.0  # s
        self.furthest_behind = 0.0  # rad
        self._link: ArmLink | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._effort = np.zeros(7)
        self._controlled = 0  # robot cycles since control was taken
        self._holding = True
        self._stalled = 0.0  # s, at the last poll

    # Connection

    def connect(self) -> None:
        """Connect and set the robot up; it does not move. Raises ArmError, MissingExtraError."""
        from dexhot.hardware.franka.link import ArmLink

        self._link, self.fault = ArmLink(self.address, self.settings), ""

    def disconnect(self) -> None:
        """Bring the arm to rest, end the control loop and the connection."""
        self._end_polling()
        if self._link is not None:
            self._link.let_go()
            self._link.join()
            self._close()

    def recover(self) -> None:
        """Clear the robot's errors, over a new connection if the current one is dead; for an operator's reset.

        The arm does not move; `hold` takes control again. Raises ArmError when the cause persists.
        """
        self._end_polling()
        if self._link is not None and not self._link.works():
            self._close()
        if self._link is None:
            self.connect()
        self.link.clear_errors()
        self.fault = ""
        self.warnings.clear()

    @property
    def link(self) -> "ArmLink":
        """The connection. Raises ArmError without one."""
        if self._link is None:
            raise ArmError("the Franka arm is not connected: call connect() first.")
        return self._link

    # The device

    def read(self) -> Reading:
        """The measured state (rad, rad/s, N m), torques with gravity. Raises ArmError on a fault."""
        self._check()
        with self._or_fault():
            state = self.link.state()
        return Reading(state.q, state.dq, state.tau_J)

    def write(self, q: np.ndarray, qd: np.ndarray, effort: np.ndarray) -> None:
        """Command positions (7,) rad, velocities rad/s and feed-forward torques N m. Raises ArmError on a fault."""
        check_finite(q, qd, effort)
        self._check()
        if self._thread is None:
            raise ArmError("the Franka arm is not under control: call hold() first.")
        effort = np.clip(effort, -self.torque, self.torque)
        with self._lock:
            self.setpoint.command(q, qd)
            self._effort = effort
            self._holding = False
            self.counts["commands"] += 1

    def hold(self) -> None:
        """Come to rest at the measured pose and hold it. No effect after a fault: the arm has stopped."""
        if self.fault:
            return
        with self._or_fault():
            state = self.link.state()
            if self._thread is None:
                self.setpoint.reset(state.q)
                self.link.start(state.q)
                self._controlled = 0
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._poll_on, name="franka", daemon=True)
            self._thread.start()
        with self._lock:
            self._rest(state)

    # The thread

    @contextmanager
    def _or_fault(self) -> Iterator[None]:
        """Turns an ArmError of the block into a fault."""
        try:
            yield
        except ArmError as e:
            self.fault = self.fault or str(e)
            raise

    def _close(self) -> None:
        self.link.close()
        self._link = None

    def _check(self) -> None:
        if self.fault:
            raise ArmError(self.fault)

    def _end_polling(self) -> None:
        if self._thread is not None:
            self._stopping.set()
            self._thread.join()
            self._thread = None

    def _poll_on(self) -> None:
        """Poll until a fault or the end."""
        watch = ClockWatch(self.settings.frozen_timeout)
        while not self.fault and not self._stopping.wait(POLL):
            try:
                with self._lock:
                    self._poll(watch)
            except Exception as e:  # any exception: the tracker must not continue unmonitored
                self.fault = str(e) if isinstance(e, DexhotError) else f"the arm's thread failed: {e!r}"
        if self.fault:
            self.link.let_go()

    def _poll(self, watch: ClockWatch) -> None:
        """Read the robot's state once, and send one reference."""
        if not self.link.in_control:
            why = self.link.join() or "its motion ended"
            raise ArmError(f"the arm has stopped by itself ({why}); clear the cause, then reset.")
        state = self.link.state()
        cycles = watch.poll(time.monotonic(), state.time.to_msec())
        if watch.frozen:
            raise ArmError(
                f"the arm's clock has not advanced for {1e3 * watch.stalled:.0f} ms: its controller is frozen or the "
                "network is lost; clear the cause, then reset."
            )
        self._controlled += cycles
        self._notice_stall(watch.stalled)
        self._judge(state)
        if not self._holding and self.setpoint.age * STEP > self.settings.command_timeout:
            self.counts["silences"] += 1
            self._rest(state)
        self.setpoint.age += max(cycles - LONGEST, 0)
        self.setpoint.advance(min(cycles, LONGEST))
        self._notice_lag()
        self.link.send(self._bearable(state.q, state.dq), self.setpoint.v, self._effort)

    def _bearable(self, q: np.ndarray, qd: np.ndarray) -> np.ndarray:
        """(7,) rad: the setpoint, moved towards the measured pose q (7,) as far as the tracker's torque limit requires.

        The tracker itself limits its torque rate, but not its torque.
        """
        setpoint = self.setpoint
        torque = self.stiffness * (setpoint.q - q) + self.damping * (setpoint.v - qd) + self._effort
        most = BEARABLE * self.torque
        excess = torque - np.clip(torque, -most, most)
        self.counts["torque_limited"] += int(excess.any())
        found: np.ndarray = setpoint.q - excess / self.stiffness
        return found

    def _notice_stall(self, stalled: float) -> None:
        """Count, and warn of, a gap in the robot's packets that is too short for a fault; `stalled` in s."""
        if stalled >= STALL > self._stalled:
            self.counts["stalls"] += 1
        self._stalled = stalled
        if stalled >= STALL:
            self.longest_stall = max(self.longest_stall, stalled)
            ms = 1e3 * self.longest_stall
            self.warnings["stall"] = f"the arm's clock did not advance for {ms:.0f} ms: is the network disturbed?"

    def _notice_lag(self) -> None:
        """Warn when a limit makes the setpoint lag the commands: unequal lags of the joints distort the hand's path."""
        setpoint, limits = self.setpoint, self.setpoint.limits
        lag = np.abs(np.clip(setpoint.goal, limits.lower, limits.upper) - setpoint.q)
        worst = int(lag.argmax())
        if not self._holding and lag[worst] > max(self.furthest_behind, BEHIND):
            self.furthest_behind = lag[worst]
            kind = max(setpoint.limited, key=lambda kind: setpoint.limited[kind])
            self.warnings["behind"] = (
                f"{self.joint_names[worst]} lagged its commands by {lag[worst]:.2f} rad because of the {kind} limit: "
                "is the clip too fast for the arm? Retarget it with --speed auto, or set speed:=0.8."
            )

    def _judge(self, state: "franky.RobotState") -> None:
        """Warn of a poor network; raises ArmError when the arm leaves mode Move or its tracking error is too large."""
        if not self.link.obeys(state):
            why = self.link.join(NOTICE)  # a motion that the robot has aborted ends here some packets later
            cause = f" ({why})" if why else ""
            raise ArmError(f"the arm is in mode {state.robot_mode.name}{cause}: clear the cause, then reset.")
        error = np.abs(state.q - self.setpoint.q)
        if error.max() > self.settings.divergence:
            name = self.joint_names[int(error.argmax())]
            raise ArmError(
                f"{name} has a tracking error of {error.max():.2f} rad: is the arm blocked? "
                "Clear the cause, then reset."
            )
        if self._controlled > COUNTED and state.control_command_success_rate < GOOD_NETWORK:
            rate = 100 * state.control_command_success_rate
            self.warnings["network"] = f"only {rate:.0f} % of the control commands reach the arm in time"
        else:
            self.warnings.pop("network", None)

    def _rest(self, state: "franky.RobotState") -> None:
        """Set the goal to the pose where the arm comes to rest."""
        self.setpoint.command(self.setpoint.stopping_point(state.q, state.dq), np.zeros(7))
        self._effort = np.zeros(7)
        self._holding = True
