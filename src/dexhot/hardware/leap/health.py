"""Health monitoring of a LEAP hand's servos: alerts, motion-relevant registers, temperature and supply voltage.

Reading the registers of GROUP servos takes 0.35 ms on the bus: all are read every 0.16 s with 2 % of its time.
"""

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from dexhot.hardware.dynamixel.errors import BusError
from dexhot.hardware.dynamixel.registers import Block, hardware_errors

if TYPE_CHECKING:
    from dexhot.hardware.dynamixel.client import Servos

SET = (
    *("position_d_gain", "position_i_gain", "position_p_gain", "goal_pwm", "goal_current"),
    *("profile_acceleration", "profile_velocity"),
)  # registers set by the driver, which must not change
REGISTERS = Block(
    ("torque_enable", "hardware_error_status", *SET[:3], "bus_watchdog", *SET[3:], "goal_position"),
)
WARMTH = Block(("present_input_voltage", "present_temperature"))
ALERT = Block(("torque_enable", "hardware_error_status"))
GROUP = 2  # servos whose registers are read at once
PERIOD = 0.02  # s between two groups
WARMTH_PERIOD = 0.5  # s
HOT, LOW = 65.0, 4.5  # C, V: warning limits; the servo itself stops at 70 C and reports an error below 3.5 V
REMEMBERED = 64  # goals remembered: a servo that missed some still has one of them
AGAIN = 1.0  # s within which a second unknown goal indicates another master


