"""Time scaling of a reference and its demonstration: where the arm is slower than the person, and for slow first
motions on a real robot.

The files are warped before a graph starts, so controller, rig, replay and score just see a longer clip. Contact
dynamics do not scale: an object that is thrown or slides in the demonstration is dropped in slow motion.
"""

from dataclasses import replace

import numpy as np
from scipy.interpolate import CubicSpline

from dexhot.control.sampling import base_actions
from dexhot.data.types import Demonstration, Reference
from dexhot.errors import DexhotError
from dexhot.geometry.poses import make_pose
from dexhot.geometry.rotations import slerp
from dexhot.simulation.physics import Physics

SLOWEST = 0.05


def frames_at(reference: Reference, speed: float = 1.0) -> np.ndarray:
    """(K,) frames of the reference, one per tick of the arm, at `speed` (a fraction of the planned speed), first and
    last frame included. Raises DexhotError for a speed out of range."""
    if not SLOWEST <= speed <= 1.0:
        raise DexhotError(f"speed is a fraction of the planned speed, from {SLOWEST:g} to 1, not {speed:g}.")
    planned = reference.arm_frames if len(reference.arm_frames) else np.arange(float(len(reference.q)))
    ticks = np.arange(len(planned))
    found: np.ndarray = np.interp(np.linspace(0, ticks[-1], 1 + round(ticks[-1] / speed)), ticks, planned)
    return found


def warp_reference(reference: Reference, frames: np.ndarray) -> Reference:
    """The same path resampled at `frames` (K,), one per 60 Hz tick, increasing from 0 to T - 1."""
    old = np.arange(len(reference.q))
    shown = reference.clip_frames if len(reference.clip_frames) else old.astype(float)
    return replace(
        reference,
        q=_smooth(reference.q, old, frames),
        target=_smooth(reference.target, old, frames),
        contact=_linear(reference.contact, old, frames),
        object_pose=_poses(reference.object_pose, old, frames),
        grasp_start=int(np.searchsorted(frames, reference.grasp_start)),
        grasp_end=int(np.searchsorted(frames, reference.grasp_end)),
        arm_q=_smooth(reference.arm_q, old, frames) if len(reference.arm_q) else reference.arm_q,
        arm_frames=np.zeros(0),
        clip_frames=np.interp(frames, old, shown),
    )


def warp_demonstration(demonstration: Demonstration, frames: np.ndarray, physics: Physics) -> Demonstration:
    """The demonstration resampled at `frames` (K,). The actions' lead for the servos' lag is recomputed for the slower
    motion; what mining has added (squeeze, push) is kept."""
    reference = warp_reference(demonstration.reference, frames)
    added = demonstration.actions - base_actions(demonstration.reference, physics)
    old = np.arange(len(added))
    return replace(
        demonstration,
        reference=reference,
        actions=base_actions(reference, physics) + _linear(added, old, frames),
        q=_linear(demonstration.q, old, frames),
        object_pose=_poses(demonstration.object_pose, old, frames),
    )


def for_arm(demonstration: Demonstration, physics: Physics) -> Demonstration:
    """The demonstration in the arm's time, as planned."""
    if not len(demonstration.reference.arm_frames):
        return demonstration
    return warp_demonstration(demonstration, demonstration.reference.arm_frames, physics)


def as_played(
    reference: Reference, demonstration: Demonstration | None, physics: Physics
) -> tuple[Reference, Demonstration | None]:
    """Both in the arm's time, as the graph plays them."""
    if not len(reference.arm_frames):
        return reference, demonstration
    frames = frames_at(reference)
    return warp_reference(reference, frames), demonstration and warp_demonstration(demonstration, frames, physics)


def _smooth(values: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Interpolates values (T, k) between frames, with continuous acceleration."""
    out: np.ndarray = CubicSpline(old, values)(new)
    return out


def _linear(values: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Interpolates values (T, k) linearly between frames, without overshoot."""
    return np.stack([np.interp(new, old, column) for column in values.T.astype(float)], axis=1)


def _poses(poses: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    return make_pose(_smooth(poses[:, :3], old, new), slerp(old, poses[:, 3:], new))
