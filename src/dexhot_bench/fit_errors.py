"""Errors of a fit to a rendered clip against its truth: of hands, object, both together, and time."""

import numpy as np

from dexhot.data.recording import Recording
from dexhot.evaluation.fit_measures import FAR
from dexhot.evaluation.fit_measures import mask_iou as drawn_iou
from dexhot.fitting import kernels
from dexhot.fitting.result import RecordingFit
from dexhot.fitting.scene import HandObjectScene, ObjectModel, object_at, object_model
from dexhot.geometry.depth_kernels import draw_depth
from dexhot.geometry.equivalents import nearest_equivalent, reduced_angle
from dexhot.geometry.poses import inverse, transform
from dexhot.geometry.rotations import quat_angle
from dexhot.geometry.triangles import face_areas
from dexhot.metrics.add_s import add_s
from dexhot.metrics.pose_errors import auc, chamfer, f_score, procrustes
from dexhot.objects.asset import ObjectAsset
from dexhot.synthesis.clip import Truth

Metrics = dict[str, float]

WITHIN, AFTER = 0.015, 10  # m, frames: a started hand
TOUCHING = 0.003  # m: how near to the object a hand touches it (its vertices are 5 mm apart)
EVERY = 5  # frames between two at which volumes, Chamfer distances and F-scores are measured
VOXEL = 0.002  # m


def errors(fit: RecordingFit, recording: Recording, truth: Truth, asset: ObjectAsset) -> Metrics:
    """Means over frames, and over hands where there are two. `asset` is the true object; a fit with a stand-in for it
    has no errors of vertices."""
    found, true = fit.trajectory, truth.trajectory
    model = object_model(asset)
    assert recording.world_T_camera is not None and fit.model is not None
    camera_T_world = inverse(recording.world_T_camera)
    sides = list(found.hands)
    hand, goal = (np.stack([clip.hands[side].keypoints for side in sides]) for clip in (found, true))
    joints = np.linalg.norm(hand - goal, axis=-1)  # (S, T, 21)
    flat = hand.reshape(-1, 21, 3), goal.reshape(-1, 21, 3)
    aligned = np.stack([np.linalg.norm(procrustes(a, b) - b, axis=-1) for a, b in zip(*flat)])
    seen, wanted = (transform(camera_T_world, x) for x in (hand, goal))
    pixels = [recording.intrinsics.project(x) for x in (seen, wanted)]
    off = transform(found.object_pose, fit.model.centre) - transform(true.object_pose, model.centre)
    along = transform(np.concatenate([np.zeros(3), camera_T_world[3:]]), off)[:, 2]
    quats = found.object_pose[:, 3:], true.object_pose[:, 3:]
    tracked = [one for one in fit.tracked if one is not None]
    by_frame = [one for t in range(len(found.time)) if (one := frame_errors(fit, recording, truth, model, t))]
    means = {
        name: float(np.mean([one[name] for one in by_frame if name in one]))
        for name in {name for one in by_frame for name in one}
    }
    return {
        "mpjpe_mm": float(1e3 * joints.mean()),
        "mpjpe_mm_p95": float(1e3 * np.percentile(joints.mean(axis=2), 95)),
        "mpjpe_pa_mm": float(1e3 * aligned.mean()),
        "hand_depth_mm": float(1e3 * np.abs((seen - wanted)[..., 2].mean(axis=2)).mean()),
        "joint_auc": auc(joints),
        "j2d_px": float(np.linalg.norm(pixels[0] - pixels[1], axis=-1).mean()),
        "t_err_mm": float(1e3 * np.linalg.norm(off, axis=1).mean()),
        "t_depth_mm": float(1e3 * np.abs(along).mean()),
        "r_err_deg": float(np.degrees(reduced_angle(asset.symmetry, *quats)).mean()),
        "r_err_raw_deg": float(np.degrees(quat_angle(*quats)).mean()),
        "add_s_mm": float(1e3 * add_s(asset, found.object_pose, true.object_pose).mean()),
        "penetration_mm": float(1e3 * np.percentile([one["depth"] for one in by_frame], 95)),
        "init_success": float((joints[:, min(AFTER, joints.shape[1] - 1)].mean(axis=1) < WITHIN).mean()),
        "lost_fraction": float(np.mean([one.hand_lost or one.object_lost for one in tracked])) if tracked else 0.0,
        "ambiguous_fraction": float(np.mean([one.object_ambiguous for one in tracked])) if tracked else 0.0,
        "fit_ms_p50": float(1e3 * np.median(fit.seconds[1:])),
        "first_frame_ms": float(1e3 * fit.seconds[0]),
        "smooth_ms": 1e3 * fit.smoothing,
        "s_per_frame": float(fit.seconds.mean()) + fit.smoothing,
    } | {name: value for name, value in sorted(means.items()) if name != "depth"}


