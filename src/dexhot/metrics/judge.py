"""A run's metrics with their thresholds: what each number means, and whether it passes."""

import math
from dataclasses import dataclass
from typing import Any

from dexhot.metrics.success import AT_LEAST, SUCCESSES, within

# id: name, unit, digits, meaning; the order is the report's
METRICS: dict[str, tuple[str, str, int, str]] = {
    "success_strict": (
        "Strict success",
        "",
        0,
        "no drop anywhere: largest, final and hand errors, hold rate and self-penetration within limits",
    ),
    "success_10cm_20deg": ("Success 10 cm, 20°", "", 0, "DexTrack's criterion on means (section 4.1)"),
    "success_10cm_40deg": ("Success 10 cm, 40°", "", 0, "DexTrack's looser criterion on means (section 4.1)"),
    "level": ("Level", "", 0, "DexTrack's levels on the robot: 1 a side lifted, 2 the object, 3 and tracked on (B.2)"),
    "T_err_cm": ("Object position error", "cm", 2, "mean distance to the reference over every frame"),
    "T_err_max_cm": ("Largest position error", "cm", 2, "worst frame"),
    "T_err_final_cm": ("Final position error", "cm", 2, "last frame"),
    "R_err_rad": ("Object rotation error", "rad", 3, "mean angle to the reference over every frame"),
    "R_err_max_deg": ("Largest rotation error", "°", 1, "worst frame"),
    "judged_T_cm": ("Judged position error", "cm", 2, "symmetric object: mean ADD-S"),
    "judged_T_max_cm": ("Judged position error, largest", "cm", 2, "symmetric object: largest ADD-S"),
    "judged_T_final_cm": ("Judged position error, final", "cm", 2, "symmetric object: ADD-S in the last frame"),
    "judged_R_deg": ("Judged rotation error", "°", 1, "symmetric object: mean angle to the nearest equal rotation"),
    "judged_R_max_deg": ("Judged rotation error, largest", "°", 1, "symmetric object: worst frame"),
    "E_hand": ("Hand error", "", 3, "0.5 E_wrist + 0.5 E_finger"),
    "E_wrist": ("E_wrist", "", 3, "mean of 0.5 angle in rad + 0.5 distance in m"),
    "E_wrist_cm": ("Palm position error", "cm", 2, "mean over every frame"),
    "E_wrist_rad": ("Palm rotation error", "rad", 3, "mean over every frame"),
    "E_finger": ("E_finger", "rad", 3, "mean absolute error of the finger joints"),
    "hold_rate": ("Hold rate", "%", 0, "fraction of the reference's lifted frames off the table and within 5 cm"),
    "penetration_mm": ("Penetration", "mm", 2, "95th percentile over frames of the deepest hand-object penetration"),
    "self_penetration_mm": ("Self-penetration", "mm", 2, "the same between two fingers, or a finger and the palm"),
    "self_penetration_frames": ("Frames of self-penetration", "", 0, "frames with self-penetration over 2 mm"),
    "lifted_frames": ("Lifted frames", "", 0, "frames with the object's lowest point 15 mm above its start"),
    "reference_lifted_frames": ("Lifted frames, reference", "", 0, "the same in the reference"),
    "R_err_sym_rad": ("Rotation error, symmetry reduced", "rad", 3, "mean angle to the nearest equivalent rotation"),
    "ADD_S_cm": ("ADD-S", "cm", 2, "mean distance between closest surface points"),
    "speed_factor": ("Speed factor", "", 2, "ratio of the arm's duration to the clip's; 1: the person's speed"),
}
# The judged metric that a raw one stands for if the object has no symmetry; a symmetric one shows the judged rows.
JUDGED_AS = {
    "T_err_cm": "judged_T_cm",
    "T_err_max_cm": "judged_T_max_cm",
    "T_err_final_cm": "judged_T_final_cm",
    "R_err_rad": "judged_R_deg",
    "R_err_max_deg": "judged_R_max_deg",
}
# The rows that decide the strict success.
STRICT = {id for id, judged in JUDGED_AS.items() if judged in SUCCESSES["success_strict"]} | {
    *SUCCESSES["success_strict"]
}
PENETRATION_GOAL = 3.0  # mm, the goal of `dexhot bench mine`; no success depends on it
PERCENT = {"hold_rate"}


@dataclass(frozen=True)
class Verdict:
    """One metric: its value, its limit and whether it passes (None: it has no threshold)."""

    id: str
    name: str
    unit: str
    value: Any
    text: str
    limit: float | None
    limit_text: str
    passed: bool | None
    meaning: str


def limits(strict: dict[str, float], symmetric: bool) -> dict[str, float]:
    """Metric id -> its limit, an upper one or, for AT_LEAST, a lower one: the clip's `strict` limits, and for means
    those of 10 cm and 20 degrees."""
    flat = SUCCESSES["success_10cm_20deg"] | strict | {"penetration_mm": PENETRATION_GOAL}
    if symmetric:
        return flat
    raw = {id: flat[judged] for id, judged in JUDGED_AS.items()}
    return flat | raw | {"R_err_rad": math.radians(flat["judged_R_deg"])}


def judge(metrics: dict[str, Any]) -> list[Verdict]:
    """Verdicts on the result of `metrics.compute`, in the order of METRICS; judged and raw rows for a symmetric object,
    raw ones for any other."""
    symmetric = metrics.get("symmetry", "none") != "none"
    bounds = limits(metrics["strict_limits"], symmetric)
    shown = [id for id in METRICS if metrics.get(id) is not None and (symmetric or not id.startswith("judged_"))]
    return [_verdict(id, metrics[id], bounds.get(id)) for id in shown]


def _verdict(id: str, value: Any, limit: float | None) -> Verdict:
    name, unit, digits, meaning = METRICS[id]
    if id.startswith("success"):
        return Verdict(id, name, "", bool(value), "yes" if value else "no", None, "yes", bool(value), meaning)
    scale = 100.0 if id in PERCENT else 1.0
    text = f"{value * scale:.{digits}f}"
    if limit is None:
        return Verdict(id, name, unit, value, text, None, "", None, meaning)
    limit_text = f"{'≥' if id in AT_LEAST else '<'} {with_unit(f'{limit * scale:.3g}', unit)}"
    if unit == "rad":
        limit_text += f" ({math.degrees(limit):.3g}°)"
    return Verdict(id, name, unit, value, text, limit, limit_text, within(id, value, limit), meaning)


def with_unit(number: str, unit: str) -> str:
    """A number with its unit, as in "4.3°" and "0.13 cm"."""
    return f"{number}{unit}" if unit in ("", "°") else f"{number} {unit}"
