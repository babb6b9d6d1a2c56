"""The labels of Evidence's images."""

from collections.abc import Iterable

import numpy as np

RIGHT, OBJECT, LEFT = 1, 2, 3  # right: or the robot's hand; the rasteriser orders its channels otherwise
LABELS = {"background": 0, "right": RIGHT, "object": OBJECT, "left": LEFT}


def label_boxes(labels: np.ndarray, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Boxes (T, 4) x0 y0 x1 y1 px around the labels `names` in images (T, H, W), NaN where there are none."""
    found = {}
    for name in names:
        boxes = np.full((len(labels), 4), np.nan)
        for t, picture in enumerate(labels == LABELS[name]):
            rows, columns = np.flatnonzero(picture.any(axis=1)), np.flatnonzero(picture.any(axis=0))
            if len(rows):
                boxes[t] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        found[name] = boxes
    return found
