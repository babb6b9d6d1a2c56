"""`dexhot bench fit`: hand and object fitted to rendered RGB-D clips, against their truth.

The clips are those of `dexhot synth` at the middle level of noise: real motion, another hand than the fitted one, masks
and keypoints with errors. Neither the truth nor an estimator's object pose is used; the first frame starts from
nothing.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from dexhot.data.recording import Recording
from dexhot.datasets.library import load_clip
from dexhot.errors import ClipError, NotFoundError
from dexhot.fitting.recipe import Recipe, load_recipe
from dexhot.fitting.recording_fit import RecordingFit, fit_recording
from dexhot.geometry.depth_kernels import draw_depth
from dexhot.geometry.equivalents import reduced_angle
from dexhot.geometry.poses import inverse, transform
from dexhot.geometry.rotations import quat_angle
from dexhot.humans.open_hand import open_hand
from dexhot.metrics.add_s import add_s
from dexhot.objects.library import load_object
from dexhot.progress import track
from dexhot.synthesis.clip import Options, Truth, render
from dexhot_bench.from_images import from_images

CLIPS = [
    ("cubesmall_lift", 1), ("duck_lift", 2), ("mug_lift", 6), ("cylindermedium_lift", 8), ("apple_lift", 3),
    ("elephant_lift", 5), ("knife_lift", 7), ("airplane_lift", 9), ("flashlight_lift", 10), ("mouse_lift", 11),
    ("alarmclock_lift", 12), ("cylindersmall_lift", 13), ("banana_pass1", 14), ("bowl_drink2", 15),
    ("camera_pass1", 16),
    ("cup_drink1", 17), ("duck_inspect1", 18), ("hammer_pass1", 19), ("apple_pass1", 20), ("cubemedium_inspect1", 21),
    ("elephant_lift", 22), ("duck_lift", 23), ("mug_lift", 24), ("cubesmall_lift", 25),
]  # fmt: skip
QUICK, QUICK_FRAMES = 1, 24
PARAMETRIC = [("lift", "box", 0), ("carry", "cylinder", 1)]  # where GRAB is not in the cache
FRAMES, ABLATION_CLIPS, ABLATION_FRAMES = 60, 4, 30
WITHIN, AFTER = 0.015, 10  # m, frames: a started hand
Clip = tuple[str, Recording, Any, Truth]


def run(quick: bool = False, ablate: bool = False, **_: Any) -> dict[str, Any]:
    """Errors and times over the clips; with `ablate` also a row for the recipe without each of its terms."""
    began = time.perf_counter()
    recipe = load_recipe("default")
    count, frames = (QUICK, QUICK_FRAMES) if quick else (len(CLIPS), FRAMES)
    if ablate:
        count, frames = min(count, ABLATION_CLIPS), min(frames, ABLATION_FRAMES)
    clips, left_out = rendered(count, frames)
    fit_one(clips[0], recipe, 3)  # compiles
    rows = {clip[0]: fit_one(clip, recipe) for clip in track(clips, "fitting")}
    found: dict[str, Any] = {"metrics": summary_of(list(rows.values())), "subset": list(rows), "by_clip": rows}
    seen = from_images(clips, recipe)
    found["metrics"] |= seen["metrics"]
    if ablate:
        found["ablation"] = {
            f"without {term}": summary_of([fit_one(clip, recipe.without([term])) for clip in clips])
            for term in track(list(recipe.terms), "ablating")
        }
    notes = ["evidence at the middle level of noise; no object pose from an estimator; e2e: from the pictures alone"]
    notes += seen["unseen"]
    return found | {"left_out": left_out, "notes": notes, "seconds": time.perf_counter() - began}


def rendered(count: int, frames: int) -> tuple[list[Clip], list[str]]:
    """The first `count` clips that can be rendered, and sentences about those that cannot."""
    from dexhot.datasets.parametric import generate

    clips: list[Clip] = []
    left_out: list[str] = []
    for name, seed in track(CLIPS[:count], "rendering"):
        try:
            trajectory = load_clip(f"grab/{name}")
            clips.append((f"{name}-{seed}", *render(trajectory, None, Options(seed=seed), frames)))
        except (ClipError, NotFoundError) as e:
            left_out.append(f"{name}-{seed}: {str(e).splitlines()[0]}")
    if not clips:
        for kind, shape, seed in PARAMETRIC[:count]:
            trajectory, asset = generate(kind, shape, seed)[:2]
            clips.append((f"{kind}-{shape}-{seed}", *render(trajectory, asset, Options(seed=seed), frames)))
    return clips, left_out


def fit_one(clip: Clip, recipe: Recipe, frames: int | None = None) -> dict[str, float]:
    """Metrics of one clip."""
    from dataclasses import replace

    _, recording, evidence, truth = clip
    if frames is not None:
        cut = slice(0, frames)
        recording = recording.frames(0, frames)
        evidence = replace(
            evidence,
            time=evidence.time[cut],
            labels=evidence.labels[cut],
            boxes={k: v[cut] for k, v in evidence.boxes.items()},
            keypoints={k: v[cut] for k, v in evidence.keypoints.items()},
            object_pose=evidence.object_pose[cut],
        )
    asset = load_object(truth.trajectory.object_name)
    fit = fit_recording(recording, evidence, asset, recipe, open_hand("right"), with_pose=False)
    true = truth.trajectory.cut(0, len(recording.time))
    return errors(fit, true, truth, recording)


def errors(fit: RecordingFit, true: Any, truth: Truth, recording: Recording) -> dict[str, float]:
    """MPJPE (mm), object errors, penetration, mask IoU, losses and times."""
    found, asset = fit.trajectory, load_object(true.object_name)
    joints = np.linalg.norm(found.hands["right"].keypoints - true.hands["right"].keypoints, axis=-1)
    assert recording.world_T_camera is not None
    camera_T_world = inverse(recording.world_T_camera)
    pixels = recording.intrinsics.project(transform(camera_T_world, found.hands["right"].keypoints))
    true_pixels = recording.intrinsics.project(transform(camera_T_world, true.hands["right"].keypoints))
    assert fit.model is not None
    centre = fit.model.centre
    off = transform(found.object_pose, centre) - transform(true.object_pose, centre)
    deep, overlap = [], []
    for t in range(len(found.time)):
        scene = fit.scene(t)
        if scene is None:
            continue
        deep.append(max(0.0, -float(scene.distances(scene.hand.vertices)[0].min())))
        overlap.append(mask_iou(fit, t, truth.evidence.labels[t]))
    tracked = [one for one in fit.tracked if one is not None]
    quats = found.object_pose[:, 3:], true.object_pose[:, 3:]
    return {
        "mpjpe_mm": float(1e3 * joints.mean()),
        "mpjpe_mm_p95": float(1e3 * np.percentile(joints.mean(axis=1), 95)),
        "j2d_px": float(np.linalg.norm(pixels - true_pixels, axis=-1).mean()),
        "t_err_mm": float(1e3 * np.linalg.norm(off, axis=1).mean()),
        "r_err_deg": float(np.degrees(reduced_angle(asset.symmetry, *quats)).mean()),
        "r_err_raw_deg": float(np.degrees(quat_angle(*quats)).mean()),
        "add_s_mm": float(1e3 * add_s(asset, found.object_pose, true.object_pose).mean()),
        "penetration_mm": float(1e3 * np.percentile(deep, 95)),
        "mask_iou": float(np.mean(overlap)),
        "init_success": float(joints[min(AFTER, len(joints) - 1)].mean() < WITHIN),
        "lost_fraction": float(np.mean([one.hand_lost or one.object_lost for one in tracked])),
        "fit_ms_p50": float(1e3 * np.median([one.seconds for one in tracked[1:]])),
        "first_frame_ms": float(1e3 * tracked[0].seconds),
    }


def mask_iou(fit: RecordingFit, frame: int, labels: np.ndarray) -> float:
    """Of the object, drawn without the hand over its true mask and what the hand hides, in the thinned image."""
    scene = fit.scene(frame)
    assert scene is not None and fit.model is not None
    thin = fit.tracker.thin
    seen = labels[::thin, ::thin]
    image = np.full(seen.shape, 1e3)
    placed = fit.model.vertices @ scene.state.rotation.T + scene.state.position
    draw_depth(placed, fit.model.faces, fit.tracker.small, image)
    drawn = (image < 100.0) & ((seen == 0) | (seen == 2))
    union = (drawn | (seen == 2)).sum()
    return float((drawn & (seen == 2)).sum() / union) if union else 1.0


def summary_of(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Means over the clips; of times the medians, and frames per second of one core."""
    metrics = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    metrics["fit_ms_p50"] = float(np.median([row["fit_ms_p50"] for row in rows]))
    return metrics | {"fps": 1e3 / metrics["fit_ms_p50"]}
