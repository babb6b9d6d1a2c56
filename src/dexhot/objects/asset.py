"""An object for physics and metrics: a mesh, its convex pieces, mass, symmetry and resting poses.

Its frame is the mesh frame; every object pose in the project is world_T_mesh.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dexhot.data.yaml_file import load_yaml
from dexhot.errors import FileFormatError
from dexhot.paths import physics_file

SYMMETRIES = ("none", "discrete", "axis", "sphere")
MOST_FRICTION = 3.0


@dataclass
class Symmetry:
    """Rotations of the mesh frame about `center` that leave the shape unchanged.

    kind: "none"; "discrete" (the listed `rotations`); "axis" (any rotation about `axis`, and the listed rotations: a
    flip for shapes that look the same upside down); "sphere".
    """

    kind: str = "none"
    axis: list[float] = field(default_factory=lambda: [0.0, 0.0, 1.0])
    rotations: list[list[float]] = field(default_factory=lambda: [[1.0, 0.0, 0.0, 0.0]])  # wxyz, identity first
    center: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])


@dataclass
class ObjectAsset:
    """A rigid object. Lengths in m, masses in kg, all in the mesh frame."""

    name: str  # "grab/duck", "parametric/box-...", "user/..."
    vertices: np.ndarray  # (V, 3)
    faces: np.ndarray  # (F, 3) int
    pieces: list[tuple[np.ndarray, np.ndarray]]  # convex pieces, each vertices (v, 3) and faces (f, 3)
    mass: float
    center_of_mass: np.ndarray  # (3,)
    inertia: np.ndarray  # (3, 3) about the centre of mass
    symmetry: Symmetry = field(default_factory=Symmetry)
    resting_poses: np.ndarray = field(default_factory=lambda: np.zeros((0, 7)))  # (P, 7) world_T_mesh, table at z = 0
    provenance: dict[str, Any] = field(default_factory=dict)
    friction: float | None = None  # sliding, against fingers and table; None: the physics'

    @property
    def corners(self) -> np.ndarray:
        """(C, 3) vertices of all convex pieces."""
        return np.concatenate([vertices for vertices, _ in self.pieces])

    def validate(self) -> None:
        """Raise FileFormatError for values that no rigid body has."""
        arrays = [self.vertices, self.center_of_mass, self.inertia, self.resting_poses, *(v for v, _ in self.pieces)]
        finite = all(np.isfinite(a).all() for a in arrays)
        if not (self.pieces and finite and np.isfinite(self.mass)):
            raise FileFormatError(f"object {self.name!r} lacks pieces or has a non-finite value.")
        if self.mass <= 0 or np.linalg.eigvalsh(self.inertia).min() <= 0:
            raise FileFormatError(
                f"object {self.name!r} needs a positive mass and inertia; its mass is {self.mass} kg."
            )
        if self.friction is not None and not 0 < self.friction <= MOST_FRICTION:
            raise FileFormatError(
                f"object {self.name!r} needs a friction above 0 and up to {MOST_FRICTION:g}, not {self.friction}."
            )
        if self.symmetry.kind not in SYMMETRIES:
            raise FileFormatError(
                f"object {self.name!r}: symmetry {self.symmetry.kind!r} is unknown, one of {', '.join(SYMMETRIES)}."
            )


def guessed_mass(volume: float) -> tuple[float, str]:
    """Estimated mass (kg) of an object of `volume` (m^3), by the benchmark physics' density and range;
    and a description of the estimate."""
    physics = load_yaml(physics_file())
    density, (low, high) = physics["object_density"], physics["object_mass_range"]
    mass = float(np.clip(density * volume, low, high))
    clipped = "" if mass == density * volume else f", clipped to {low:g} to {high:g} kg"
    return mass, f"estimated: {1e6 * volume:.4g} cm3 of {density:g} kg/m3{clipped}"
