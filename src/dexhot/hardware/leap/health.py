"""Watching a LEAP hand's servos: alerts at once; warmth, voltage, torque and errors of one after the other."""

from typing import TYPE_CHECKING

import numpy as np

from dexhot.hardware.dynamixel.errors import BusError
from dexhot.hardware.dynamixel.registers import Block, hardware_errors

if TYPE_CHECKING:
    from dexhot.hardware.dynamixel.client import Servos

BLOCK = Block(
    ("torque_enable", "hardware_error_status", "bus_watchdog", "present_input_voltage", "present_temperature")
)
ALERT = Block(("torque_enable", "hardware_error_status"))
PERIOD = 0.05  # s from one servo to the next
HOT, LOW = 65.0, 4.5  # C, V: warn from here; the servo itself stops at 70 C, below 3.5 V it reports an error


class Health:
    """`temperature` (n,) C and `voltage` (n,) V, nan until read; `warnings`: what is not yet a fault, by topic."""

    def __init__(self, servos: "Servos", names: tuple[str, ...]):
        self.servos, self.names = servos, names
        self.temperature, self.voltage = np.full(len(names), np.nan), np.full(len(names), np.nan)
        self.warnings: dict[str, str] = {}
        self._looked, self._next = 0.0, 0

    def watch(self, now: float, on: bool) -> None:
        """To be called every cycle at steady time `now`; `on`: torque should be. Raises BusError on a servo's fault."""
        if self.servos.alerts:
            self._look_at_alerts(on)
        if now - self._looked > PERIOD:
            self._looked = now
            self.look(self._next, on)
            self._next = (self._next + 1) % len(self.names)

    def look(self, index: int, on: bool) -> None:
        """Read one servo. Raises BusError when it has lost its torque without an error."""
        ident, name = self.servos.ids[index], self.names[index]
        values = {key: value[0] for key, value in BLOCK.unpack([self.servos.read_block(ident, BLOCK)]).items()}
        celsius, volts = values["present_temperature"], values["present_input_voltage"]
        self.temperature[index], self.voltage[index] = celsius, volts
        errors = hardware_errors(int(values["hardware_error_status"]))
        self._warn(f"hot {name}", celsius >= HOT, f"{name} has {celsius:.0f} C")
        self._warn(f"low {name}", volts < LOW, f"{name} has {volts:.1f} V")
        self._warn(f"error {name}", bool(errors), f"{name}: {' and '.join(errors)}")
        if on and not errors and not values["torque_enable"]:
            raise BusError(f"{name} (servo {ident}) has lost its torque: did its supply break down?")

    def _look_at_alerts(self, on: bool) -> None:
        """A hardware error is a fault when the servo has cut its torque, else a warning.

        The bit stays until the servo is rebooted, so this may come every cycle: one read for all.
        """
        found = []
        for ident, data in self.servos.group_read(ALERT, sorted(self.servos.alerts)).items():
            values = {key: int(value[0]) for key, value in ALERT.unpack([data]).items()}
            errors = " and ".join(hardware_errors(values["hardware_error_status"]))
            name = self.names[self.servos.ids.index(ident)]
            self.warnings[f"error {name}"] = f"{name}: {errors}"
            if on and not values["torque_enable"]:
                found.append(f"{name} (servo {ident}) has shut down: {errors}")
        if found:
            raise BusError(f"{'; '.join(found)}. The others hold; remove the cause and reset: that reboots them.")

    def _warn(self, topic: str, bad: bool, text: str) -> None:
        if bad:
            self.warnings[topic] = text
        else:
            self.warnings.pop(topic, None)
