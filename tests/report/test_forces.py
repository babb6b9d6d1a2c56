"""Torques and fingertip forces, on a lift that physics makes."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.data.types import Rollout
from dexhot.report.forces import estimated, finger_of_joints, forces
from dexhot.report.recording import RunRecording
from dexhot.robots.arm import FR3_JOINTS
from dexhot.robots.robot_hand import load_hand
from dexhot.rollouts.floating import floating_simulator, run_floating


@pytest.fixture
def lift_of_physics(lift_reference, lift_setup) -> Rollout:
    """What the reference's own targets do."""
    simulator = floating_simulator(lift_reference, lift_setup)
    return run_floating(lift_reference, lift_reference.target, simulator)


def test_simulated_torques_stay_within_their_limits(lift_of_physics, lift_setup):
    found = forces(lift_of_physics, lift_setup)
    assert (np.abs(found.torque) <= found.limit + 1e-9).all()
    assert found.torque.shape == (len(lift_of_physics.q), 16) and np.abs(found.torque).max() > 0.1


def test_a_fingertip_presses_where_it_touches_and_nowhere_else(lift_of_physics, lift_setup):
    found, touching = forces(lift_of_physics, lift_setup), lift_of_physics.tip_contact
    assert touching.any() and not found.tip_force[~touching].any()
    assert np.median(found.tip_force[touching]) > 0.5


def test_what_a_held_object_weighs_is_less_than_what_presses_on_it(lift_of_physics, lift_setup):
    held = ~lift_of_physics.table_contact & (lift_of_physics.tip_contact.sum(axis=1) > 1)
    assert held.any()
    weight = 9.81 * lift_setup.asset.mass
    assert (forces(lift_of_physics, lift_setup).tip_force[held].sum(axis=1) > weight).all()


def test_forces_estimated_from_torques_are_those_of_the_physics(lift_of_physics, lift_setup):
    found = forces(lift_of_physics, lift_setup)
    held = np.flatnonzero(~lift_of_physics.table_contact & (lift_of_physics.tip_contact.sum(axis=1) > 1))
    guess = estimated(lift_of_physics, lift_setup, found.torque)
    pressed = found.tip_force[held] > 1.0
    assert np.median(np.abs(guess - found.tip_force)[held][pressed] / found.tip_force[held][pressed]) < 0.15


def test_a_rollout_that_its_commands_do_not_repeat_has_no_forces(lift_of_physics, lift_setup):
    lift_of_physics.object_pose[-1, 0] += 1e-4
    assert forces(lift_of_physics, lift_setup) is None
    assert forces(replace(lift_of_physics, kind="arm"), lift_setup) is None


def test_of_a_live_run_the_recorded_torques_count(lift_of_physics, lift_setup):
    joints = [*FR3_JOINTS, *lift_setup.hand.joint_names]
    torque = np.full((len(lift_of_physics.q), len(joints)), 0.2)
    recording = RunRecording([], {}, joints, torque, np.zeros((0, 2)), 60.0, 0, 0, 16.7)
    found = forces(replace(lift_of_physics, kind="live"), lift_setup, recording)
    np.testing.assert_array_equal(found.torque, torque)
    assert found.limit[0] == 87 and found.limit[7] == lift_setup.hand.effort[0]


def test_each_joint_of_the_leap_hand_moves_the_tip_of_its_finger():
    hand = load_hand("leap_right")
    tips = [site.removesuffix("_tip") for site in hand.tip_sites]
    assert [tips[k] for k in finger_of_joints(hand)] == [name.partition("_")[0] for name in hand.joint_names]
