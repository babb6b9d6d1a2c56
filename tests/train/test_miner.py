"""In which order a clip is searched and repaired, with what effort, and what is kept: searches that only answer."""

from dataclasses import FrozenInstanceError, replace
from types import SimpleNamespace

import numpy as np
import pytest

from dexhot.control.sampling import base_actions
from dexhot.rollouts.floating import run_floating
from dexhot.simulation.physics import load_physics
from dexhot_train.mining import mine as mining
from dexhot_train.mining.clip_job import ClipJob
from dexhot_train.mining.mine import VALIDATION_SEED, MineOptions, _Miner, make_worlds
from dexhot_train.mining.search import SearchOptions
from dexhot_train.mining.worlds import World, draw_worlds, nominal_world, replay

PHYSICS = load_physics()


def candidate(strict=False, robustness=0.0, arm=None, panel=None, error=1.0):
    scores = {"success_strict": strict, "robustness": robustness, "success_10cm_20deg": strict, "judged_T_cm": error}
    scores |= {} if arm is None else {"success_strict_arm": arm}
    scores |= {} if panel is None else {"success_panel": panel}
    return SimpleNamespace(scores=scores, provenance={}, actions=f"actions of {error}")


@pytest.fixture
def miner(lift_reference, lift_setup, monkeypatch):
    """A real one whose searches are noted and answered with `answers`."""
    options = MineOptions(seed=3, worlds=4, trials=2, attempts=3, structured=0)
    made = _Miner(lift_reference, make_worlds(lift_reference, lift_setup, options), options, lambda *report: None)
    made.searches, made.answers, made.bare = [], [], candidate(error=9.0)

    def answer(name, seed, worlds, options, start=None, which=""):
        made.searches.append((name, seed, len(worlds), options, start))
        return made.answers.pop(0)

    monkeypatch.setattr(made, "_search", answer)
    monkeypatch.setattr(made, "_demonstration", lambda name, actions: made.bare)
    return made


@pytest.mark.parametrize(
    ("bare", "searched"),
    [
        (candidate(), True),
        (candidate(strict=True, robustness=0.9), True),
        (candidate(strict=True, robustness=1.0), False),
        (candidate(strict=True, robustness=1.0, arm=False), True),
        (candidate(strict=True, robustness=1.0, panel=False), True),
    ],
)
def test_a_bare_reference_that_survives_everything_is_left_as_it_is(miner, bare, searched):
    miner.bare, miner.answers = bare, [candidate(error=0.5)]
    miner.robust()
    assert bool(miner.searches) is searched


@pytest.mark.parametrize(
    ("structured", "goes_on"),
    [
        (candidate(strict=True, robustness=0.75, arm=True), False),
        (candidate(strict=True, robustness=0.7, arm=True), True),
        (candidate(strict=True, robustness=1.0, arm=True, panel=False), True),
        (candidate(strict=True, robustness=1.0, arm=False), True),
        (candidate(), True),
    ],
)
def test_free_knots_follow_only_where_a_structured_plan_is_not_enough(miner, monkeypatch, structured, goes_on):
    miner.options = replace(miner.options, structured=48)
    monkeypatch.setattr(miner, "_structured", lambda: structured)
    miner.answers = [candidate()]
    found = miner.robust()
    assert bool(miner.searches) is goes_on
    assert found is structured or not structured.scores["success_strict"]


def test_a_structured_plan_is_found_among_the_miners_worlds(lift_reference, lift_setup):
    options = MineOptions(structured=8, trials=2, arm=False)
    made = make_worlds(lift_reference, lift_setup, options)
    found = _Miner(lift_reference, made, options, lambda *report: None)._structured()
    assert found.provenance["chosen"] == "structured" and found.scores["success_strict"]


def test_one_world_leaves_the_robust_search_out(miner):
    miner.options = replace(miner.options, worlds=1)
    assert miner.robust() is miner.bare and not miner.searches


