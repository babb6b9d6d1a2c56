"""The robot's palm, carried along with the operator's wrist, arrives at the reference's grasp."""

import numpy as np

from dexhot.geometry.poses import compose, inverse
from dexhot.retargeting.operator_start import operator_start
from dexhot.retargeting.placement import place
from dexhot.retargeting.resampling import resample
from dexhot.robots.kinematics.arm import ArmKinematics
from dexhot.robots.kinematics.wrist import palm_poses
from dexhot.robots.robot_hand import load_hand


def test_a_palm_on_the_operators_wrist_meets_the_grasp(lift, lift_reference):
    reference = place(lift_reference)
    started = operator_start(reference, lift[0])
    points, rotation, _ = resample(lift[0], "right")
    wrists = compose(reference.placement, np.concatenate([points[:, 0], rotation], axis=1))
    middle = (reference.grasp_start + reference.grasp_end) // 2
    start = palm_poses(started.base_quat, started.q[:1])[0]
    carried = compose(wrists[middle], compose(inverse(wrists[0]), start))
    meant = palm_poses(reference.base_quat, reference.q)[middle]
    np.testing.assert_allclose(carried[:3], meant[:3], atol=1e-6)
    assert abs(carried[3:] @ meant[3:]) > 1 - 1e-9
    np.testing.assert_array_equal(started.q[1:], reference.q[1:])
    hand = load_hand(reference.hand)
    q = ArmKinematics(hand).hand_vector(started.arm_q[0], started.q[0, 6:], started.base_quat, started.q[0])
    np.testing.assert_allclose(q, started.q[0], atol=1e-3)
