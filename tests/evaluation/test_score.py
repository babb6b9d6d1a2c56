"""Scores come from simulating again: the failing controls fail, and a file is judged by what its actions do."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from dexhot.control.sampling import base_actions
from dexhot.data.files import load, save
from dexhot.data.types import Demonstration
from dexhot.errors import DexhotError, NotFoundError
from dexhot.evaluation.score import score, score_on_arm
from dexhot.metrics.rollout import compute
from dexhot.objects.library import save_object
from dexhot.paths import share_dir
from dexhot.rollouts.floating import floating_simulator, run_floating, start_state
from dexhot.simulation.physics import load_physics


@pytest.fixture
def simulator(lift_reference, lift_setup):
    return floating_simulator(lift_reference, lift_setup)


@pytest.fixture
def demonstration(lift_reference, simulator) -> Demonstration:
    actions = base_actions(lift_reference, load_physics())
    rollout = run_floating(lift_reference, actions, simulator)
    physics = load_physics().version
    return Demonstration("d", lift_reference, actions, rollout.q, rollout.object_pose, physics)


def test_on_the_arm_a_demonstration_is_played_in_the_arms_time(placed_lift, lift_setup, simulator):
    half = np.linspace(0, len(placed_lift.q) - 1, 2 * len(placed_lift.q) - 1)
    slow = replace(placed_lift, arm_frames=half)
    actions = base_actions(slow, load_physics())
    played = Demonstration("d", slow, actions, slow.q, slow.object_pose, load_physics().version)
    rollout = score_on_arm(played, lift_setup)
    assert len(rollout.q) == len(half) and rollout.metrics["speed_factor"] == pytest.approx(2.0)
    np.testing.assert_array_equal(rollout.reference.clip_frames, half)
    np.testing.assert_allclose(rollout.reference.object_pose[::2], placed_lift.object_pose, atol=1e-9)
    assert rollout.metrics["success_strict"]


def test_a_demonstration_of_dexhot_0_1_gets_the_path_that_it_lacks(placed_lift, lift_setup):
    without = replace(placed_lift, arm_q=np.zeros((0, 7)), arm_frames=np.zeros(0))
    actions = base_actions(without, load_physics())
    played = Demonstration("d", without, actions, without.q, without.object_pose, load_physics().version)
    assert score_on_arm(played, lift_setup).metrics["success_strict"]


def metrics_of(simulator, reference, actions, state=None):
    return compute(run_floating(reference, actions, simulator, state), simulator.scene.object, simulator.scene.hand)


def test_zero_action_fails(simulator, lift_reference):
    m = metrics_of(simulator, lift_reference, np.zeros_like(lift_reference.q))
    assert not m["success_strict"]


def test_a_frozen_hand_fails(simulator, lift_reference):
    m = metrics_of(simulator, lift_reference, np.repeat(lift_reference.q[:1], len(lift_reference.q), axis=0))
    assert not m["success_strict"] and m["hold_rate"] == 0.0


def test_an_object_without_the_hand_fails(simulator, lift_reference):
    """The hand follows its whole reference far above, where it touches nothing."""
    away = lift_reference.q[0].copy()
    away[2] += 1.0
    state = simulator.initial_state(away, lift_reference.object_pose[0])
    actions = base_actions(lift_reference, load_physics())
    actions[:, 2] += 1.0
    rollout = run_floating(lift_reference, actions, simulator, state)
    rollout.q[:, 2] -= 1.0  # even with a perfect hand
    m = compute(rollout, simulator.scene.object, simulator.scene.hand)
    assert not m["success_strict"] and m["hold_rate"] == 0.0 and m["penetration_mm"] == 0.0


def test_a_file_is_scored_by_simulating_its_actions(cache, tmp_path, demonstration, lift_object):
    save_object(lift_object)
    demonstration.object_pose[:, 2] += 1.0  # what the file claims does not count
    rollout = score(load(save(demonstration, tmp_path / "d.npz"), Demonstration))
    assert rollout.kind == "floating" and rollout.object_pose[:, 2].max() < 0.8
    assert rollout.metrics["E_wrist_cm"] < 2.0


def test_row_0_is_the_state_before_any_step(simulator, lift_reference):
    rollout = run_floating(lift_reference, base_actions(lift_reference, load_physics()), simulator)
    assert rollout.object_pose[0] == pytest.approx(lift_reference.object_pose[0])
    assert rollout.q[0] == pytest.approx(lift_reference.q[0])


def test_the_object_can_start_elsewhere(simulator, lift_reference):
    state = start_state(lift_reference, simulator, (0.005, -0.005), np.radians(10))
    pose = simulator.object_pose(state)
    assert pose[:3] - lift_reference.object_pose[0, :3] == pytest.approx([0.005, -0.005, 0])


def test_another_physics_version_is_refused(demonstration):
    demonstration.physics = "0"
    with pytest.raises(DexhotError, match="version 0"):
        score(demonstration)


def test_a_missing_object_is_named(cache, demonstration):
    stranger = replace(demonstration, reference=replace(demonstration.reference, object_name="user/stranger"))
    with pytest.raises(NotFoundError, match="user/stranger"):
        score(stranger)


def test_a_demonstration_on_ones_own_hand_is_scored(cache, tmp_path, demonstration, lift_object):
    save_object(lift_object)
    for folder in ("leap", "leap_right"):
        shutil.copytree(share_dir() / "urdf" / folder, tmp_path / folder)
    own = str(tmp_path / "leap_right" / "hand.yaml")
    theirs = replace(demonstration, reference=replace(demonstration.reference, hand=own))
    assert score(theirs).metrics["T_err_cm"] == score(demonstration).metrics["T_err_cm"]