@pytest.mark.parametrize("error", [0.5, 20.0])
def test_the_robust_search_has_so_many_worlds_and_its_result_must_be_better(miner, error):
    miner.answers = [candidate(error=error)]
    found = miner.robust()
    [(name, seed, worlds, options, start)] = miner.searches
    assert (name, seed, worlds, options, start) == ("robust", 3, 4, miner.options.robust, None)
    assert (found is miner.bare) is (error > 9.0)


def test_the_rigs_are_among_the_robust_worlds(miner):
    miner.arm_worlds, miner.answers = [World(miner.world.state, None)] * 2, [candidate()]
    miner.robust()
    assert miner.searches[0][2] == 4


def test_repairs_go_on_while_there_is_no_success_each_with_its_seed(miner):
    first, second, third = candidate(error=2.0), candidate(error=1.0), candidate(error=3.0)
    miner.answers = [first, second, third]
    start = candidate(error=5.0)
    assert miner.repaired(start) is second
    assert [(name, seed, worlds) for name, seed, worlds, *_ in miner.searches] == [
        ("repair", 3, 1),
        ("repair", 4, 1),
        ("repair", 5, 1),
    ]
    assert [start for *_, start in miner.searches] == ["actions of 5.0", "actions of 2.0", "actions of 1.0"]
    assert {options for *_, options, _ in miner.searches} == {miner.options.repair}


def test_a_success_ends_the_repairs(miner):
    miner.answers = [candidate(strict=True)]
    miner.repaired(candidate())
    assert len(miner.searches) == 1
    miner.searches.clear()
    miner.repaired(candidate(strict=True))
    assert not miner.searches


def test_a_success_that_is_none_on_the_panel_is_searched_again_in_other_worlds(miner):
    better = candidate(strict=True, arm=True, panel=True)
    miner.answers = [candidate(strict=True, arm=True, panel=False), better]
    assert miner.repaired(candidate(strict=True, arm=True, panel=False)) is better
    assert [(name, seed, worlds, start) for name, seed, worlds, _, start in miner.searches] == [
        ("robust", 103, 4, None),
        ("robust", 203, 4, None),
    ]
    miner.searches.clear()
    miner.options = replace(miner.options, worlds=1)  # no robust search is asked for
    miner.repaired(candidate(strict=True, arm=True, panel=False))
    assert not miner.searches


