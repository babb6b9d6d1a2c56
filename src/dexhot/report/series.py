"""Time series of a rollout: tracking errors, heights and phases, for the plots and the viewer.

The metrics of a run come from `dexhot.metrics`; these curves use the same definitions.
"""

from dataclasses import dataclass

import numpy as np

from dexhot.data.types import Reference, Rollout
from dexhot.geometry.poses import lowest
from dexhot.metrics.tracking_errors import finger_errors, held, lifted, object_errors, palm_errors
from dexhot.objects.asset import ObjectAsset


@dataclass(frozen=True)
class Span:
    """A phase from `start` to `end`, s. `style` names its colour, `label` is its text."""

    start: float
    end: float
    style: str
    label: str = ""


@dataclass(frozen=True)
class Series:
    """Per frame (T,): errors against the reference, heights of the object's lowest point, and phases."""

    time: np.ndarray  # s
    object_cm: np.ndarray
    object_deg: np.ndarray
    judged_cm: np.ndarray  # for a symmetric object ADD-S and the symmetry-reduced angle; else the two above
    judged_deg: np.ndarray
    wrist_cm: np.ndarray
    wrist_deg: np.ndarray
    finger_deg: np.ndarray  # mean over the finger joints
    height_cm: np.ndarray  # lowest point above the table
    reference_height_cm: np.ndarray
    penetration_mm: np.ndarray
    reference_phase: np.ndarray  # of str: "approach", "contact", "lifted", "release"
    phase: np.ndarray  # of str: "approach", "contact", "held", "lost", "release"


def compute_series(rollout: Rollout, asset: ObjectAsset) -> Series:
    """Errors and phases of every frame of `rollout` with the object `asset`."""
    ref = rollout.reference
    errors = object_errors(asset, rollout.object_pose, ref.object_pose)
    height, ref_height = (lowest(clip.object_pose, asset.corners) for clip in (rollout, ref))
    ref_lifted = lifted(asset, ref.object_pose)
    wrist_cm, wrist_rad = palm_errors(ref, rollout.q)
    return Series(
        time=np.asarray(rollout.time, float) - float(rollout.time[0]),
        object_cm=errors.distance,
        object_deg=np.degrees(errors.angle),
        judged_cm=errors.judged_distance,
        judged_deg=np.degrees(errors.judged_angle),
        wrist_cm=wrist_cm,
        wrist_deg=np.degrees(wrist_rad),
        finger_deg=np.degrees(finger_errors(ref, rollout.q).mean(axis=1)),
        height_cm=100 * (height - ref.table_height),
        reference_height_cm=100 * (ref_height - ref.table_height),
        penetration_mm=1000 * np.maximum(rollout.penetration, 0.0),
        reference_phase=_reference_phases(ref, ref_lifted),
        phase=_phases(rollout, ref_lifted, errors.judged_distance),
    )


def spans(time: np.ndarray, labels: np.ndarray, names: dict[str, str] | None = None) -> list[Span]:
    """Runs of equal labels (T,) as spans meeting half way between frames; of those in `names` (label -> text) only."""
    edges = np.flatnonzero(labels[1:] != labels[:-1]) + 1
    out = []
    for first, end in zip([0, *edges], [*edges, len(labels)]):
        label = str(labels[first])
        if names is not None and label not in names:
            continue
        start = time[0] if first == 0 else (time[first - 1] + time[first]) / 2
        stop = time[-1] if end == len(labels) else (time[end - 1] + time[end]) / 2
        out.append(Span(float(start), float(stop), label, (names or {}).get(label, label)))
    return out


def _phases(rollout: Rollout, ref_lifted: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Actual phases: while the reference is lifted the object is held or lost; otherwise contact or none."""
    touching = rollout.tip_contact.any(axis=1)
    after = np.maximum.accumulate(touching | ref_lifted)
    phase = np.where(touching, "contact", np.where(after, "release", "approach")).astype(object)
    phase[ref_lifted] = np.where(held(rollout.table_contact, distance), "held", "lost")[ref_lifted]
    return phase


def _reference_phases(ref: Reference, lifted: np.ndarray) -> np.ndarray:
    """Phases of the reference: approach, contact, lifted, release; without planned contacts it touches the object while
    that moves."""
    touching, frames = (ref.contact > 0.5).any(axis=1), np.arange(len(ref.q))
    if not touching.any():
        touching = (frames >= ref.grasp_start) & (frames <= ref.grasp_end)
    phase = np.where(touching, "contact", np.where(frames > ref.grasp_start, "release", "approach")).astype(object)
    phase[lifted] = "lifted"
    return phase
