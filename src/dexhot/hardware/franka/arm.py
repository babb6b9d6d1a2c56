"""The real Franka Research 3: a Device over franky. Needs the extra `hardware` to connect.

connect: a network connection, collision thresholds, load; nothing moves. The first hold: franky's joint impedance
tracker at the measured pose. From then on a thread polls the robot and moves the tracker's reference towards the last
command, within the limits of position, velocity, acceleration and jerk. The tracker would follow its last reference for
ever, so the thread also watches the commands: when they stop, the arm comes to rest.

A reflex, a lost connection, a frozen controller or an arm that does not follow is a fault: it stays until `recover`.
The limits and their clock are the robot's own, so that a simulated robot may be slower than real time.
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
LONGEST = 50  # robot cycles made up for in one poll; after a longer pause the setpoint is late instead
STALL = 0.05  # s without progress of the robot's time that is told, but no fault yet
BEARABLE = 0.8  # share of a joint's torque that the tracker may ask for; the robot moves on until the next poll
BEHIND = 0.05  # rad behind the command that are told: the limits allow no more
GOOD_NETWORK = 0.9  # share of the control commands that the robot gets in time
COUNTED = 200  # robot cycles of control until that share, which is of the last hundred, means something


class FrankaArm(Polled):
    """`address`: the robot's. `fault`: why it must be recovered, or "". `counts`: commands, and silences after them."""

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
        self._controlled = 0  # robot cycles since it took control
        self._holding = True
        self._stalled = 0.0  # s, at the last look

    # Coming and going

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
        """What an operator's reset does: clear the robot's errors, over a new connection where the present one is dead.

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
        """The connection. Raises ArmError when there is none."""
        if self._link is None:
            raise ArmError("the Franka arm is not connected: call connect() first.")
        return self._link

    # The device

    def read(self) -> Reading:
        """The measured state, torques with gravity. Raises ArmError on a fault."""
        self._check()
        with self._or_fault():
            state = self.link.state()
        return Reading(state.q, state.dq, state.tau_J)

    def write(self, q: np.ndarray, qd: np.ndarray, effort: np.ndarray) -> None:
        """Where to be (7,) rad, how fast that moves, and the torque that this takes. Raises ArmError on a fault."""
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
        """Come to rest at the measured pose and stay. After a fault nothing is to be done: it has stopped."""
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
        """An error of the arm within is a fault."""
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
        """Until a fault or the end."""
        watch = ClockWatch(self.settings.frozen_timeout)
        while not self.fault and not self._stopping.wait(POLL):
            try:
                with self._lock:
                    self._poll(watch)
            except Exception as e:  # of any kind: the tracker must not run on unwatched
                self.fault = str(e) if isinstance(e, DexhotError) else f"the arm's thread failed: {e!r}"
        if self.fault:
            self.link.let_go()

    def _poll(self, watch: ClockWatch) -> None:
        """One look at the robot, and one reference to it."""
        if not self.link.in_control:
            why = self.link.join() or "its motion ended"
            raise ArmError(f"the arm has stopped by itself ({why}); see to it, then reset.")
        state = self.link.state()
        cycles = watch.poll(time.monotonic(), state.time.to_msec())
        if watch.frozen:
            raise ArmError(
                f"the arm's time stands still since {1e3 * watch.stalled:.0f} ms: its controller is frozen or the "
                "network is lost; see to it, then reset."
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
        """(7,) rad: the setpoint, or as much nearer to the arm's state as keeps the tracker's torque within bounds.

        The tracker itself bounds how fast its torque changes, but not the torque.
        """
        setpoint = self.setpoint
        torque = self.stiffness * (setpoint.q - q) + self.damping * (setpoint.v - qd) + self._effort
        most = BEARABLE * self.torque
        excess = torque - np.clip(torque, -most, most)
        self.counts["torque_limited"] += int(excess.any())
        found: np.ndarray = setpoint.q - excess / self.stiffness
        return found

    def _notice_stall(self, stalled: float) -> None:
        """A gap in the robot's packets that is too short to be a fault: counted once, and told."""
        if stalled >= STALL > self._stalled:
            self.counts["stalls"] += 1
        self._stalled = stalled
        if stalled >= STALL:
            self.longest_stall = max(self.longest_stall, stalled)
            told = f"the arm's time stood still for {1e3 * self.longest_stall:.0f} ms: is the network disturbed?"
            self.warnings["stall"] = told

    def _notice_lag(self) -> None:
        """Commands that the limits keep the setpoint from: joints that are late by unequal times bend the path."""
        setpoint, limits = self.setpoint, self.setpoint.limits
        lag = np.abs(np.clip(setpoint.goal, limits.lower, limits.upper) - setpoint.q)
        worst = int(lag.argmax())
        if not self._holding and lag[worst] > max(self.furthest_behind, BEHIND):
            self.furthest_behind = lag[worst]
            kind = max(setpoint.limited, key=lambda kind: setpoint.limited[kind])
            self.warnings["behind"] = (
                f"{self.joint_names[worst]} was {lag[worst]:.2f} rad behind its commands, held back by the limit of "
                f"{kind}: is the clip too fast for the arm? Retarget it with --speed auto, or give speed:=0.8."
            )

    def _judge(self, state: "franky.RobotState") -> None:
        """Warn of a bad network; raise ArmError when the arm does not obey or is not where it was sent."""
        if not self.link.obeys(state):
            raise ArmError(f"the arm is in mode {state.robot_mode.name}: see to it, then reset.")
        error = np.abs(state.q - self.setpoint.q)
        if error.max() > self.settings.divergence:
            name = self.joint_names[int(error.argmax())]
            raise ArmError(
                f"{name} is {error.max():.2f} rad from where it was sent: is the arm blocked? See to it, then reset."
            )
        if self._controlled > COUNTED and state.control_command_success_rate < GOOD_NETWORK:
            rate = 100 * state.control_command_success_rate
            self.warnings["network"] = f"only {rate:.0f} % of the control commands reach the arm in time"
        else:
            self.warnings.pop("network", None)

    def _rest(self, state: "franky.RobotState") -> None:
        """The goal is where the arm comes to rest."""
        self.setpoint.command(self.setpoint.stopping_point(state.q, state.dq), np.zeros(7))
        self._effort = np.zeros(7)
        self._holding = True
