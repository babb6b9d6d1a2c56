"""The UmeTrack hand model (Han et al., SIGGRAPH Asia 2022) as stored in HOT3D's profiles: keypoints from joint angles.

A profile describes a left hand in millimetres: 22 joints (4 per digit, the last two unused), points attached to 17
frames by linear blend skinning, and 21 landmarks. A right hand is the same profile mirrored in its first axis.
"""

import json
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation

from dexhot.errors import FileFormatError
from dexhot.geometry.rotations import quat_to_matrix

DIGITS, JOINTS_PER_DIGIT, FRAMES = 5, 4, 17  # frames: root, wrist, then the three outer joints of each digit

# Landmark of each MediaPipe keypoint. The thumb's base has no landmark: see `keypoints`.
LANDMARKS = np.array([5, -1, 6, 7, 0, 8, 9, 10, 1, 11, 12, 13, 2, 14, 15, 16, 3, 17, 18, 19, 4])
THUMB_CMC = 1


class UmeTrackHand:
    """Linear blend skinning of one person's hand."""

    def __init__(self, profile: Path):
        try:
            model = json.loads(profile.read_text())["hand_model"]
            self.centres = 1e-3 * np.array(model["joint_rest_positions"], float)  # (22, 3) m
            self.axes = np.array(model["joint_rotation_axes"], float)  # (22, 3)
            self.landmarks = 1e-3 * np.array(model["landmark_rest_positions"], float)  # (21, 3) m
            bones = np.array(model["landmark_rest_bone_indices"], int)  # (21, 3)
            self.weights = np.zeros((len(bones), FRAMES))
            np.add.at(self.weights, (np.arange(len(bones))[:, None], bones), model["landmark_rest_bone_weights"])
        except (OSError, ValueError, KeyError, IndexError) as e:
            raise FileFormatError(f"{profile} is not a UmeTrack user profile ({type(e).__name__}: {e}).") from e

    def keypoints(self, angles: ArrayLike, wrist: ArrayLike, side: str) -> np.ndarray:
        """Joint angles (T, 22), wrist poses (T, 7) -> keypoints (T, 21, 3) in MediaPipe order, m, frame of the poses.

        The thumb's CMC is the middle of its two base joints: its distances to wrist and MCP (39 and 48 mm)
        match MediaPipe's keypoint.
        """
        frames, base = self._frames(np.asarray(angles, float))
        local = np.einsum("pf,tfij,pj->tpi", self.weights, frames, _homogeneous(self.landmarks))[..., :3]
        points = local[:, LANDMARKS]
        points[:, THUMB_CMC] = base
        if side == "right":
            points[..., 0] *= -1.0
        world = np.asarray(wrist, float)
        placed: np.ndarray = np.einsum("tij,tpj->tpi", quat_to_matrix(world[:, 3:]), points) + world[:, None, :3]
        return placed

    def _frames(self, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(T, 17, 4, 4) frames that transform points of the rest pose, and (T, 3) the middle of the thumb's base
        joints."""
        frames = np.tile(np.eye(4), (len(angles), FRAMES, 1, 1))
        base = np.zeros((len(angles), 3))
        for digit in range(DIGITS):
            carried = np.tile(np.eye(4), (len(angles), 1, 1))
            for step in range(JOINTS_PER_DIGIT):
                joint = JOINTS_PER_DIGIT * digit + step
                if joint in (0, 1):
                    base += 0.5 * (carried @ _homogeneous(self.centres[joint]))[:, :3]
                carried = carried @ self._turn(joint, angles[:, joint])
                if step:
                    frames[:, 2 + 3 * digit + step - 1] = carried
        return frames, base

    def _turn(self, joint: int, angle: np.ndarray) -> np.ndarray:
        """(T, 4, 4) rotation by `angle` (T,) about the axis of `joint` through its centre."""
        out = np.tile(np.eye(4), (len(angle), 1, 1))
        out[:, :3, :3] = Rotation.from_rotvec(angle[:, None] * self.axes[joint]).as_matrix()
        out[:, :3, 3] = self.centres[joint] - out[:, :3, :3] @ self.centres[joint]
        return out


def _homogeneous(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points, np.ones((*np.shape(points)[:-1], 1))], axis=-1)
