"""Which rotations leave a shape as it is: tested on its surface, about its likely axes."""

from typing import NamedTuple

import numpy as np
import trimesh
from scipy.spatial import cKDTree

from dexhot.geometry.rotations import quat_angle, quat_multiply, quat_rotate, rotvec_to_quat

TOLERANCE = 0.02  # of the shape's radius: 95 % of the surface must land this close to the surface
ORDERS = (2, 3, 4, 5, 6)
FREE_TURN = np.array([0.37, 0.91, 1.33, 1.91, 2.39, 2.83])  # rad: no common divisor, so only a full axis passes all


class RotationSymmetry(NamedTuple):
    kind: str  # "none", "discrete", "axis" or "sphere"
    axis: np.ndarray  # (3,)
    rotations: np.ndarray  # (R, 4) wxyz, identity first
    center: np.ndarray  # (3,)


def find_symmetry(vertices, faces, tolerance: float = TOLERANCE) -> RotationSymmetry:
    """Proper rotations about the surface's centroid that map the surface onto itself within `tolerance` of its radius.

    Candidate axes are the principal axes of the surface, the normals of its largest flat sides, and, where two or three
    principal moments agree, a fan of axes between them.
    """
    test = _SurfaceTest(vertices, faces, tolerance)
    identity = np.array([[1.0, 0, 0, 0]])
    axes = _candidate_axes(test)
    full = [a for a in axes if test.passes(a, FREE_TURN)]
    if full and any(abs(a @ b) < 0.9 for a in full for b in full):
        return RotationSymmetry("sphere", np.array([0.0, 0, 1]), identity, test.center)
    if full:
        axis = full[0]
        across = np.cross(axis, np.eye(3)[np.argmin(np.abs(axis))])
        flip = rotvec_to_quat(np.pi * across / np.linalg.norm(across))
        rotations = np.vstack([identity, flip]) if test.error(flip) < test.limit else identity
        return RotationSymmetry("axis", axis, rotations, test.center)
    found = [identity[0]]
    for a in axes:
        orders = [n for n in ORDERS if test.passes(a, [2 * np.pi / n])]
        found += [rotvec_to_quat(a * 2 * np.pi / n) for n in orders]
    rotations = _close(np.array(found))
    kind = "discrete" if len(rotations) > 1 else "none"
    return RotationSymmetry(kind, np.array([0.0, 0, 1]), rotations, test.center)


class _SurfaceTest:
    """Distance between a surface and its rotated self, on points sampled with a fixed seed."""

    def __init__(self, vertices, faces, tolerance: float, points: int = 800, target: int = 20000):
        mesh = trimesh.Trimesh(vertices, faces, process=False)
        dense, face = trimesh.sample.sample_surface(mesh, target, seed=0)
        self.center, self.moments = _surface_moments(mesh)
        self.surface = dense - self.center
        self.normals = mesh.face_normals[face]
        self.points = trimesh.sample.sample_surface(mesh, points, seed=1)[0] - self.center
        self.radius = float(np.linalg.norm(self.surface, axis=1).max())
        self.tree = cKDTree(self.surface)
        self.limit = tolerance * self.radius + self.error(
            np.array([1.0, 0, 0, 0])
        )  # the identity's is the sampling gap

    def error(self, quat) -> float:
        distance, _ = self.tree.query(quat_rotate(quat, self.points))
        return float(np.quantile(distance, 0.95))

    def passes(self, axis, angles) -> bool:
        return all(self.error(rotvec_to_quat(axis * angle)) < self.limit for angle in angles)


def _surface_moments(mesh: trimesh.Trimesh) -> tuple[np.ndarray, np.ndarray]:
    """Centroid (3,) and second moments (3, 3) about it of the surface, exact for triangles, per area."""
    corners, area = mesh.triangles, mesh.area_faces / mesh.area
    center = area @ corners.mean(axis=1)
    corners = corners - center
    total = corners.sum(axis=1)
    moments = np.einsum("f,fki,fkj->ij", area, corners, corners) + np.einsum("f,fi,fj->ij", area, total, total)
    return center, moments / 12.0


def _candidate_axes(test: _SurfaceTest) -> list[np.ndarray]:
    moments, principal = np.linalg.eigh(test.moments)
    spread = np.sqrt(moments)
    axes = list(principal.T) + _flat_normals(test.normals)
    fan = np.linspace(0, np.pi, 36, endpoint=False)
    for i, j in ((0, 1), (1, 2), (0, 2)):
        if spread[j] - spread[i] < 0.05 * spread[j]:
            axes += list(np.outer(np.cos(fan), principal[:, i]) + np.outer(np.sin(fan), principal[:, j]))
    unique: list[np.ndarray] = []
    for a in axes:
        if all(abs(a @ b) < np.cos(np.radians(2.0)) for b in unique):
            unique.append(a / np.linalg.norm(a))
    return unique


def _flat_normals(normals: np.ndarray, most: int = 6) -> list[np.ndarray]:
    """Directions that at least 4 % of the surface faces within 5 degrees, up to sign, largest first."""
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


def _close(rotations: np.ndarray, most: int = 60) -> np.ndarray:
    """The group that `rotations` generate: their products until nothing new appears (5 degrees apart)."""
    group = [rotations[0]]
    queue = list(rotations[1:])
    while queue and len(group) < most:
        q = queue.pop(0)
        q = -q if q[0] < 0 else q
        if (quat_angle(np.array(group), q) > np.radians(5.0)).all():
            queue += [quat_multiply(q, g) for g in group] + [quat_multiply(g, q) for g in group] + [quat_multiply(q, q)]
            group.append(q)
    return np.array(group)