def frame_errors(fit: RecordingFit, recording: Recording, truth: Truth, model: ObjectModel, t: int) -> Metrics:
    """What is measured in one frame; the slow ones in every fifth. `model`: of the true object."""
    scenes = [scene for side in fit.tables if (scene := fit.scene(t, side)) is not None]
    if not scenes:
        return {}
    scene, true = scenes[0], truth.evidence
    assert scene.model is not None and fit.model is not None
    off = [one.distances(one.hand.vertices)[0] for one in scenes]
    found = {"depth": max(0.0, -float(min(x.min() for x in off))), "mask_iou": mask_iou(fit, t, true.labels[t])}
    if fit.model.name == model.name and len(fit.model.vertices) == len(model.vertices):
        pose, goal = scene.state.object_pose(), transform(true.object_pose[t], model.vertices)
        alike = nearest_equivalent(model.symmetry, pose, true.object_pose[t, 3:])
        for name, placed in (("object_vertex_mm", pose), ("object_vertex_reduced_mm", alike)):
            gap = transform(placed, scene.model.vertices) - goal
            found[name] = 1e3 * float(np.linalg.norm(gap, axis=1).mean())
    meshes = [true.hand_meshes[side][t] for side in fit.tables if side in true.hand_meshes]
    if len(meshes) == len(scenes):
        found["contact_accuracy"] = float(
            np.mean([agrees(one, model, x, mesh, true.object_pose[t]) for one, x, mesh in zip(scenes, off, meshes)])
        )
    if t % EVERY:
        return found
    samples, true_samples = scene.samples, transform(true.object_pose[t], model.samples)
    camera = recording.intrinsics
    found["chamfer_3d_mm"] = 1e3 * chamfer(samples, true_samples)
    found["chamfer_2d_px"] = chamfer(camera.project(samples), camera.project(true_samples))
    found["sd_obj_mm"] = 1e3 * surface_distance(fit, recording, truth, t)
    found["penetration_cm3"] = 1e6 * sum(shared_volume(one) for one in scenes)
    pairs = [(one.hand.vertices, mesh) for one, mesh in zip(scenes, meshes) if one.hand.vertices.shape == mesh.shape]
    if pairs:
        moved = [(procrustes(mesh, goal), goal) for mesh, goal in pairs]
        found["mesh_mm"] = 1e3 * float(np.mean([np.linalg.norm(a - b, axis=1).mean() for a, b in pairs]))
        found["mesh_pa_mm"] = 1e3 * float(np.mean([np.linalg.norm(a - b, axis=1).mean() for a, b in moved]))
        for name, within in (("f_5mm", 0.005), ("f_15mm", 0.015)):
            found[name] = float(np.mean([f_score(*pair, within) for pair in moved]))
    return found


def agrees(
    scene: HandObjectScene, model: ObjectModel, distances: np.ndarray, mesh: np.ndarray, object_pose: np.ndarray
) -> bool:
    """Whether fit and truth agree that a hand touches the object: its fitted vertices' distances (V,), its skin."""
    there = HandObjectScene(scene.person, model, scene.state.with_object(*object_at(object_pose)))
    touching = float(there.distances(mesh)[0].min()) < TOUCHING
    return bool((distances.min() < TOUCHING) == touching)


def mask_iou(fit: RecordingFit, frame: int, labels: np.ndarray) -> float:
    """Of the object, drawn without the hand over its true mask and what the hand hides, in the thinned image."""
    scene = fit.scene(frame)
    assert scene is not None and scene.model is not None
    thin = fit.thin
    seen = labels[::thin, ::thin]
    image = np.full(seen.shape, FAR)
    placed = scene.model.vertices @ scene.state.rotation.T + scene.state.position
    draw_depth(placed, scene.model.faces, fit.camera / thin, image)
    return drawn_iou(image < FAR, seen)


def surface_distance(fit: RecordingFit, recording: Recording, truth: Truth, frame: int) -> float:
    """Mean distance (m) of the object's cloud to the surface that the fit shows there: TF-HOT's SD_obj."""
    scene = fit.scene(frame)
    assert scene is not None and scene.model is not None
    cloud = kernels.cloud(
        truth.evidence.labels[frame],
        recording.depth[frame],
        2,
        2 * fit.thin,
        fit.camera,
        np.zeros((0, 2)),
        0.0,
    )
    if not len(cloud):
        return 0.0
    placed = scene.model.vertices @ scene.state.rotation.T + scene.state.position
    normals, centres = face_areas(placed, scene.model.faces), placed[scene.model.faces].mean(axis=1)
    facing = np.flatnonzero((normals * centres).sum(axis=1) < 0.0)
    squares = kernels.triangle_pairs(cloud, placed, scene.model.faces, facing, False, 1.0)[3]
    return float(np.sqrt(squares).mean())


def shared_volume(scene: HandObjectScene) -> float:
    """m3 that hand and object share, by cubes of 2 mm."""
    from dexhot.geometry.distance_kernels import signed_distances

    vertices = scene.hand.vertices
    deep = scene.distances(vertices)[0] < 0.0
    if not deep.any():
        return 0.0
    low, high = vertices[deep].min(axis=0) - 0.01, vertices[deep].max(axis=0) + 0.01
    axes = [np.arange(a, b, VOXEL) for a, b in zip(low, high)]
    nodes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    nodes = nodes[scene.distances(nodes)[0] < 0.0]
    inside = signed_distances(vertices, scene.person.hand.faces, nodes) < 0.0 if len(nodes) else np.zeros(0, bool)
    return float(inside.sum()) * VOXEL**3
