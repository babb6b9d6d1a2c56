"""The control table of the X series, and the two servo types of LEAP hands. The only place with register addresses.

Source: ROBOTIS e-manual, control tables of XC330-M288-T and XL330-M288-T. Addresses are equal; Model holds the
relevant differences.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from dexhot.errors import NotFoundError
from dexhot.robots import servos
from dexhot.robots.servos import FULL_PWM, TURN, Motor

COUNT = 2 * math.pi / TURN  # rad
TABLE_SIZE = 256  # bytes
RAM = 64  # registers below this address are EEPROM: locked while torque is on, with limited write cycles


@dataclass(frozen=True)
class Register:
    """One row: `scale` is one count in `unit`; `low` and `high` bound writable values, in counts."""

    name: str
    address: int
    size: int
    access: Literal["r", "rw"]
    scale: float = 1.0
    unit: str = ""
    signed: bool = False
    default: int = 0
    low: int | None = None
    high: int | None = None

    @property
    def eeprom(self) -> bool:
        return self.address < RAM

    def pack(self, value: int) -> bytes:
        return int(value).to_bytes(self.size, "little", signed=self.signed)

    def unpack(self, data: bytes) -> int:
        return int.from_bytes(data, "little", signed=self.signed)


RPM = 2 * math.pi / 60  # rad/s
_ROWS = (
    Register("model_number", 0, 2, "r"),
    Register("firmware_version", 6, 1, "r", default=52),
    Register("id", 7, 1, "rw", low=0, high=252),
    Register("baud_rate", 8, 1, "rw", default=6, low=0, high=6),  # an index of BAUD_RATES
    Register("return_delay_time", 9, 1, "rw", 2e-6, "s", default=250, low=0, high=254),
    Register("drive_mode", 10, 1, "rw", low=0, high=13),  # bits: reverse, profile by time, torque on by a goal
    Register("operating_mode", 11, 1, "rw", default=3, low=0, high=16),  # one of MODES
    Register("temperature_limit", 31, 1, "rw", 1.0, "C", default=70, low=0, high=100),
    Register("max_voltage_limit", 32, 2, "rw", 0.1, "V", default=70, low=31, high=70),
    Register("min_voltage_limit", 34, 2, "rw", 0.1, "V", default=35, low=31, high=70),
    Register("pwm_limit", 36, 2, "rw", 1 / FULL_PWM, "of full voltage", default=FULL_PWM, low=0, high=FULL_PWM),
    Register("current_limit", 38, 2, "rw", 1e-3, "A", default=1750, low=0, high=2352),
    Register("max_position_limit", 48, 4, "rw", COUNT, "rad", default=4095, low=0, high=4095),
    Register("min_position_limit", 52, 4, "rw", COUNT, "rad", default=0, low=0, high=4095),
    Register("shutdown", 63, 1, "rw", low=0, high=63),  # bits of HARDWARE_ERRORS that switch torque off
    Register("torque_enable", 64, 1, "rw", low=0, high=1),
    Register("status_return_level", 68, 1, "rw", default=2, low=0, high=2),
    Register("hardware_error_status", 70, 1, "r"),  # bits of HARDWARE_ERRORS
    Register("position_d_gain", 80, 2, "rw", low=0, high=16383),
    Register("position_i_gain", 82, 2, "rw", low=0, high=16383),
    Register("position_p_gain", 84, 2, "rw", default=400, low=0, high=16383),
    Register("bus_watchdog", 98, 1, "rw", 0.02, "s", signed=True, low=0, high=127),  # reads -1 once it has expired
    Register(
        "goal_pwm",
        100,
        2,
        "rw",
        1 / FULL_PWM,
        "of full voltage",
        signed=True,
        default=FULL_PWM,
        low=-FULL_PWM,
        high=FULL_PWM,
    ),
    Register("goal_current", 102, 2, "rw", 1e-3, "A", signed=True),
    Register("goal_velocity", 104, 4, "rw", 0.229 * RPM, "rad/s", signed=True),
    Register("profile_acceleration", 108, 4, "rw", 214.577 * RPM / 60, "rad/s2", low=0, high=32767),  # 0: none
    Register("profile_velocity", 112, 4, "rw", 0.229 * RPM, "rad/s", low=0, high=32767),  # 0: unlimited
    Register("goal_position", 116, 4, "rw", COUNT, "rad", signed=True, low=-256 * TURN, high=256 * TURN),
    Register("present_current", 126, 2, "r", 1e-3, "A", signed=True),
    Register("present_velocity", 128, 4, "r", 0.229 * RPM, "rad/s", signed=True),
    Register("present_position", 132, 4, "r", COUNT, "rad", signed=True),
    Register("present_input_voltage", 144, 2, "r", 0.1, "V", default=50),
    Register("present_temperature", 146, 1, "r", 1.0, "C", default=30),
)
REGISTERS = {row.name: row for row in _ROWS}

FACTORY_ID = 1  # of a new servo
FACTORY_BAUD = 57600
BAUD = 4_000_000  # of a LEAP hand's servos after set-up
BAUD_RATES = (9600, 57600, 115200, 1_000_000, 2_000_000, 3_000_000, 4_000_000)
MODES = {"current": 0, "velocity": 1, "position": 3, "extended_position": 4, "current_based_position": 5, "pwm": 16}
HARDWARE_ERRORS = {0: "input voltage", 2: "overheating", 3: "encoder", 4: "electrical shock", 5: "overload"}
ERROR_BIT = {name: 1 << bit for bit, name in HARDWARE_ERRORS.items()}


def register(name: str) -> Register:
    """The row called `name`. Raises NotFoundError."""
    if name not in REGISTERS:
        raise NotFoundError("register", name, REGISTERS)
    return REGISTERS[name]


def hardware_errors(status: int) -> list[str]:
    """Names of the bits set in hardware_error_status."""
    return [name for name, bit in ERROR_BIT.items() if status & bit]


@dataclass(frozen=True)
class Model:
    """A servo type; `hand` is the LEAP hand built with it, `profile` its profile (robots.servos)."""

    name: str
    number: int
    hand: str
    profile: str
    shutdown: int  # factory default

    @property
    def motor(self) -> Motor:
        """Its torque and speed."""
        return servos.motor(self.name)

    @property
    def safe_current(self) -> float:
        """Current limit that LEAP's authors use, A."""
        return servos.profile(self.profile).current


