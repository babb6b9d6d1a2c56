"""What the object of a recipe without depth starts from: a regressor's poses, else what its masks alone show."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dexhot.errors import ClipError
from dexhot.fitting.batch import BatchScene, Bodies
from dexhot.fitting.batch_view import BatchView
from dexhot.fitting.silhouette_search import LEAST_PIXELS, ObjectStart, last_known, overlap, search_object
from dexhot.geometry.raster.channels import CHANNELS
from dexhot.geometry.rotations import quat_to_matrix
from dexhot.progress import Report, unreported

REGRESSOR = "regressor"  # what such a start is called


def start_object(
    bodies: Bodies,
    view: BatchView,
    settings: Mapping[str, Any],
    regressed: np.ndarray | None,
    progress: Report = unreported,
) -> ObjectStart:
    """The poses of the whole clip. `regressed` (T, 7): camera_T_mesh of a regressor from colour images, NaN where it
    gave none; None: the silhouette search. Frames without a pose keep that of the frame before, those at the start the
    first one. Raises ClipError for poses of another shape, where there is none, and as `search_object` does.
    """
    if regressed is None:
        return search_object(bodies, view, settings, progress)
    if regressed.shape != (len(view), 7):
        raise ClipError(f"the regressed object poses have shape {regressed.shape}, {(len(view), 7)} is expected.")
    known = np.flatnonzero(np.isfinite(regressed).all(axis=1))
    if not len(known):
        raise ClipError("the regressor gave the object's pose in no frame; without it, the silhouette search starts.")
    poses = regressed[known[last_known(known, len(view))]]
    unknowns = bodies.object_unknowns(quat_to_matrix(poses[:, 3:]), poses[:, :3])
    overlaps = overlap(BatchScene(Bodies({}, bodies.model, bodies.table), unknowns, view.small), view)
    shown = view.masks[..., CHANNELS["object"]].sum(axis=(1, 2)) >= LEAST_PIXELS
    return ObjectStart(unknowns, float(overlaps[shown].mean()) if shown.any() else 0.0, None, REGRESSOR)
