"""Kinematic quality of a Reference: fingertip error, overlaps, saturated joints."""

from typing import Any

import numpy as np

from dexhot.data.types import HandObjectTrajectory, Reference
from dexhot.geometry.poses import inverse, transform
from dexhot.objects.asset import ObjectAsset
from dexhot.retargeting.correspondence import correspondence
from dexhot.retargeting.resampling import resample
from dexhot.robots.kinematics.hand import HAND, OBJECT, TABLE, HandModel
from dexhot.robots.robot_hand import RobotHand

SATURATED = 0.01  # rad, distance from a limit


def summarise(
    reference: Reference, trajectory: HandObjectTrajectory, hand: RobotHand, asset: ObjectAsset
) -> dict[str, Any]:
    """Metrics of q over the clip; overlaps are 95th percentiles over frames of the deepest overlap.

    tip_error_mm: robot fingertips against the targets from human keypoints. Planned contacts intentionally move them by
    about a centimetre, the measurement error, so this is not small for a contact-aware reference.
    links: those that touch the object besides the fingertips (link_contact.py).
    in_hand_deg: how far the person's palm turns about the object while it is carried (grasp_sequence.in_hand_deg).
    arm_position_mm, arm_rotation_deg: how far the arm's smooth path carries the palm from where it was, at most.
    """
    tips = tip_positions(reference, hand)
    human = correspondence(hand).tips(resample(trajectory, hand.side)[0])
    error = np.linalg.norm(transform(inverse(reference.placement), tips) - human, axis=-1)
    model = HandModel(hand, (), reference.base_quat, asset, reference.table_height)
    deepest = {HAND: [], OBJECT: [], TABLE: []}  # type: dict[int, list[float]]
    for q, pose in zip(reference.q, reference.object_pose):
        model.move(q, pose)
        gaps = model.gaps()
        for kind, values in deepest.items():
            values.append(max(0.0, -gaps.distance[gaps.kind == kind].min(initial=0.0)))
    fingers = reference.q[:, 6:]
    speed = np.abs(np.diff(fingers, axis=0)) * reference.rate
    return {
        "frames": len(reference.q),
        "seconds": (len(reference.q) - 1) / reference.rate,
        "grasp_frames": [reference.grasp_start, reference.grasp_end],
        "in_hand_deg": reference.provenance.get("in_hand_deg"),
        "links": reference.provenance.get("links", []),
        "tip_error_mm": 1e3 * float(error.mean()),
        "penetration_mm": 1e3 * float(np.percentile(deepest[OBJECT], 95)),
        "table_penetration_mm": 1e3 * float(np.percentile(deepest[TABLE], 95)),
        "self_penetration_mm": 1e3 * float(np.percentile(deepest[HAND], 95)),
        "saturation": saturation(fingers, hand),
        "finger_speed_rad_s": float(speed.max()),
        **{f"arm_{name}": value for name, value in reference.provenance.get("arm_path", {}).items()},
    }


def saturation(fingers: np.ndarray, hand: RobotHand) -> float:
    """Fraction of the joints of all frames (T, n) that are at a limit."""
    return float(((fingers < hand.lower + SATURATED) | (fingers > hand.upper - SATURATED)).mean())


def tip_positions(reference: Reference, hand: RobotHand) -> np.ndarray:
    """(T, k, 3) world positions of the robot's fingertips."""
    model = HandModel(hand, (), reference.base_quat)
    out = []
    for q in reference.q:
        model.move(q)
        out.append(model.points().copy())
    return np.array(out)
