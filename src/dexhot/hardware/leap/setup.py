"""Set-up of a LEAP hand's servos before motion: identify them, set registers, and check that the pose is plausible."""

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dexhot.hardware.dynamixel.errors import BusError, SilenceError
from dexhot.hardware.dynamixel.registers import (
    BAUD_RATES,
    COUNT,
    ERROR_BIT,
    FACTORY_BAUD,
    FACTORY_ID,
    MODELS,
    MODES,
    Model,
    hardware_errors,
    register,
)
from dexhot.robots.joints import Joint
from dexhot.robots.servos import TURN, profile

if TYPE_CHECKING:
    from dexhot.hardware.dynamixel.client import Servos

REBOOT_TIME = 1.0  # s
FULL_VOLTAGE = register("pwm_limit").default
# Excludes the supply voltage, on which a lite servo shuts down by factory default: a voltage dip is reported, but a
# held object is not dropped
SHUTDOWN = sum(ERROR_BIT[name] for name in ("overheating", "electrical shock", "overload"))
PROFILE = profile("leap")  # gains of both hands; their currents differ (Model.safe_current)


@dataclass(frozen=True)
class HandSettings:
    """Settings of the servos; the defaults are those of config/servos.yaml."""

    p_gain: int = PROFILE.p_gain
    i_gain: int = 0
    d_gain: int = PROFILE.d_gain
    side_share: float = PROFILE.side_ratio  # of the gains, at the profile's side joints
    current: float | None = None  # A, current limit; default and maximum: the motors' safe current
    watchdog: float = 0.16  # s, bus watchdog: the servos stop after this time without an instruction
    ramp: float = 2.0  # s, ramp of the velocity limit from zero when motion starts
    velocity_scale: float = 1.0  # fraction of the joint table's velocity limits
    margin: float = 0.2  # rad, allowed violation of the limits by the measured pose before torque on
    slack: float = 0.004  # s, reply timeout beyond the transmission time; more for a simulated bus
    patience: float = 0.1  # s without a good cycle after which the bus has failed


def identify(servos: "Servos") -> Model:
    """The model of all servos. Raises BusError if some do not reply or have another model."""
    numbers = {ident: servos.ping(ident, tries=1) for ident in servos.ids}
    if not any(numbers.values()) and not servos.garbled:
        raise BusError(f"no servo replies on {servos.port.port_name}: {_other_speed(servos)}")
    numbers |= {ident: servos.ping(ident, tries=5) for ident, number in numbers.items() if number is None}
    silent = [ident for ident, number in numbers.items() if number is None]
    if silent:
        new = "" if servos.garbled else _new_servo(servos, silent)
        raise BusError(new or servos.silence(silent))
    found = set(numbers.values())
    if len(found) != 1 or not found <= set(MODELS):
        known = ", ".join(f"{m.number} ({m.name}, {m.hand} hand)" for m in MODELS.values())
        raise BusError(f"the servos' model numbers are {numbers}; a LEAP hand has sixteen of one of {known}.")
    return MODELS[found.pop()]  # type: ignore[index]


def _other_speed(servos: "Servos") -> str:
    """Advice, after searching for servos at another baud rate."""
    if found := find_elsewhere(servos, servos.ids[:1]):
        ident, baud = found
        return (
            f"servo {ident} replies at {baud} baud, not at {servos.port.baudrate}: use that rate, or set its baud_rate."
        )
    return "is the hand powered, and the bus cable connected? There is no reply at any other baud rate either."


def _new_servo(servos: "Servos", silent: list[int]) -> str:
    """Error message if a silent servo, or a new one, replies at another baud rate; else ""."""
    found = find_elsewhere(servos, [*silent, FACTORY_ID])
    if found is None:
        return ""
    ident, baud, asked = *found, servos.port.baudrate
    how = "at another baud rate" if ident in silent else "like a factory-new one"
    place = ident if ident in silent else silent[0]
    return (
        f"servos {silent} do not reply at {asked} baud, but a servo with id {ident} does at {baud} baud, {how}: "
        f"`dexhot leap replace {place}` makes it servo {place} at {asked} baud."
    )


@contextmanager
def _speed(servos: "Servos", baud: int) -> Iterator[None]:
    """Context manager: the port at another baud rate."""
    try:
        servos.port.ser.baudrate = baud
        yield
    finally:
        servos.port.ser.baudrate = servos.port.baudrate


def find_elsewhere(servos: "Servos", ids: list[int]) -> tuple[int, int] | None:
    """(id, baud rate) of the first of `ids` that replies at a baud rate other than the port's; nothing is written."""
    for baud in sorted(BAUD_RATES, key=lambda baud: baud != FACTORY_BAUD):
        with _speed(servos, baud):
            for ident in ids:
                if baud != servos.port.baudrate and servos.ping(ident) is not None:
                    return ident, baud
    return None


