"""Every keypoint of a seen hand in metres: by its shape where depth is missing, by the palm's known length without any.

The landmark model gives u, v and the depth relative to the wrist, all in pixels: a shape up to its scale. One measured
depth fixes the scale, or the palm's length does.
"""

import numpy as np

from dexhot.data.keypoints import INDEX_MCP, LITTLE_MCP, MIDDLE_MCP, WRIST
from dexhot.geometry.cameras import Intrinsics
from dexhot.perception.protocols import HandSighting

# Bones of the palm, rigid, and their lengths relative to wrist - middle knuckle, of a hand of GRAB.
PALM_BONES = np.array([[WRIST, INDEX_MCP], [WRIST, MIDDLE_MCP], [WRIST, LITTLE_MCP], [INDEX_MCP, LITTLE_MCP]])
PALM_RATIOS = np.array([1.04, 1.0, 0.91, 0.55])


def wrist_depth(camera: Intrinsics, hand: HandSighting, measured: np.ndarray, palm_length: float) -> float:
    """m along the optical axis: the median over measured points (21, 3), NaN where unknown, or by the palm's length."""
    known = np.isfinite(measured[:, 2])
    if known.any():
        return float(np.median(measured[known, 2] / (1.0 + hand.along[known] / camera.fx)))
    shape = _at(camera, hand, 1.0)
    bones = np.linalg.norm(shape[PALM_BONES[:, 0]] - shape[PALM_BONES[:, 1]], axis=1)
    return palm_length * float(PALM_RATIOS.sum() / max(bones.sum(), 1e-6))


def _at(camera: Intrinsics, hand: HandSighting, wrist: float) -> np.ndarray:
    """(21, 3) m: the hand's shape with the wrist at this depth, to which it is proportional."""
    points: np.ndarray = camera.backproject(hand.pixels, wrist * (1.0 + hand.along / camera.fx))
    return points


def filled(camera: Intrinsics, hand: HandSighting, measured: np.ndarray, palm_length: float) -> np.ndarray:
    """(21, 3) m, camera frame: the measured points, and the others at the wrist's depth by the hand's shape."""
    shape = _at(camera, hand, wrist_depth(camera, hand, measured, palm_length))
    out: np.ndarray = np.where(np.isfinite(measured), measured, shape)
    return out
