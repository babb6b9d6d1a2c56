"""`dexhot bench perceive`: from pictures alone to hand and object in metres, on the rendered clips of `bench fit`.

The embedded detectors, then the default fit. A clip whose object cannot be told is counted, not measured.

e2e_fps            computed, not measured: 1000 / the larger of the CPU ms in which a median image is perceived and
                   fitted (medians over clips), what two idle cores could do, one for each
e2e_fps_one_core   1000 / their sum: both on one
e2e_fps_wall       measured: images of one clip per second of wall time, while one process perceives it and another
                   fits it, with the first image's search and whatever else the machine does; not with --quick
"""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from dexhot.data.labels import LABELS
from dexhot.data.types import Evidence
from dexhot.errors import DexhotError
from dexhot.fitting.recipe import load_recipe
from dexhot.fitting.recording_fit import fit_recording
from dexhot.fitting.result import RecordingFit
from dexhot.humans.open_hand import open_hand
from dexhot.objects.library import load_object
from dexhot.perception.box_tracks import as_detections, average_precision
from dexhot.perception.hand_landmarks import LandmarkHands
from dexhot.perception.object_track import object_track
from dexhot.perception.perceive import Seen, perceive
from dexhot.progress import track
from dexhot_bench.fit_clips import Clip, clip_names, mean_iou, rendered
from dexhot_bench.fit_rows import FRAMES, QUICK_FRAMES

COUNT, QUICK_COUNT = 8, 1  # clips
BOXES = ("hand_ap", "hand_ap_tracked", "object_ap", "object_ap_tracked")  # HOMan's table A.1
MASKS = ("hand_mask_iou", "object_mask_iou")  # and its table A.2
PUBLISHED = {  # HOMan's tables A.1 and A.2, on HO-3D's train split: 100DOH's boxes, PointRend's masks
    "100DOH and PointRend": {"hand_ap": 0.61, "object_ap": 0.59, "hand_mask_iou": 0.61, "object_mask_iou": 0.66},
    "the same, boxes tracked": {"hand_ap_tracked": 0.85, "object_ap_tracked": 0.71},
    "PointRend in true boxes": {"hand_mask_iou": 0.63, "object_mask_iou": 0.74},
}


def run(quick: bool = False, **_: Any) -> dict[str, Any]:
    """Frames per second, `mpjpe_e2e_mm`, and which clips could not be seen."""
    began = time.perf_counter()
    rows: dict[str, dict[str, float]] = {}
    unseen, wall = [], np.nan
    names = clip_names()[: QUICK_COUNT if quick else COUNT]
    for k in track(range(len(names)), "clips"):
        try:
            clip = rendered(k, QUICK_FRAMES if quick else FRAMES)
            if not rows:
                measured(clip.middle(3))  # compiles
            rows[clip.name] = measured(clip)
            wall = wall if quick or np.isfinite(wall) else wall_fps(clip)
        except DexhotError as e:
            unseen.append(f"{names[k]}: {str(e).splitlines()[0]}")
    metrics = {"e2e_unseen_fraction": len(unseen) / len(names)}
    if rows:
        each = {name: [row[name] for row in rows.values()] for name in next(iter(rows.values()))}
        ms = [float(np.median(each["perceive_ms"])), float(np.median(each["fit_ms"]))]
        metrics |= {"e2e_fps": 1e3 / max(ms), "e2e_fps_one_core": 1e3 / sum(ms)}
        metrics |= {"e2e_fps_wall": wall} if np.isfinite(wall) else {}
        metrics["mpjpe_e2e_mm"] = float(np.mean(each["mpjpe_mm"]))
        metrics |= {f"{name}_p50": float(np.median(each[name])) for name in ("perceive_ms", "fit_ms")}
        metrics["object_t_err_mm"] = float(np.mean(each["t_err_mm"]))
        metrics |= {name: float(np.mean(each[name])) for name in (*BOXES, *MASKS)}
    return {
        "metrics": metrics,
        "subset": list(rows),
        "by_clip": rows,
        "published": PUBLISHED,
        "notes": [
            *unseen,
            "e2e_fps is 1000 / the slower stage's CPU ms, not a measured rate; e2e_fps_wall is measured",
        ],
        "seconds": time.perf_counter() - began,
    }


