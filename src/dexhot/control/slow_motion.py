"""A reference and its demonstration stretched in time, for first motions on a real robot.

They are stretched before anything starts, as files, so that controller, rig, replay and score see nothing but a longer
clip. Contact is not slowed with them: what a demonstration throws or lets slide, it drops when it is slow.
"""

from dataclasses import replace

import numpy as np

from dexhot.control.sampling import base_actions
from dexhot.data.types import Demonstration, Reference
from dexhot.errors import DexhotError
from dexhot.geometry.poses import make_pose
from dexhot.geometry.rotations import slerp
from dexhot.simulation.physics import Physics

SLOWEST = 0.05


def slow_reference(reference: Reference, speed: float) -> Reference:
    """The same path, of T frames, in 1 + round((T - 1) / speed) frames. Raises DexhotError."""
    old, new = _frames(len(reference.q), speed)
    return replace(
        reference,
        q=_series(reference.q, old, new),
        target=_series(reference.target, old, new),
        contact=_series(reference.contact, old, new),
        object_pose=_poses(reference.object_pose, old, new),
        grasp_start=int(np.searchsorted(new, reference.grasp_start)),
        grasp_end=int(np.searchsorted(new, reference.grasp_end)),
        provenance=reference.provenance | {"speed": speed},
    )


def slow_demonstration(demonstration: Demonstration, speed: float, physics: Physics) -> Demonstration:
    """Actions are targets that lead by the servos' lag, which is the slow motion's own, and what mining has added to
    them (squeeze, push), which stays. Raises DexhotError."""
    reference = slow_reference(demonstration.reference, speed)
    added = demonstration.actions - base_actions(demonstration.reference, physics)
    old, new = _frames(len(added), speed)
    return replace(
        demonstration,
        reference=reference,
        actions=base_actions(reference, physics) + _series(added, old, new),
        q=_series(demonstration.q, old, new),
        object_pose=_poses(demonstration.object_pose, old, new),
        provenance=demonstration.provenance | {"speed": speed},
    )


def _frames(count: int, speed: float) -> tuple[np.ndarray, np.ndarray]:
    """The frames 0 to count - 1, and where among them the frames of the slow clip lie; both ends stay."""
    if not SLOWEST <= speed <= 1.0:
        raise DexhotError(f"speed is a share of the demonstration's own, from {SLOWEST:g} to 1, not {speed:g}.")
    return np.arange(count), np.linspace(0, count - 1, 1 + round((count - 1) / speed))


def _series(values: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """(T, k) values between the frames, linearly."""
    return np.stack([np.interp(new, old, column) for column in values.T.astype(float)], axis=1)


def _poses(poses: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    return make_pose(_series(poses[:, :3], old, new), slerp(old, poses[:, 3:], new))
