"""The finger servos of config/servos.yaml: motors, and their settings on a hand (profiles).

A Dynamixel's position controller sets the motor's voltage, as a fraction of the supply's, to

    u = (kP / 128 * error + kD / 16 * error's change in 1 ms) / 885,    errors in counts of 2 pi / 4096 rad,

and a DC motor at u gives the torque stall_torque (u - speed / no_load_speed). So kP is a stiffness, kD a small damping
beside the motor's own, stall_torque / no_load_speed. The current limit bounds the torque, and the supply voltage
(|u| <= 1) lets it fall linearly to zero at the no-load speed: the torque-speed line.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np

from dexhot.data.yaml_file import load_yaml
from dexhot.errors import NotFoundError
from dexhot.paths import share_dir

TURN = 4096  # counts of the encoder
FULL_PWM = 885  # counts: the whole supply voltage
P_SCALE, D_SCALE = 128, 16  # gain registers -> counts of PWM per count of error, and per count of its change
CYCLE = 1e-3  # s of the position controller


@dataclass(frozen=True)
class Motor:
    """A geared DC motor at its nominal voltage."""

    name: str
    stall_torque: float  # N m
    stall_current: float  # A
    no_load_speed: float  # rad/s

    @property
    def torque_constant(self) -> float:
        """N m / A."""
        return self.stall_torque / self.stall_current

    @property
    def line(self) -> float:
        """N m s/rad: slope of the torque-speed line, also the damping by back-EMF."""
        return self.stall_torque / self.no_load_speed

    def stiffness(self, p_gain: float) -> float:
        """N m/rad of the position controller at this P gain register."""
        return p_gain / P_SCALE * TURN / (2 * math.pi) / FULL_PWM * self.stall_torque

    def damping(self, d_gain: float) -> float:
        """N m s/rad of motor and position controller at this D gain register."""
        return self.line + d_gain / D_SCALE * TURN / (2 * math.pi) / FULL_PWM * CYCLE * self.stall_torque


@dataclass(frozen=True)
class Profile:
    """One profile of config/servos.yaml; `motor` None: defined by numbers alone."""

    name: str
    motor: Motor | None
    p_gain: int
    d_gain: int
    current: float  # A
    side_ratio: float
    side_joints: tuple[str, ...]
    stiffness: float
    damping: float
    torque: float
    friction: float
    backlash: float

    def gain_ratio(self, joint: str) -> float:
        """Of the gains, at this joint."""
        return self.side_ratio if joint in self.side_joints else 1.0


@dataclass(frozen=True)
class Servo:
    """The finger servos of one hand: torque = stiffness (target - q) - damping dq/dt within +-torque and, where there
    is a motor, its torque-speed line. Arrays in joint order."""

    profile: str
    stiffness: tuple[float, ...]  # N m/rad
    damping: tuple[float, ...]  # N m s/rad
    torque: float  # largest, N m
    motor: Motor | None
    friction: float  # N m, dry
    backlash: float  # rad from end to end, between encoder and finger

    @cached_property
    def kp(self) -> np.ndarray:
        """(n,) N m/rad."""
        return np.array(self.stiffness)

    @cached_property
    def kv(self) -> np.ndarray:
        """(n,) N m s/rad."""
        return np.array(self.damping)

    @property
    def lag(self) -> np.ndarray:
        """(n,) s by which joints without load trail a moving target."""
        lag: np.ndarray = self.kv / self.kp
        return lag


@cache
def _content() -> dict[str, Any]:
    content: dict[str, Any] = load_yaml(share_dir() / "config" / "servos.yaml")
    return content


def profiles() -> list[str]:
    """Names of the profiles."""
    return list(_content()["profiles"])


@cache
def motor(name: str) -> Motor:
    """The motor called `name`. Raises NotFoundError."""
    motors = _content()["motors"]
    if name not in motors:
        raise NotFoundError("motor", name, motors)
    return Motor(name, **motors[name])


@cache
def profile(name: str) -> Profile:
    """The profile called `name`. Raises NotFoundError."""
    rows = _content()["profiles"]
    if name not in rows:
        raise NotFoundError("servo profile", name, rows)
    row = rows[name]
    driven = motor(row["motor"]) if "motor" in row else None
    return Profile(
        name=name,
        motor=driven,
        p_gain=row.get("p_gain", 0),
        d_gain=row.get("d_gain", 0),
        current=row.get("current", 0.0),
        side_ratio=row.get("side_ratio", 1.0),
        side_joints=tuple(row.get("side_joints", ())),
        stiffness=driven.stiffness(row["p_gain"]) if driven else row["stiffness"],
        damping=driven.damping(row["d_gain"]) if driven else row["damping"],
        torque=driven.torque_constant * row["current"] if driven else row["torque"],
        friction=row["friction"],
        backlash=row["backlash"],
    )


def servo(name: str, joints: Iterable[str]) -> Servo:
    """The servos of a hand with these finger joints under the profile `name`. Raises NotFoundError."""
    return _servo(name, tuple(joints))


@cache
def _servo(name: str, joints: tuple[str, ...]) -> Servo:
    p = profile(name)
    ratios = [p.gain_ratio(joint) for joint in joints]
    damping = [p.motor.damping(ratio * p.d_gain) if p.motor else p.damping for ratio in ratios]
    stiffness = tuple(ratio * p.stiffness for ratio in ratios)
    return Servo(name, stiffness, tuple(damping), p.torque, p.motor, p.friction, p.backlash)
