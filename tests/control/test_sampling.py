"""The sampling planner: its parts, and that planning lowers the cost on a real grasp."""

import numpy as np
import pytest

from dexhot.control.sampling import SamplingOptions, SamplingPlanner, base_actions, elite_mean, knot_weights
from dexhot.rollouts.floating import floating_simulator, start_state
from dexhot.simulation.physics import load_physics
from dexhot.simulation.scene import perturbed

SMALL = SamplingOptions(samples=12, iterations=2, horizon=0.4)


@pytest.fixture
def simulator(lift_reference, lift_setup):
    return floating_simulator(lift_reference, lift_setup)


def state_at(planner, frame):
    """The state in which the bare plan is at `frame`."""
    start = start_state(planner.reference, planner.simulator)
    return planner.simulator.rollout(start, planner.actions(0, frame)[None]).states[0, -1]


def test_knot_weights_interpolate_linearly():
    w = knot_weights(24, 12)
    assert w.shape == (24, 4) and w.sum(axis=1) == pytest.approx(1)
    assert w[6] == pytest.approx([0.5, 0.5, 0, 0]) and w[12] == pytest.approx([0, 1, 0, 0])


def test_elite_mean_ignores_bad_and_diverged_samples():
    samples = np.arange(10.0)[:, None]
    cost = np.r_[np.inf, 5.0, 5.0, 5.0, 5.0, 5.0, 1.0, 1.0, 1.0, 1.0]
    assert 6 <= elite_mean(samples, cost, 0.4, 0.5)[0] <= 9


def test_elite_mean_keeps_the_plan_when_everything_diverged():
    assert elite_mean(np.array([[3.0], [4.0]]), np.array([np.inf, np.inf]), 0.5, 0.5)[0] == 3.0


def test_base_actions_feed_the_velocity_forward(lift_reference):
    physics = load_physics()
    reference = lift_reference
    reference.target[:, 0] = 0.3 * reference.time  # 0.3 m/s
    lag = physics.wrist.translation.kv / physics.wrist.translation.kp
    base = base_actions(reference, physics)
    assert base[10, 0] == pytest.approx(reference.target[11, 0] + lag * 0.3)
    assert base[-1] == pytest.approx(reference.target[-1])


def test_base_actions_let_the_wrist_follow_within_millimetres(simulator, lift_reference):
    actions = base_actions(lift_reference, simulator.scene.physics)
    states = simulator.rollout(start_state(lift_reference, simulator), actions[None, :-1]).states[0]
    error = np.linalg.norm(simulator.joint_positions(states)[:, :3] - lift_reference.q[1:, :3], axis=1)
    assert error.mean() < 0.005


def test_a_reference_shorter_than_the_horizon_is_planned_to_its_end(short_reference, lift_setup):
    simulator = floating_simulator(short_reference, lift_setup)
    planner = SamplingPlanner(short_reference, simulator, SamplingOptions(samples=8, iterations=2))
    assert planner.steps > planner.frames == 20
    state = start_state(short_reference, simulator)
    for t in (0, planner.stride):  # the last plan reaches far behind the end
        planned = planner.plan(state, t)
        assert planned.shape == (planner.steps, 22) and np.isfinite(planned).all()
        state = planner.predict(state, t).states[0, planner.stride - 1]
    whole = planner.actions(0, planner.frames)
    assert whole.shape == short_reference.q.shape
    assert (planner.residual[: planner.frames] != 0).any(), "it does plan"


def test_a_plan_lowers_the_cost(simulator, lift_reference):
    planner = SamplingPlanner(lift_reference, simulator, SMALL)
    t = lift_reference.grasp_start
    state = state_at(planner, t)
    before = planner.evaluate(state[None], t, planner.residual[None, t : t + planner.steps])[0, 0]
    planner.plan(state, t)
    assert planner.evaluate(state[None], t, planner.residual[None, t : t + planner.steps])[0, 0] < before


def test_the_same_seed_gives_the_same_plan(simulator, lift_reference):
    plans = []
    for _ in range(2):
        planner = SamplingPlanner(lift_reference, simulator, SMALL, seed=3)
        plans.append(planner.plan(start_state(lift_reference, simulator), 0))
    assert np.array_equal(*plans)


def test_plans_stay_within_the_joint_limits(simulator, lift_reference):
    planner = SamplingPlanner(lift_reference, simulator, SMALL)
    planner.residual += 10.0
    actions = planner.actions(0, 20)
    assert (actions <= simulator.scene.upper).all() and np.isfinite(actions).all()


def test_a_plan_for_several_worlds_tries_the_best_samples_in_all_of_them(simulator, lift_reference):
    models = [perturbed(simulator.scene, 1.0, 1.0), perturbed(simulator.scene, 0.6, 1.4)]
    planner = SamplingPlanner(lift_reference, simulator, SMALL, models=models)
    state = state_at(SamplingPlanner(lift_reference, simulator, SMALL), lift_reference.grasp_start)
    planner.plan(np.stack([state, state]), lift_reference.grasp_start)
    assert planner.control_steps == SMALL.iterations * (12 + 4) * planner.steps


def test_each_world_of_a_robust_plan_has_its_own_cost(simulator, lift_reference):
    models = [perturbed(simulator.scene, 1.0, 1.0), perturbed(simulator.scene, 0.6, 1.4)]
    t = lift_reference.grasp_start
    alone = SamplingPlanner(lift_reference, simulator, SMALL)
    state = state_at(alone, t)
    residual = np.zeros((2, alone.steps, 22))
    costs = [
        SamplingPlanner(lift_reference, simulator, SMALL, models=[m]).evaluate(state[None], t, residual) for m in models
    ]
    both = SamplingPlanner(lift_reference, simulator, SMALL, models=models).evaluate(
        np.stack([state, state]), t, residual
    )
    assert both == pytest.approx(np.concatenate(costs))
