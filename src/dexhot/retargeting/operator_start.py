"""Where a robot starts to repeat a person's motion live: its palm on the person's wrist as in the reference's grasp."""

from dataclasses import replace

import numpy as np

from dexhot.data.types import HandObjectTrajectory, Reference
from dexhot.errors import UnreachableError
from dexhot.geometry.poses import compose, inverse, pose_to_matrix
from dexhot.retargeting.resampling import resample
from dexhot.robots.kinematics.arm import ArmChain
from dexhot.robots.kinematics.wrist import palm_poses, palm_to_wrist
from dexhot.robots.robot_hand import load_hand

NEWTON, REACHED = 60, 1e-3  # iterations; m


def operator_start(reference: Reference, clip: HandObjectTrajectory) -> Reference:
    """The placed reference with another first posture: a palm that is carried along with the wrist of the clip from
    there arrives where the reference grasps, since retargeting moves and turns it against the wrist on the way.

    Raises UnreachableError where the arm does not reach it.
    """
    hand = load_hand(reference.hand)
    points, rotation, _ = resample(clip, hand.side)
    wrists = compose(reference.placement, np.concatenate([points[:, 0], rotation], axis=1))
    palms = palm_poses(reference.base_quat, reference.q)
    middle = (reference.grasp_start + reference.grasp_end) // 2
    start = compose(wrists[0], compose(inverse(wrists[middle]), palms[middle]))
    found, error, _ = ArmChain(hand).solve(pose_to_matrix(start)[None], reference.require_arm_path()[0], NEWTON)
    if error[0] > REACHED:
        raise UnreachableError(f"{reference.name}: the arm does not reach the palm's place at the operator's start.")
    q, target, arm_q = reference.q.copy(), reference.target.copy(), reference.arm_q.copy()
    q[0, :6] = target[0, :6] = palm_to_wrist(start, reference.base_quat, q[0, :6])
    arm_q[0] = found[0]
    return replace(reference, q=q, target=target, arm_q=arm_q)
