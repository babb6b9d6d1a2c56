"""Summary of a fit's quality for people."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dexhot.data.labels import LABELS
from dexhot.data.types import Evidence, HandObjectTrajectory
from dexhot.fitting.hand_fit import HandFit, Sighting
from dexhot.fitting.result import RecordingFit
from dexhot.geometry.cameras import project_pinhole
from dexhot.geometry.equivalents import Symmetric, reduced_angle
from dexhot.geometry.flips import TURN


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
            pixels = project_pinhole(fit.keypoints[t], s.camera)
            found.append(np.linalg.norm(pixels - s.pixels, axis=1)[s.confidence > 0])
    return np.concatenate(found) if found else np.zeros(0)


def summarise_recording_fit(fit: RecordingFit, evidence: Evidence) -> dict[str, Any]:
    """Residuals in the image, penetration and time; of the tracker also its scores and losses. "notes": what a user
    should know."""
    pixels, deep = [], []
    for t, scenes in enumerate(fit.scenes):
        for side, scene in scenes.items():
            seen, found = evidence.keypoints[side][t], fit.keypoints(t, side)
            assert found is not None
            x = project_pinhole(found, fit.camera)
            known = np.isfinite(seen[:, 3:5]).all(axis=1) & (np.nan_to_num(seen[:, 5]) > 0)
            pixels.append(np.linalg.norm(x - seen[:, 3:5], axis=1)[known])
            if scene.model is not None:
                deep.append(max(0.0, -float(scene.distances(scene.hand.vertices)[0].min())))
    residuals = np.concatenate(pixels)
    figures: dict[str, Any] = {
        "frames": len(fit.scenes),
        "residual_px_mean": round(float(residuals.mean()), 2) if len(residuals) else None,
    }
    tracked = [one for one in fit.tracked if one is not None]
    if tracked:
        hands, things = [one for one in tracked if one.hand_seen], [one for one in tracked if one.object_seen]
        figures |= {
            "frames_with_hand": len(hands),
            "frames_with_object": len(things),
            "hand_score_mean": round(float(np.mean([one.hand_score for one in hands or tracked])), 3),
            "object_score_mean": round(float(np.mean([one.object_score for one in things] or [0.0])), 3),
            "hand_lost_frames": sum(one.hand_lost for one in tracked),
            "object_lost_frames": sum(one.object_lost for one in tracked),
            "object_ambiguous_frames": sum(one.object_ambiguous for one in tracked),
        }
    if fit.object_start is not None:
        figures |= fit.object_start.figures()
    unseen = unseen_notes(fit, evidence)
    if unseen and tracked:
        figures["object_lost_frames"] = len(fit.scenes)
    if notes := unseen + ([] if fit.model is None else turn_notes(fit.trajectory, fit.model.symmetry)):
        figures["notes"] = notes
    first = next(scenes for scenes in fit.scenes if scenes)
    figures["shape"] = np.round(first[fit.side].person.shape, 2).tolist()
    figures["frame_ms_p50"] = round(float(1e3 * np.median(fit.seconds[fit.seconds > 0])), 3)
    figures["smooth_ms"] = round(1e3 * fit.smoothing, 3)
    if deep:
        figures["penetration_mm_p95"] = round(float(1e3 * np.percentile(deep, 95)), 2)
    return figures


def unseen_notes(fit: RecordingFit, evidence: Evidence) -> list[str]:
    """The sentence about an object that the evidence shows in no frame: its path is a guess."""
    seen = np.isfinite(evidence.object_pose[:, 0]) | (evidence.labels == LABELS["object"]).any(axis=(1, 2))
    if fit.model is None or seen.any():
        return []
    name = fit.trajectory.object_name
    return [
        f"no frame of the evidence shows {name}: its path is a guess. Run `dexhot perceive RECORDING --object {name}` "
        "and fit that, or fit the hand alone with --object none"
    ]


def turn_notes(trajectory: HandObjectTrajectory, symmetry: Symmetric) -> list[str]:
    """The sentence about an object that turns farther between two frames than people turn one."""
    quat = trajectory.object_pose[:, 3:]
    turn = reduced_angle(symmetry, quat[1:], quat[:-1])
    found = np.flatnonzero(turn > TURN)  # also what may be a fast turn
    if not len(found):
        return []
    k = int(found[0])
    return [
        f"{trajectory.object_name} turns by {np.degrees(turn[k]):.0f} degrees from frame {k} to {k + 1}, the first of "
        f"{len(found)} such turns: turned like that, the mesh fits nearly as well, and `dexhot retarget` may refuse "
        "it. Check the mesh's sides against the object's"
    ]
