"""A network in many worlds at once does what the controller does in one."""

import numpy as np
import pytest

from dexhot.control.policy import OnnxNetwork, Policy
from dexhot.control.sampling import base_actions
from dexhot.errors import DexhotError
from dexhot.planning.planned import Planned, PlannedOptions
from dexhot.planning.prior import unfitted
from dexhot.rollouts.floating import floating_simulator, run_controller, start_state
from dexhot.rollouts.network import run_network
from dexhot.simulation.scene import perturbed
from tiny_policy import write_policy


@pytest.fixture
def simulator(lift_reference, lift_setup):
    return floating_simulator(lift_reference, lift_setup)


def test_it_is_the_controller_to_the_last_bit(tmp_path, lift_reference, lift_setup, simulator):
    layout = ["object_error", "object_velocity", "hand_velocity", "last_command", "residual", "contact@6"]
    weight = np.random.default_rng(0).normal(0, 1e-5, (82, 22))
    path = write_policy(tmp_path / "a", lift_reference, lift_setup.physics, weight=weight, keep=0.9, layout=layout)
    network = OnnxNetwork(path)
    start = start_state(lift_reference, simulator)
    run = run_network(network, lift_reference, lift_setup, simulator, np.stack([start, start]), [simulator.model] * 2)
    alone = run_controller(Policy(lift_reference, network, lift_setup.asset, lift_setup.physics), simulator)
    assert np.abs(run.residuals[0, -1]).max() > 1e-4
    np.testing.assert_array_equal(run.commands[1], alone.command)
    np.testing.assert_array_equal(simulator.object_pose(run.states[0]), alone.object_pose)


def test_each_world_has_its_model_and_its_start(tmp_path, lift_reference, lift_setup, simulator):
    network = OnnxNetwork(write_policy(tmp_path / "a", lift_reference, lift_setup.physics))
    starts = np.stack([start_state(lift_reference, simulator), start_state(lift_reference, simulator, (0.01, 0.0))])
    models = [perturbed(simulator.scene, mass=1.3), simulator.model]
    run = run_network(network, lift_reference, lift_setup, simulator, starts, models)
    base = base_actions(lift_reference, lift_setup.physics)
    for k in range(2):
        plan = run.commands[k]
        batch = simulator.rollout(starts[k], plan[None, :-1], [models[k]])
        np.testing.assert_array_equal(run.states[k, 1:], batch.states[0])
    np.testing.assert_array_equal(run.commands[0], base)
    assert run.commands[1][0, 0] - base[0, 0] == pytest.approx(0.01)  # object-relative


def test_a_world_in_which_the_network_is_unsafe_keeps_its_command_and_the_others_go_on(
    tmp_path, lift_reference, lift_setup, simulator
):
    weight = np.zeros((13, 22))
    weight[0] = 1.0  # of the object's error in the palm's frame: jumps in the displaced world alone
    network = OnnxNetwork(write_policy(tmp_path / "a", lift_reference, lift_setup.physics, weight=weight, keep=0.0))
    starts = np.stack([start_state(lift_reference, simulator), start_state(lift_reference, simulator, (0.04, 0.04))])
    run = run_network(network, lift_reference, lift_setup, simulator, starts, [simulator.model] * 2)
    assert "jumps" in run.unsafe[1] and (run.commands[1] == run.commands[1][0]).all()
    assert not run.residuals[1].any()


def test_noise_moves_the_hand_and_not_the_residual(tmp_path, lift_reference, lift_setup, simulator):
    network = OnnxNetwork(write_policy(tmp_path / "a", lift_reference, lift_setup.physics))
    start = start_state(lift_reference, simulator)[None]
    noise = np.full((1, *lift_reference.q.shape), 0.01)
    run = run_network(network, lift_reference, lift_setup, simulator, start, [simulator.model], noise)
    np.testing.assert_allclose(run.commands[0], base_actions(lift_reference, lift_setup.physics) + 0.01)
    assert not run.residuals.any()


def test_a_policy_trained_with_the_shaper_is_played_through_it(tmp_path, lift_reference, lift_setup, simulator):
    """Its targets are what it observes as its last command, the shaped ones are what the servos get."""
    layout = ["object_error", "last_command", "residual"]
    weight = np.random.default_rng(0).normal(0, 1e-5, (50, 22))
    made = {"weight": weight, "keep": 0.9, "layout": layout}
    plain, shaped = (
        OnnxNetwork(write_policy(tmp_path / name, lift_reference, lift_setup.physics, shaper_lead=lead, **made))
        for name, lead in (("plain", None), ("shaped", 1.0))
    )
    start = start_state(lift_reference, simulator)[None]
    without = run_network(plain, lift_reference, lift_setup, simulator, start, [simulator.model])
    run = run_network(shaped, lift_reference, lift_setup, simulator, start, [simulator.model])
    moved = np.abs(run.commands - without.commands).max()
    assert 1e-3 < moved < 0.2
    np.testing.assert_array_equal(run.observations[0, 1], without.observations[0, 1])  # the same last target
    alone = run_controller(Policy(lift_reference, shaped, lift_setup.asset, lift_setup.physics), simulator)
    np.testing.assert_array_equal(run.commands[0], alone.command)
    np.testing.assert_array_equal(simulator.object_pose(run.states[0]), alone.object_pose)


def test_a_card_of_another_rig_is_refused(tmp_path, lift_reference, lift_setup, simulator):
    network = OnnxNetwork(write_policy(tmp_path / "a", lift_reference, lift_setup.physics, physics="1"))
    start = start_state(lift_reference, simulator)[None]
    with pytest.raises(DexhotError, match="physics version"):
        run_network(network, lift_reference, lift_setup, simulator, start, [simulator.model])


def test_feedback_on_a_plan_acts_as_planned_does(tmp_path, lift_reference, lift_setup, simulator):
    weight = np.random.default_rng(0).normal(0, 2e-4, (13, 22))
    network = OnnxNetwork(
        write_policy(tmp_path / "a", lift_reference, lift_setup.physics, weight=weight, keep=0.9, baseline="planned")
    )
    options = PlannedOptions(planning_rollouts=12)
    alone = Planned(lift_reference, lift_setup, unfitted(16), options, feedback=network)
    rollout = run_controller(alone, simulator)
    start, plan = start_state(lift_reference, simulator)[None], alone.chosen.targets
    run = run_network(network, lift_reference, lift_setup, simulator, start, [simulator.model], plan=plan)
    assert np.abs(run.residuals[0, -1]).max() > 1e-4
    np.testing.assert_array_equal(run.commands[0], rollout.command)
    with pytest.raises(DexhotError, match="baseline: planned"):
        run_network(network, lift_reference, lift_setup, simulator, start, [simulator.model])
