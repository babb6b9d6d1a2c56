"""Planning for the arm: the batched chain is the live one, beside floating worlds too."""

import numpy as np
import pytest

from dexhot.control.controllers import Kinematic
from dexhot.control.sampling import base_actions
from dexhot.retargeting.placement import place
from dexhot.robots.robot_hand import load_hand
from dexhot.rollouts.arm import run_offline
from dexhot.rollouts.arm_batch import ArmSimulator, limited
from dexhot.rollouts.floating import floating_simulator, start_state
from dexhot.simulation.physics import load_physics
from dexhot.simulation.setup import Setup
from dexhot_train.mining.arm_worlds import WithArm

HAND, PHYSICS = load_hand("leap_right"), load_physics()
STEPS = 40


@pytest.fixture(scope="module")
def placed(_lift_reference):
    return place(_lift_reference)


@pytest.fixture(scope="module")
def floating(placed, lift):
    return floating_simulator(placed, Setup(HAND, lift[1], PHYSICS))


@pytest.fixture(scope="module")
def arm(floating, placed):
    return ArmSimulator(floating, placed)


@pytest.fixture(scope="module")
def actions(placed):
    return base_actions(placed, PHYSICS)


def test_the_first_sequence_does_what_the_live_chain_does(arm, floating, actions, placed, lift):
    live = run_offline(placed, Kinematic(placed, PHYSICS), Setup(HAND, lift[1], PHYSICS))
    batch = arm.rollout(arm.first_state, actions[None, :-1])
    np.testing.assert_allclose(floating.object_pose(batch.states[0]), live.object_pose[1:], atol=1e-4)
    np.testing.assert_allclose(floating.joint_positions(batch.states[0])[:, 6:], live.q[1:, 6:], atol=1e-3)


def test_a_rollout_continues_from_the_state_it_is_given(arm, actions):
    whole = arm.rollout(arm.first_state, actions[None, :STEPS])
    rest = arm.rollout(whole.states[0, STEPS // 2 - 1], actions[None, STEPS // 2 : STEPS])
    np.testing.assert_allclose(rest.sensors[0], whole.sensors[0, STEPS // 2 :], atol=1e-6)


def test_a_neighbour_of_the_first_sequence_does_nearly_what_it_would_do_alone(arm, actions):
    other = actions[:STEPS] + np.linspace(0.0, 1.0, STEPS)[:, None] * np.r_[[0.01] * 3, [0.05] * 3, [0.1] * 16]
    beside = arm.rollout(arm.first_state, np.stack([actions[:STEPS], other]))
    alone = arm.rollout(arm.first_state, other[None])
    palm = arm.scene.sensors["palm_position"]
    assert np.abs(beside.sensors[1][:, palm] - alone.sensors[0][:, palm]).max() < 1e-3


def test_worlds_of_both_kinds_come_back_in_their_order(arm, floating, actions, placed):
    both, start = WithArm(floating, arm), start_state(placed, floating)
    states = np.stack([arm.first_state, both.padded(start), arm.first_state])
    batch = both.rollout(states, actions[None, :STEPS], [None, floating.model, None])
    one, other = arm.rollout(arm.first_state, actions[None, :STEPS]), floating.rollout(start, actions[None, :STEPS])
    np.testing.assert_array_equal(batch.sensors[0], one.sensors[0])
    np.testing.assert_array_equal(batch.sensors[1], other.sensors[0])
    np.testing.assert_allclose(both.object_pose(batch.states[2]), both.object_pose(batch.states[0]), atol=1e-3)


def test_changes_from_row_to_row_are_limited():
    q = np.array([[[0.0], [5.0], [5.0], [0.0]]])
    steps = np.array([[2.0], [2.0], [2.0], [1.0]])
    np.testing.assert_allclose(limited(q, np.array([-1.0]), steps)[0, :, 0], [0.0, 2.0, 4.0, 3.0])
