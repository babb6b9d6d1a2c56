"""ADD-S: pose error of a symmetric object, by its surface points."""

import numpy as np
from scipy.spatial import cKDTree

from dexhot.geometry.poses import compose, inverse, transform
from dexhot.objects.asset import ObjectAsset


def surface_points(vertices: np.ndarray, faces: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """(count, 3) points m, sampled uniformly over the area of a triangle mesh: vertices (V, 3), faces (F, 3)."""
    rng = np.random.default_rng(seed)
    corners = vertices[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    face = rng.choice(len(faces), count, p=area / area.sum())
    u, v = np.sqrt(rng.random(count))[:, None], rng.random(count)[:, None]
    a, b, c = corners[face, 0], corners[face, 1], corners[face, 2]
    cloud: np.ndarray = a * (1 - u) + b * u * (1 - v) + c * u * v
    return cloud


def add_s(
    asset: ObjectAsset, pose: np.ndarray, reference: np.ndarray, queries: int = 200, points: int = 4000
) -> np.ndarray:
    """ADD-S (m) of poses (T, 7) against `reference` (T, 7): the mean distance from the object's surface points to the
    nearest surface point in the other pose (Xiang et al. 2018, Eq. 8), so invariant to the object's symmetry."""
    cloud = surface_points(asset.vertices, asset.faces, points)
    moved = transform(compose(inverse(reference), pose)[:, None], cloud[None, :queries])
    distance, _ = cKDTree(cloud).query(moved)
    mean: np.ndarray = np.asarray(distance).mean(axis=1)
    return mean
