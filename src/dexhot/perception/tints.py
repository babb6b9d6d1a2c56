"""Label masks drawn over an image."""

from collections.abc import Mapping

import numpy as np

TINTS = {1: (235, 130, 50), 2: (60, 150, 245), 3: (155, 95, 230)}  # of labels: right hand or robot, object, left hand


def tinted(
    image: np.ndarray, labels: np.ndarray, part: float = 0.4, tints: Mapping[int, tuple[int, ...]] = TINTS
) -> np.ndarray:
    """(H, W, 3) float: the image, its labelled pixels with a part of their label's colour."""
    out = np.array(image, float)
    for label, tint in tints.items():
        there = labels == label
        out[there] = (1 - part) * out[there] + part * np.array(tint)
    return out
