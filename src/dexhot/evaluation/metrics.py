"""The judge: what a Rollout is worth against its Reference. docs/metrics.md explains every number.

Row t of a rollout is the state at the reference's frame t. Centimetres, radians unless a name says degrees.
"""

from typing import Any

import numpy as np

from dexhot.data.types import Reference, Rollout
from dexhot.errors import DexhotError
from dexhot.evaluation.add_s import add_s
from dexhot.geometry.equivalents import reduced_angle
from dexhot.geometry.poses import lowest
from dexhot.geometry.rotations import quat_angle
from dexhot.objects.asset import ObjectAsset
from dexhot.robots.robot_hand import RobotHand
from dexhot.robots.wrist import palm_poses

# Each success holds when every one of its metrics is below its limit. The first two are DexTrack's (section 4.1).
SUCCESSES: dict[str, dict[str, float]] = {
    "success_10cm_20deg": {"judged_T_cm": 10.0, "judged_R_deg": 20.0, "E_hand": 0.8},
    "success_10cm_40deg": {"judged_T_cm": 10.0, "judged_R_deg": 40.0, "E_hand": 1.2},
    "success_strict": {"judged_T_max_cm": 5.0, "judged_T_final_cm": 3.0, "judged_R_max_deg": 40.0, "E_hand": 0.8},
}
LIFT = 0.015  # m: an object is lifted when its lowest point is this far above where it started
HELD = 5.0  # cm: a lifted object further than this from its reference is not held
STAYS = (1.0, 5.0)  # cm, degrees: an object that its reference moves by less is meant to stay


def compute(rollout: Rollout, asset: ObjectAsset, hand: RobotHand) -> dict[str, Any]:
    """Every metric of `rollout`: floats, ints, bools and the object's kind of symmetry; hold_rate is None where the
    reference lifts nothing. A clip that was stopped on its way (provenance "stopped") is no success. Raises DexhotError
    when object or hand is not the one of the reference."""
    reference = rollout.reference
    if asset.name != reference.object_name or hand.name != reference.hand:
        given, needed = f"{asset.name} and {hand.name}", f"{reference.object_name} and {reference.hand}"
        raise DexhotError(f"{rollout.name} cannot be judged with {given}; its reference needs {needed}.")
    achieved, wanted = rollout.object_pose, reference.object_pose
    distance = 100 * np.linalg.norm(achieved[:, :3] - wanted[:, :3], axis=1)
    angle = quat_angle(achieved[:, 3:], wanted[:, 3:])
    add = 100 * add_s(asset, achieved, wanted)
    reduced = reduced_angle(asset.symmetry, achieved[:, 3:], wanted[:, 3:])
    symmetric = asset.symmetry.kind != "none"
    metrics: dict[str, Any] = {
        "T_err_cm": distance.mean(),
        "T_err_max_cm": distance.max(),
        "T_err_final_cm": distance[-1],
        "R_err_rad": angle.mean(),
        "R_err_max_deg": np.degrees(angle.max()),
        "ADD_S_cm": add.mean(),
        "R_err_sym_rad": reduced.mean(),
        "symmetry": asset.symmetry.kind,
        **hand_errors(reference, rollout.q),
        **_judged(add if symmetric else distance, reduced if symmetric else angle),
    }
    whole = "stopped" not in rollout.provenance
    metrics["strict_limits"] = strict_limits(reference, asset)
    metrics |= {name: whole and passes(metrics, name) for name in SUCCESSES}
    raw = metrics | _judged(distance, angle)
    metrics |= {f"{name}_raw": whole and passes(raw, name) for name in SUCCESSES}

    heights = lowest(wanted, asset.corners), lowest(achieved, asset.corners)
    wanted_lifted, lifted = (h > h[0] + LIFT for h in heights)
    held = ~rollout.table_contact.astype(bool) & ((add if symmetric else distance) < HELD)
    inside = rollout.self_penetration
    metrics |= {
        "lifted_frames": int(lifted.sum()),
        "reference_lifted_frames": int(wanted_lifted.sum()),
        "hold_rate": float(held[wanted_lifted].mean()) if wanted_lifted.any() else None,
        "penetration_mm": 1000 * float(np.percentile(rollout.penetration, 95)),
        "self_penetration_mm": 1000 * float(np.percentile(inside, 95)) if len(inside) else None,
    }
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in metrics.items()}


def passes(metrics: dict[str, Any], success: str) -> bool:
    """Whether `metrics` meet the limits of one success of SUCCESSES."""
    limits = metrics["strict_limits"] if success == "success_strict" else SUCCESSES[success]
    return all(metrics[name] < limit for name, limit in limits.items())


def strict_limits(reference: Reference, asset: ObjectAsset) -> dict[str, float]:
    """The limits of success_strict on this clip. Where they would let pass an object that never moves (less than 5 cm
    and 40 degrees off all the while, a symmetric one by ADD-S), one is halved: of what such an object gets to in
    distance, else in angle, and of what a hand that never moves gets to where the object is meant to stay."""
    limits, pose = dict(SUCCESSES["success_strict"]), reference.object_pose[::5]  # 12 a second are enough
    if asset.symmetry.kind == "none":
        travel = 100 * np.linalg.norm(pose[:, :3] - pose[0, :3], axis=1).max()
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
    """Of joints q (T, 6+n) against the retargeted ones: E_wrist = mean(0.5 angle in rad + 0.5 distance in m),
    E_finger = mean |dq| in rad (DexTrack section 4.1); E_hand is their mean, which the successes bound."""
    achieved, wanted = (palm_poses(reference.base_quat, joints) for joints in (q, reference.q))
    cm = 100 * np.linalg.norm(achieved[:, :3] - wanted[:, :3], axis=1).mean()
    rad = quat_angle(achieved[:, 3:], wanted[:, 3:]).mean()
    wrist, finger = 0.5 * rad + 0.5 * cm / 100, np.abs(q[:, 6:] - reference.q[:, 6:]).mean()
    return {
        "E_wrist": wrist,
        "E_wrist_cm": cm,
        "E_wrist_rad": rad,
        "E_finger": finger,
        "E_hand": 0.5 * wrist + 0.5 * finger,
    }


def _judged(distance: np.ndarray, angle: np.ndarray) -> dict[str, float]:
    return {
        "judged_T_cm": distance.mean(),
        "judged_T_max_cm": distance.max(),
        "judged_T_final_cm": distance[-1],
        "judged_R_deg": np.degrees(angle.mean()),
        "judged_R_max_deg": np.degrees(angle.max()),
    }
