"""RTMPose-hand through onnxruntime: 21 keypoints of the hand in a box.

Input 1x3x256x256 (RGB, box padded by 1.25, normalised by ImageNet's mean and deviation in 0 to 255); outputs simcc_x
and simcc_y (1, 21, 512): a keypoint is the argmax over 2, its confidence the maximum (rtmlib 0.0.16).
"""

from pathlib import Path
from typing import Any

import numpy as np

from dexhot.errors import DexhotError, MissingExtraError
from dexhot.perception.images import crop
from dexhot.perception.weights import given_file

FILE = "rtmpose-m_simcc-hand5_pt-aic-coco_210e-256x256-74fb594_20230320.onnx"
SOURCE = "OpenMMLab's rtmposev1 ONNX SDK archive (Apache-2.0)"
SIDE, PADDING, SPLIT = 256, 1.25, 2
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)


class RtmposeHand:
    """Raises MissingExtraError, FileFormatError without the file, and DexhotError for another network."""

    def __init__(self, path: Path | None = None):
        try:
            import onnxruntime
        except ImportError as e:
            raise MissingExtraError("RTMPose", "perception") from e
        path = path or given_file(FILE, SOURCE)
        self.session: Any = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        [self.input] = [i.name for i in self.session.get_inputs()]
        outputs = [o.name for o in self.session.get_outputs()]
        if not {"simcc_x", "simcc_y"} <= set(outputs):
            raise DexhotError(f"{path} has outputs {', '.join(outputs)}; RTMPose-hand has simcc_x and simcc_y.")

    def __call__(self, color: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Image and box (4,) x0 y0 x1 y1 px -> keypoints (21, 2) px and their confidences (21,)."""
        centre = (box[:2] + box[2:]) / 2
        size = PADDING * float((box[2:] - box[:2]).max())
        x = (255 * crop(color, centre, size, 0.0, SIDE) - MEAN) / DEVIATION
        along, down = self.session.run(["simcc_x", "simcc_y"], {self.input: x.transpose(2, 0, 1)[None]})
        place = np.stack([along[0].argmax(-1), down[0].argmax(-1)], -1) / SPLIT
        confidence = np.minimum(along[0].max(-1), down[0].max(-1))
        return centre + (place / SIDE - 0.5) * size, confidence
