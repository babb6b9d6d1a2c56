"""The three levels of success of DexTrack's experiments on the robot (appendix B.2), from a recorded rollout."""

import numpy as np

from dexhot.data.types import Rollout
from dexhot.geometry.poses import transform
from dexhot.metrics.tracking_errors import HELD, LIFT, held, lifted
from dexhot.objects.asset import ObjectAsset

BOTTOM = 0.005  # m above its lowest point: the part of an object that stands on the table
TRACKED = 100  # frames after the lift that level 3 needs more than
LEVELS = {
    0: "none",
    1: "the hand on it, one side of the object lifted",
    2: "the object lifted",
    3: f"lifted, and tracked for more than {TRACKED} frames",
}


def level(rollout: Rollout, asset: ObjectAsset, distance: np.ndarray) -> int:
    """The highest level reached, one of LEVELS. distance: (T,) cm, the errors' `judged_distance`.

    Ours where the paper is silent: a side, or the whole, is lifted where it is 15 mm above its start; a tracked frame
    has the object within 5 cm of the reference, and off the table where the reference lifts it. A clip that has no more
    than 100 frames after the lift counts to its end.
    """
    reference, pose = rollout.reference, rollout.object_pose
    if not (_side_lifted(pose, asset) & rollout.tip_contact.any(axis=1)).any():
        return 0
    up = lifted(asset, pose) & ~rollout.table_contact.astype(bool)
    if not up.any():
        return 1
    tracked = held(rollout.table_contact, distance) | (~lifted(asset, reference.object_pose) & (distance < HELD))
    whole = "stopped" not in rollout.provenance
    first = int(np.flatnonzero(up)[0])
    return 3 if _tracked_on(tracked[first:], whole) else 2


def _side_lifted(pose: np.ndarray, asset: ObjectAsset) -> np.ndarray:
    """(T,) bool: a point that the object stood on in the first pose is lifted."""
    corners = asset.corners
    height = transform(pose[0], corners)[:, 2]
    standing = corners[height < height.min() + BOTTOM]
    rise = transform(pose[:, None], standing[None])[..., 2].max(axis=1)
    side: np.ndarray = rise > height.min() + BOTTOM + LIFT
    return side


def _tracked_on(tracked: np.ndarray, whole: bool) -> bool:
    """Whether the rows (T,) bool since the lift have more than TRACKED tracked ones in a row, or, in a shorter clip
    that was played to its end (`whole`), only tracked ones."""
    if len(tracked) <= TRACKED:
        return bool(whole and tracked.all())
    run = longest = 0
    for frame in tracked:
        run = run + 1 if frame else 0
        longest = max(longest, run)
    return longest > TRACKED
