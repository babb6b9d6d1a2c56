"""A clip at an operator's pace: slower, with the hand at rest before and after, as a person teleoperates a robot."""

from dataclasses import replace

import numpy as np
from scipy.interpolate import CubicSpline

from dexhot.data.keypoints import wrist_pose
from dexhot.data.types import HandObjectTrajectory, HandTrack
from dexhot.geometry.poses import make_pose
from dexhot.geometry.rotations import slerp


def paced(clip: HandObjectTrajectory, speed: float, pause: float) -> HandObjectTrajectory:
    """The motion at `speed` times its own, with `pause` s at rest at its start and end, at its own frame rate.
    Covariances are left out."""
    old, rate = clip.time, (len(clip.time) - 1) / (clip.time[-1] - clip.time[0])
    count = round(((old[-1] - old[0]) / speed + 2.0 * pause) * rate) + 1
    time = np.arange(count) / rate
    shown = np.clip(old[0] + (time - pause) * speed, old[0], old[-1])  # the clip's time at each frame

    def hand(side: str, track: HandTrack) -> HandTrack:
        points = CubicSpline(old, track.keypoints)(shown)
        nearest = np.abs(shown[:, None] - old).argmin(axis=1)
        return replace(
            track,
            keypoints=points,
            wrist_pose=wrist_pose(points, side),
            confidence=track.confidence[nearest],
            parameters=CubicSpline(old, track.parameters)(shown) if len(track.parameters) else track.parameters,
            keypoint_covariance=np.zeros((0, 21, 3, 3)),
        )

    position = CubicSpline(old, clip.object_pose[:, :3])(shown)
    return replace(
        clip,
        time=time,
        hands={side: hand(side, track) for side, track in clip.hands.items()},
        object_pose=make_pose(position, slerp(old, clip.object_pose[:, 3:], shown)),
        object_covariance=np.zeros((0, 6, 6)),
        provenance=clip.provenance | {"paced": {"speed": speed, "pause": pause}},
    )
