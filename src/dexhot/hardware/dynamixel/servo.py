"""One simulated servo: its control table with access rules, its shutdowns, its temperature."""

import struct

from dexhot.hardware.dynamixel.protocol import ALERT, Refusal
from dexhot.hardware.dynamixel.registers import (
    BAUD_RATES,
    ERROR_BIT,
    MODES,
    REGISTERS,
    TABLE_SIZE,
    Model,
    Register,
    register,
)

AMBIENT = 28.0  # C
HEATING = 100.0  # C / A^2, in steady state
WARM_UP = 120.0  # s
STALLED = 0.9  # fraction of the stall torque that causes an overload after OVERLOAD_TIME
OVERLOAD_TIME = 1.0  # s
HOUSEKEEPING = 0.01  # s between updates of slow quantities
SOFT = 1e-3  # fraction of the stiffness for a servo with a frozen encoder
EXPIRED = -1  # value of bus_watchdog after it has expired

PER_CURRENT, PER_VELOCITY, PER_ANGLE = (
    1 / register(name).scale for name in ("present_current", "present_velocity", "present_position")
)
_STATE, _STATE_AT = struct.Struct("<hii"), register("present_current").address  # the three are neighbours
_PWM, _PWM_AT = struct.Struct("<h"), register("goal_pwm").address
_AT = {row.address: row for row in REGISTERS.values()}
_WATCHED = range(REGISTERS["goal_current"].address - 2, REGISTERS["goal_position"].address + 4)  # refused once expired