def adopt(servos: "Servos", ident: int) -> tuple[int, int]:
    """Make the one servo at another baud rate, with id `ident` or factory-new, servo `ident` of this bus.

    Its torque is switched off; id and baud rate are stored in its EEPROM. Returns its previous (id, baud rate). Raises
    BusError if there is no such servo, or several.
    """
    port, asked = servos.port, servos.port.baudrate
    if servos.ping(ident, tries=5) is not None:
        raise BusError(f"servo {ident} replies at {asked} baud already: there is nothing to set.")
    found = find_elsewhere(servos, [ident, FACTORY_ID])
    if found is None:
        raise BusError(
            f"no servo with id {ident}, or factory-new (id {FACTORY_ID}), replies at another baud rate on "
            f"{port.port_name}: is it plugged in, and powered?"
        )
    old, baud = found
    with _speed(servos, baud):
        if (number := servos.ping(old, tries=5)) not in MODELS:
            raise BusError(f"the servo with id {old} at {baud} baud is of model {number}, which no LEAP hand uses.")
        try:
            servos.read(old, "present_position")
        except SilenceError as e:
            raise BusError(f"several servos with id {old} reply at {baud} baud: connect new ones one by one.") from e
        servos.write(old, "torque_enable", 0)
        _write_unheard(servos, old, "id", ident)
        if servos.ping(ident, tries=5) is None:
            raise BusError(
                f"the servo with id {old} at {baud} baud did not accept the id {ident}: nothing else was changed."
            )
        _write_unheard(servos, ident, "baud_rate", BAUD_RATES.index(asked))
    if servos.ping(ident, tries=5) is None:
        raise BusError(f"the servo now has id {ident}, but does not reply at {asked} baud: power-cycle it, try again.")
    return found


def _write_unheard(servos: "Servos", ident: int, name: str, value: int) -> None:
    """Write a register that may change the servo's replies: an acknowledgement is optional."""
    with suppress(SilenceError):
        if servos.read(ident, name) != value:
            servos.write(ident, name, value)


def probe_fast(servos: "Servos") -> bool:
    """Whether the firmware supports fast sync reads."""
    servos.fast = True
    servos.fast = any(servos.read_once("id") for _ in range(3))
    return servos.fast


def goal_current(settings: HandSettings, model: Model) -> int:
    """Current limit, counts. Raises BusError above the safe current."""
    current = model.safe_current if settings.current is None else settings.current
    if not 0 < current <= model.safe_current:
        raise BusError(
            f"a current of {current} A is unsafe: the {model.hand} hand's motors allow up to {model.safe_current} A."
        )
    return round(current / register("goal_current").scale)


def configure(servos: "Servos", joints: tuple[Joint, ...], model: Model, settings: HandSettings) -> int:
    """Set the registers by `settings`, writing only differences. Returns the number of EEPROM registers written.

    Writing EEPROM needs torque off: it is switched off only if a value must change, so that a hand found holding
    keeps holding. The watchdog is off until the hand is driven. Reversed direction and motion profiles are cleared,
    since they would contradict the joint table.
    """
    servos.set_all("bus_watchdog", 0)
    current = goal_current(settings, model)
    eeprom = {
        "return_delay_time": 0,
        "drive_mode": 0,
        "operating_mode": MODES["current_based_position"],
        "pwm_limit": FULL_VOLTAGE,
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
    for name, values in wanted(joints, model, settings).items():
        servos.set_all(name, values)
    return changed


def wanted(joints: tuple[Joint, ...], model: Model, settings: HandSettings) -> dict[str, np.ndarray]:
    """RAM registers that stay constant while the hand is driven: (n,) counts of each."""
    share = np.array([settings.side_share if j.name in PROFILE.side_joints else 1.0 for j in joints])
    gains = {"p": settings.p_gain, "i": settings.i_gain, "d": settings.d_gain}
    found = {f"position_{name}_gain": np.round(gain * share).astype(int) for name, gain in gains.items()}
    same = {
        "profile_acceleration": 0,
        "profile_velocity": 0,
        "goal_pwm": FULL_VOLTAGE,
        "goal_current": goal_current(settings, model),
    }
    return found | {name: np.full(len(joints), value) for name, value in same.items()}


def check_errors(servos: "Servos", joints: tuple[Joint, ...]) -> None:
    """Raise BusError naming the joints whose servo reports a hardware error."""
    status = servos.read_all("hardware_error_status")
    bad = {j.name: hardware_errors(int(s)) for j, s in zip(joints, status) if s}
    if bad:
        raise BusError(
            "servos report "
            + ", ".join(f"{name}: {' and '.join(errors)}" for name, errors in bad.items())
            + "; remove the cause, then reset (it reboots them) or run `dexhot leap reboot`."
        )


def pose_problems(joints: tuple[Joint, ...], q: np.ndarray, margin: float) -> list[str]:
    """A sentence for each joint whose measured angle (n,) violates its limits by more than `margin` rad."""
    found = []
    for j, value in zip(joints, q):
        if max(j.lower - value, value - j.upper) > margin:
            turned = " (off by a full turn: power-cycle it)" if abs(value) > TURN * COUNT * 0.75 else ""
            found.append(f"{j.name} reads {value:.2f} rad, limits {j.lower:g} to {j.upper:g}{turned}")
    return found


def check_pose(joints: tuple[Joint, ...], q: np.ndarray, margin: float) -> None:
    """Raise BusError for implausible joint readings."""
    if problems := pose_problems(joints, q, margin):
        raise BusError(
            f"torque stays off because of implausible joint readings: {'; '.join(problems)}. Move the fingers inside "
            "their limits, or calibrate (`dexhot leap calibrate`)."
        )


def reboot(servos: "Servos", suspects: Collection[int] = ()) -> list[int]:
    """Reboot the servos that have a hardware error, and `suspects`; wait until they reply again. Returns their ids."""
    errors = servos.read_all("hardware_error_status")
    ids = [ident for ident, status in zip(servos.ids, errors) if status or ident in suspects]
    for ident in ids:
        servos.reboot(ident)
    end = time.monotonic() + REBOOT_TIME
    while ids and time.monotonic() < end and not all(servos.ping(ident) for ident in ids):
        time.sleep(0.02)
    return ids
