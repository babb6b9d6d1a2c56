"""What a prior over plans knows of a clip: the egocentric features of its reference about the grasp."""

from typing import Any

import numpy as np

from dexhot.control.observation import EGOCENTRIC, ClipToTrack, Observed, Observer, layout_of
from dexhot.data.types import Reference
from dexhot.objects.asset import ObjectAsset
from dexhot.robots.robot_hand import RobotHand

BEFORE = 12  # frames before the grasp: what the reference has 1, 6, 12 and 24 ahead is then about it
LAYOUT = [name for name in EGOCENTRIC if name != "object_error"]  # there is none before the start


def plan_layout(hand: RobotHand) -> list[dict[str, Any]]:
    """[{"name", "size"}] of the features."""
    return layout_of(hand, LAYOUT)


def plan_features(reference: Reference, asset: ObjectAsset) -> np.ndarray:
    """(F,) float32 of the reference, with the object where it has it; the same wherever the clip was placed."""
    frame = np.array(max(0, reference.grasp_start - BEFORE))
    observer = Observer([ClipToTrack(reference, asset)], LAYOUT)
    return observer(Observed(frame, reference.object_pose[frame]))
