"""Every metric of a Rollout against its Reference. docs/metrics.md explains every number.

Row t of a rollout is the state at the reference's frame t. Distances in cm; angles in rad, or degrees where named so.
"""

from typing import Any

import numpy as np

from dexhot.data.types import Rollout
from dexhot.errors import DexhotError
from dexhot.metrics.levels import level
from dexhot.metrics.success import SUCCESSES, hand_errors, passes, strict_limits
from dexhot.metrics.tracking_errors import SELF_CONTACT, held, lifted, object_errors
from dexhot.objects.asset import ObjectAsset
from dexhot.robots.robot_hand import RobotHand

PLANNED = 0.5  # contact of a fingertip from which on it is planned


def compute(rollout: Rollout, asset: ObjectAsset, hand: RobotHand) -> dict[str, Any]:
    """Every metric of `rollout`: floats, ints, bools and the object's kind of symmetry; hold_rate is None where the
    reference lifts nothing, self-penetration where it was not recorded. An interrupted clip (provenance "stopped") is
    no success. Raises DexhotError when object or hand is not the reference's."""
    reference = rollout.reference
    if asset.name != reference.object_name or hand.name != reference.hand:
        given, needed = f"{asset.name} and {hand.name}", f"{reference.object_name} and {reference.hand}"
        raise DexhotError(f"{rollout.name} cannot be judged with {given}; its reference needs {needed}.")
    errors = object_errors(asset, rollout.object_pose, reference.object_pose)
    wanted_lifted, inside = lifted(asset, reference.object_pose), rollout.self_penetration
    kept = held(rollout.table_contact, errors.judged_distance)[wanted_lifted]
    metrics: dict[str, Any] = {
        "T_err_cm": errors.distance.mean(),
        "T_err_max_cm": errors.distance.max(),
        "T_err_final_cm": errors.distance[-1],
        "R_err_rad": errors.angle.mean(),
        "R_err_max_deg": np.degrees(errors.angle.max()),
        "ADD_S_cm": errors.add_s.mean(),
        "R_err_sym_rad": errors.reduced.mean(),
        "symmetry": asset.symmetry.kind,
        **hand_errors(reference, rollout.q),
        **_judged(errors.judged_distance, errors.judged_angle),
        "hold_rate": float(kept.mean()) if len(kept) else None,
        "lifted_frames": int(lifted(asset, rollout.object_pose).sum()),
        "reference_lifted_frames": int(wanted_lifted.sum()),
        "contact": touched(rollout),
        "penetration_mm": 1000 * float(np.percentile(rollout.penetration, 95)),
        "self_penetration_mm": 1000 * float(np.percentile(inside, 95)) if len(inside) else None,
        "self_penetration_frames": int((inside > SELF_CONTACT).sum()) if len(inside) else None,
    }
    whole = "stopped" not in rollout.provenance
    metrics["level"] = level(rollout, asset, errors.judged_distance)
    metrics["strict_limits"] = strict_limits(reference, asset)
    metrics |= {name: whole and passes(metrics, name) for name in SUCCESSES}
    raw = metrics | _judged(errors.distance, errors.angle)
    metrics |= {f"{name}_raw": whole and passes(raw, name) for name in SUCCESSES}
    if rollout.kind != "floating":
        metrics["speed_factor"] = reference.speed_factor
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in metrics.items()}


def touched(rollout: Rollout) -> float | None:
    """Fraction of the planned contacts (frame and fingertip) in which the tip touches the object; None where none is
    planned."""
    planned = rollout.reference.contact > PLANNED
    return float(rollout.tip_contact[planned].mean()) if planned.any() else None


def _judged(distance: np.ndarray, angle: np.ndarray) -> dict[str, float]:
    return {
        "judged_T_cm": distance.mean(),
        "judged_T_max_cm": distance.max(),
        "judged_T_final_cm": distance[-1],
        "judged_R_deg": np.degrees(angle.mean()),
        "judged_R_max_deg": np.degrees(angle.max()),
    }
