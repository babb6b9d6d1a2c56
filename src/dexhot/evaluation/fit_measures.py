"""What a fit of a recording is worth, frame by frame: against the truth, or by proxies where there is none."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from dexhot.data.labels import OBJECT
from dexhot.data.recording import Recording
from dexhot.data.types import Evidence
from dexhot.fitting.scene import HandObjectScene
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.depth_kernels import draw_depth
from dexhot.geometry.equivalents import reduced_angle
from dexhot.geometry.poses import transform
from dexhot.geometry.rotations import quat_angle
from dexhot.humans.skin import KeypointTable
from dexhot.metrics.pose_errors import (
    auc,
    chamfer,
    f_score,
    joint_error,
    nearest_distance,
    procrustes,
    scaled_and_moved,
)
from dexhot.objects.asset import ObjectAsset

FAR = 1e3  # m, the background of a drawn depth image
MOST_POINTS = 1500  # of a cloud and of vertices in Chamfer distances
FINE, COARSE = 0.005, 0.015  # m, thresholds of F-scores
Row = dict[str, float]


def hand_errors(found: np.ndarray, true: np.ndarray, camera: Intrinsics) -> Row:
    """Of keypoints (21, 3) m of the camera frame."""
    pixels = np.linalg.norm(camera.project(found) - camera.project(true), axis=-1)
    aligned = np.linalg.norm(procrustes(found, true) - true, axis=-1)
    return {
        "mpjpe_cm": 100 * joint_error(found, true),
        "j2d_px": float(pixels.mean()),
        "joint_root_cm": 100 * joint_error(found - found[0], true - true[0]),
        "joint_pa_cm": 100 * float(aligned.mean()),
        "joint_scale_cm": 100 * joint_error(scaled_and_moved(found, true), true),
        "joint_auc": auc(aligned),
    }


def mesh_errors(found: np.ndarray, true: np.ndarray, root: np.ndarray, true_root: np.ndarray) -> Row:
    """Of a hand's vertices (V, 3) m, one by one, where both are of the same model."""
    aligned = procrustes(found, true)
    return {
        "hand_vertex_cm": 100 * joint_error(found, true),
        "mesh_root_cm": 100 * joint_error(found - root, true - true_root),
        "mesh_pa_cm": 100 * joint_error(aligned, true),
        "f5": f_score(aligned, true, FINE),
        "f15": f_score(aligned, true, COARSE),
    }


def object_errors(asset: ObjectAsset, found: np.ndarray, true: np.ndarray, camera: Intrinsics) -> Row:
    """Of poses (7,) camera_T_mesh."""
    every = asset.vertices[:: max(1, len(asset.vertices) // MOST_POINTS)]
    centre = 0.5 * (asset.vertices.min(axis=0) + asset.vertices.max(axis=0))
    there, here = transform(found, every), transform(true, every)
    row = {
        "t_err_cm": 100 * float(np.linalg.norm(transform(found, centre) - transform(true, centre))),
        "r_err_deg": float(np.degrees(quat_angle(found[3:], true[3:]))),
        "r_err_reduced_deg": float(np.degrees(reduced_angle(asset.symmetry, found[None, 3:], true[None, 3:])[0])),
        "object_vertex_cm": 100 * joint_error(there, here),
        "add_s_cm": 100 * nearest_distance(there, here),
        "object_3d_cm": 100 * chamfer(there, here),
    }
    if there[:, 2].min() > 0.0:
        scale = here[:, 2].mean() / camera.fx  # m per pixel at the object
        row["object_2d_cm"] = 100 * scale * chamfer(camera.project(there), camera.project(here))
    return row


def interaction(scene: HandObjectScene) -> Row:
    """Deepest penetration (mm) of the hand into the object, and whether they touch (1) or not (0)."""
    if scene.model is None:
        return {}
    nearest = float(scene.distances(scene.hand.vertices)[0].min())
    return {"penetration_mm": 1e3 * max(0.0, -nearest), "contact": float(nearest <= 0.0)}


def proxies(scene: HandObjectScene, t: int, recording: Recording, evidence: Evidence, table: KeypointTable) -> Row:
    """J2D* (px), IoU_obj* and SD_obj (mm) of frame t, against its evidence; `table`: of the keypoints."""
    row = interaction(scene)
    seen = evidence.keypoints[scene.person.hand.side][t]
    known = np.isfinite(seen[:, 3:5]).all(axis=1) & (np.nan_to_num(seen[:, 5]) > 0)
    if known.any():
        pixels = recording.intrinsics.project(scene.hand.keypoints(table))
        row["j2d_px"] = joint_error(pixels[known], seen[known, 3:5])
    if scene.model is not None and (evidence.labels[t] == OBJECT).any():
        drawn = object_depth(scene, recording.intrinsics)
        row["iou_object"] = mask_iou(drawn < FAR, evidence.labels[t])
        if (distance := visible_distance(drawn, recording, evidence, t)) is not None:
            row["sd_object_mm"] = 1e3 * distance
    return row


def object_depth(scene: HandObjectScene, camera: Intrinsics) -> np.ndarray:
    """(H, W) m of the fitted object alone, FAR where it is not."""
    assert scene.model is not None
    image = np.full((camera.height, camera.width), FAR)
    placed = scene.model.vertices @ scene.state.rotation.T + scene.state.position
    draw_depth(placed, scene.model.faces, camera.pinhole, image)
    return image


def mask_iou(drawn: np.ndarray, labels: np.ndarray) -> float:
    """Of a drawn object (H, W) bool and its mask, leaving out what a hand hides."""
    seen = labels == OBJECT
    drawn = drawn & ((labels == 0) | seen)
    union = int((drawn | seen).sum())
    return float((drawn & seen).sum() / union) if union else 1.0


def visible_distance(drawn: np.ndarray, recording: Recording, evidence: Evidence, t: int) -> float | None:
    """Mean distance (m) from the points of the object's mask to the fitted object's visible surface (TF-HOT, eq. 5,
    point to face, over the number of points); None without depth."""
    camera = recording.intrinsics

    def cloud(depth: np.ndarray, mask: np.ndarray) -> np.ndarray:
        v, u = np.nonzero(mask)
        points = camera.backproject(np.stack([u, v], axis=-1).astype(float), depth[v, u])
        return points[:: max(1, len(points) // MOST_POINTS)]

    depth = 1e-3 * recording.depth[t]
    points = cloud(depth, (evidence.labels[t] == OBJECT) & (depth > 0))
    v, u = np.nonzero(drawn < FAR)
    if not len(points) or not len(u):
        return None
    surface = camera.backproject(np.stack([u, v], axis=-1).astype(float), drawn[v, u])
    return float(cKDTree(surface).query(points)[0].mean())


def mean_of(rows: Sequence[Row]) -> Row:
    """Means over the rows that have a value."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}
