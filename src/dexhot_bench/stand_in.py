"""Another shape in an object's place, as HOMan fits ShapeNet's meshes of a category: a box, a cylinder or an ellipsoid.

Each fills the object's box; the one that overlaps it best is taken, but none that is the object's own shape: a cube
becomes a cylinder. Its size is then wrong by 15 to 30 %.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from dexhot.objects.asset import ObjectAsset, Symmetry
from dexhot.objects.shapes import Shape, box_turns
from dexhot.objects.volume import object_volume

SCALE = 0.3  # by which a stand-in is larger or smaller, at most; at least half of it
ALIKE = 0.9  # intersection over union from which a primitive is the object's own shape
AXES = (2, 0, 1)  # along which a cylinder may lie
DISTINCT = (1.0, 2.0, 3.0)  # sides of a box that has no turns but half ones, which every primitive here has
PER_SIDE = 32  # points of a grid in the object's box


@dataclass(frozen=True)
class UnitShape:
    """A shape that fills the cube from -1 to 1."""

    kind: str
    inside: Callable[[np.ndarray], np.ndarray]  # (N, 3) -> (N,) bool
    vertices: np.ndarray  # (V, 3)
    faces: np.ndarray  # (F, 3)


def primitives() -> list[UnitShape]:
    """A box, a cylinder along each axis and a ball."""
    box = _primitive("box", Shape("box", (2.0, 2.0, 2.0)), lambda x: (np.abs(x) <= 1).all(axis=1))
    ball = _primitive("ellipsoid", Shape("sphere", (2.0,)), lambda x: (x**2).sum(axis=1) <= 1)
    cylinders = [
        _primitive("cylinder", Shape("cylinder", (2.0, 2.0)), partial(_in_cylinder, axis), axis - 2) for axis in AXES
    ]
    return [box, *cylinders, ball]


def _in_cylinder(axis: int, x: np.ndarray) -> np.ndarray:
    within: np.ndarray = (np.abs(x[:, axis]) <= 1) & ((np.delete(x, axis, axis=1) ** 2).sum(axis=1) <= 1)
    return within


def _primitive(kind: str, shape: Shape, inside: Callable[[np.ndarray], np.ndarray], turned: int = 0) -> UnitShape:
    """`turned`: by how many axes x, y, z go on, a rotation."""
    [body] = shape.bodies()
    return UnitShape(kind, inside, np.roll(np.array(body.vertices), turned, axis=1), np.array(body.faces))


def stand_in(own: ObjectAsset, seed: int) -> ObjectAsset:
    """A primitive in the place and about the middle of the object's box, larger or smaller by the seed."""
    rng = np.random.default_rng(seed)
    size = float(1.0 + SCALE * rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1.0))
    low, high = own.vertices.min(axis=0), own.vertices.max(axis=0)
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    chosen = nearest_other(own, middle, half)
    vertices = middle + size * half * chosen.vertices
    return replace(
        own,
        name=f"{own.name}-stand-in",
        vertices=vertices,
        faces=chosen.faces,
        pieces=[(vertices, chosen.faces)],
        symmetry=Symmetry("discrete", rotations=box_turns(DISTINCT), center=middle.tolist()),
        provenance={"stand_in_of": own.name, "kind": chosen.kind, "scale": size},
    )


def nearest_other(own: ObjectAsset, middle: np.ndarray, half: np.ndarray) -> UnitShape:
    """The primitive that overlaps the object best in its box, of those that are another shape."""
    ticks = (np.arange(PER_SIDE) + 0.5) * 2.0 / PER_SIDE - 1.0
    grid = np.stack(np.meshgrid(ticks, ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 3)
    solid = object_volume(own).distance(middle + half * grid)[0] < 0
    overlaps = [((one.inside(grid) & solid).sum() / (one.inside(grid) | solid).sum(), one) for one in primitives()]
    others = [(overlap, one) for overlap, one in overlaps if overlap < ALIKE]
    return max(others, key=lambda pair: pair[0])[1]