def test_what_is_lost_on_the_arm_alone_is_repaired_with_half_the_effort(miner):
    miner.answers = [candidate(strict=True, arm=True)]
    miner.repaired(candidate(strict=True, arm=False))
    options = miner.searches[0][3]
    assert options == replace(miner.options.repair, budget=miner.options.repair.budget // 2)


def test_what_was_spent_is_counted_over_interruptions(miner, monkeypatch):
    clock = SimpleNamespace(process_time=lambda: miner.began + 2.0, perf_counter=lambda: miner.wall + 3.0)
    monkeypatch.setattr(mining, "time", clock)
    miner.spent, miner.options = 10.0, replace(miner.options, attempts=0)
    found = miner.repaired(candidate())
    assert found.provenance["seconds_cpu"] == pytest.approx(12.0)
    assert found.provenance["seconds_wall"] == pytest.approx(3.0)
    assert found.provenance["candidates"] is miner.tried and found.provenance["options"]["seed"] == 3


def test_the_worlds_that_choose_are_none_of_the_searchs(lift_reference, lift_setup):
    options = MineOptions(seed=3, trials=2)
    made = _Miner(lift_reference, make_worlds(lift_reference, lift_setup, options), options, lambda *report: None)
    drawn = draw_worlds(lift_reference, made.simulator, 2, 3 + VALIDATION_SEED)
    searched = draw_worlds(lift_reference, made.simulator, 2, 3)
    for world, expected, other in zip(made.trials, drawn, searched):
        np.testing.assert_array_equal(world.state, expected.state)
        assert not np.array_equal(world.state, other.state)
    assert VALIDATION_SEED >= 1_000_000 and not made.arm_worlds


def test_a_search_begins_at_the_actions_it_is_given_in_all_its_worlds(lift_reference, lift_setup, monkeypatch):
    options = MineOptions(trials=1)
    told = []
    worlds = make_worlds(lift_reference, lift_setup, options)
    made = _Miner(lift_reference, worlds, options, lambda *report: told.append(report))
    asked = {}

    def searched(planner, states, options, progress, decisive):
        progress(0.25, 2)
        asked.update(residual=planner.residual.copy(), models=planner.models, states=states, decisive=decisive)
        return base_actions(lift_reference, PHYSICS)

    monkeypatch.setattr(mining, "search", searched)
    start = base_actions(lift_reference, PHYSICS) + 0.02
    worlds = [made.world, *draw_worlds(lift_reference, made.simulator, 2, 0)]
    made._search("repair", 0, worlds, options.repair, start, ", attempt 1 of at most 2")
    frames = len(lift_reference.q)
    np.testing.assert_allclose(asked["residual"][:frames], 0.02)
    assert not asked["residual"][frames:].any()
    assert asked["models"] == [world.model for world in worlds] and asked["decisive"] == 1
    np.testing.assert_array_equal(asked["states"], [world.state for world in worlds])
    searching = ("repair search, attempt 1 of at most 2", 0.25, "of the clip, rewound 2 of at most 6 times")
    assert told == [searching, ("judging repair", 0.0)] and made.tried[-1]["name"] == "repair"


def test_a_candidate_without_success_has_no_robustness(lift_reference, lift_setup):
    options = MineOptions(trials=1)
    made = _Miner(lift_reference, make_worlds(lift_reference, lift_setup, options), options, lambda *report: None)
    still = np.repeat(lift_reference.q[:1], len(lift_reference.q), axis=0)
    found = made._demonstration("frozen", still)
    assert not found.scores["success_strict"] and found.scores["robustness"] == 0.0
    assert "success_strict_arm" not in found.scores
    rollout = run_floating(lift_reference, still, made.simulator)
    np.testing.assert_array_equal(found.q[:-1], rollout.q[1:])  # after each action
    np.testing.assert_array_equal(found.object_pose[-1], rollout.object_pose[-1])


@pytest.mark.parametrize("success", [True, False])
@pytest.mark.parametrize("diverged", [True, False])
def test_a_world_that_diverged_is_no_success(lift_reference, lift_setup, monkeypatch, success, diverged):
    simulator = mining.floating_simulator(lift_reference, lift_setup)
    monkeypatch.setattr("dexhot_train.mining.worlds.compute", lambda *a: {"success_strict": success})
    rollout = simulator.rollout

    def marked(*arguments):
        batch = rollout(*arguments)
        batch.diverged[:] = diverged
        return batch

    monkeypatch.setattr(simulator, "rollout", marked)
    world = nominal_world(lift_reference, simulator)
    [found] = replay(lift_reference, base_actions(lift_reference, PHYSICS), [world], simulator)
    assert found["success_strict"] is (success and not diverged)


def test_the_budget_of_a_clip_is_what_the_documentation_says():
    options = MineOptions()
    assert (options.seed, options.worlds, options.attempts, options.trials, options.arm) == (0, 6, 2, 12, True)
    assert options.robust == SearchOptions(rounds=((40, 3), (64, 3)), rewinds=2, budget=240_000)
    assert options.repair == SearchOptions(rounds=((64, 3), (128, 4)), keep=True)
    assert (options.sampling.horizon, options.sampling.replan) == (0.8, 0.3)
    search = SearchOptions()
    assert search.rounds == ((48, 3), (96, 4)) and not search.keep
    assert search.good == (0.01, np.radians(12)) and search.fair == (0.025, np.radians(25))
    assert search.lost == (0.035, np.radians(32)) and search.dropped == 0.1
    assert (search.rewinds, search.rewind, search.budget) == (6, 3, 200_000)


@pytest.mark.parametrize("made", [MineOptions(), SearchOptions(), ClipJob("r", "o")])  # type: ignore[arg-type]
def test_options_and_jobs_do_not_change(made):
    with pytest.raises(FrozenInstanceError):
        made.seed = 1