class SimulatedServo:
    """A servo as seen from the bus, which moves it; its encoder may be faulty.

    `turned`: encoder offset, counts; `frozen`: the constant angle (rad) of a frozen encoder, or None;
    `torqueless`: the motor gives no torque, although its registers report torque.
    """

    def __init__(self, ident: int, model: Model, baud: int):
        self.model = model
        self.turned, self.torqueless = 0, False
        self.frozen: float | None = None
        self.temperature, self.voltage = AMBIENT, 5.0
        self.current = self.strain = self.since = 0.0
        self.table = bytearray(TABLE_SIZE)
        for row in REGISTERS.values():
            self.put(row.name, row.default)
        self.put("model_number", model.number)
        self.put("id", ident)
        self.put("baud_rate", BAUD_RATES.index(baud))
        self.put("current_limit", round(model.motor.stall_current * 1000))
        self.put("shutdown", model.shutdown)
        self.start()

    def start(self) -> None:
        """Reset the RAM as after power-on, torque off."""
        for row in REGISTERS.values():
            if not row.eeprom and row.access == "rw":
                self.put(row.name, row.default)
        self.put("goal_current", self.get("current_limit"))
        self.put("goal_pwm", self.get("pwm_limit"))
        self.put("goal_position", self.get("present_position") - self.turned)
        self.put("hardware_error_status", 0)
        self.strain, self.turned = 0.0, 0  # turns are counted from power-on

    def get(self, name: str) -> int:
        row = register(name)
        return row.unpack(bytes(self.table[row.address : row.address + row.size]))

    def put(self, name: str, value: int) -> None:
        row = register(name)
        self.table[row.address : row.address + row.size] = row.pack(value)

    @property
    def error(self) -> int:
        """The alert bit of its status packets."""
        return ALERT if self.get("hardware_error_status") else 0

    @property
    def on(self) -> bool:
        return bool(self.get("torque_enable"))

    def fail(self, error: str) -> None:
        """Set a hardware error; switches torque off if `shutdown` includes it."""
        self.put("hardware_error_status", self.get("hardware_error_status") | ERROR_BIT[error])
        if self.get("hardware_error_status") & self.get("shutdown"):
            self.put("torque_enable", 0)

    def read(self, address: int, length: int) -> bytes | None:
        """Bytes of the table; None outside it."""
        return bytes(self.table[address : address + length]) if address + length <= TABLE_SIZE else None

    def write(self, address: int, data: bytes) -> Refusal:
        """Write whole registers, all or none."""
        writes: list[tuple[Register, int]] = []
        while data:
            row = _AT.get(address)
            if row is None or len(data) < row.size:
                return Refusal.LENGTH
            writes.append((row, row.unpack(data[: row.size])))
            address, data = address + row.size, data[row.size :]
        refusal = next((r for row, value in writes if (r := self.refusal(row, value))), Refusal.NONE)
        if not refusal:
            for row, value in writes:
                self.put(row.name, value)
                if row.name == "operating_mode":  # changing the mode resets its registers
                    for name in ("position_d_gain", "position_i_gain", "position_p_gain"):
                        self.put(name, REGISTERS[name].default)
                    self.put("goal_current", self.get("current_limit"))
        return refusal

    def refusal(self, row: Register, value: int) -> Refusal:
        """The error of writing `value`; NONE if it is allowed."""
        if row.access == "r" or (row.eeprom and self.on):
            return Refusal.ACCESS
        if row.address in _WATCHED and self.get("bus_watchdog") == EXPIRED:
            return Refusal.RANGE
        if (row.low is not None and value < row.low) or (row.high is not None and value > row.high):
            return Refusal.RANGE
        if row.name == "operating_mode" and value not in MODES.values():
            return Refusal.RANGE
        if row.name == "goal_current" and abs(value) > self.get("current_limit"):
            return Refusal.LIMIT
        if row.name == "goal_pwm" and abs(value) > self.get("pwm_limit"):
            return Refusal.LIMIT
        within = self.get("min_position_limit") <= value <= self.get("max_position_limit")
        if row.name == "goal_position" and self.get("operating_mode") == MODES["position"] and not within:
            return Refusal.LIMIT
        if row.name == "torque_enable" and value and self.get("hardware_error_status") & self.get("shutdown"):
            return Refusal.RESULT
        return Refusal.NONE

    def drive(self) -> tuple[float, ...]:
        """The fields of a plant's Drive."""
        mode = self.get("operating_mode")
        driven = mode in (MODES["position"], MODES["extended_position"], MODES["current_based_position"])
        if not self.on or self.torqueless or not driven:
            return 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        current = self.get("current_limit")
        if mode == MODES["current_based_position"]:
            current = min(current, abs(self.get("goal_current")))
        target = (self.get("goal_position") - self.turned) * REGISTERS["goal_position"].scale
        motor = self.model.motor
        stiffness = motor.stiffness(self.get("position_p_gain"))
        damping = motor.damping(self.get("position_d_gain"))
        voltage = abs(_PWM.unpack_from(self.table, _PWM_AT)[0]) * REGISTERS["goal_pwm"].scale
        limit = current * REGISTERS["goal_current"].scale * motor.torque_constant
        if self.frozen is not None:  # its position error is constant: a far target on a soft spring
            target, stiffness = self.frozen + (target - self.frozen) / SOFT, stiffness * SOFT
        return target, stiffness, damping, limit, voltage * motor.stall_torque, motor.line

    def sense(self, angle: float, velocity: float, torque: float) -> None:
        """Update the present motion values."""
        self.current = torque / self.model.motor.torque_constant
        if self.frozen is not None:
            angle, velocity = self.frozen, 0.0
        counts = (self.current * PER_CURRENT, velocity * PER_VELOCITY, angle * PER_ANGLE + self.turned)
        _STATE.pack_into(self.table, _STATE_AT, *map(round, counts))

    def due(self, dt: float) -> bool:
        """Whether `housekeeping` is due after `dt` more seconds."""
        self.since += dt
        return self.since >= HOUSEKEEPING

    def housekeeping(self, silence: float) -> bool:
        """Update temperature, shutdowns, and the bus watchdog after `silence` s. True if the drive changes."""
        dt, self.since = self.since, 0.0
        self.temperature += dt / WARM_UP * (AMBIENT + HEATING * self.current**2 - self.temperature)
        stalled = abs(self.current) > STALLED * self.model.motor.stall_current
        self.strain = self.strain + dt if stalled else 0.0
        for name, value in (("present_input_voltage", self.voltage), ("present_temperature", self.temperature)):
            self.put(name, round(value / REGISTERS[name].scale))
        was_on = self.on
        if self.temperature > self.get("temperature_limit"):
            self.fail("overheating")
        if self.strain > OVERLOAD_TIME:
            self.fail("overload")
        if not self.get("min_voltage_limit") <= self.get("present_input_voltage") <= self.get("max_voltage_limit"):
            self.fail("input voltage")
        allowed = self.get("bus_watchdog")
        expired = self.on and allowed > 0 and silence > allowed * REGISTERS["bus_watchdog"].scale
        if expired:  # on expiry: stop at the present position and reject goals
            self.put("goal_position", self.get("present_position"))
            self.put("bus_watchdog", EXPIRED)
        return expired or self.on != was_on
