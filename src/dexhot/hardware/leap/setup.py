"""What is done to a LEAP hand's servos before they may move: who is there, registers, and whether the pose can be."""

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
# Not the supply voltage, at which a lite servo as it comes cuts its torque too: a dip is told, and nothing is dropped
SHUTDOWN = sum(ERROR_BIT[name] for name in ("overheating", "electrical shock", "overload"))
PROFILE = profile("leap")  # gains of both hands; their currents differ (Model.safe_current)


@dataclass(frozen=True)
class HandSettings:
    """How the servos are run: by default as config/servos.yaml has it."""

    p_gain: int = PROFILE.p_gain
    i_gain: int = 0
    d_gain: int = PROFILE.d_gain
    side_share: float = PROFILE.side_ratio  # of the gains, at the profile's side joints
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
        new = "" if servos.garbled else _new_servo(servos, silent)
        raise BusError(new or servos.silence(silent))
    found = set(numbers.values())
    if len(found) != 1 or not found <= set(MODELS):
        known = ", ".join(f"{m.number} ({m.name}, {m.hand} hand)" for m in MODELS.values())
        raise BusError(f"the servos' model numbers are {numbers}; a LEAP hand has sixteen of one of {known}.")
    return MODELS[found.pop()]  # type: ignore[index]


def _other_speed(servos: "Servos") -> str:
    """Whether they listen at another baud rate."""
    if found := find_elsewhere(servos, servos.ids[:1]):
        ident, baud = found
        return f"servo {ident} answers at {baud} baud, not {servos.port.baudrate}: use that, or set its baud_rate."
    return "is the hand powered, and the bus cable in? They are silent at every other baud rate too."


def _new_servo(servos: "Servos", silent: list[int]) -> str:
    """What to say when one of the silent servos listens at another baud rate, or a new one does; else ""."""
    found = find_elsewhere(servos, [*silent, FACTORY_ID])
    if found is None:
        return ""
    ident, baud, asked = *found, servos.port.baudrate
    how = "at another baud rate" if ident in silent else "as new ones do"
    place = ident if ident in silent else silent[0]
    return (
        f"servos {silent} do not answer at {asked} baud, but a servo of id {ident} does at {baud} baud, {how}: "
        f"`dexhot leap replace {place}` makes it servo {place} at {asked} baud."
    )


@contextmanager
def _speed(servos: "Servos", baud: int) -> Iterator[None]:
    """Within, the port runs at another baud rate."""
    try:
        servos.port.ser.baudrate = baud
        yield
    finally:
        servos.port.ser.baudrate = servos.port.baudrate


def find_elsewhere(servos: "Servos", ids: list[int]) -> tuple[int, int] | None:
    """(id, baud rate) of the first of `ids` that answers at another baud rate than the port's; nothing is written."""
    for baud in sorted(BAUD_RATES, key=lambda baud: baud != FACTORY_BAUD):
        with _speed(servos, baud):
            for ident in ids:
                if baud != servos.port.baudrate and servos.ping(ident) is not None:
                    return ident, baud
    return None


def adopt(servos: "Servos", ident: int) -> tuple[int, int]:
    """Make the one servo that listens at another baud rate, as `ident` or as a new one does, servo `ident` of this bus.

    Its torque goes off; id and baud rate are kept in its EEPROM. Returns the (id, baud rate) that it had. Raises
    BusError when there is no such servo, or several.
    """
    port, asked = servos.port, servos.port.baudrate
    if servos.ping(ident, tries=5) is not None:
        raise BusError(f"servo {ident} answers at {asked} baud already: there is nothing to set.")
    found = find_elsewhere(servos, [ident, FACTORY_ID])
    if found is None:
        raise BusError(
            f"no servo answers as {ident}, or as a new one (id {FACTORY_ID}), at another baud rate on {port.port_name}"
            ": is it plugged in, and powered?"
        )
    old, baud = found
    with _speed(servos, baud):
        if (number := servos.ping(old, tries=5)) not in MODELS:
            raise BusError(f"the servo of id {old} at {baud} baud is of model {number}: no LEAP hand has such.")
        try:
            servos.read(old, "present_position")
        except SilenceError as e:
            raise BusError(f"several servos of id {old} listen at {baud} baud: plug new ones in one by one.") from e
        servos.write(old, "torque_enable", 0)
        _write_unheard(servos, old, "id", ident)
        if servos.ping(ident, tries=5) is None:
            raise BusError(f"the servo of id {old} at {baud} baud did not take the id {ident}: nothing else is set.")
        _write_unheard(servos, ident, "baud_rate", BAUD_RATES.index(asked))
    if servos.ping(ident, tries=5) is None:
        raise BusError(f"the servo has id {ident} now, but does not answer at {asked} baud: power-cycle it, try again.")
    return found


def _write_unheard(servos: "Servos", ident: int, name: str, value: int) -> None:
    """Write what may change how the servo answers: its acknowledgement may come or not."""
    with suppress(SilenceError):
        if servos.read(ident, name) != value:
            servos.write(ident, name, value)


def probe_fast(servos: "Servos") -> bool:
    """Does the firmware answer fast sync reads?"""
    servos.fast = True
    servos.fast = any(servos.read_once("id") for _ in range(3))
    return servos.fast


def goal_current(settings: HandSettings, model: Model) -> int:
    """Counts. Raises BusError for more than is safe."""
    current = model.safe_current if settings.current is None else settings.current
    if not 0 < current <= model.safe_current:
        raise BusError(f"a current of {current} A: the {model.hand} hand's motors bear up to {model.safe_current} A.")
    return round(current / register("goal_current").scale)


def configure(servos: "Servos", joints: tuple[Joint, ...], model: Model, settings: HandSettings) -> int:
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
    """What is set besides EEPROM, and stays so while the hand is driven: (n,) counts of each register."""
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


def reboot(servos: "Servos", suspects: Collection[int] = ()) -> list[int]:
    """Reboot the servos that have a hardware error, and `suspects`; wait until they answer again. Returns their ids."""
    errors = servos.read_all("hardware_error_status")
    ids = [ident for ident, status in zip(servos.ids, errors) if status or ident in suspects]
    for ident in ids:
        servos.reboot(ident)
    end = time.monotonic() + REBOOT_TIME
    while ids and time.monotonic() < end and not all(servos.ping(ident) for ident in ids):
        time.sleep(0.02)
    return ids