def measured(clip: Clip) -> dict[str, float]:
    """Times of a median frame, CPU ms, and errors of one clip. Raises DexhotError where its object is not seen."""
    recording, truth = clip.recording, clip.truth.trajectory
    took: list[float] = []
    evidence, found = perceived(clip, took)
    fit = fitted(clip, evidence)
    true = truth.cut(0, len(recording))
    off = fit.trajectory.hands["right"].keypoints - true.hands["right"].keypoints
    shift = fit.trajectory.object_pose[:, :3] - true.object_pose[:, :3]
    return {
        "perceive_ms": 1e3 * float(np.median(took)),
        "fit_ms": 1e3 * (float(np.median(fit.seconds)) + fit.smoothing),
        "mpjpe_mm": 1e3 * float(np.linalg.norm(off, axis=-1).mean()),
        "t_err_mm": 1e3 * float(np.linalg.norm(shift, axis=-1).mean()),
        **box_precision(found.detections, evidence.boxes, clip.truth.evidence.boxes),
        **mask_overlap(evidence.labels, clip.truth.evidence.labels),
    }


def perceived(clip: Clip, took: list[float]) -> tuple[Evidence, Seen]:
    """By the embedded detectors; the CPU time, s, of each image goes into `took`."""
    seen = object_track(load_object(clip.truth.trajectory.object_name), clip.recording.intrinsics)
    return perceive(clip.recording, LandmarkHands(2), seen, "right", timed(len(clip.recording), took))


def fitted(clip: Clip, evidence: Evidence) -> RecordingFit:
    """By the default recipe."""
    asset = load_object(clip.truth.trajectory.object_name)
    return fit_recording(clip.recording, evidence, asset, load_recipe("default"), open_hand("right"))


def wall_fps(clip: Clip) -> float:
    """Images per second of wall time of a clip that one process perceives while another fits it, from what was
    perceived before: its images over the time until both are done."""
    clip = replace(clip, evidence=perceived(clip, [])[0])
    spawn = multiprocessing.get_context("spawn")
    barrier, spans = spawn.Barrier(2), spawn.SimpleQueue()
    stages = [spawn.Process(target=stage, args=(name, clip, barrier, spans)) for name in ("perceive", "fit")]
    for one in stages:
        one.start()
    for one in stages:
        one.join()
    if any(one.exitcode for one in stages):
        raise RuntimeError("a process that perceives or fits has failed; its error is printed above.")
    begun, ended = zip(*(spans.get() for _ in stages))
    return float(len(clip.recording) / (max(ended) - min(begun)))


def stage(name: str, clip: Clip, barrier: Any, spans: Any) -> None:
    """Perceives a clip, or fits its evidence, once both processes have compiled; puts when it began and ended, s."""
    work: dict[str, Callable[[Clip], Any]] = {
        "perceive": lambda one: perceived(one, []),
        "fit": lambda one: fitted(one, one.evidence),
    }
    try:
        with suppress(DexhotError):  # three images may show too little of hand or object; compiled it is all the same
            work[name](clip.middle(3))
    except BaseException:
        barrier.abort()
        raise
    barrier.wait()
    began = time.monotonic()
    work[name](clip)
    spans.put((began, time.monotonic()))


def mask_overlap(found: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """mean_iou of masks (T, H, W), of hand and object."""
    return {name: mean_iou(found, true, LABELS[what]) for name, what in zip(MASKS, ("right", "object"))}


def box_precision(
    detections: dict[str, list[np.ndarray]], tracked: dict[str, np.ndarray], true: dict[str, np.ndarray]
) -> dict[str, float]:
    """Average precision, at an overlap of 0.5, of the boxes of keypoints and masks, without and with tracking."""
    found = {}
    for kind, name in (("hand", "right"), ("object", "object")):
        found[f"{kind}_ap"] = average_precision(detections[name], true[name])
        found[f"{kind}_ap_tracked"] = average_precision(as_detections(tracked[name]), true[name])
    return found


def timed(count: int, took: list[float]) -> Iterator[int]:
    """0 to count - 1; the CPU time, s, between each and the next goes into `took`."""
    for k in range(count):
        began = time.process_time()
        yield k
        took.append(time.process_time() - began)
