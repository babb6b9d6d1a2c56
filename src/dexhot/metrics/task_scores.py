"""DexTrack's scores of tracking tasks and controllers (appendix C, eq. 15-26).

The printed eq. 21, 26 and the hard-to-track score divide by min(., epsilon), which must be max(., epsilon).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dexhot.data.types import Reference
from dexhot.geometry.rotations import quat_conjugate, quat_multiply, quat_to_rotvec
from dexhot.metrics.add_s import surface_points
from dexhot.metrics.pose_errors import chamfer
from dexhot.objects.asset import ObjectAsset
from dexhot.robots.kinematics.wrist import palm_poses

# Weights of eq. 20: object position (m) and rotation (rad), E_wrist, E_finger.
ERROR_WEIGHTS = {"T_err_cm": 0.01, "R_err_rad": 0.3, "E_wrist": 0.1, "E_finger": 0.1}
# Weights of eq. 16-18: hand, object position (m), object rotation (quaternion), Chamfer distance (m).
HAND, POSITION, ROTATION, SHAPE = 0.1, 1.0, 0.3, 0.5
FRAMES, POINTS = 60, 512  # at which two tasks are compared: tasks of different lengths have no common frames
EPSILON = 1e-3  # of the scores that divide by an error
Task = tuple[Reference, np.ndarray]  # and its task_points


def tracking_error(metrics: dict[str, Any]) -> float:
    """Eq. 20, with T_err in m, from a rollout's metrics (metrics.rollout.compute)."""
    return float(sum(weight * metrics[name] for name, weight in ERROR_WEIGHTS.items()))


def generalization_score(gap: float, errors: Sequence[float]) -> float:
    """Eq. 21: the gap of test and training tasks (`task_gap`) over the mean tracking error on the test tasks."""
    return gap / max(float(np.mean(errors)), EPSILON)


def robustness_score(qualities: Sequence[float], errors: Sequence[float]) -> float:
    """Eq. 25 and 26: the mean "quality" of disturbed references (reference_quality.quality, larger for worse ones) over
    the mean tracking error on them."""
    return float(np.mean(qualities)) / max(float(np.mean(errors)), EPSILON)


def hard_to_track(error: float) -> float:
    """The hard-to-track score as it is printed: the inverse of a method's error. So it is larger for an easier task."""
    return 1.0 / max(error, EPSILON)


def adaptivity(levels: Mapping[str, Sequence[int]]) -> list[float]:
    """Table 13: for level 1, 2, 3 (metrics.levels) the mean over clips of the fraction of a clip's trials that reach
    it. levels: clip -> level of each trial."""
    return [float(np.mean([np.mean(np.array(found) >= n) for found in levels.values()])) for n in (1, 2, 3)]


def task_gap(tasks: Sequence[Task], training: Sequence[Task]) -> float:
    """Eq. 15: the mean over `tasks` of the difference to the nearest training task."""
    return float(np.mean([min(task_difference(*task, *other) for other in training) for task in tasks]))


def phases(reference: Reference, count: int = FRAMES) -> np.ndarray:
    """(count,) frames at equal phases: a quarter before the grasp, half while the object moves, a quarter after."""
    marks = [0, reference.grasp_start, reference.grasp_end, len(reference.q) - 1]
    frames: np.ndarray = np.interp(np.linspace(0.0, 1.0, count), [0.0, 0.25, 0.75, 1.0], marks)
    return frames


def task_points(asset: ObjectAsset) -> np.ndarray:
    """(POINTS, 3) m, the object's surface about its centroid: compute once per task."""
    points = surface_points(asset.vertices, asset.faces, POINTS)
    centred: np.ndarray = points - points.mean(axis=0)
    return centred


def task_difference(a: Reference, points_a: np.ndarray, b: Reference, points_b: np.ndarray) -> float:
    """Eq. 16-18 between two tasks and their `task_points`.

    Ours where the paper is silent: frames are matched by phase; positions are relative to the object's first one; the
    hand's state is the palm's position (m) and rotation (rad) and the finger joints (rad).
    """
    hand_a, position_a, quat_a = _states(a)
    hand_b, position_b, quat_b = _states(b)
    palm = quat_to_rotvec(quat_multiply(quat_conjugate(hand_a[1]), hand_b[1]))
    hand = np.concatenate([hand_a[0] - hand_b[0], palm, hand_a[2] - hand_b[2]], axis=1)
    turn = np.minimum(np.linalg.norm(quat_a - quat_b, axis=1), np.linalg.norm(quat_a + quat_b, axis=1))
    motion = HAND * np.linalg.norm(hand, axis=1) + POSITION * np.linalg.norm(position_a - position_b, axis=1)
    return float((motion + ROTATION * turn).mean() + SHAPE * chamfer(points_a, points_b))


def neighbours(differences: np.ndarray, count: int) -> np.ndarray:
    """(N, min(count, N - 1)) indices of each task's nearest others, from the matrix of differences (N, N)."""
    away = differences + np.diag(np.full(len(differences), np.inf))
    order: np.ndarray = np.argsort(away, axis=1, kind="stable")[:, : min(count, len(away) - 1)]
    return order


def _states(r: Reference) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray, np.ndarray]:
    """Palm positions, rotations and finger joints; object positions and rotations; at the phases."""
    frames = np.rint(phases(r)).astype(int)
    palm, origin = palm_poses(r.base_quat, r.q[frames]), r.object_pose[0, :3]
    hand = palm[:, :3] - origin, palm[:, 3:], r.q[frames, 6:]
    return hand, r.object_pose[frames, :3] - origin, r.object_pose[frames, 3:]