class HandHealth:
    """`temperature` (n,) C and `voltage` (n,) V, nan until read; `warnings`: conditions that are not yet faults, by
    topic.

    `wanted`: expected values of the registers SET, each (n,) counts; `sent`: the last goals, each (n,) counts, added by
    the sender. `patience` (s): maximum time without a successful register read.
    """

    def __init__(self, servos: "Servos", names: tuple[str, ...], patience: float):
        self.servos, self.names, self.patience = servos, names, patience
        self.temperature, self.voltage = np.full(len(names), np.nan), np.full(len(names), np.nan)
        self.warnings: dict[str, str] = {}
        self.wanted: dict[str, np.ndarray] = {}
        self.sent: deque[np.ndarray] = deque(maxlen=REMEMBERED)
        self._groups = [servos.ids[at : at + GROUP] for at in range(0, len(names), GROUP)]
        self._next = 0
        self._due = self._felt = 0.0  # monotonic times: of the next check, of the last temperature reading
        self._read: float | None = None  # monotonic time of the last registers read
        self._strange = -np.inf  # monotonic time of the last unknown goal

    def watch(self, now: float, on: bool) -> bool:
        """Call every cycle with the monotonic time `now`; `on`: whether torque should be on.

        Returns whether all checked servos have the last goal; if not, resend it. Raises BusError
        on a servo's fault, on registers changed by another program, and on another master.
        """
        if self.servos.port.foreign:
            raise BusError(
                "another master is on the servo bus: there are instructions that this driver did not send. Disconnect "
                "it (a second adapter, another computer), then reset."
            )
        if self.servos.alerts:
            self._look_at_alerts(on)
        if now >= self._due:
            return self._look(now, on)
        if now - self._felt > WARMTH_PERIOD:
            self._felt = now
            self._feel(self.servos.group_read(WARMTH, self.servos.ids))
        return True

    @property
    def seen_last(self) -> list[int]:
        """Ids of the servos whose registers were read last, and whose turn comes last again."""
        return self._groups[self._next - 1]

    def check(self) -> None:
        """Read temperature, supply voltage and errors of all servos, with torque on or off. Raises BusError."""
        self._feel(dict(zip(self.servos.ids, self.servos.read_blocks(WARMTH))))
        for index, row in enumerate(ALERT.counts(self.servos.read_blocks(ALERT))):
            self._note_errors(index, row)

    def _look(self, now: float, on: bool) -> bool:
        """Read the registers of the next group; a group without a reply is retried in the next cycle."""
        group = self._groups[self._next]
        got = self.servos.group_read(REGISTERS, group)
        if self._read is None or len(got) == len(group):
            self._read = now
        if len(got) < len(group):
            if now - self._read > self.patience + PERIOD:
                raise BusError(f"the registers of servos {group} cannot be read: noise on the bus, or a bad cable.")
            return True
        self._due = max(self._due + PERIOD, now)  # keeps the average period with cycles of any length
        self._next = (self._next + 1) % len(self._groups)
        indices = [self.servos.ids.index(ident) for ident in group]
        rows = list(zip(indices, REGISTERS.counts([got[ident] for ident in group])))
        for index, row in rows:
            self._judge(index, row, on)
        return not on or self._has_goals(now, rows)

    def _judge(self, index: int, row: np.void, on: bool) -> None:
        """Raise BusError for a servo that has lost its torque without an error, or the registers set by the driver."""
        errors, who = self._note_errors(index, row), f"{self.names[index]} (servo {self.servos.ids[index]})"
        if on and not errors and not row["torque_enable"]:
            raise BusError(f"{who} has lost its torque: was its power supply interrupted?")
        for name in SET if on else ():
            if row[name] != self.wanted[name][index]:
                raise BusError(
                    f"{who} has {name} {row[name]}, not {self.wanted[name][index]} as set by the driver: did it "
                    "restart, or does another program write to the bus? Remove the cause, then reset."
                )

    def _has_goals(self, now: float, rows: list[tuple[int, np.void]]) -> bool:
        """Whether they have the last goal sent. Raises BusError at the second goal that was never sent."""
        rows = [
            (index, row) for index, row in rows if row["bus_watchdog"] >= 0
        ]  # servos stopped by their watchdog have their own goal
        found = [(index, int(row["goal_position"])) for index, row in rows]
        strange = [index for index, goal in found if not any(goal == sent[index] for sent in self.sent)]
        if strange and now - self._strange < AGAIN:
            raise BusError(
                f"{self.names[strange[0]]} (servo {self.servos.ids[strange[0]]}) has a goal that this driver did not "
                "send: another program writes to the servo bus. Stop it, then reset."
            )
        if strange:
            self._strange = now
        return all(goal == self.sent[-1][index] for index, goal in found)

    def _feel(self, got: dict[int, bytes]) -> None:
        """Update temperature and voltage of the servos that replied."""
        indices = [self.servos.ids.index(ident) for ident in got]
        values = WARMTH.unpack(list(got.values()))
        for index, volts, celsius in zip(indices, values["present_input_voltage"], values["present_temperature"]):
            name = self.names[index]
            self.temperature[index], self.voltage[index] = celsius, volts
            self._warn(f"hot {name}", celsius >= HOT, f"{name}: motor temperature {celsius:.0f} C")
            self._warn(f"low {name}", volts < LOW, f"{name}: supply voltage {volts:.1f} V")

    def _note_errors(self, index: int, row: np.void) -> list[str]:
        errors, name = hardware_errors(int(row["hardware_error_status"])), self.names[index]
        self._warn(f"error {name}", bool(errors), f"{name}: {' and '.join(errors)}")
        return errors

    def _look_at_alerts(self, on: bool) -> None:
        """A hardware error is a fault if the servo has switched its torque off, else a warning.

        The bit persists until the servo is rebooted, so this may run every cycle: one read for all.
        """
        found = []
        for ident, data in self.servos.group_read(ALERT, sorted(self.servos.alerts)).items():
            index, row = self.servos.ids.index(ident), ALERT.counts([data])[0]
            errors = self._note_errors(index, row)
            if on and not row["torque_enable"]:
                found.append(f"{self.names[index]} (servo {ident}) has shut down: {' and '.join(errors)}")
        if found:
            raise BusError(f"{'; '.join(found)}. The others hold; remove the cause, then reset, which reboots them.")

    def _warn(self, topic: str, bad: bool, text: str) -> None:
        if bad:
            self.warnings[topic] = text
        else:
            self.warnings.pop(topic, None)
