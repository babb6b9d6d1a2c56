"""The closest real hand pose to a virtual one: similar viewpoints first, then aligned, palm-normalised joints
(residual hand agent, III-C)."""

import numpy as np

from dexhot.data.keypoints import WRIST, wrist_axes
from dexhot.datasets.hand_poses import HandPoses, palm_normalised, palm_size, viewpoints
from dexhot.errors import DexhotError

SIMILAR = np.cos(np.radians(15.0))  # of viewpoints
FEWEST = 32  # poses that are compared by their joints, however far their viewpoints are


class Retrieval:
    """Looks up poses of one set."""

    def __init__(self, poses: HandPoses, seed: list[int] | None = None):
        """seed: of a random half of the set, as another person's; None: all."""
        self.poses = poses
        count = len(poses.keypoints)
        chosen = np.arange(count)
        if seed is not None:
            chosen = np.sort(np.random.default_rng(seed).permutation(count)[: -(-count // 2)])
        self.chosen = chosen
        self.shapes = palm_normalised(poses.keypoints[chosen]).reshape(len(chosen), 63)
        self.views = viewpoints(poses.keypoints[chosen]) if poses.viewed else None

    def closest(self, virtual: np.ndarray) -> int:
        """Number of the pose closest to keypoints (21, 3) m in the virtual camera's frame."""
        near = np.arange(len(self.chosen))
        if self.views is not None:
            along = self.views @ viewpoints(virtual)
            near = np.flatnonzero(along >= SIMILAR)
            if len(near) < FEWEST:
                near = np.argsort(-along, kind="stable")[:FEWEST]
        off = self.shapes[near] - palm_normalised(virtual).ravel()
        return int(self.chosen[near[np.argmin(np.einsum("nk,nk->n", off, off))]])


def put_at(poses: HandPoses, number: int, virtual: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
    """The real hand in the virtual one's place, (21, 3) m in the virtual camera's frame: moved to its wrist, resized to
    its palm, and turned. A hand that a camera saw is turned in the picture's plane alone, which leaves its viewpoint as
    it was; another one as a whole.

    seen (21, 3) m: an estimate of that hand, which keeps its errors.
    """
    real = poses.keypoints[number]
    turn = wrist_axes(virtual, "right") @ wrist_axes(real, "right").T
    if poses.viewed:
        turn = in_plane(turn)
    size = float(palm_size(virtual) / palm_size(real))
    moved = real if seen is None else seen
    placed: np.ndarray = size * (moved - real[WRIST]) @ turn.T + virtual[WRIST]
    return placed


def in_plane(turn: np.ndarray) -> np.ndarray:
    """The turn about the optical axis that is closest to a rotation (3, 3)."""
    angle = np.arctan2(turn[1, 0] - turn[0, 1], turn[0, 0] + turn[1, 1])
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def need_colour(poses: HandPoses) -> None:
    """Raises DexhotError where the set's images cannot be read by the embedded estimator."""
    if poses.images and not poses.colour:
        raise DexhotError(
            f"{poses.name} has depth pictures, which the embedded estimator cannot read; run yours on them and give "
            "its results in the annotation's layout: --estimates FILE."
        )
