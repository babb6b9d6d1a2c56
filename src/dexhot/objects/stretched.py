"""Stretched and reweighted copies of an object, made from their name: "stretched/grab/duck/1050x950x1100x1200" is
grab/duck stretched by 1.05, 0.95 and 1.1 along its mesh axes, with 1.2 times its mass."""

from dataclasses import replace

import numpy as np

from dexhot.errors import DexhotError, NotFoundError
from dexhot.objects.asset import ObjectAsset, Symmetry

PREFIX = "stretched/"


def stretched_name(parent: str, factors: np.ndarray, mass: float = 1.0) -> str:
    """Name of `parent` stretched by `factors` (3,), with `mass` times its mass, in thousandths. Of a stretched one: of
    its own parent."""
    if parent.startswith(PREFIX):
        parent, before, mass_before = parse(parent)
        factors, mass = factors * before, mass * mass_before
    return f"{PREFIX}{parent}/" + "x".join(f"{max(1, round(1000 * x))}" for x in [*factors, mass])


def parse(name: str) -> tuple[str, np.ndarray, float]:
    """Parent, factors (3,) and mass factor of a stretched object's name. Raises NotFoundError."""
    parent, _, numbers = name.removeprefix(PREFIX).rpartition("/")
    values = numbers.split("x")
    if not parent or len(values) != 4 or not all(v.isdecimal() and int(v) for v in values):
        raise NotFoundError("stretched object", name, [f"{PREFIX}OBJECT/XxYxZxMASS"], "Factors are in thousandths.")
    x, y, z, mass = (int(v) / 1000 for v in values)
    return parent, np.array([x, y, z]), mass


def stretched(parent: ObjectAsset, factors: np.ndarray, mass: float = 1.0) -> ObjectAsset:
    """`parent` stretched by `factors` (3,) along its mesh axes, with `mass` times its mass, as its name has them.
    Resting poses are kept only where all factors are equal. Raises DexhotError where that would break its symmetry."""
    from dexhot.geometry.meshes import mass_properties  # slow import, which a symmetry does not need

    name = stretched_name(parent.name, np.asarray(factors, float), mass)
    root, s, mass = parse(name)
    if parent.name.startswith(PREFIX):  # a name has factors of the root, in thousandths
        _, before, mass_before = parse(parent.name)
        s, mass = s / before, mass / mass_before
    if not keeps_symmetry(parent.symmetry, s):
        raise DexhotError(f"{parent.name} would lose its symmetry; stretch it equally along all axes.")
    pieces = [(vertices * s, faces) for vertices, faces in parent.pieces]
    _, center, inertia = mass_properties(pieces)
    poses = parent.resting_poses * np.r_[[s[0]] * 3, [1.0] * 4]
    return replace(
        parent,
        name=name,
        vertices=parent.vertices * s,
        pieces=pieces,
        mass=parent.mass * mass,
        center_of_mass=center,
        inertia=inertia * parent.mass * mass,
        symmetry=stretched_symmetry(parent.symmetry, s),
        resting_poses=poses if np.ptp(s) < 1e-9 else np.zeros((0, 7)),
        provenance={"stretched": root},
    )


def stretched_symmetry(symmetry: Symmetry, factors: np.ndarray) -> Symmetry:
    """The same rotations about the stretched centre."""
    return replace(symmetry, center=(np.asarray(symmetry.center, float) * factors).tolist())


def keeps_symmetry(symmetry: Symmetry, factors: np.ndarray) -> bool:
    """Whether stretching by `factors` (3,) commutes with every rotation of the symmetry."""
    from dexhot.geometry.rotations import quat_to_matrix, rotvec_to_quat  # SciPy, which loading an object does without

    if symmetry.kind == "sphere":
        return bool(np.ptp(factors) < 1e-9)
    rotations = [quat_to_matrix(np.asarray(q, float)) for q in symmetry.rotations]
    if symmetry.kind == "none":
        rotations = []
    elif symmetry.kind == "axis":
        rotations.append(quat_to_matrix(rotvec_to_quat(np.asarray(symmetry.axis, float))))
    scale = np.diag(factors)
    return all(np.allclose(R @ scale, scale @ R, atol=1e-6) for R in rotations)
