"""The arm's inverse kinematics and the search for a reachable placement."""

import numpy as np
import pytest

from dexhot.errors import DexhotError, UnreachableError
from dexhot.geometry.poses import compose, inverse, matrix_to_pose, transform
from dexhot.geometry.rotations import quat_angle
from dexhot.retargeting import placement
from dexhot.retargeting.placement import follow, moved, place
from dexhot.robots.arm import FR3_HOME
from dexhot.robots.kinematics.arm import ArmChain
from dexhot.robots.kinematics.arm_ik import ArmIK
from dexhot.robots.kinematics.wrist import palm_poses
from dexhot.robots.robot_hand import load_hand

HAND = load_hand("leap_right")


@pytest.fixture(scope="module")
def ik():
    return ArmIK(HAND)


@pytest.fixture(scope="module")
def chain():
    return ArmChain(HAND)


def test_chain_and_mink_model_agree(ik, chain):
    palm = matrix_to_pose(chain.forward(FR3_HOME[None])[0][0])
    _, position, rotation = ik.reach(palm, FR3_HOME, steps=1)
    assert position < 1e-6 and rotation < 1e-6


def test_jacobian_of_the_chain_matches_finite_differences(chain):
    q = FR3_HOME + 0.2
    T, J = chain.forward(q[None])
    for k in range(7):
        step = np.zeros(7)
        step[k] = 1e-6
        T2, _ = chain.forward((q + step)[None])
        np.testing.assert_allclose((T2 - T)[0, :3, 3] / 1e-6, J[0, :3, k], atol=1e-5)


def test_batch_solver_finds_poses_that_exist(chain):
    q = FR3_HOME + np.random.default_rng(0).uniform(-0.4, 0.4, (100, 7))
    wanted, _ = chain.forward(np.clip(q, chain.lower, chain.upper))
    _, position, rotation = chain.solve(wanted)
    assert (position < 1e-3).mean() > 0.98 and (rotation < 1e-2).mean() > 0.98


def test_step_keeps_to_velocity_and_joint_limits(ik, chain):
    far = matrix_to_pose(chain.forward((FR3_HOME + [1, 0.5, 0, 0.5, 0, 0.5, 0])[None])[0][0])
    q = FR3_HOME
    for _ in range(30):
        q_next, _, _ = ik.solve(far, q)
        assert (np.abs(q_next - q) <= ik.velocity * ik.dt + 1e-9).all()
        assert (q_next >= ik.lower).all() and (q_next <= ik.upper).all()
        q = q_next


def test_refuses_a_palm_that_is_not_finite(ik):
    with pytest.raises(DexhotError, match="non-finite"):
        ik.solve(np.full(7, np.nan), FR3_HOME)


def test_moving_a_reference_keeps_hand_and_object_together(lift_reference):
    there = np.array([0.3, -0.2, 0.0, np.cos(0.4), 0, 0, np.sin(0.4)])
    new = moved(lift_reference, there)
    before = compose(inverse(palm_poses(lift_reference.base_quat, lift_reference.q)), lift_reference.object_pose)
    after = compose(inverse(palm_poses(new.base_quat, new.q)), new.object_pose)
    np.testing.assert_allclose(after[:, :3], before[:, :3], atol=1e-9)
    assert quat_angle(after[:, 3:], before[:, 3:]).max() < 1e-6
    np.testing.assert_allclose(new.placement, there)
    np.testing.assert_allclose(transform(there, lift_reference.target[:, :3]), new.target[:, :3])


def test_of_the_placements_the_one_with_the_least_acceleration_is_taken(lift_reference, ik, monkeypatch):
    first = follow(place(lift_reference), ik).acceleration
    monkeypatch.setattr(placement, "EASY", 0.0)
    monkeypatch.setattr(placement, "VERIFIED", 8)
    assert follow(place(lift_reference), ik).acceleration <= first


def test_placed_reference_is_followed_from_first_to_last_frame(lift_reference, ik):
    placed = place(lift_reference)
    motion = follow(placed, ik)
    assert motion.position_error.max() < 0.005 and not motion.touches_table.any()


def test_placement_does_not_depend_on_where_the_demonstration_was(lift_reference):
    far = moved(lift_reference, np.array([5.0, 3.0, 0, 1, 0, 0, 0]))
    np.testing.assert_allclose(place(far).object_pose, place(lift_reference).object_pose, atol=1e-6)


def test_unreachable_demonstration_names_the_first_frame(lift_reference):
    lift_reference.q[60:, 2] += 3.0
    with pytest.raises(UnreachableError, match=r"first at frame 6\d of .* mm and .* deg off"):
        place(lift_reference)
