"""How hard a kinematic reference is to track: DexTrack's statistics (table 15) and the "quality" of eq. 22-25.

All grow with difficulty. Penetration and contact map need a model of the hand: evaluation/references.py.
"""

import numpy as np

from dexhot.data.types import Reference
from dexhot.geometry.poses import transform
from dexhot.objects.asset import ObjectAsset

EPSILON = 0.1  # cm, the least extent of an object


def smoothness(reference: Reference) -> float:
    """Eq. 22, with the norm that it lacks: the mean over frames of the hand vector's acceleration, root mean square
    over its joints (m/s2 and rad/s2 alike). The paper's weights w_s are unpublished."""
    return float(np.sqrt((_second_difference(reference.q, reference.rate) ** 2).mean(axis=1)).mean())


def consistency(reference: Reference) -> float:
    """Eq. 23: the mean over frames of the object's velocity relative to the palm's, m/s."""
    relative = np.diff(reference.object_pose[:, :3] - reference.q[:, :3], axis=0) * reference.rate
    return float(np.linalg.norm(relative, axis=1).mean())


def quality(reference: Reference, penetration: np.ndarray) -> float:
    """Eq. 25 of one reference; penetration: (T,) m, the deepest of hand and object, whose mean is eq. 24."""
    return (smoothness(reference) + consistency(reference) + float(penetration.mean())) / 3


def object_smoothness(reference: Reference) -> float:
    """Table 15: the mean over frames of the object's acceleration, m/s2."""
    return float(np.linalg.norm(_second_difference(reference.object_pose[:, :3], reference.rate), axis=1).mean())


def contact_velocity(contact: np.ndarray, rate: float) -> float:
    """Table 15: the mean over frames of the norm of the contact map's change per second and point. contact: (T, P) bool
    of points on the hand's surface; the norm makes it depend on P."""
    change = np.diff(contact.astype(float), axis=0) * rate / contact.shape[1]
    return float(np.linalg.norm(change, axis=1).mean())


def shape_score(asset: ObjectAsset, pose: np.ndarray) -> float:
    """Table 15: the inverse of the object's height, 1/cm, as it lies at `pose` (7,)."""
    height = np.ptp(transform(pose, asset.vertices)[:, 2])
    return float(1.0 / max(100 * height, EPSILON))


def _second_difference(rows: np.ndarray, rate: float) -> np.ndarray:
    return np.asarray(np.diff(rows, 2, axis=0) * rate**2)
