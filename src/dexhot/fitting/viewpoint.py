"""Where a calibrated camera of a scene is. The scene is in the first camera's frame.

A term is written for the camera that sees it. For another camera the state is brought into that camera's frame, which
turns hand and object and moves their places; the term's rows are then turned back in the columns of the two places
alone, for rotations and finger angles are steps in their own axes.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dexhot.fitting.scene import UNKNOWNS, SceneState
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.poses import compose, inverse
from dexhot.geometry.rotations import quat_to_matrix
from dexhot.humans.skin import HandPose

PLACES = (slice(3, 6), slice(54, 57))  # columns of the hand's and of the object's place


@dataclass(frozen=True)
class Viewpoint:
    """A calibrated camera. "There" is in its frame, "back" in the scene's, which is that of the first camera."""

    intrinsics: Intrinsics
    camera_T_scene: np.ndarray | None = None  # (7,); None: the first camera

    @cached_property
    def rotation(self) -> np.ndarray:
        """(3, 3) camera_R_scene."""
        return np.eye(3) if self.camera_T_scene is None else quat_to_matrix(self.camera_T_scene[3:])

    @cached_property
    def shift(self) -> np.ndarray:
        """(3,) m, the scene's origin in the camera's frame."""
        return np.zeros(3) if self.camera_T_scene is None else self.camera_T_scene[:3]

    @cached_property
    def steps(self) -> np.ndarray:
        """(57, 57): a step of the state in the scene -> the same step there. Rows of a term there, times this, are its
        rows in the scene."""
        turn = np.eye(UNKNOWNS)
        for place in PLACES:
            turn[place, place] = self.rotation
        return turn

    def points_there(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3)."""
        return points if self.camera_T_scene is None else points @ self.rotation.T + self.shift

    def points_back(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3)."""
        return points if self.camera_T_scene is None else (points - self.shift) @ self.rotation

    def hand_there(self, pose: HandPose, joint: np.ndarray) -> HandPose:
        """`joint` (3,) is the wrist's in the rest pose, about which the hand turns."""
        if self.camera_T_scene is None:
            return pose
        place = self.points_there(pose.translation + joint) - joint
        return HandPose(self.rotation @ pose.rotation, place, pose.fingers)

    def hand_back(self, pose: HandPose, joint: np.ndarray) -> HandPose:
        """`joint` (3,) is the wrist's in the rest pose, about which the hand turns."""
        if self.camera_T_scene is None:
            return pose
        place = self.points_back(pose.translation + joint) - joint
        return HandPose(self.rotation.T @ pose.rotation, place, pose.fingers)

    def pose_back(self, pose: np.ndarray) -> np.ndarray:
        """camera_T_body (7,) -> scene_T_body."""
        return pose if self.camera_T_scene is None else compose(inverse(self.camera_T_scene), pose)

    def state_there(self, state: SceneState, joint: np.ndarray) -> SceneState:
        """Hand and object; `joint` as above."""
        if self.camera_T_scene is None:
            return state
        hand = self.hand_there(state.hand, joint)
        return SceneState(hand, self.rotation @ state.rotation, self.points_there(state.position))

    def equations_back(self, A: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Normal equations (57, 57) and (57,)."""
        if self.camera_T_scene is None:
            return A, g
        return self.steps.T @ A @ self.steps, self.steps.T @ g
