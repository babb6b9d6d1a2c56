"""A known object whose pose an estimator of a lab gives (ObjectPose): registered in masks, followed, found again."""

import numpy as np

from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.planes import table_plane
from dexhot.geometry.poses import pose_to_matrix
from dexhot.perception.object_pose import LOST, SURE, RigidModel
from dexhot.perception.object_track import CANDIDATES, RETRY, ObjectTrack
from dexhot.perception.protocols import ObjectPose, ObjectSighting
from dexhot.perception.segmentation import ModelMask


class EstimatedTrack(ObjectTrack):
    """As ObjectTrack, with `poses` in the place of registration and tracking by depth.

    A pose below LOST is no pose: the object is registered anew, in every RETRY-th image, in the segmenter's mask, or
    where it is expected, or in regions above the table.
    """

    def __init__(self, poses: ObjectPose, model: RigidModel, mask: ModelMask, prompt: np.ndarray | None = None):
        super().__init__(model, mask, prompt)
        self.poses = poses

    def __call__(
        self,
        camera: Intrinsics,
        depth: np.ndarray,
        time: float,
        hidden: np.ndarray,
        color: np.ndarray | None = None,
    ) -> tuple[ObjectSighting | None, float]:
        """The sighting, None while it is lost; and the best confidence. Needs `color`."""
        assert color is not None, "an estimator of poses is given images"
        found = None
        if not self.estimator.lost:
            found = self.poses.follow(camera, color, depth, time, hidden)
            self.estimator.lost = found.confidence < LOST
        if self.estimator.lost and self.number % RETRY == 0:
            found = self._register(camera, color, depth, hidden) or found
        self.number += 1
        if found is None:
            return None, 0.0
        return (None if self.estimator.lost else found), found.confidence

    def _register(
        self, camera: Intrinsics, color: np.ndarray, depth: np.ndarray, hidden: np.ndarray
    ) -> ObjectSighting | None:
        """The best of the masks, unless several things look like the object and nobody said which it is."""
        if self.plane is None:
            self.on(table_plane(camera, depth))
        masks, marked = self._masks(camera, depth, hidden)
        expected = [] if marked else [self.mask(pose_to_matrix(guess), depth, hidden) for guess in self.guesses]
        masks = [*(mask for mask in expected if mask.any()), *masks]
        tried = [(mask, self.poses.register(camera, color, depth, mask)) for mask in masks[:CANDIDATES]]
        found = [(mask, one) for mask, one in tried if one is not None]
        if not found:
            return None
        mask, best = max(found, key=lambda pair: pair[1].confidence)
        if best.confidence < (LOST if marked else SURE):
            return best
        self.ambiguous = "" if marked else self._others(camera, best, [one for _, one in found])
        if self.ambiguous:
            return best
        if mask is not tried[-1][0]:  # the estimator follows what it registered last
            self.poses.register(camera, color, depth, mask)
        self.estimator.lost = False
        return best
