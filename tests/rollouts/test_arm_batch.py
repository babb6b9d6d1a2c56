"""Planning for the arm: the batched chain is the live one, beside floating worlds too."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.control.controllers import Kinematic
from dexhot.control.sampling import base_actions
from dexhot.control.time_warp import warp_reference
from dexhot.retargeting.placement import place
from dexhot.rigs.embedded import ARM
from dexhot.robots.robot_hand import load_hand
from dexhot.rollouts.arm import run_offline
from dexhot.rollouts.arm_batch import ArmSimulator, limited
from dexhot.rollouts.floating import floating_simulator, start_state
from dexhot.rollouts.with_arm import WithArm
from dexhot.simulation.physics import load_physics
from dexhot.simulation.setup import Setup

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


def test_in_the_arms_own_time_a_frame_ends_where_the_live_chain_is(floating, placed, actions, lift):
    """At half speed a frame's target is held for two ticks, which would leave the arm half a tick behind."""
    ticks = 2 * len(placed.q) - 1
    slow = replace(placed, arm_frames=np.linspace(0, len(placed.q) - 1, ticks))
    warped = warp_reference(slow, slow.arm_frames)
    live = run_offline(warped, Kinematic(warped, PHYSICS), Setup(HAND, lift[1], PHYSICS))
    simulator = ArmSimulator(floating, slow)
    rig = simulator.rollout(simulator.first_state, actions[None, :STEPS]).states[0][:, simulator.ends[0] :]
    error = np.abs(rig[:, 1 + simulator.rig.scene.q_address[:7]] - live.arm_q[2 : 2 * STEPS + 1 : 2])
    assert error.max() < 2e-3  # rad


def test_a_rollout_continues_from_the_state_it_is_given(arm, actions):
    whole = arm.rollout(arm.first_state, actions[None, :STEPS])
    rest = arm.rollout(whole.states[0, STEPS // 2 - 1], actions[None, STEPS // 2 : STEPS])
    np.testing.assert_allclose(rest.sensors[0], whole.sensors[0, STEPS // 2 :], atol=1e-6)


def test_the_arms_own_cycles_go_on_too(arm, actions):
    """Of 1 ms, 4 or 5 in a substep: after an odd number of frames another pattern begins."""
    whole = arm.rollout(arm.first_state, actions[None, :STEPS])
    for begin in (1, 7, 8, 9):
        rest = arm.rollout(whole.states[0, begin - 1], actions[None, begin:STEPS])
        setpoint = whole.states[0, begin:, -3 * ARM :]
        np.testing.assert_allclose(rest.states[0, :, -3 * ARM :], setpoint, atol=1e-9, err_msg=str(begin))


@pytest.fixture(scope="module")
def slowed(placed):
    """Twice as slow in the middle, and smoothly so."""
    T = len(placed.q)
    pace = 1.0 / (1.0 + np.exp(-(((np.arange(T) - T / 2) / (T / 6)) ** 2)))
    ticks = np.concatenate([[0.0], np.cumsum(1.0 / pace[1:])])
    frames = np.interp(np.linspace(0, ticks[-1], 1 + round(ticks[-1])), ticks, np.arange(T))
    return replace(placed, arm_frames=frames)


def test_a_frame_lasts_as_long_as_its_time_map_gives_it(floating, slowed):
    arm = ArmSimulator(floating, slowed)
    K, T = len(slowed.arm_frames), len(slowed.q)
    assert K > 1.2 * T and arm.substeps[:-1].sum() == PHYSICS.substeps * (K - 1)
    ticks = np.cumsum(arm.substeps[:-1]) / PHYSICS.substeps  # when each frame ends
    np.testing.assert_allclose(np.interp(ticks, np.arange(K), slowed.arm_frames), np.arange(1, T), atol=0.13)


def test_in_the_arms_time_the_batch_does_nearly_what_the_live_chain_does(floating, slowed, lift):
    arm = ArmSimulator(floating, slowed)
    batch = arm.rollout(arm.first_state, base_actions(slowed, PHYSICS)[None, :-1])
    live = warp_reference(slowed, slowed.arm_frames)
    rollout = run_offline(live, Kinematic(live, PHYSICS), Setup(HAND, lift[1], PHYSICS))
    at = np.interp(np.arange(1, len(slowed.q)), slowed.arm_frames, np.arange(len(live.q)))
    expected = np.stack([np.interp(at, np.arange(len(live.q)), x) for x in rollout.object_pose[:, :3].T], axis=1)
    off = np.linalg.norm(floating.object_pose(batch.states[0])[:, :3] - expected, axis=1)
    assert off.max() < 3e-3 and off.mean() < 1e-3, (off.mean(), off.max())


def test_a_neighbour_of_the_first_sequence_does_nearly_what_it_would_do_alone(arm, actions):
    other = actions[:STEPS] + np.linspace(0.0, 1.0, STEPS)[:, None] * np.r_[[0.01] * 3, [0.05] * 3, [0.1] * 16]
    beside = arm.rollout(arm.first_state, np.stack([actions[:STEPS], other]))
    alone = arm.rollout(arm.first_state, other[None])
    palm = arm.scene.sensors["palm_position"]
    assert np.abs(beside.sensors[1][:, palm] - alone.sensors[0][:, palm]).max() < 1e-3


def test_worlds_of_both_kinds_come_back_in_their_order(arm, floating, actions, placed):
    both, start = WithArm(floating, arm.state_size), start_state(placed, floating)
    states = np.stack([arm.first_state, both.padded(start), arm.first_state])
    batch = both.rollout(states, actions[None, :STEPS], [arm, floating.model, arm])
    one, other = arm.rollout(arm.first_state, actions[None, :STEPS]), floating.rollout(start, actions[None, :STEPS])
    np.testing.assert_array_equal(batch.sensors[0], one.sensors[0])
    np.testing.assert_array_equal(batch.sensors[1], other.sensors[0])
    np.testing.assert_allclose(both.object_pose(batch.states[2]), both.object_pose(batch.states[0]), atol=1e-3)


def test_changes_from_row_to_row_are_limited():
    q = np.array([[[0.0], [5.0], [5.0], [0.0]]])
    steps = np.array([[2.0], [2.0], [2.0], [1.0]])
    np.testing.assert_allclose(limited(q, np.array([-1.0]), steps)[0, :, 0], [0.0, 2.0, 4.0, 3.0])
