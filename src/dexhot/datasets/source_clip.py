"""The human motion behind a reference: its clip in the cache, at the reference's frames and placement."""

from dataclasses import dataclass

import numpy as np

from dexhot.data.types import HandObjectTrajectory, Reference
from dexhot.datasets.library import load_clip
from dexhot.errors import DexhotError
from dexhot.geometry.poses import compose, transform
from dexhot.retargeting.resampling import resample

SAME = 0.05  # m, largest object distance between a reference and its own clip; repairs move it by less


@dataclass(frozen=True)
class HumanMotion:
    """Motion of person and object in the reference's coordinates, one row per frame of it."""

    keypoints: dict[str, np.ndarray]  # "right", "left": (T, 21, 3) m
    object_pose: np.ndarray  # (T, 7) world_T_mesh, as imported


def human_motion(reference: Reference, clip: HandObjectTrajectory | None = None) -> HumanMotion:
    """The motion of `clip`, by default the clip in the cache with the reference's name.

    Raises NotFoundError if the cache has none, and DexhotError if it is not the clip that was retargeted.
    """
    made_from = reference.provenance.get("trajectory", {})
    if clip is None:
        clip = load_clip(reference.name)
        if "frames" in made_from:
            clip = clip.cut(*made_from["frames"])
    sides = {side: resample(clip, side) for side in clip.hands}
    measured = next(iter(sides.values()))[2]
    frames = slowed(len(measured), reference.provenance.get("speed", 1.0))[: len(reference.q)]
    object_pose = compose(reference.placement, measured[frames])
    off = np.linalg.norm(object_pose[:, :3] - reference.object_pose[: len(frames), :3], axis=1).max(initial=0.0)
    if len(frames) < len(reference.q) or off > SAME:
        raise DexhotError(
            f"The clip {clip.name} in the cache is not the source of {reference.name}: "
            f"{len(frames)} of {len(reference.q)} frames, object up to {100 * off:.0f} cm away. Get that clip again."
        )
    keypoints = {side: transform(reference.placement, rows[0][frames]) for side, rows in sides.items()}
    return HumanMotion(keypoints, object_pose)


def slowed(count: int, speed: float) -> np.ndarray:
    """Index, of `count` frames, nearest to each frame of the slow motion (control/slow_motion.py)."""
    return np.linspace(0, count - 1, 1 + round((count - 1) / speed)).round().astype(int)
