"""The real LEAP hand on its servo bus: a Device over the vendor's SDK. Needs the extra `hardware` to connect.

connect: find the servos, set their registers, check errors and pose; no torque. The first hold: torque on at the
measured pose. write: one sync write of goals within the position and velocity limits; the velocity limit ramps up from
zero whenever motion starts, and the servos limit their own current. read: one (fast) sync read of position, velocity
and current, checked against the goals (motion.py), and periodically the registers of some servos in turn (health.py).
If the process dies, the servos' bus watchdog stops them at their present positions.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import numpy as np

from dexhot.errors import DexhotError
from dexhot.hardware.devices import Polled, Reading
from dexhot.hardware.dynamixel.errors import BusError, SilenceError
from dexhot.hardware.dynamixel.registers import BAUD, Block, register
from dexhot.hardware.leap.calibration import load_offsets
from dexhot.hardware.leap.health import HandHealth
from dexhot.hardware.leap.motion import Broken, MotionCheck
from dexhot.hardware.leap.setup import (
    HandSettings,
    check_errors,
    check_pose,
    configure,
    goal_current,
    identify,
    probe_fast,
    reboot,
    wanted,
)
from dexhot.robots.joint_table import joint_table
from dexhot.robots.joints import columns

if TYPE_CHECKING:
    from dexhot.hardware.dynamixel.client import Servos

STATE = Block(("present_current", "present_velocity", "present_position"))
JUDGED = 0.008  # s, period of the motion check
TRIES = 2  # attempts to read per cycle
LONGEST_STEP = 0.1  # s, largest time step between commands
PAUSE = 0.5  # s without a command after which the velocity limit ramps up again


class LeapHand(Polled):
    """`port`: its serial device (default: the only USB serial adapter). `offsets`: (16,) rad, default calibrated.

    `health` has temperatures, voltages and warnings; `counts` counts retried packets, lost cycles, clipped goals,
    watchdog trips, corrected EEPROM registers, implausible readings, and goals resent because a servo had missed
    them. After a bus error (`failed`) only `recover` tries again.
    """

    def __init__(
        self,
        robot: str = "leap_right",
        port: str = "",
        baud: int = BAUD,
        settings: HandSettings | None = None,
        offsets: np.ndarray | None = None,
    ):
        self.robot, self.path, self.baud, self._offsets = robot, port, baud, offsets
        self.settings = settings or HandSettings()
        self.joints = joint_table(robot)
        self.joint_names = tuple(j.name for j in self.joints)
        fields = ("sign", "zero", "lower", "upper", "velocity")
        self.sign, self.zero, self.lower, self.upper, self.speed = columns(self.joints, *fields)
        self.counts = {"retried": 0, "lost": 0, "limited": 0, "watchdog_trips": 0, "registers_set": 0}
        self.counts |= {"implausible": 0, "goals_resent": 0}
        self.goal = np.zeros(len(self.joints))  # rad, the last goal sent
        self.on = self.failed = False
        self._implausible = False  # whether the last reading was
        self._servos: Servos | None = None
        self._suspects: set[int] = set()  # ids of servos to reboot
        self._began = self._driven = self._said = self._good = self._judged = 0.0  # monotonic times

    # Connecting and disconnecting

    def attach(self) -> None:
        """Open the port without communication. Raises BusError, MissingExtraError."""
        from dexhot.hardware.dynamixel.client import Servos
        from dexhot.hardware.dynamixel.port import Port, find_port

        offsets = load_offsets(self.robot) if self._offsets is None else self._offsets
        self.centre = self.zero + offsets  # motor angle at q = 0
        port = Port(self.path or find_port(), self.baud)
        port.slack = max(port.slack, self.settings.slack * 1e3)
        port.open()
        self._servos = Servos(port, [j.motor_id for j in self.joints])
        self.health = HandHealth(self._servos, self.joint_names, self.settings.patience)
        if port.latency > 1:
            self.health.warnings["latency"] = f"the adapter's latency timer is {port.latency} ms: set it to 1"

    def open(self) -> None:
        """Open and find the servos; nothing is written. Raises BusError, MissingExtraError."""
        self.attach()
        try:
            with self.servos.port.unhurried():
                self.model = identify(self.servos)
                probe_fast(self.servos)
        except DexhotError:
            self.close()
            raise
        self._said = self._good = time.monotonic()

    def connect(self) -> None:
        """Open, set up, check; torque stays as found. Raises BusError, MissingExtraError."""
        self.open()
        try:
            with self.servos.port.unhurried():
                check_errors(self.servos, self.joints)
                stopped = (self.servos.read_all("bus_watchdog") < 0).any()
                self.counts["registers_set"] += configure(self.servos, self.joints, self.model, self.settings)
                self.health.wanted = wanted(self.joints, self.model, self.settings)
                current = goal_current(self.settings, self.model) * register("goal_current").scale
                self.motion = MotionCheck(self.joints, current, patience=self.settings.patience / HandSettings.patience)
                q = self.measure().q
                check_pose(self.joints, q, self.settings.margin)
                self.on = bool(self.servos.read_all("torque_enable").all())
                if self.on:  # a previous driver died: keep holding what it held
                    self._begin(q if stopped else self._joints(self.servos.read_all("goal_position")))
        except DexhotError:
            self.close()
            raise
        self.failed = False

    def recover(self) -> None:
        """Reopen the port, reboot servos with a hardware error or failure, set up and check again. Raises BusError."""
        self.close()
        self.failed = True
        self.open()
        try:
            with self.servos.port.unhurried():
                reboot(self.servos, self._suspects)
        finally:
            self.close()
        self._suspects.clear()
        self.connect()

    def disconnect(self) -> None:
        """Torque off, if the bus still works."""
        if self._servos is not None:
            with suppress(BusError):  # unplugged: the servos' watchdog has stopped them
                self._servos.write_all("torque_enable", [0] * len(self.joints))
            self.close()

    def close(self) -> None:
        """Leave the servos as they are."""
        if self._servos is not None:
            self._servos.port.closePort()
        self._servos, self.on = None, False

    @property
    def servos(self) -> "Servos":
        """The open bus. Raises DexhotError if it is not open."""
        if self._servos is None:
            raise DexhotError("the LEAP hand is not connected: call connect() first.")
        return self._servos

    # The device

    def hold(self) -> None:
        """Keep the last valid goal, so that a held object is not dropped; without torque, hold the measured pose.

        After a failure this does nothing: the servos hold as far as they can, until the operator requests `recover`.
        """
        if not (self.failed or self.on):
            with self._or_failed():
                self.enable()

    def enable(self) -> None:
        """Torque on at the measured pose. Raises BusError."""
        with self.servos.port.unhurried():
            self._begin(self.measure().q)
            if (self.servos.read_all("goal_position") != self._counts(self.goal)).any():
                raise BusError("the servos did not accept the measured pose as their goal, so torque stays off.")
            self.servos.set_all("torque_enable", 1)
        self.on = True

    def read(self) -> Reading:
        """The hand's state; during failing cycles, up to `patience` s, the last one.

        Raises BusError if the bus or a servo stays silent, on a servo's fault, and on implausible motion.
        """
        now = time.monotonic()
        with self._or_failed():
            try:
                self._notice_silence(now)
                if self._cycle():
                    self._good = now
                    self._watch(now)
                elif now - self._good > self.settings.patience:
                    raise BusError(self.servos.silence(self.servos.ids))
                else:
                    self.counts["lost"] += 1
            except SilenceError:
                self.counts["lost"] += 1  # a persistent loss ends in the error above
        return self._last

    def write(self, q: np.ndarray, qd: np.ndarray, effort: np.ndarray) -> None:
        """Position goals (16,) rad, clipped to the position and velocity limits. `qd` and `effort` are not used."""
        if not np.isfinite(q).all():
            raise DexhotError("the goal of the LEAP hand is not finite.")
        if self.failed or not self.on:
            raise DexhotError("the LEAP hand has torque off, or has failed: call recover() and hold() first.")
        now = time.monotonic()
        with self._or_failed():
            self._notice_silence(now)
        if now - self._driven > PAUSE:
            self._began = self._driven = now
        rise = min((now - self._began) / self.settings.ramp, 1.0)
        step = self.speed * self.settings.velocity_scale * rise * min(now - self._driven, LONGEST_STEP)
        self.goal = np.clip(np.clip(q, self.goal - step, self.goal + step), self.lower, self.upper)
        self.counts["limited"] += int((self.goal != q).sum())
        self._driven = now
        with self._or_failed():
            self._send(self.goal)

    def measure(self) -> Reading:
        """The present state, with retries. Raises BusError."""
        with self.servos.port.unhurried():
            if not self._cycle():
                raise BusError(self.servos.silence(self.servos.ids))
        return self._last

    # Internals

    @contextmanager
    def _or_failed(self) -> Iterator[None]:
        """Context manager: an error of the bus in its block marks the hand as failed."""
        try:
            yield
        except DexhotError:
            self.failed = True
            raise

    def _joints(self, counts: np.ndarray) -> np.ndarray:
        found: np.ndarray = self.sign * (counts * register("goal_position").scale - self.centre)
        return found

    def _counts(self, q: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.round((self.sign * q + self.centre) / register("goal_position").scale).astype(int)
        return found

    def _cycle(self) -> bool:
        """Read the state of all joints; False if some are missing."""
        failures, asked = self.servos.failures, time.monotonic()
        got = self.servos.poll(STATE, TRIES)
        self.counts["retried"] += self.servos.failures - failures
        self._said = time.monotonic()
        if len(got) < len(self.joints):
            return False
        values = STATE.unpack([got[i] for i in self.servos.ids])
        q = self.sign * (values["present_position"] - self.centre)
        current = self.sign * values["present_current"]
        if self.on and (jumped := self.motion.jump(asked, self._said, q)):
            self.counts["implausible"] += 1
            if self._implausible:
                self._give_up(jumped)
            self._implausible = True
            return False
        self._implausible = False
        self._current = current
        self._last = Reading(q, self.sign * values["present_velocity"], current * self.model.motor.torque_constant)
        return True

    def _watch(self, now: float) -> None:
        """Check the servos' own status, and their motion against the goals. Raises BusError."""
        if not self.health.watch(now, self.on):
            self.counts["goals_resent"] += 1
            self._send(self.goal)
        if self.on and now - self._judged > JUDGED:
            self._judged, last = now, self._last
            if broken := self.motion.see(now, last.q, last.qd, self._current, self.goal):
                self._give_up(broken)

    def _give_up(self, broken: Broken) -> None:
        """Handle a joint's fault: torque off for a faulty encoder, the other joints hold. Raises BusError."""
        ident = self.joints[broken.index].motor_id
        self._suspects.add(ident)
        if broken.distrusted:
            with suppress(BusError):
                self.servos.write(ident, "torque_enable", 0)
        held = "Its torque is off, the others hold" if broken.distrusted else "The others hold"
        raise BusError(
            f"{self.joint_names[broken.index]} (servo {ident}): {broken.why}. {held}; remove the cause, then reset."
        )

    def _send(self, q: np.ndarray) -> None:
        counts = self._counts(q)
        self.health.sent.append(counts)
        self.servos.write_all("goal_position", counts.tolist())
        self._said = time.monotonic()

    def _begin(self, q: np.ndarray) -> None:
        """Set the goals to q, clipped to the joint limits: no goal ever exceeds them.

        The velocity limit ramps up from zero; the servos' bus watchdog is on.
        """
        self.servos.set_all("bus_watchdog", 0)
        self.goal = np.clip(q, self.lower, self.upper)
        self.motion.restart()
        self._began = self._driven = time.monotonic()
        self._send(self.goal)
        self.servos.set_all("bus_watchdog", round(self.settings.watchdog / register("bus_watchdog").scale))

    def _notice_silence(self, now: float) -> None:
        """After a pause that may have tripped the servos' watchdog: if it did, continue from where they stopped."""
        silent = self.on and now - self._said > self.settings.watchdog / 2
        if silent and (self.servos.read_all("bus_watchdog") < 0).any():
            self.counts["watchdog_trips"] += 1
            self.health.warnings["watchdog"] = (
                f"bus watchdog tripped: no instruction for over {self.settings.watchdog:g} s, servos stopped"
            )
            self._begin(self.measure().q)
