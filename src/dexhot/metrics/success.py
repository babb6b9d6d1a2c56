"""Success: the limits that a rollout's metrics must meet, and the stricter ones of a clip that moves little."""

from typing import Any

import numpy as np

from dexhot.data.types import Reference
from dexhot.geometry.equivalents import reduced_angle
from dexhot.metrics.add_s import add_s
from dexhot.metrics.tracking_errors import finger_errors, palm_errors, position_error
from dexhot.objects.asset import ObjectAsset

# Each success holds when every one of its metrics is below its limit, those of AT_LEAST not below it. A metric that is
# None is ignored: no frame of the reference is lifted, or it was not recorded. The first two are DexTrack's (4.1).
SUCCESSES: dict[str, dict[str, float]] = {
    "success_10cm_20deg": {"judged_T_cm": 10.0, "judged_R_deg": 20.0, "E_hand": 0.8},
    "success_10cm_40deg": {"judged_T_cm": 10.0, "judged_R_deg": 40.0, "E_hand": 1.2},
    "success_strict": {
        "judged_T_max_cm": 5.0,
        "judged_T_final_cm": 3.0,
        "judged_R_max_deg": 40.0,
        "E_hand": 0.8,
        "hold_rate": 0.9,
        "self_penetration_frames": 6,
    },
}
AT_LEAST = {"hold_rate"}
STAYS = (1.0, 5.0)  # cm, degrees: an object that its reference moves by less is meant to stay at rest


def passes(metrics: dict[str, Any], success: str) -> bool:
    """Whether `metrics` meet the limits of `success`, one of SUCCESSES."""
    limits = metrics["strict_limits"] if success == "success_strict" else SUCCESSES[success]
    return all(metrics[name] is None or within(name, metrics[name], limit) for name, limit in limits.items())


def within(metric: str, value: float, limit: float) -> bool:
    """Whether `value` meets the limit of `metric`."""
    return bool(value >= limit if metric in AT_LEAST else value < limit)


def strict_limits(reference: Reference, asset: ObjectAsset) -> dict[str, float]:
    """The limits of success_strict on this clip. Where an object that never moves would pass (always within 5 cm and 40
    degrees of the reference, a symmetric one by ADD-S), one limit is reduced to half of that object's error: of the
    distance, else of the angle; where the object is meant to stay at rest, to half the error of a hand that never
    moves."""
    limits, pose = dict(SUCCESSES["success_strict"]), reference.object_pose[::5]  # 12 a second are enough
    if asset.symmetry.kind == "none":
        travel = 100 * position_error(pose, pose[0]).max()
    else:
        travel = 100 * add_s(asset, np.broadcast_to(pose[:1], pose.shape), pose).max()
    turn = np.degrees(reduced_angle(asset.symmetry, pose[:, 3:], pose[:1, 3:]).max())
    if travel >= limits["judged_T_max_cm"] or turn >= limits["judged_R_max_deg"]:
        return limits
    if travel >= STAYS[0]:
        return limits | {"judged_T_max_cm": float(travel / 2)}
    if turn >= STAYS[1]:
        return limits | {"judged_R_max_deg": float(turn / 2)}
    frozen = hand_errors(reference, np.broadcast_to(reference.q[:1], reference.q.shape))["E_hand"]
    return limits | {"E_hand": min(limits["E_hand"], float(frozen / 2))}


def hand_errors(reference: Reference, q: np.ndarray) -> dict[str, float]:
    """Errors of joints q (T, 6+n) against the retargeted ones: E_wrist = mean(0.5 angle in rad + 0.5 distance in m),
    E_finger = mean |dq| in rad (DexTrack section 4.1), and E_hand, their mean, which the success criteria limit."""
    cm, rad = (error.mean() for error in palm_errors(reference, q))
    wrist, finger = 0.5 * rad + 0.5 * cm / 100, finger_errors(reference, q).mean()
    return {
        "E_wrist": wrist,
        "E_wrist_cm": cm,
        "E_wrist_rad": rad,
        "E_finger": finger,
        "E_hand": 0.5 * wrist + 0.5 * finger,
    }
