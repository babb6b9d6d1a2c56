"""Cropping of images without an image library."""

import numpy as np

from dexhot.perception.mask_kernels import read_square


def crop(image: np.ndarray, centre: np.ndarray, size: float, angle: float, side: int) -> np.ndarray:
    """The square of `size` px about `centre`, turned by `angle` (rad), as (side, side, 3) float32 in [0, 1].

    Bilinear; black outside of the image.
    """
    step = size / side
    along = step * np.array([np.cos(angle), np.sin(angle)])
    down = np.array([-along[1], along[0]])
    first = np.asarray(centre, float) - 0.5 * side * (along + down)
    out = np.empty((side, side, 3), np.float32)
    read_square(image, first[0], first[1], along, down, out)
    return out