FULL = Model("XC330-M288", 1240, "full", "leap", 0b110100)
LITE = Model("XL330-M288", 1200, "lite", "leap_lite", 0b110101)
MODELS = {model.number: model for model in (FULL, LITE)}


@dataclass(frozen=True)
class Block:
    """Adjacent registers, read with one instruction."""

    names: tuple[str, ...]

    @cached_property
    def rows(self) -> tuple[Register, ...]:
        return tuple(register(name) for name in self.names)

    @cached_property
    def address(self) -> int:
        return self.rows[0].address

    @cached_property
    def length(self) -> int:
        return self.rows[-1].address + self.rows[-1].size - self.address

    @cached_property
    def dtype(self) -> np.dtype:
        """Layout of one servo's bytes."""
        kinds = [f"<{'i' if row.signed else 'u'}{row.size}" for row in self.rows]
        offsets = [row.address - self.address for row in self.rows]
        return np.dtype({"names": self.names, "formats": kinds, "offsets": offsets, "itemsize": self.length})

    def counts(self, data: Sequence[bytes]) -> np.ndarray:
        """(n,) records with a field of counts for each register, from the bytes of n servos."""
        return np.frombuffer(b"".join(data), self.dtype)

    def unpack(self, data: Sequence[bytes]) -> dict[str, np.ndarray]:
        """(n,) values in units for each register, from the bytes of n servos."""
        table = self.counts(data)
        return {row.name: table[row.name] * row.scale for row in self.rows}
