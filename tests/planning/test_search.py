"""The search over structured plans: budget, determinism, what it offers, what it is told to end."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.planning.prior import Gaussian, unfitted
from dexhot.planning.search import Budget, Cancelled, PlanSearchOptions, find_plan, survived
from dexhot.planning.structured import StructuredPlans, plan_sigma
from dexhot.planning.trials import Trials
from dexhot.rollouts.floating import floating_rollout, floating_simulator
from dexhot.simulation.backend import MujocoSimulator

SMALL = PlanSearchOptions(tries=4, finalists=2, samples=8, elites=3, iterations=2)


@pytest.fixture
def trials(lift_reference, lift_setup):
    return Trials(lift_reference, floating_simulator(lift_reference, lift_setup))


@pytest.fixture
def space(lift_reference, lift_setup):
    return StructuredPlans(lift_reference, lift_setup.physics)


def bad_worlds(trials, count=2):
    """Worlds in which the lift needs a better plan: the object 3 cm from where it is observed."""
    pose = trials.reference.object_pose[0]
    world = trials.world(pose)
    off = trials.world(pose + np.r_[0.03, 0.0, 0, 0, 0, 0, 0])
    return [replace(off, moved=world.moved) for _ in range(count)]


def test_a_plan_that_survives_at_once_is_kept_and_the_rest_of_the_budget_saved(trials, space):
    pose = trials.reference.object_pose[0]
    worlds = [trials.world(pose), *trials.perturbed(pose, 2, 0)]
    found = find_plan(trials, space, unfitted(16), worlds, Budget(1000), SMALL)
    assert found.survived == 1.0 and found.tries >= 1 and found.rollouts < 30


def test_a_plan_that_survives_enough_of_the_worlds_ends_the_search(trials, space):
    worlds = [trials.world(trials.reference.object_pose[0]), *bad_worlds(trials, 1)]
    start = np.zeros(space.size)
    spent = [
        find_plan(trials, space, unfitted(16), worlds, Budget(24), replace(SMALL, enough=enough), 0, start).rollouts
        for enough in (0.5, 1.0)
    ]
    assert spent[0] == SMALL.samples < spent[1]


def test_the_budget_of_rollouts_is_kept(trials, space):
    for rollouts in (5, 12, 30):
        before = trials.rollouts
        found = find_plan(trials, space, unfitted(16), bad_worlds(trials), Budget(rollouts), SMALL)
        assert trials.rollouts - before == found.rollouts <= rollouts


def test_same_seed_same_plan_whatever_the_threads(trials, space, lift_reference, lift_setup):
    two = Trials(lift_reference, MujocoSimulator(trials.floating.scene, threads=2))
    start = 0.5 * space.sigma

    def plan(trials, seed):
        return find_plan(trials, space, unfitted(16), bad_worlds(trials), Budget(30), SMALL, seed, start).plan

    np.testing.assert_array_equal(plan(trials, 3), plan(two, 3))
    assert not np.array_equal(plan(trials, 3), plan(trials, 4))


def test_a_cancelled_budget_ends_the_search(trials, space):
    budget = Budget(1000)
    budget.cancel.set()
    with pytest.raises(Cancelled):
        find_plan(trials, space, unfitted(16), bad_worlds(trials), budget, SMALL)


def test_time_that_runs_out_at_once_still_gives_a_plan(trials, space):
    found = find_plan(trials, space, unfitted(16), bad_worlds(trials), Budget(seconds=1e-9), SMALL)
    assert found.plan.shape == (38,) and found.rollouts <= 2


def test_the_quick_verdict_is_the_judges(trials, lift_reference, lift_setup):
    """Of the bare reference, which succeeds, and of a hand that never moves."""
    from dexhot.metrics.rollout import compute

    world = trials.world(lift_reference.object_pose[0])
    frozen = np.repeat(lift_reference.q[:1], len(lift_reference.q), axis=0)
    base = StructuredPlans(lift_reference, lift_setup.physics).base
    states, diverged = trials.roll(np.stack([base, frozen]), [world] * 2)
    quick = trials.strict(states, diverged, [world] * 2)
    exact = []
    for actions, rows in zip((base, frozen), states):
        whole = np.concatenate([world.state[None], rows])
        rollout = floating_rollout(lift_reference, actions, whole, trials.floating)
        exact.append(compute(rollout, lift_setup.asset, lift_setup.hand)["success_strict"])
    assert quick.tolist() == exact == [True, False]
    cost = trials.cost(states, diverged)
    assert cost[0] < 0.3 < cost[1]


def test_a_rollout_that_has_lost_the_object_ends(trials, space):
    """With the verdict of a whole one, beside one that goes on to the end as it would alone."""
    pose, steps = trials.reference.object_pose[0], len(trials.reference.q) - 1
    frozen = np.repeat(trials.reference.q[:1], steps + 1, axis=0)
    worlds = [trials.world(pose)] * 2
    alone, _ = trials.roll(space.base[None], worlds[:1])
    assert trials.control_steps == steps
    states, diverged = trials.roll(np.stack([frozen, space.base]), worlds)
    assert 2.2 * steps < trials.control_steps < 3 * steps and trials.rollouts == 3
    assert trials.strict(states, diverged, worlds).tolist() == [False, True]
    np.testing.assert_array_equal(states[1], alone[0])
    assert (states[0, -1] == states[0, -2]).all() and np.isfinite(states).all()


def test_playback_moves_with_what_was_observed_and_not_with_what_a_world_hides(trials, space):
    pose = trials.reference.object_pose[0]
    seen = trials.world(pose + np.r_[0.03, 0.0, 0, 0, 0, 0, 0])
    assert survived(trials, space, np.zeros(38), [seen]).all()
    assert not survived(trials, space, np.zeros(38), bad_worlds(trials, 1)).any()


def test_the_first_tries_are_the_bare_reference_and_the_priors_mean():
    prior = Gaussian(np.full(38, 0.01), np.diag(plan_sigma(16) ** 2))
    plans = prior.draw(5, np.random.default_rng(0))
    assert not plans[0].any() and (plans[1] == 0.01).all() and plans[2:].std() > 0.01


def test_every_try_is_recorded_with_its_world_and_cost(trials, space):
    told = []
    worlds = bad_worlds(trials, 3)
    record = lambda plans, in_, cost, strict: told.append((plans, in_, cost, strict))  # noqa: E731
    found = find_plan(trials, space, unfitted(16), worlds, Budget(30), SMALL, record=record)
    assert sum(len(plans) for plans, *_ in told) == found.rollouts
    assert all(len(plans) == len(in_) == len(cost) == len(strict) for plans, in_, cost, strict in told)
    assert {id(world) for _, in_, *_ in told for world in in_} == {id(world) for world in worlds}
    assert min(cost.min() for *_, cost, _ in told) <= found.cost
