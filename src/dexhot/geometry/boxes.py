"""Boxes: in images, (4,) x0 y0 x1 y1 px, and in space."""

import numpy as np


def box_around(pixels: np.ndarray) -> np.ndarray:
    """(4,) around pixels (N, 2), such as a hand's keypoints; NaN without any."""
    return np.concatenate([pixels.min(axis=0), pixels.max(axis=0)]) if len(pixels) else np.full(4, np.nan)


def box_of(mask: np.ndarray, pixels: np.ndarray | None = None) -> np.ndarray:
    """(4,) around a mask, and around keypoints; NaN without either."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    corners = np.stack([columns[[0, -1]], rows[[0, -1]]], -1) if len(rows) else np.zeros((0, 2))
    corners = corners if pixels is None else np.concatenate([corners, pixels])
    return box_around(corners)


def overlaps(boxes: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(K,) intersection over union of boxes (K, 4) with another (4,)."""
    low, high = np.maximum(boxes[:, :2], other[:2]), np.minimum(boxes[:, 2:], other[2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=1)
    areas = [np.prod(np.maximum(x[..., 2:] - x[..., :2], 0.0), axis=-1) for x in (boxes, other)]
    found: np.ndarray = shared / np.maximum(areas[0] + areas[1] - shared, 1e-9)
    return found


def window(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Rows and columns of the part of an image with all that is True in `mask` (H, W), which is not empty, and `margin`
    px around it."""
    left, top, right, bottom = box_of(mask)
    return (
        slice(max(top - margin, 0), bottom + margin + 1),
        slice(max(left - margin, 0), right + margin + 1),
    )


def corners_of(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(8, 3) corners of the box in space between the corners `low` and `high` (3,)."""
    return np.array([(x, y, z) for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
