"""Finds the rotations that leave a shape unchanged: candidates about likely axes, tested on its surface."""

from typing import NamedTuple

import numpy as np
import trimesh
from numpy.typing import ArrayLike
from scipy.spatial import cKDTree

from dexhot.geometry.rotations import quat_angle, quat_multiply, quat_rotate, rotvec_to_quat

# Fraction of the surface -> its largest distance to the surface after rotation, relative to the shape's radius. The
# second distinguishes a teapot's spout from its handle, which are a few percent of the surface.
TOLERANCES = {0.95: 0.02, 0.99: 0.05}
ORDERS = (2, 3, 4, 5, 6)
FREE_TURN = np.array(
    [0.37, 0.91, 1.33, 1.91, 2.39, 2.83]
)  # rad: no common divisor, so only a continuous axis passes all


class RotationSymmetry(NamedTuple):
    """Result of `find_symmetry`; the axis passes through the centre."""

    kind: str  # "none", "discrete", "axis" or "sphere"
    axis: np.ndarray  # (3,)
    rotations: np.ndarray  # (R, 4) wxyz, identity first
    center: np.ndarray  # (3,)


def find_symmetry(vertices: ArrayLike, faces: ArrayLike) -> RotationSymmetry:
    """Proper rotations about the surface's centroid that map the surface onto itself within TOLERANCES.

    Candidate axes are the principal axes of the surface, the normals of its largest flat sides, and, where two or three
    principal moments agree, a fan of axes between them.
    """
    test = _SurfaceTest(vertices, faces)
    identity = np.array([[1.0, 0, 0, 0]])
    axes, fan = _candidate_axes(test)
    full = [a for a in axes + fan[::4] if test.passes_all(a, FREE_TURN)]
    if full and any(abs(a @ b) < 0.9 for a in full for b in full):
        return RotationSymmetry("sphere", np.array([0.0, 0, 1]), identity, test.center)
    if full:
        axis = full[0]
        across = np.cross(axis, np.eye(3)[np.argmin(np.abs(axis))])
        flip = rotvec_to_quat(np.pi * across / np.linalg.norm(across))
        rotations = np.vstack([identity, flip]) if test.passes(flip) else identity
        return RotationSymmetry("axis", axis, rotations, test.center)
    group = identity
    turns = [a * 2 * np.pi / n for a in axes for n in ORDERS] + [a * np.pi for a in fan]
    for q in rotvec_to_quat(np.array(turns)):
        if _is_new(q, group) and test.passes(q):
            group = _generate([*group[1:], q])
    return RotationSymmetry("discrete" if len(group) > 1 else "none", np.array([0.0, 0, 1]), group, test.center)


class _SurfaceTest:
    """Distance between a surface and its rotated self, on points sampled with a fixed seed."""

    def __init__(self, vertices: ArrayLike, faces: ArrayLike, points: int = 500, target: int = 20000):
        mesh = trimesh.Trimesh(vertices, faces, process=False)
        dense, face = trimesh.sample.sample_surface(mesh, target, seed=0)
        self.center, self.moments = _surface_moments(mesh)
        self.surface = dense - self.center
        self.normals = mesh.face_normals[face]
        self.points = trimesh.sample.sample_surface(mesh, points, seed=1)[0] - self.center
        self.radius = float(np.linalg.norm(self.surface, axis=1).max())
        self.tree = cKDTree(self.surface)
        gap = self._distances(np.array([1.0, 0, 0, 0]))  # sampling distance: that of the unrotated surface
        self.limits = np.array(list(TOLERANCES.values())) * self.radius + gap

    def passes(self, quat: np.ndarray) -> bool:
        """Whether the rotated surface matches the surface."""
        return bool((self._distances(quat) < self.limits).all())

    def passes_all(self, axis: np.ndarray, angles: np.ndarray) -> bool:
        return all(self.passes(rotvec_to_quat(axis * angle)) for angle in angles)

    def _distances(self, quat: np.ndarray) -> np.ndarray:
        """Quantiles (TOLERANCES' fractions) of the rotated points' distance to the surface, m."""
        distance, _ = self.tree.query(quat_rotate(quat, self.points))
        within: np.ndarray = np.quantile(distance, list(TOLERANCES))
        return within


def _surface_moments(mesh: trimesh.Trimesh) -> tuple[np.ndarray, np.ndarray]:
    """Centroid (3,) and second moments (3, 3) about it of the surface, exact for triangles, per area."""
    corners, area = mesh.triangles, mesh.area_faces / mesh.area
    center = area @ corners.mean(axis=1)
    corners = corners - center
    total = corners.sum(axis=1)
    moments = np.einsum("f,fki,fkj->ij", area, corners, corners) + np.einsum("f,fi,fj->ij", area, total, total)
    return center, moments / 12.0


def _candidate_axes(test: _SurfaceTest) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The likely axes, the most exact first, and the fan between equal principal axes, for half-turn symmetries."""
    moments, principal = np.linalg.eigh(test.moments)
    spread = np.sqrt(moments)
    axes: list[np.ndarray] = []
    for a in [*_flat_normals(test.normals), *principal.T]:
        if all(abs(a @ b) < np.cos(np.radians(2.0)) for b in axes):
            axes.append(a)
    angles = np.linspace(0, np.pi, 72, endpoint=False)[:, None]
    fan: list[np.ndarray] = []
    for i, j in ((0, 1), (1, 2), (0, 2)):
        if spread[j] - spread[i] < 0.05 * spread[j]:
            fan += list(np.cos(angles) * principal[:, i] + np.sin(angles) * principal[:, j])
    return axes, fan


def _flat_normals(normals: np.ndarray, most: int = 6) -> list[np.ndarray]:
    """Normals shared within 5 degrees by at least 4 % of the surface, up to sign, largest first."""
    found: list[np.ndarray] = []
    left = normals
    while len(left) and len(found) < most:
        seeds = left[:: max(1, len(left) // 64)]
        counts = (np.abs(seeds @ left.T) > np.cos(np.radians(5.0))).sum(axis=1)
        seed = seeds[counts.argmax()]
        near = np.abs(left @ seed) > np.cos(np.radians(5.0))
        if near.sum() < 0.04 * len(normals):
            break
        same = left[near] * np.sign(left[near] @ seed)[:, None]
        found.append(same.mean(axis=0) / np.linalg.norm(same.mean(axis=0)))
        left = left[~near]
    return found


def _is_new(q: np.ndarray, group: np.ndarray) -> bool:
    """Whether no element of the group is near q. Elements of groups up to 12-fold are 30 degrees apart or more."""
    return bool((quat_angle(group, q) > np.radians(15.0)).all())


def _generate(generators: list[np.ndarray], most: int = 60) -> np.ndarray:
    """The group generated by `generators`, identity first."""
    group = np.array([[1.0, 0, 0, 0]])
    queue = list(generators)
    while queue and len(group) < most:
        q = queue.pop(0)
        if _is_new(q, group):
            group = np.vstack([group, q if q[0] >= 0 else -q])
            queue += [quat_multiply(q, g) for g in group]
    return group
