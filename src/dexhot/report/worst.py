"""The worst moments of a run, with their errors."""

from dataclasses import dataclass

import numpy as np

from dexhot.data.types import Rollout
from dexhot.metrics.judge import with_unit
from dexhot.report.forces import Forces
from dexhot.report.series import Series
from dexhot.rollouts.teleop_run import ended_well

MOMENTS = 4
APART = 6  # frames, minimum distance between two moments


@dataclass
class Moment:
    """A frame and its findings, the worst first; `failed`: one of them is over its limit."""

    frame: int
    found: list[str]
    failed: bool


def worst_moments(
    rollout: Rollout, series: Series, limits: dict[str, float], forces: Forces | None = None
) -> list[Moment]:
    """At most MOMENTS, those over a limit first, then in order of closeness to the limit. `limits`: metric -> limit."""
    found = [*_ended(rollout), *_lost(series)]
    ratios: list[tuple[float, int, str]] = []
    for what, values, limit, unit in _curves(series, limits, forces):
        if np.isfinite(values).any() and (frame := int(np.nanargmax(values))) >= 0 and values[frame] > 0:
            text = f"{what} {with_unit(f'{values[frame]:.3g}', unit)}" + (f" (limit {limit:.3g})" if limit else "")
            ratios.append((float(values[frame]) / limit if limit else 0.0, frame, text))
    found += [(frame, text, ratio >= 1.0) for ratio, frame, text in sorted(ratios, key=lambda r: -r[0])]
    moments: list[Moment] = []
    for frame, text, failed in found:
        near = next((m for m in moments if abs(m.frame - frame) < APART), None)
        if near is not None:
            near.found.append(text)
            near.failed |= failed
        elif len(moments) < MOMENTS:
            moments.append(Moment(frame, [text], failed))
    return moments


def _ended(rollout: Rollout) -> list[tuple[int, str, bool]]:
    stopped = rollout.provenance.get("stopped")
    free = "teleop" in rollout.reference.provenance
    good = not stopped or (free and ended_well(stopped))  # a person's end of teleoperation is no failure
    return [] if good else [(len(rollout.q) - 1, f"stopped: {stopped}", True)]


def _lost(series: Series) -> list[tuple[int, str, bool]]:
    lost = np.flatnonzero(series.phase == "lost")
    return [(int(lost[0]), "object lost: the reference is lifted, the object is not held", True)] if len(lost) else []


def _curves(
    series: Series, limits: dict[str, float], forces: Forces | None
) -> list[tuple[str, np.ndarray, float | None, str]]:
    """(name, values (T,), limit, unit) of each curve."""
    symmetric = "judged_T_max_cm" in limits
    curves = [
        ("object position error", series.judged_cm, limits["judged_T_max_cm" if symmetric else "T_err_max_cm"], "cm"),
        ("object rotation error", series.judged_deg, limits["judged_R_max_deg" if symmetric else "R_err_max_deg"], "°"),
        ("penetration", series.penetration_mm, limits.get("penetration_mm"), "mm"),
        ("palm position error", series.wrist_cm, None, "cm"),
        ("finger joint error", series.finger_deg, None, "°"),
    ]
    if forces is not None:
        share = 100 * np.abs(forces.torque) / forces.limit
        joint = forces.joint_names[int(np.nanargmax(np.nanmax(share, axis=0)))] if np.isfinite(share).any() else ""
        with np.errstate(invalid="ignore"):
            curves.append((f"torque of {joint}", np.nan_to_num(share).max(axis=1), None, "% of its limit"))
    return curves
