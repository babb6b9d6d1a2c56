"""Summary of a fit's quality for people."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dexhot.fitting.hand_fit import HandFit, Sighting


def summarise_fit(fit: HandFit, sightings: Sequence[Sighting]) -> dict[str, Any]:
    """Distances between fitted and seen keypoints, limits, shape and time."""
    frames = np.array([(s.confidence > 0).any() for s in sightings])
    figures: dict[str, Any] = {"frames": len(sightings), "frames_seen": int(frames.sum())}
    for unit, errors in (("mm", _in_space(fit, sightings)), ("px", _in_image(fit, sightings))):
        if len(errors):
            scale = 1e3 if unit == "mm" else 1.0
            figures[f"residual_{unit}_mean"] = round(float(scale * errors.mean()), 3)
            figures[f"residual_{unit}_p95"] = round(float(scale * np.percentile(errors, 95)), 3)
    figures["shape"] = np.round(fit.shape, 2).tolist()
    figures["shape_s"] = round(fit.shape_seconds, 3)
    figures["frame_ms_p50"] = round(float(1e3 * np.median(fit.seconds)), 3)
    return figures


def _in_space(fit: HandFit, sightings: Sequence[Sighting]) -> np.ndarray:
    found = [
        np.linalg.norm(fit.keypoints[t] - s.points, axis=1)[s.confidence > 0]
        for t, s in enumerate(sightings)
        if s.points is not None
    ]
    return np.concatenate(found) if found else np.zeros(0)


def _in_image(fit: HandFit, sightings: Sequence[Sighting]) -> np.ndarray:
    found = []
    for t, s in enumerate(sightings):
        if s.pixels is not None and s.camera is not None:
            x = fit.keypoints[t]
            pixels = x[:, :2] / x[:, 2:] * s.camera[:2] + s.camera[2:]
            found.append(np.linalg.norm(pixels - s.pixels, axis=1)[s.confidence > 0])
    return np.concatenate(found) if found else np.zeros(0)
