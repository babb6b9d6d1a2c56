"""MMPose's inferencer behind the HandKeypoints protocol, where a lab has it installed (mmcv has no wheels for most
Pythons; rtmpose.py runs its hand model without it)."""

from typing import Any

import numpy as np

from dexhot.errors import DexhotError
from dexhot.perception.protocols import HandSighting

LEAST = 0.3  # mean score of the keypoints below which an instance is no hand


class MmposeHands:
    """`inferencer`: MMPoseInferencer("hand"), or another model of 21 keypoints. It does not tell sides: each hand is a
    `side` one."""

    def __init__(self, inferencer: Any, side: str = "right"):
        self.inferencer, self.side = inferencer, side

    def __call__(self, color: np.ndarray) -> list[HandSighting]:
        """The hands in the image, the surest first. Raises DexhotError for a model of another skeleton."""
        [instances] = next(self.inferencer(color[..., ::-1], return_vis=False))["predictions"]  # BGR, as mmcv reads
        found = []
        for one in instances:
            pixels = np.asarray(one["keypoints"], float)
            if pixels.shape != (21, 2):
                raise DexhotError(
                    f"MMPose's model gives {len(pixels)} keypoints; a hand has 21: MMPoseInferencer('hand')."
                )
            score = float(np.clip(np.mean(one["keypoint_scores"]), 0.0, 1.0))
            if score >= LEAST:
                found.append(HandSighting(self.side, pixels, score, float(self.side == "right"), np.zeros(21)))
        return sorted(found, key=lambda hand: -hand.confidence)


def load_mmpose(side: str = "right", device: str = "cpu") -> MmposeHands:
    """MMPose's own hand model, which it downloads. Raises DexhotError where mmpose is not installed."""
    try:
        from mmpose.apis import MMPoseInferencer
    except ImportError as e:
        raise DexhotError(
            f"mmpose cannot be imported ({e}): rtmpose.RtmposeHand runs its hand model with onnxruntime alone."
        ) from e
    return MmposeHands(MMPoseInferencer("hand", device=device), side)
