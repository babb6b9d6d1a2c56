"""The benchmark physics of config/physics.yaml: every score in the project is made with exactly these numbers."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import numpy as np

from dexhot.data.yaml_file import load_yaml
from dexhot.errors import FileFormatError
from dexhot.paths import share_dir

T = TypeVar("T")


@dataclass(frozen=True)
class WristServo:
    """A position servo of the floating base: N/m, N s/m, kg for a slide; N m/rad, N m s/rad, kg m2 for a hinge."""

    kp: float
    kv: float
    armature: float


@dataclass(frozen=True)
class Wrist:
    """The six servos that carry the floating hand: three slides, three hinges."""

    translation: WristServo
    rotation: WristServo


@dataclass(frozen=True)
class FingerServo:
    """A position servo of a finger joint."""

    kp: float  # N m/rad
    kv: float  # N m s/rad
    force: float  # largest torque, N m


@dataclass(frozen=True)
class Arm:
    """Joint impedance of the arm, one value per joint."""

    kp: tuple[float, ...]
    kv: tuple[float, ...]
    force: tuple[float, ...]


@dataclass(frozen=True)
class Physics:
    """Solver, contact and servo numbers. A result records `version`."""

    version: str
    timestep: float  # s
    substeps: int  # per control step
    integrator: str
    cone: str
    iterations: int
    ls_iterations: int
    jacobian: str
    gravity: tuple[float, ...]  # m/s2, on the object; robots are gravity compensated
    solref: tuple[float, ...]
    friction: tuple[float, ...]  # sliding, torsional, rolling
    condim: int
    object_density: float  # kg/m3
    object_mass_range: tuple[float, ...]  # kg
    armature: float  # of the finger joints, kg m2
    wrist: Wrist
    finger: FingerServo
    arm: Arm
    rest_speed: tuple[float, ...]  # m/s, rad/s

    @property
    def control_dt(self) -> float:
        """s; 1/60 in the benchmark physics."""
        return self.timestep * self.substeps

    def servo_lag(self, fingers: int) -> np.ndarray:
        """(6+n,) s by which the floating hand's servos trail a moving target: kv/kp."""
        t, r, f = self.wrist.translation, self.wrist.rotation, self.finger
        return np.array([t.kv / t.kp] * 3 + [r.kv / r.kp] * 3 + [f.kv / f.kp] * fingers)


def load_physics(path: str | Path | None = None) -> Physics:
    """Read `path`, or the shipped config/physics.yaml. Raises FileFormatError naming a missing or unknown key."""
    path = Path(path) if path else share_dir() / "config" / "physics.yaml"
    if not path.is_file():
        raise FileFormatError(f"physics file {path} does not exist.")
    return _build(Physics, load_yaml(path), str(path))


def _build(kind: type[T], values: dict[str, Any], where: str) -> T:
    names = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    if not isinstance(values, dict) or set(values) != set(names):
        found = sorted(values) if isinstance(values, dict) else values
        raise FileFormatError(f"{where} must hold exactly {', '.join(names)}; it holds {found}.")
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
