"""Boxes, cylinders, spheres and a composite as object assets, with exact symmetry and resting pose."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dexhot.errors import NotFoundError
from dexhot.objects.asset import ObjectAsset, Symmetry, guessed_mass

if TYPE_CHECKING:  # slow import: saves half a second at a node's start, which needs only the symmetry
    import trimesh

SIZES = {"box": 3, "cylinder": 2, "sphere": 1, "composite": 3}  # number of size parameters
SHAPES = tuple(SIZES)
FOOT = (0.075, 0.090, 0.020)  # m, of the composite: a plate under a column
NO_TURN, HALF_X, HALF_Z = [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]  # wxyz


@dataclass(frozen=True)
class Shape:
    """A shape, to be grasped along its mesh frame's x axis. The frame's origin is the middle of the bounding box."""

    kind: str
    size: tuple[float, ...]  # m: box x y z; cylinder diameter, height; sphere diameter; composite x y z of the column

    @property
    def name(self) -> str:
        """Name read by `named_shape`: kind and whole millimetres."""
        return f"parametric/{self.kind}-{'x'.join(f'{1000 * s:.0f}' for s in self.size)}"

    @property
    def height(self) -> float:
        """Total height, m."""
        return self.size[-1] + (FOOT[2] if self.kind == "composite" else 0.0)

    def half_width(self, y: float, z: float) -> float:
        """x of the surface at y and z from the origin, m."""
        if self.kind == "cylinder":
            return float(np.sqrt((self.size[0] / 2) ** 2 - y**2))
        if self.kind == "sphere":
            return float(np.sqrt((self.size[0] / 2) ** 2 - y**2 - z**2))
        return self.size[0] / 2

    def bodies(self) -> "list[trimesh.Trimesh]":
        """The convex bodies that make up the shape."""
        import trimesh

        if self.kind == "box":
            return [trimesh.creation.box(self.size)]
        if self.kind == "cylinder":
            return [trimesh.creation.cylinder(self.size[0] / 2, self.size[1], sections=48)]
        if self.kind == "sphere":
            return [trimesh.creation.icosphere(2, self.size[0] / 2)]
        foot, column = trimesh.creation.box(FOOT), trimesh.creation.box(self.size)
        foot.apply_translation([0, 0, (FOOT[2] - self.height) / 2])
        column.apply_translation([0, 0, (self.height - self.size[2]) / 2])
        return [foot, column]


def named_shape(name: str) -> Shape:
    """The shape called `name`, e.g. "parametric/box-55x70x100" (mm). Raises NotFoundError for an invalid name."""
    kind, _, sizes = name.removeprefix("parametric/").partition("-")
    numbers = sizes.split("x")
    if kind not in SIZES or len(numbers) != SIZES[kind] or not all(n.isdecimal() and int(n) for n in numbers):
        forms = [f"parametric/{kind}-{'x'.join(['MM'] * count)}" for kind, count in SIZES.items()]
        raise NotFoundError("parametric object", name, forms)
    return Shape(kind, tuple(int(n) / 1000 for n in numbers))


def random_shape(kind: str, rng: "np.random.Generator") -> Shape:
    """A shape of random size, graspable from above, in whole millimetres."""
    ranges = {
        "box": [(0.050, 0.060), (0.065, 0.085), (0.090, 0.110)],
        "cylinder": [(0.050, 0.060), (0.090, 0.110)],
        "sphere": [(0.062, 0.076)],
        "composite": [(0.045, 0.055), (0.060, 0.075), (0.070, 0.085)],
    }
    return Shape(kind, tuple(float(np.round(rng.uniform(*r), 3)) for r in ranges[kind]))


def shape_asset(shape: Shape) -> ObjectAsset:
    """The asset of `shape`, standing on its base."""
    from dexhot.geometry.meshes import mass_properties

    pieces = [(np.array(body.vertices), np.array(body.faces)) for body in shape.bodies()]
    offsets = np.cumsum([0] + [len(vertices) for vertices, _ in pieces])
    volume, center, unit_inertia = mass_properties(pieces)
    mass, _ = guessed_mass(volume)
    return ObjectAsset(
        name=shape.name,
        vertices=np.concatenate([vertices for vertices, _ in pieces]),
        faces=np.concatenate([faces + offset for (_, faces), offset in zip(pieces, offsets)]),
        pieces=pieces,
        mass=mass,
        center_of_mass=center,
        inertia=unit_inertia * mass,
        symmetry=shape_symmetry(shape),
        resting_poses=np.array([[0.0, 0.0, shape.height / 2, 1.0, 0.0, 0.0, 0.0]]),
        provenance={"generator": "parametric", "kind": shape.kind, "size_m": list(shape.size)},
    )


def shape_symmetry(shape: Shape) -> Symmetry:
    """The rotations about its middle that leave `shape` unchanged."""
    if shape.kind == "sphere":
        return Symmetry("sphere")
    if shape.kind == "cylinder":
        return Symmetry("axis", rotations=[NO_TURN, HALF_X])
    if shape.kind == "composite":
        return Symmetry("discrete", rotations=[NO_TURN, HALF_Z])
    return Symmetry("discrete", rotations=box_turns(shape.size))


def box_turns(size: tuple[float, ...]) -> list[list[float]]:
    """Quaternions of the turns that leave a box unchanged: 4, with two equal sides 8, and 24 of a cube."""
    from scipy.spatial.transform import Rotation

    turns = Rotation.create_group("O")  # of the cube
    kept = turns[[bool(np.allclose(np.abs(R) @ size, size)) for R in turns.as_matrix()]]
    quats = np.roll(kept.as_quat(canonical=True), 1, axis=1)
    order = np.argsort(-quats[:, 0], kind="stable")  # no turn first
    found: list[list[float]] = quats[order].tolist()
    return found
