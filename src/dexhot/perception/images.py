"""Cropping and sampling of images without an image library."""

import numpy as np


def crop(image: np.ndarray, centre: np.ndarray, size: float, angle: float, side: int) -> np.ndarray:
    """The square of `size` px about `centre`, turned by `angle` (rad), as (side, side, 3) float32 in [0, 1].

    Bilinear; black outside of the image.
    """
    steps = (np.arange(side, dtype=np.float32) / side - 0.5) * size
    c, s = np.cos(angle), np.sin(angle)
    u = centre[0] + c * steps[None] - s * steps[:, None]
    v = centre[1] + s * steps[None] + c * steps[:, None]
    return sample(image, u, v) / np.float32(255)


def sample(image: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Bilinear values (..., C) float32 of (H, W, C) at pixels u, v (...); 0 outside."""
    height, width = image.shape[:2]
    u0, v0 = np.floor(u).astype(np.int32), np.floor(v).astype(np.int32)
    a, b = (u - u0).astype(np.float32), (v - v0).astype(np.float32)
    out = np.zeros((*u.shape, image.shape[2]), np.float32)
    for du, dv in ((0, 0), (1, 0), (0, 1), (1, 1)):
        weight = (a if du else 1 - a) * (b if dv else 1 - b)
        inside = (u0 + du >= 0) & (u0 + du < width) & (v0 + dv >= 0) & (v0 + dv < height)
        found = image[np.clip(v0 + dv, 0, height - 1), np.clip(u0 + du, 0, width - 1)]
        out += found * (weight * inside)[..., None]
    return out
