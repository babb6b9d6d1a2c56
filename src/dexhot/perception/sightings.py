"""What one image of a clip gives of a hand: its keypoints in space, and the boxes around it."""

from dataclasses import dataclass

import numpy as np

from dexhot.data.labels import LEFT, RIGHT
from dexhot.geometry.cameras import Intrinsics
from dexhot.perception import mask_kernels as kernels
from dexhot.perception.protocols import HandSighting

LABEL = {"right": RIGHT, "left": LEFT}
SPREAD = 0.12  # m between a keypoint's depth and the hand's median
BESIDE, GUESSED = 3, 0.3  # px from the hand's mask up to which a keypoint is on it; of a confidence, beside it


@dataclass
class SeenHand:
    """A sighting of one image, until the whole clip tells whether it is the hand."""

    frame: int
    boxes: np.ndarray  # (2, 4) px, around its mask and keypoints, and around the keypoints alone, as detectors do
    keypoints: np.ndarray  # (21, 6) as in Evidence
    pixels: np.ndarray  # of its mask, in the flat image
    mesh: np.ndarray | None = None  # (V, 3) m, of a regressor
    relative_depth: np.ndarray | None = None  # (21,) px as in HandSighting


def in_space(camera: Intrinsics, depth: np.ndarray, hand: HandSighting, mask: np.ndarray | None = None) -> np.ndarray:
    """(21, 6) x y z u v confidence: where the depth (m) at a keypoint is that of the hand, else x y z are NaN.

    A keypoint beside the hand's mask is a guess at what is hidden, or wrong: its confidence falls to GUESSED of it.
    """
    height, width = depth.shape
    out = np.full((21, 6), np.nan)
    out[:, 3:5], out[:, 5] = hand.pixels, hand.confidence
    u, v = np.round(hand.pixels).astype(int).T
    inside = np.flatnonzero((u >= 0) & (v >= 0) & (u < width) & (v < height))
    if mask is not None:
        out[inside[~kernels.near(mask, u[inside], v[inside], BESIDE)], 5] *= GUESSED
    z = np.zeros(21)
    z[inside] = kernels.measured_at(depth, u[inside], v[inside])
    if not z.any():
        return out
    middle = np.median((z - hand.along * z / camera.fx)[z > 0])  # depth of the wrist
    expected = middle + hand.along * middle / camera.fx
    on = (z > 0) & (np.abs(z - expected) < SPREAD / 2)
    out[on, :3] = camera.backproject(hand.pixels[on], z[on])
    return out
