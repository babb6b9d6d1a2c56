"""The benchmark physics of config/physics/: every score in the project is computed with exactly these numbers.

A Physics is a frozen dataclass: `replace(physics, friction=...)` is another physics, not valid for scores.
"""

from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import numpy as np

from dexhot.data.yaml_file import load_yaml
from dexhot.errors import FileFormatError, NotFoundError
from dexhot.paths import PHYSICS, physics_file
from dexhot.robots.robot_hand import RobotHand, load_hand
from dexhot.robots.servos import Servo, servo
from dexhot.robots.servos import profile as servo_profile

T = TypeVar("T")


@dataclass(frozen=True)
class WristServo:
    """A position servo of the floating base: N/m, N s/m, kg for a slide; N m/rad, N m s/rad, kg m2 for a hinge."""

    kp: float
    kv: float
    armature: float


@dataclass(frozen=True)
class Wrist:
    """The six servos of the floating hand's wrist: three slides, three hinges."""

    translation: WristServo
    rotation: WristServo


@dataclass(frozen=True)
class Arm:
    """Joint impedance of the arm, one value per joint."""

    kp: tuple[float, ...]
    kv: tuple[float, ...]
    force: tuple[float, ...]


@dataclass(frozen=True)
class Physics:
    """Solver, contact and servo numbers. A result records `version` and the servos' profile."""

    version: str
    timestep: float  # s
    substeps: int  # per control step
    integrator: str
    cone: str
    impratio: float  # frictional to normal constraint impedance
    noslip_iterations: int
    iterations: int
    ls_iterations: int
    jacobian: str
    gravity: tuple[float, ...]  # m/s2, on the object; robots are gravity compensated
    solref: tuple[float, ...]
    friction: tuple[float, ...]  # sliding, torsional, rolling
    condim: int
    self_contact: bool  # whether fingers touch each other and the palm
    object_density: float  # kg/m3
    object_mass_range: tuple[float, ...]  # kg
    armature: float  # of the finger joints, reflected rotor inertia, kg m2
    wrist: Wrist
    servo: str | None  # profile of the finger servos (config/servos.yaml); None: the hand's own
    arm: Arm
    rest_speed: tuple[float, ...]  # m/s, rad/s

    @property
    def control_dt(self) -> float:
        """Control period, s: 1/60 in the benchmark physics."""
        return self.timestep * self.substeps

    @property
    def solref_used(self) -> tuple[float, ...]:
        """solref as MuJoCo applies it: a time constant of at least two steps. Finer steps keep this one."""
        return (max(self.solref[0], 2 * self.timestep), *self.solref[1:])

    def profile(self, hand: RobotHand | str) -> str:
        """Name of the servo profile used for this hand (a RobotHand or its name)."""
        return self.servo or (_named(hand) if isinstance(hand, str) else hand).servo

    def finger(self, hand: RobotHand | str) -> Servo:
        """The finger servos of this hand (a RobotHand or its name)."""
        hand = _named(hand) if isinstance(hand, str) else hand
        return servo(self.profile(hand), hand.joint_names)

    def servo_lag(self, hand: RobotHand | str) -> np.ndarray:
        """(6+n,) s, the lag of the floating hand's servos behind a moving target: damping / stiffness."""
        t, r = self.wrist.translation, self.wrist.rotation
        return np.concatenate([[t.kv / t.kp] * 3, [r.kv / r.kp] * 3, self.finger(hand).lag])

    def sliding(self, own: float | None) -> float:
        """Sliding friction of an object whose `own` is measured where the benchmark has its nominal one; None: as
        everything else. Where a physics has less friction, such an object has proportionally less."""
        return self.friction[0] if own is None else own * self.friction[0] / load_physics().friction[0]

    def named(self, hand: RobotHand | str) -> dict[str, str]:
        """What a result records: physics version and servo profile."""
        return {"physics": self.version, "servo": self.profile(hand)}


def versions() -> list[str]:
    """Names of the shipped physics."""
    return sorted(path.stem for path in physics_file().parent.glob("*.yaml"))


def load_physics(version: str | Path = PHYSICS, profile: str | None = None) -> Physics:
    """A shipped physics by version, or one from a file. `profile` overrides its servo profile.

    Raises NotFoundError for an unknown version or profile, FileFormatError naming a missing or unknown key.
    """
    path = Path(version)
    if path.suffix != ".yaml":
        if str(version) not in versions():
            raise NotFoundError("physics", str(version), versions())
        path = physics_file(str(version))
    if not path.is_file():
        raise FileFormatError(f"physics file {path} does not exist.")
    physics = _build(Physics, load_yaml(path), str(path))
    return replace(physics, servo=servo_profile(profile).name) if profile else physics


@cache
def _named(hand: str) -> RobotHand:
    return load_hand(hand)


def _build(kind: type[T], values: dict[str, Any], where: str) -> T:
    names = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    if not isinstance(values, dict) or set(values) != set(names):
        found = sorted(values) if isinstance(values, dict) else values
        raise FileFormatError(f"{where} must have exactly the keys {', '.join(names)}; it has {found}.")
    hints = get_type_hints(kind)
    built = {}
    for name in names:
        value = values[name]
        if isinstance(value, dict):
            value = _build(hints[name], value, f"{where}: {name}")
        elif isinstance(value, list):
            value = tuple(map(float, value))
        built[name] = value
    return kind(**built)
