"""The rows of `dexhot bench fit` that begin with the pictures of rendered clips: the detectors, then the fit."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dexhot.errors import DexhotError
from dexhot.fitting.recipe import Recipe
from dexhot.fitting.recording_fit import fit_recording
from dexhot.humans.open_hand import open_hand
from dexhot.objects.library import load_object
from dexhot.perception.hand_landmarks import LandmarkHands
from dexhot.perception.perceive import object_track, perceive


def from_images(clips: Sequence[Any], recipe: Recipe) -> dict[str, Any]:
    """`e2e_fps` (of one core: CPU time of a median frame), `mpjpe_e2e_mm` and what could not be seen, over clips
    (name, Recording, Evidence, Truth)."""
    errors, seconds, unseen = [], [], []
    for name, recording, _, truth in clips:
        took: list[float] = []
        try:
            asset = load_object(truth.trajectory.object_name)
            track = object_track(asset, recording.intrinsics)
            evidence, _ = perceive(recording, LandmarkHands(2), track, "right", timed(len(recording), took))
        except DexhotError as e:
            unseen.append(f"{name}: {e}")
            continue
        fit = fit_recording(recording, evidence, asset, recipe, open_hand("right"))
        true = truth.trajectory.cut(0, len(recording))
        off = fit.trajectory.hands["right"].keypoints - true.hands["right"].keypoints
        errors.append(1e3 * float(np.linalg.norm(off, axis=-1).mean()))
        fitted = [one.seconds for one in fit.tracked if one is not None]
        seconds.append(float(np.median(took)) + float(np.median(fitted)))
    metrics = {"e2e_unseen_fraction": len(unseen) / max(len(clips), 1)}
    if errors:
        metrics |= {"e2e_fps": 1.0 / float(np.median(seconds)), "mpjpe_e2e_mm": float(np.mean(errors))}
    return {"metrics": metrics, "unseen": unseen}


def timed(count: int, took: list[float]) -> Iterator[int]:
    """0 to count - 1; the CPU time, s, between each and the next goes into `took`."""
    for k in range(count):
        began = time.process_time()
        yield k
        took.append(time.process_time() - began)
