"""The real LEAP hand on its servo bus: a Device over the vendor's SDK. Needs the extra `hardware` to connect.

connect: find the servos, set their registers, check errors and pose; no torque. The first hold: torque, at the
measured pose. write: one sync write of goals within the limits of position and speed; the speed limit rises from zero
after torque on, and the servos bound their own current. read: one (fast) sync read of position, velocity and current,
and now and then the health of one servo in turn. A process that dies leaves the bus silent: the servos' own watchdog
then stops them where they are.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from dexhot.errors import DexhotError
from dexhot.hands.joint_table import joint_table
from dexhot.hardware.devices import Reading
from dexhot.hardware.dynamixel.errors import BusError, SilenceError
from dexhot.hardware.dynamixel.registers import Block, hardware_errors, register
from dexhot.hardware.leap_calibration import load_offsets

if TYPE_CHECKING:
    from dexhot.hardware.dynamixel.client import Servos
    from dexhot.hardware.leap_setup import Settings

BAUD = 4_000_000
STATE = Block(("present_current", "present_velocity", "present_position"))
HEALTH = Block(
    ("torque_enable", "hardware_error_status", "bus_watchdog", "present_input_voltage", "present_temperature")
)
TRIES = 2  # of a cycle's read
HEALTH_PERIOD = 0.05  # s from one servo's health to the next one's
LONGEST_STEP = 0.1  # s: commands further apart move no further than this allows
HOT, LOW = 65.0, 4.5  # C, V: warn from here; the servo itself stops at 70 C, below 3.5 V it reports an error


class LeapHand:
    """`port`: its serial device (default: the only USB serial adapter). `offsets`: (16,) rad, default calibrated.

    `warnings` tell what is not yet a fault; `counts` what happened: retried and lost cycles, watchdog trips.
    """

    def __init__(
        self,
        robot: str = "leap_right",
        port: str = "",
        baud: int = BAUD,
        settings: "Settings | None" = None,
        offsets: np.ndarray | None = None,
    ):
        self.robot, self.path, self.baud, self._settings, self._offsets = robot, port, baud, settings, offsets
        self.joints = joint_table(robot)
        self.joint_names = tuple(j.name for j in self.joints)
        self.sign, self.zero, self.lower, self.upper, self.speed = (
            np.array([getattr(j, field) for j in self.joints], float)
            for field in ("sign", "zero", "lower", "upper", "velocity")
        )
        self.warnings: dict[str, str] = {}
        self.counts = {"retried": 0, "lost": 0, "watchdog_trips": 0}
        self.temperature, self.voltage = (np.full(len(self.joints), np.nan) for _ in range(2))
        self._servos: Servos | None = None
        self.on = self.failed = False
        self.goal = np.zeros(len(self.joints))  # rad, the last sent
        self._began = self._driven = self._said = self._good = self._checked = 0.0  # steady times
        self._turn = 0  # whose health is next

    # Coming and going

    def open(self) -> None:
        """Find the servos; nothing is written. Raises BusError, MissingExtraError."""
        from dexhot.hardware.dynamixel.client import Servos
        from dexhot.hardware.dynamixel.port import Port, find_port
        from dexhot.hardware.leap_setup import Settings, identify, probe_fast

        self.settings = self._settings or Settings()
        offsets = load_offsets(self.robot) if self._offsets is None else self._offsets
        self.centre = self.zero + offsets  # motor angle at q = 0
        port = Port(self.path or find_port(), self.baud)
        port.slack = max(port.slack, self.settings.slack * 1e3)
        port.open()
        servos = Servos(port, [j.motor_id for j in self.joints])
        try:
            with port.unhurried():
                self.model = identify(servos)
                probe_fast(servos)
        except DexhotError:
            port.closePort()
            raise
        self._servos, self.failed = servos, False
        self._said = self._good = self._checked = time.monotonic()

    def connect(self) -> None:
        """Open, set up, check; torque is as it was found. Raises BusError, MissingExtraError."""
        from dexhot.hardware.leap_setup import check_health, check_pose, configure

        self.open()
        try:
            if self.servos.port.latency > 1:
                self.warnings["latency"] = f"the adapter's latency timer is {self.servos.port.latency} ms: set it to 1"
            with self.servos.port.unhurried():
                check_health(self.servos, self.joints)
                stopped = self.servos.read_all("bus_watchdog") < 0
                configure(self.servos, self.joints, self.model, self.settings)
                self.on = bool(self.servos.read_all("torque_enable").all())
                q = self._measure().q
                check_pose(self.joints, q, self.settings.margin)
                if self.on:
                    self._begin(q if stopped.any() else self._joints(self.servos.read_all("goal_position")))
        except DexhotError:
            self._close()
            raise

    def disconnect(self) -> None:
        """Torque off, where the bus still works."""
        if self._servos is not None:
            with suppress(BusError):  # unplugged: the servos' watchdog has stopped them
                self._servos.write_all("torque_enable", [0] * len(self.joints))
            self._close()

    def _close(self) -> None:
        if self._servos is not None:
            self._servos.port.closePort()
        self._servos, self.on = None, False

    @property
    def servos(self) -> "Servos":
        """The open bus. Raises DexhotError when it is not."""
        if self._servos is None:
            raise DexhotError("the LEAP hand is not connected: call connect() first.")
        return self._servos

    # The device

    def listen(self, callback: Callable[[float], None]) -> bool:
        return False

    def age(self, stamp: float, now: float) -> float:
        return now - stamp

    def hold(self) -> None:
        """Keep the last valid goal, so that a held object is not dropped; without torque, hold the measured pose.

        After a fault: open the port again, reboot what has a hardware error, set up and check anew.
        """
        if self.failed or self._servos is None:
            self.recover()
        if not self.on:
            self.enable()

    def enable(self) -> None:
        """Torque on at the measured pose."""
        with self.servos.port.unhurried():
            self._begin(self._measure().q)
            if (self.servos.read_all("goal_position") != self._counts(self.goal)).any():
                raise BusError("the servos did not take the measured pose as their goal, so torque stays off")
            self.servos.set_all("torque_enable", 1)
        self.on = True

    def recover(self) -> None:
        """What an operator's reset does. Raises BusError when the cause persists."""
        from dexhot.hardware.leap_setup import reboot

        self._close()
        self.warnings.clear()
        self.open()
        reboot(self.servos)
        self._close()
        self.connect()

    def read(self) -> Reading:
        """The hand's state; for up to `patience` s of failing cycles, the last one.

        Raises BusError on a silent bus or servo and on a servo's fault; then only `hold` helps.
        """
        now = time.monotonic()
        try:
            self._notice_silence(now)
            if self._cycle():
                self._good = now
                self._examine(now)
            elif now - self._good > self.settings.patience:
                raise BusError(self.servos.silence(self.servos.ids))
            else:
                self.counts["lost"] += 1
        except SilenceError:
            self.counts["lost"] += 1  # a lasting one ends in the error above
        except DexhotError:
            self.failed = True
            raise
        return self._last

    def write(self, q: np.ndarray, qd: np.ndarray, effort: np.ndarray) -> None:
        """Position goals (16,) rad, driven within the limits of position and speed. The servos take nothing else."""
        if not np.isfinite(q).all():
            raise DexhotError("the goal of the LEAP hand is not finite.")
        if not self.on:
            raise DexhotError("the LEAP hand has no torque: call hold() first.")
        now = time.monotonic()
        self._notice_silence(now)
        rise = min((now - self._began) / self.settings.ramp, 1.0)
        step = self.speed * self.settings.velocity_scale * rise * min(now - self._driven, LONGEST_STEP)
        self.goal = np.clip(np.clip(q, self.goal - step, self.goal + step), self.lower, self.upper)
        self._driven = now
        self._send(self.goal)

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        self.disconnect()

    # Within

    def _joints(self, counts: np.ndarray) -> np.ndarray:
        return self.sign * (counts * register("goal_position").scale - self.centre)

    def _counts(self, q: np.ndarray) -> np.ndarray:
        return np.round((self.sign * q + self.centre) / register("goal_position").scale).astype(int)

    def _cycle(self) -> bool:
        """Read the state of all joints; False when not all came."""
        failures = self.servos.failures
        got = self.servos.poll(STATE, TRIES)
        self.counts["retried"] += self.servos.failures - failures
        self._said = time.monotonic()
        if len(got) < len(self.joints):
            return False
        values = STATE.unpack([got[i] for i in self.servos.ids])
        q = self.sign * (values["present_position"] - self.centre)
        torque = self.sign * values["present_current"] * self.model.torque_constant
        self._last = Reading(q, self.sign * values["present_velocity"], torque)
        return True

    def _measure(self) -> Reading:
        """The state, or BusError."""
        if not self._cycle():
            raise BusError(self.servos.silence(self.servos.ids))
        return self._last

    def _send(self, q: np.ndarray) -> None:
        self.servos.write_all("goal_position", self._counts(q).tolist())
        self._said = time.monotonic()

    def _begin(self, q: np.ndarray) -> None:
        """Goals are at q; the speed limit rises from zero; the servos' watchdog watches."""
        self.servos.set_all("bus_watchdog", 0)
        self.goal = q.copy()
        self._began = self._driven = time.monotonic()
        self._send(q)
        self.servos.set_all("bus_watchdog", round(self.settings.watchdog / register("bus_watchdog").scale))

    def _notice_silence(self, now: float) -> None:
        """After a silence that may have set off the servos' watchdog: if it did, go on from where they stopped."""
        silent = self.on and now - self._said > self.settings.watchdog / 2
        if silent and (self.servos.read_all("bus_watchdog") < 0).any():
            self.counts["watchdog_trips"] += 1
            self.warnings["watchdog"] = f"the bus was silent for over {self.settings.watchdog:g} s: the servos stopped"
            self._begin(self._measure().q)

    def _examine(self, now: float) -> None:
        """Alerts at once, the health of the servos in turn. Raises BusError on a servo's fault."""
        if self.servos.alerts:
            self._look_at_alerts()
        if now - self._checked > HEALTH_PERIOD:
            self._checked = now
            self._look_at_health(self._turn)
            self._turn = (self._turn + 1) % len(self.joints)

    def _look_at_alerts(self) -> None:
        """A servo with a hardware error: a fault when it has cut its torque, else a warning."""
        found = []
        for ident in sorted(self.servos.alerts):
            names = " and ".join(hardware_errors(self.servos.read(ident, "hardware_error_status")))
            name = self._name(ident)
            self.warnings[f"error {name}"] = f"{name}: {names}"
            if self.on and not self.servos.read(ident, "torque_enable"):
                found.append(f"{name} (servo {ident}) has shut down: {names}")
        if found:
            raise BusError(
                f"{'; '.join(found)}. The others hold; remove the cause and activate the driver again: it reboots them."
            )

    def _look_at_health(self, index: int) -> None:
        """Health of one servo."""
        ident, name = self.servos.ids[index], self.joint_names[index]
        values = HEALTH.unpack([self.servos.read_block(ident, HEALTH)])
        self.temperature[index], self.voltage[index] = (
            values[key][0] for key in ("present_temperature", "present_input_voltage")
        )
        self._warn(f"hot {name}", self.temperature[index] >= HOT, f"{name} has {self.temperature[index]:.0f} C")
        self._warn(f"low {name}", self.voltage[index] < LOW, f"{name} has {self.voltage[index]:.1f} V")
        if not values["hardware_error_status"][0]:
            self.warnings.pop(f"error {name}", None)
            if self.on and not values["torque_enable"][0]:
                raise BusError(f"{name} (servo {ident}) has lost its torque: its supply broke down")

    def _warn(self, key: str, bad: bool, text: str) -> None:
        if bad:
            self.warnings[key] = text
        else:
            self.warnings.pop(key, None)

    def _name(self, ident: int) -> str:
        return self.joint_names[self.servos.ids.index(ident)]
