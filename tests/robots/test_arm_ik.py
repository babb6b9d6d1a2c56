"""The arm's inverse kinematics: many configurations at once, and one step at a time."""

import numpy as np
import pytest

from dexhot.errors import DexhotError
from dexhot.geometry.poses import matrix_to_pose
from dexhot.robots.arm import FR3_HOME
from dexhot.robots.kinematics.arm import ArmChain
from dexhot.robots.kinematics.arm_ik import ArmIK
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
