"""FoundationPose behind the ObjectPose protocol, in both of its APIs; the user installs it and makes its estimator.

NVlabs/FoundationPose: register(K, rgb, depth, ob_mask, iteration), track_one(rgb, depth, K, iteration) -> 4x4.
nvidia-isaac/foundation-pose-inference-library: register(frame, objects, masks, depth), track(frame, depth).
Neither reports a confidence: `DepthObjectPose.confidence` of the same mesh judges their poses.
"""

from typing import Any

import numpy as np

from dexhot.geometry.cameras import Intrinsics
from dexhot.perception.object_pose import DepthObjectPose, RigidModel
from dexhot.perception.protocols import ObjectSighting


class FoundationPose:
    """`estimator`: NVlabs' FoundationPose object, made for the same mesh as `model` in m."""

    def __init__(self, estimator: Any, model: RigidModel, iterations: tuple[int, int] = (5, 2)):
        self.estimator, self.judge, self.iterations = estimator, DepthObjectPose(model), iterations

    def register(
        self, camera: Intrinsics, color: np.ndarray, depth: np.ndarray, mask: np.ndarray
    ) -> ObjectSighting | None:
        """None where the mask has no depth."""
        if not (mask & (depth > 0)).any():
            return None
        pose = self.estimator.register(
            K=matrix(camera), rgb=color, depth=depth, ob_mask=mask, iteration=self.iterations[0]
        )
        return _judged(self.judge, camera, pose, depth, np.zeros_like(mask))

    def follow(
        self, camera: Intrinsics, color: np.ndarray, depth: np.ndarray, time: float, hidden: np.ndarray
    ) -> ObjectSighting:
        """The next pose."""
        pose = self.estimator.track_one(rgb=color, depth=depth, K=matrix(camera), iteration=self.iterations[1])
        return _judged(self.judge, camera, pose, depth, hidden)


class FoundationPoseLibrary:
    """`estimator`: the inference library's MultiObjectEstimator; `name`: the object's in it."""

    def __init__(self, estimator: Any, name: str, model: RigidModel):
        self.estimator, self.name, self.judge = estimator, name, DepthObjectPose(model)

    def register(
        self, camera: Intrinsics, color: np.ndarray, depth: np.ndarray, mask: np.ndarray
    ) -> ObjectSighting | None:
        """None where the mask has no depth."""
        if not (mask & (depth > 0)).any():
            return None
        [pose] = self.estimator.register(color, [self.name], [mask], depth)
        return _judged(self.judge, camera, pose, depth, np.zeros_like(mask))

    def follow(
        self, camera: Intrinsics, color: np.ndarray, depth: np.ndarray, time: float, hidden: np.ndarray
    ) -> ObjectSighting:
        """The next pose."""
        [pose] = self.estimator.track(color, depth)
        return _judged(self.judge, camera, pose, depth, hidden)


def matrix(camera: Intrinsics) -> np.ndarray:
    """(3, 3) K."""
    return np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1.0]])


def _judged(
    judge: DepthObjectPose, camera: Intrinsics, pose: Any, depth: np.ndarray, hidden: np.ndarray
) -> ObjectSighting:
    T = np.asarray(pose, float).reshape(4, 4)
    R, t = np.ascontiguousarray(T[:3, :3]), np.ascontiguousarray(T[:3, 3])
    return ObjectSighting(T, *judge.confidence(camera, R, t, np.asarray(depth, np.float32), hidden))
