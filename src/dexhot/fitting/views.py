"""Several recordings of one scene by calibrated cameras: checked, brought to common moments, and to one frame.

Every term that sees is added once per camera; what is known without seeing (contact, priors, change) once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dexhot.data.recording import Recording
from dexhot.data.types import Evidence
from dexhot.errors import ClipError
from dexhot.fitting.frames import Frame, check_evidence, frames_of
from dexhot.fitting.viewpoint import Viewpoint
from dexhot.geometry.poses import compose, inverse

APART = 0.010  # s between the stamps of two cameras that count as one moment: a third of a frame at 30 Hz


@dataclass(frozen=True)
class RecordedView:
    """What one camera recorded and what was seen in it."""

    recording: Recording
    evidence: Evidence
    at: Viewpoint


def recorded_views(recordings: Sequence[Recording], evidences: Sequence[Evidence]) -> list[RecordedView]:
    """Each recording with its evidence and its camera's pose, those after the first reduced to the first one's moments.

    Raises ClipError where a recording has no evidence of its own, of several one is not calibrated, or has no frame at
    one of these moments.
    """
    if len(recordings) != len(evidences):
        raise ClipError(f"{len(recordings)} recordings, but evidence of {len(evidences)}: give each its own, in order.")
    first = recordings[0]
    found = [RecordedView(first, evidences[0], Viewpoint(first.intrinsics))]
    for recording, evidence in zip(recordings[1:], evidences[1:]):
        check_evidence(recording, evidence)
        at = Viewpoint(recording.intrinsics, compose(inverse(_placed(recording)), _placed(first)))
        found.append(RecordedView(*at_moments(first, recording, evidence), at))
    return found


def _placed(recording: Recording) -> np.ndarray:
    if recording.world_T_camera is None:
        raise ClipError(
            f"{recording.name} has no world_T_camera: several views are fitted together only where every camera's "
            "pose in one world is known. Calibrate it, or fit this view alone."
        )
    return recording.world_T_camera


def at_moments(first: Recording, recording: Recording, evidence: Evidence) -> tuple[Recording, Evidence]:
    """A recording and its evidence at the moments of the first one. Raises ClipError where it has no frame there."""
    gaps = np.abs(recording.time[None] - first.time[:, None])
    nearest = gaps.argmin(axis=1)
    late = gaps.min(axis=1)
    if late.max() > APART:
        t = int(np.argmax(late > APART))
        raise ClipError(
            f"{recording.name} has no frame within {1e3 * APART:.0f} ms of frame {t} of {first.name}, at "
            f"{first.time[t]:.3f} s (the nearest is {1e3 * late[t]:.0f} ms away): views are fitted together only where "
            "their clocks agree and every frame of the first is in all."
        )
    if len(recording) == len(first):
        return replace(recording, time=first.time), replace(evidence, time=first.time)
    part = replace(recording, time=first.time, color=recording.color[nearest], depth=recording.depth[nearest])
    return part, replace(evidence.at(nearest), time=first.time)


def frames_by_all(sights: Sequence[RecordedView], side: str, with_pose: bool = True) -> list[Frame]:
    """Frames of the first camera with those of the others beside. An object's pose that only another camera's estimator
    gives is brought into the first one's frame. Raises ClipError as `frames_of` does."""
    frames, *others = (frames_of(one.recording, one.evidence, side, with_pose) for one in sights)
    if not others:
        return frames
    for frame, *beside in zip(frames, *others):
        frame.others = tuple(beside)
        known = [
            sight.at.pose_back(one.object_pose)
            for one, sight in zip((frame, *beside), sights)
            if one.object_pose is not None and np.isfinite(one.object_pose).all()
        ]
        frame.object_pose = known[0] if known else None
    return frames
