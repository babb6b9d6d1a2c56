"""The poses that a regressor (ObjectRegressor) gives over a recording, from its colour images and masks alone."""

from typing import Any

import numpy as np

from dexhot.data.labels import LABELS
from dexhot.data.recording import Recording
from dexhot.data.types import Evidence
from dexhot.errors import DexhotError
from dexhot.fitting.frames import check_evidence
from dexhot.geometry.poses import matrix_to_pose
from dexhot.perception.object_pose import LOST
from dexhot.perception.protocols import ObjectRegressor
from dexhot.progress import Report, unreported

FARTHEST = 20.0  # m from the camera to an object that is handled: more is another unit
SLACK = 1e-3  # by which a rotation's rows may fail to be orthonormal


def regressed_poses(
    regressor: ObjectRegressor, recording: Recording, evidence: Evidence, progress: Report = unreported
) -> tuple[np.ndarray, np.ndarray]:
    """(T, 7) camera_T_mesh and its scores (T,), both NaN where the object's mask is empty or the regressor gives none;
    a pose whose score is below LOST is NaN alone.

    Raises DexhotError, naming the frame, for what is no pose in front of the camera with a score, where the regressor
    gives no pose at all, and for evidence of other frames.
    """
    check_evidence(recording, evidence)
    T = len(recording)
    poses, scores = np.full((T, 7), np.nan), np.full(T, np.nan)
    for t in range(T):
        mask = evidence.labels[t] == LABELS["object"]
        found = regressor(recording.intrinsics, recording.color[t], mask) if mask.any() else None
        if found is not None:
            pose, scores[t] = _checked(found, t)
            if scores[t] >= LOST:
                poses[t] = matrix_to_pose(pose)
        progress(t + 1, T, "the object by the regressor, frames")
    if not np.isfinite(poses).any():
        best = "it gave none" if np.isnan(scores).all() else f"its best score is {np.nanmax(scores):.2f}"
        raise DexhotError(
            f"the regressor saw the object in no frame of {recording.name} ({best}, {LOST:g} is needed): leave it out, "
            "and the object is searched by its masks."
        )
    return poses, scores


def _checked(found: Any, t: int) -> tuple[np.ndarray, float]:
    """Pose (4, 4) and score of frame t. Raises DexhotError."""
    try:
        pose, score = found
        pose, score = np.asarray(pose, float), float(score)
    except (TypeError, ValueError) as e:
        raise DexhotError(
            f"frame {t}: a regressor gives a pose (4, 4) and a score, or None; this one gave {type(found).__name__}: "
            f"{e}."
        ) from e
    why = ""
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        why = f"has shape {pose.shape}; finite numbers (4, 4) are expected, camera_T_mesh"
    elif not _rigid(pose):
        why = "is not a rotation and a translation above the row 0 0 0 1"
    elif not 0.0 < pose[2, 3] < FARTHEST:
        why = f"puts the object {pose[2, 3]:.3g} m along the view; it must be before the camera, in m"
    elif not 0.0 <= score <= 1.0:
        why = f"has the score {score:.3g}, which must be in [0, 1]"
    if why:
        raise DexhotError(f"frame {t}: the regressor's pose {why}.")
    return pose, score


def _rigid(pose: np.ndarray) -> bool:
    R = pose[:3, :3]
    turns = np.allclose(R @ R.T, np.eye(3), atol=SLACK) and np.linalg.det(R) > 0
    return bool(turns and np.allclose(pose[3], [0, 0, 0, 1], atol=SLACK))
