"""Errors of each frame of a rollout against its reference: object, palm and fingers, and whether the object is held."""

from dataclasses import dataclass

import numpy as np

from dexhot.data.types import Reference
from dexhot.geometry.equivalents import reduced_angle
from dexhot.geometry.poses import lowest
from dexhot.geometry.rotations import quat_angle
from dexhot.metrics.add_s import add_s
from dexhot.objects.asset import ObjectAsset
from dexhot.robots.kinematics.wrist import palm_poses

LIFT = 0.015  # m: an object is lifted when its lowest point is this far above where it started
HELD = 5.0  # cm: a lifted object further from its reference is not held
SELF_CONTACT = 0.002  # m: penetration of finger and finger or palm that counts as self-penetration


@dataclass(frozen=True)
class ObjectErrors:
    """Errors of an object's poses against the reference's, (T,) each."""

    distance: np.ndarray  # cm
    angle: np.ndarray  # rad
    add_s: np.ndarray  # cm
    reduced: np.ndarray  # rad, the smallest over the object's symmetries
    symmetric: bool

    @property
    def judged_distance(self) -> np.ndarray:
        """(T,) cm, used for success: ADD-S for a symmetric object, else the distance."""
        return self.add_s if self.symmetric else self.distance

    @property
    def judged_angle(self) -> np.ndarray:
        """(T,) rad, used for success: symmetry-reduced for a symmetric object, else the angle."""
        return self.reduced if self.symmetric else self.angle


def object_errors(asset: ObjectAsset, pose: np.ndarray, wanted: np.ndarray) -> ObjectErrors:
    """Errors of poses (T, 7) of `asset` against `wanted` (T, 7)."""
    return ObjectErrors(
        distance=100 * position_error(pose, wanted),
        angle=quat_angle(pose[:, 3:], wanted[:, 3:]),
        add_s=100 * add_s(asset, pose, wanted),
        reduced=reduced_angle(asset.symmetry, pose[:, 3:], wanted[:, 3:]),
        symmetric=asset.symmetry.kind != "none",
    )


def position_error(pose: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(...) m, distance between the positions of poses (..., 7)."""
    distance: np.ndarray = np.linalg.norm(pose[..., :3] - wanted[..., :3], axis=-1)
    return distance


def palm_errors(reference: Reference, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Palm errors (T,) cm and (T,) rad at hand vectors q (T, 6+n)."""
    achieved, wanted = (palm_poses(reference.base_quat, joints) for joints in (q, reference.q))
    return 100 * position_error(achieved, wanted), quat_angle(achieved[:, 3:], wanted[:, 3:])


def finger_errors(reference: Reference, q: np.ndarray) -> np.ndarray:
    """(T, n) rad, absolute errors of the finger joints at hand vectors q (T, 6+n)."""
    errors: np.ndarray = np.abs(q[:, 6:] - reference.q[:, 6:])
    return errors


def lifted(asset: ObjectAsset, pose: np.ndarray) -> np.ndarray:
    """(T,) bool: the object's lowest point is LIFT above that of the first pose; `pose` (T, 7)."""
    height = lowest(pose, asset.corners)
    above: np.ndarray = height > height[0] + LIFT
    return above


def held(table_contact: np.ndarray, judged_distance: np.ndarray) -> np.ndarray:
    """(T,) bool: off the table, and within HELD of the reference by `judged_distance` (T,) cm. Relevant for the
    frames in which the reference lifts the object."""
    return ~table_contact.astype(bool) & (judged_distance < HELD)
