"""HandyPriors' table I, right half, as rows of `dexhot bench ekf`: how well a held object is known by what is
observed of both.

The paper filters SM1 of HO-3D, a mustard bottle in a hand; HO-3D is not ours to ship, so these are GRAB's lifts. Until
the object is lifted everything is observed; from then on, for FOLLOWED seconds, only

hand      the fingertips in space
object    its centre (without its rotation)
both      fingertips and centre

and, of ours, the same with all 21 keypoints and the whole pose. Errors are Chamfer distances, the mean of both
directions, of the object's vertices where they are estimated and where they are: in space, and in a camera's image.
"""

import time
from typing import Any

import numpy as np

from dexhot.geometry.cameras import pinhole
from dexhot.geometry.poses import transform
from dexhot.metrics.pose_errors import chamfer
from dexhot.objects.library import load_object
from dexhot.tracking.hand_object_filter import HandObjectFilter
from dexhot.tracking.observations import Observation, SeenCentre, SeenKeypoints
from dexhot_bench.ekf_motions import POSITION, RealMotion, Sighted, lifts, sighted

PUBLISHED = {  # HandyPriors table I: 2D and 3D error ("cm", also of the image), runtime in s
    "fingertips": {"error_2d": 44.59, "error_3d_cm": 5.57, "seconds": 0.024},
    "centre": {"error_2d": 19.00, "error_3d_cm": 11.24, "seconds": 0.027},
    "fingertips_and_centre": {"error_2d": 8.84, "error_3d_cm": 7.41, "seconds": 0.029},
}
ROWS = (*PUBLISHED, "keypoints", "pose", "keypoints_and_pose")
FOLLOWED = 2.0  # s
TIPS = np.array([4, 8, 12, 16, 20])
VERTICES, EVERY = 300, 6  # at most, of a mesh; frames between those compared
CAMERA, AWAY = pinhole(640, 480, 42.0), 0.7  # m in front of the object where it is lifted


def table(motions: list[RealMotion], clips: int) -> dict[str, Any]:
    """Metrics `table1_ROW_3d_cm`, `_2d_px` and `_update_ms`, medians over at most `clips` lifts."""
    held = lifts(motions, clips)
    out: dict[str, Any] = {"table1_clips": len(held)}
    for row in ROWS if held else ():
        found = np.array([follow_held(m, seed, row) for seed, m in enumerate(held)])
        for name, value in zip(("3d_cm", "2d_px", "update_ms"), np.median(found, axis=0)):
            out[f"table1_{row}_{name}"] = float(value)
    return out


def follow_held(motion: RealMotion, seed: int, row: str) -> tuple[float, float, float]:
    """Chamfer distances of one clip, cm and px, and the time of an update, ms."""
    first = motion.lifted()
    assert first is not None
    last = int(np.searchsorted(motion.time, motion.time[first] + FOLLOWED))
    vertices = load_object(motion.object_name).vertices
    vertices = vertices[:: max(1, len(vertices) // VERTICES)]
    centre = vertices.mean(axis=0)
    eye = motion.pose[first, :3] - [0.0, 0.0, AWAY]
    f, space, image, spent = HandObjectFilter(symmetry=motion.symmetry), [], [], []
    for k, seen in enumerate(sighted(motion, seed)[: last + 1]):
        now = observed(seen, row, centre) if k > first else [o for o in (seen.hand, seen.object) if o is not None]
        began = time.thread_time()
        f.observe(seen.stamp, *now)
        if k <= first:
            continue
        spent.append(time.thread_time() - began)
        if (k - first) % EVERY == 0:
            a, b = (transform(pose, vertices) for pose in (f.estimate().object_pose, motion.pose[k]))
            space.append(chamfer(a, b))
            if min((a - eye)[:, 2].min(), (b - eye)[:, 2].min()) > 0.1:
                image.append(chamfer(CAMERA.project(a - eye), CAMERA.project(b - eye)))
    return 100 * float(np.mean(space)), float(np.mean(image)) if image else np.nan, 1e3 * float(np.median(spent))


def observed(seen: Sighted, row: str, centre: np.ndarray) -> list[Observation]:
    """What of a frame's noisy observations the row takes."""
    found: list[Observation] = []
    if row.startswith("fingertips"):
        points = np.full_like(seen.hand.points, np.nan)
        points[TIPS] = seen.hand.points[TIPS]
        found.append(SeenKeypoints(points, seen.hand.noise))
    if row.startswith("keypoints"):
        found.append(seen.hand)
    if seen.object is not None and row.endswith("pose"):
        found.append(seen.object)
    if seen.object is not None and row.endswith("centre"):
        position = transform(seen.object.pose, centre[None])[0]
        found.append(SeenCentre(position, (centre[0], centre[1], centre[2]), POSITION))
    return found
