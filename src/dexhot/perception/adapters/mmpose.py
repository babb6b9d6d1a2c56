"""MMPose's inferencer behind the HandKeypoints protocol, where a lab has it installed (mmcv has no wheels for most
Pythons; rtmpose.py runs its hand model without it)."""

from typing import Any

import numpy as np

from dexhot.errors import DexhotError
from dexhot.perception.protocols import HandSighting

AROUND = 0.25  # of a box's longer side: what of the image is shown about it
LEAST = 0.3  # mean score of the keypoints below which an instance is no hand


class MmposeHands:
    """`inferencer`: MMPoseInferencer("hand"), or another model of 21 keypoints (BoxedHandKeypoints). It does not tell
    sides: a hand without a box is a `side` one."""

    def __init__(self, inferencer: Any, side: str = "right"):
        self.inferencer, self.side = inferencer, side
        self.boxes: dict[str, np.ndarray] = {}

    def __call__(self, color: np.ndarray) -> list[HandSighting]:
        """The hands in the image, the surest first; in each of the boxes, where there are any, one. Raises DexhotError
        for a model of another skeleton."""
        boxes, self.boxes = self.boxes, {}
        if not boxes:
            return self._found(color, self.side, np.zeros(2))
        found = []
        for side, box in boxes.items():
            if not np.isfinite(box).all():
                continue
            grown = (box[2:] - box[:2]).max() * AROUND
            low = np.maximum(box[:2] - grown, 0).astype(int)
            high = np.ceil(box[2:] + grown).astype(int)
            found += self._found(color[low[1] : high[1], low[0] : high[0]], side, low)[:1]
        return found

    def _found(self, color: np.ndarray, side: str, origin: np.ndarray) -> list[HandSighting]:
        bgr = np.ascontiguousarray(color[..., ::-1])  # as mmcv reads
        [instances] = next(self.inferencer(bgr, return_vis=False))["predictions"]
        found = []
        for one in instances:
            pixels = np.asarray(one["keypoints"], float)
            if pixels.shape != (21, 2):
                raise DexhotError(
                    f"MMPose's model gives {len(pixels)} keypoints; a hand has 21: MMPoseInferencer('hand')."
                )
            score = float(np.clip(np.mean(one["keypoint_scores"]), 0.0, 1.0))
            if score >= LEAST:
                found.append(HandSighting(side, pixels + origin, score, float(side == "right")))
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
