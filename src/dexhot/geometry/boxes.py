"""Boxes in images, (4,) x0 y0 x1 y1 px."""

import numpy as np


def box_around(pixels: np.ndarray) -> np.ndarray:
    """(4,) around pixels (N, 2), such as a hand's keypoints; NaN without any."""
    return np.concatenate([pixels.min(axis=0), pixels.max(axis=0)]) if len(pixels) else np.full(4, np.nan)
