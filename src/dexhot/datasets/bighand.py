"""BigHand2.2M (Yuan et al., CVPR 2017), as published with the HANDS 2017 challenge: depth pictures and 21 joints.

Training_Annotation.txt (in the copy or its training/)   a line per picture: its name, then 63 numbers, x y z in mm in
                                                         the camera's frame; wrist, five knuckles, three joints a finger
images/NAME (beside it)                                  640x480 depth, 16 bit, mm

A file of an estimator's results has the same lines; pictures without one are misses.
"""

from pathlib import Path

import numpy as np

from dexhot.datasets.hand_poses import PUBLISHED_ORDER, HandPoses, as_right
from dexhot.errors import FileFormatError
from dexhot.geometry.cameras import Intrinsics

ANNOTATION = "Training_Annotation.txt"
CAMERA = Intrinsics(640, 480, 475.065948, 475.065857, 315.944855, 245.287079)
TERMS = """\
BigHand2.2M (Yuan et al., CVPR 2017) is for academic research only; it is requested from its authors, may not be passed
on, and its paper must be cited. dexhot reads your copy."""


def bighand_poses(folder: Path, every: int = 1) -> HandPoses:
    """The poses of a copy, every `every`-th. Raises FileFormatError for another folder or a damaged line."""
    found = [place / ANNOTATION for place in (folder, folder / "training") if (place / ANNOTATION).is_file()]
    if not found:
        raise FileFormatError(f"{folder} is not BigHand2.2M as published: it needs {ANNOTATION}, here or in training/.")
    rows = read_lines(found[0], every)
    pictures = found[0].parent / "images"
    images = tuple(pictures / name for name in rows) if pictures.is_dir() else ()
    return as_right(HandPoses("bighand", np.stack(list(rows.values())), True, images, CAMERA, colour=False))


def read_lines(path: Path, every: int = 1) -> dict[str, np.ndarray]:
    """Picture -> keypoints (21, 3) m in MediaPipe's order. Raises FileFormatError naming the line."""
    rows: dict[str, np.ndarray] = {}
    with open(path) as lines:
        for number, line in enumerate(lines, start=1):
            if (number - 1) % every or not line.strip():
                continue
            name, *numbers = line.split()
            try:
                points = np.array([float(x) for x in numbers]).reshape(21, 3)
            except ValueError:
                raise FileFormatError(
                    f"{path}, line {number}: expected a picture's name and 63 numbers, got {len(numbers)} after "
                    f"{name!r}."
                ) from None
            if not np.isfinite(points).all() or not (points[:, 2] > 0).all():
                raise FileFormatError(f"{path}, line {number}: a joint of {name} is not before the camera.")
            rows[name] = 1e-3 * points[PUBLISHED_ORDER]
    if not rows:
        raise FileFormatError(f"{path} is empty.")
    return rows
