"""Motion of MANO hands in datasets' files: moved into another frame, mirrored, and turned into keypoints."""

from dataclasses import dataclass

import numpy as np

from dexhot.data.keypoints import wrist_pose
from dexhot.data.types import HandTrack
from dexhot.geometry.poses import compose, make_pose
from dexhot.geometry.rotations import quat_to_rotvec, rotvec_to_quat
from dexhot.humans.skin import HandPose, SkinnedHand

MODEL = "mano"


@dataclass
class ManoMotion:
    """A person's hand over time."""

    hand: SkinnedHand
    shape: np.ndarray  # (S,)
    parameters: np.ndarray  # (T, 51): rotation vector of the wrist, translation, 45 finger angles

    @property
    def root(self) -> np.ndarray:
        """(3,) m, the wrist joint in the rest pose: what the wrist's rotation turns about."""
        root: np.ndarray = self.hand.shaped(self.shape).joints[0]
        return root

    def seen_from(self, a_T_b: np.ndarray) -> "ManoMotion":
        """The same motion in frame a; `a_T_b` (7,) or (T, 7)."""
        wrist = make_pose(self.parameters[:, 3:6] + self.root, rotvec_to_quat(self.parameters[:, :3]))
        wrist = compose(a_T_b, wrist)
        moved = self.parameters.copy()
        moved[:, :3], moved[:, 3:6] = quat_to_rotvec(wrist[:, 3:]), wrist[:, :3] - self.root
        return ManoMotion(self.hand, self.shape, moved)

    def points(self, vertices: bool = False) -> np.ndarray:
        """(T, 21, 3) keypoints in MediaPipe's order, or the (T, V, 3) vertices, m."""
        person, table = self.hand.shaped(self.shape), self.hand.table(self.hand.own_convention)
        posed = [person.posed(HandPose.from_vector(row)) for row in self.parameters]
        return np.stack([one.vertices if vertices else one.keypoints(table) for one in posed])

    def track(self) -> HandTrack:
        """Keypoints with full confidence, and the parameters with the shape behind them."""
        keypoints = self.points()
        shapes = np.tile(self.shape, (len(keypoints), 1))
        parameters = np.concatenate([self.parameters, shapes], axis=1)
        wrist = wrist_pose(keypoints, self.hand.side)
        return HandTrack(keypoints, wrist, np.ones(keypoints.shape[:2]), MODEL, parameters)
