"""Resamples a measured trajectory to the robot's 60 Hz."""

import numpy as np
from scipy.interpolate import CubicSpline

from dexhot.data.types import RATE, HandObjectTrajectory
from dexhot.geometry.poses import make_pose
from dexhot.geometry.rotations import slerp


def resample(trajectory: HandObjectTrajectory, side: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keypoints (T, 21, 3), palm rotation (T, 4) and object pose (T, 7) at 60 Hz, from the first stamp on."""
    time, hand = trajectory.time, trajectory.hands[side]
    frames = int((time[-1] - time[0]) * RATE + 1e-3) + 1  # tolerance for stamps rounded to nanoseconds
    new = np.minimum(time[0] + np.arange(frames) * (1.0 / RATE), time[-1])
    keypoints = CubicSpline(time, hand.keypoints)(new)
    position = CubicSpline(time, trajectory.object_pose[:, :3])(new)
    return (
        keypoints,
        slerp(time, hand.wrist_pose[:, 3:], new),
        make_pose(position, slerp(time, trajectory.object_pose[:, 3:], new)),
    )
