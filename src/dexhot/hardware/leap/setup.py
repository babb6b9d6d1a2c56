"""What is done to a LEAP hand's servos before they may move: who is there, registers, and whether the pose can be."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dexhot.hands.joint_table import Joint
from dexhot.hardware.dynamixel.errors import BusError
from dexhot.hardware.dynamixel.registers import (
    BAUD_RATES,
    COUNT,
    ERROR_BIT,
    MODELS,
    MODES,
    TURN,
    Model,
    hardware_errors,
    register,
)

if TYPE_CHECKING:
    from dexhot.hardware.dynamixel.client import Servos

REBOOT_TIME = 1.0  # s
# Not the supply voltage, at which a lite servo as it comes cuts its torque too: a dip is told, and nothing is dropped
SHUTDOWN = sum(ERROR_BIT[name] for name in ("overheating", "electrical shock", "overload"))
SIDEWAYS = ("index_side", "middle_side", "ring_side")  # lighter loads: softer gains


@dataclass(frozen=True)
class Settings:
    """How the servos are run. Gains are those of the makers' API (LEAP_Hand_API, main.py)."""

    p_gain: int = 600
    i_gain: int = 0
    d_gain: int = 200
    side_share: float = 0.75  # of the gains, at the SIDEWAYS joints
    current: float | None = None  # A; at most, and by default, what is safe for the hand's motors
    watchdog: float = 0.16  # s without an instruction after which the servos stop by themselves
    ramp: float = 2.0  # s in which the speed limit rises from zero whenever motion starts
    velocity_scale: float = 1.0  # share of the joint table's velocity limits
    margin: float = 0.2  # rad that a measured pose may lie beyond the limits before torque
    slack: float = 0.004  # s that an answer may take beyond its time on the wire; more where the bus is simulated
    patience: float = 0.1  # s without a good cycle after which the bus is given up


def identify(servos: "Servos") -> Model:
    """The model of all servos. Raises BusError when some are silent or strange."""
    numbers = {ident: servos.ping(ident, tries=1) for ident in servos.ids}
    if not any(numbers.values()) and not servos.garbled:
        raise BusError(f"no servo answers on {servos.port.port_name}: {_other_speed(servos)}")
    numbers |= {ident: servos.ping(ident, tries=5) for ident, number in numbers.items() if number is None}
    silent = [ident for ident, number in numbers.items() if number is None]
    if silent:
        raise BusError(servos.silence(silent))
    found = set(numbers.values())
    if len(found) != 1 or not found <= set(MODELS):
        known = ", ".join(f"{m.number} ({m.name}, {m.hand} hand)" for m in MODELS.values())
        raise BusError(f"the servos' model numbers are {numbers}; a LEAP hand has sixteen of one of {known}.")
    return MODELS[found.pop()]  # type: ignore[index]


def _other_speed(servos: "Servos") -> str:
    """Whether they listen at another baud rate."""
    port, asked = servos.port, servos.port.baudrate
    try:
        for baud in BAUD_RATES:
            port.ser.baudrate = baud
            if baud != asked and servos.ping(servos.ids[0]) is not None:
                return f"servo {servos.ids[0]} answers at {baud} baud, not {asked}: use that, or set its baud_rate."
    finally:
        port.ser.baudrate = asked
    return "is the hand powered, and the bus cable in? They are silent at every other baud rate too."


def probe_fast(servos: "Servos") -> bool:
    """Does the firmware answer fast sync reads?"""
    servos.fast = True
    servos.fast = any(servos.read_once("id") for _ in range(3))
    return servos.fast


def goal_current(settings: Settings, model: Model) -> int:
    """Counts. Raises BusError for more than is safe."""
    current = model.safe_current if settings.current is None else settings.current
    if not 0 < current <= model.safe_current:
        raise BusError(f"a current of {current} A: the {model.hand} hand's motors bear up to {model.safe_current} A.")
    return round(current / register("goal_current").scale)


def configure(servos: "Servos", joints: tuple[Joint, ...], model: Model, settings: Settings) -> int:
    """Registers as `settings` has them, written only where they differ. Returns how many of EEPROM that were.

    EEPROM needs the torque off: it goes off only where something there must change, so that a hand that was left
    holding goes on holding. The watchdog is off until the hand is driven. A motor that somebody had reversed, or slowed
    down by a profile, would not do what the joint table says.
    """
    servos.set_all("bus_watchdog", 0)
    current = goal_current(settings, model)
    eeprom = {
        "return_delay_time": 0,
        "drive_mode": 0,
        "operating_mode": MODES["current_based_position"],
        "current_limit": current,
        "shutdown": SHUTDOWN,
    }
    changed = 0
    for name, value in eeprom.items():
        for ident, found in zip(servos.ids, servos.read_all(name)):
            if found != value:
                servos.write(ident, "torque_enable", 0)
                servos.write(ident, name, value)
                changed += 1
    share = np.array([settings.side_share if j.name in SIDEWAYS else 1.0 for j in joints])
    for name, gain in (("p", settings.p_gain), ("i", settings.i_gain), ("d", settings.d_gain)):
        servos.set_all(f"position_{name}_gain", np.round(gain * share).astype(int))
    for name in ("profile_acceleration", "profile_velocity"):
        servos.set_all(name, 0)
    servos.set_all("goal_current", current)
    return changed


def check_errors(servos: "Servos", joints: tuple[Joint, ...]) -> None:
    """Raises BusError naming the joints whose servo reports a hardware error."""
    status = servos.read_all("hardware_error_status")
    bad = {j.name: hardware_errors(int(s)) for j, s in zip(joints, status) if s}
    if bad:
        raise BusError(
            "servos report "
            + ", ".join(f"{name}: {' and '.join(errors)}" for name, errors in bad.items())
            + "; remove the cause, then reset (it reboots them) or run `dexhot leap reboot`."
        )


def pose_problems(joints: tuple[Joint, ...], q: np.ndarray, margin: float) -> list[str]:
    """One sentence for each joint whose measured angle (n,) is more than `margin` rad where it cannot be."""
    found = []
    for j, value in zip(joints, q):
        if max(j.lower - value, value - j.upper) > margin:
            turned = " (a whole turn off: power-cycle it)" if abs(value) > TURN * COUNT * 0.75 else ""
            found.append(f"{j.name} reads {value:.2f} rad, limits {j.lower:g} to {j.upper:g}{turned}")
    return found


def check_pose(joints: tuple[Joint, ...], q: np.ndarray, margin: float) -> None:
    """Raises BusError when the hand cannot be where it says."""
    if problems := pose_problems(joints, q, margin):
        raise BusError(
            f"torque stays off, because the hand cannot be where it says: {'; '.join(problems)}. Move the fingers "
            "inside, or calibrate (`dexhot leap calibrate`)."
        )


def reboot(servos: "Servos") -> list[int]:
    """Reboot the servos that have a hardware error, and wait until they answer again. Returns their ids."""
    ids = [ident for ident, status in zip(servos.ids, servos.read_all("hardware_error_status")) if status]
    for ident in ids:
        servos.reboot(ident)
    end = time.monotonic() + REBOOT_TIME
    while ids and time.monotonic() < end and not all(servos.ping(ident) for ident in ids):
        time.sleep(0.02)
    return ids
