"""Homotopy optimisation: easier tasks, transfer, effective parents and paths, and the search over a set of clips."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dexhot.cli import main
from dexhot.control.sampling import SamplingOptions, base_actions
from dexhot.data.files import load, save
from dexhot.data.types import Demonstration, Reference
from dexhot.errors import DexhotError
from dexhot.geometry.poses import compose, inverse, lowest
from dexhot.metrics.task_scores import ERROR_WEIGHTS, neighbours, phases, task_difference, task_points, tracking_error
from dexhot.objects.library import load_object
from dexhot.retargeting.retarget import reference_kind
from dexhot.robots.kinematics.wrist import palm_poses
from dexhot.simulation.setup import load_setup
from dexhot_train.curriculum import homotopy, path_search
from dexhot_train.curriculum.homotopy import (
    HomotopyOptions,
    Optimiser,
    TaskResult,
    along,
    better_baselines,
    continued,
    improved,
    is_effective,
    optimise,
    synthesised_parents,
)
from dexhot_train.curriculum.ledger import EFFECTIVE, figures
from dexhot_train.curriculum.path_search import pairs, path_figures, search_paths
from dexhot_train.curriculum.tasks import EASIER, LEAST, HomotopyTask, easier, same_phase, transfer
from dexhot_train.mining.search import SearchOptions

TINY = HomotopyOptions(
    budget=3000,
    sampling=SamplingOptions(samples=4, iterations=1, horizon=0.4, replan=0.3),
    knots=SearchOptions(rounds=((4, 1),), rewinds=0, keep=True),
)


@pytest.fixture
def task(lift_reference, lift_setup) -> HomotopyTask:
    return HomotopyTask(lift_reference, lift_setup)


def result(error=1.0, strict=False, steps=10, path=(), actions=None) -> TaskResult:
    return TaskResult(np.zeros((3, 22)) if actions is None else actions, error, strict, steps, path)


# Scores of tasks


def test_the_tracking_error_has_the_papers_weights():
    metrics = {"T_err_cm": 5.0, "R_err_rad": 0.2, "E_wrist": 0.3, "E_finger": 0.4}
    assert tracking_error(metrics) == pytest.approx(1.0 * 0.05 + 0.3 * 0.2 + 0.1 * 0.3 + 0.1 * 0.4)
    assert set(ERROR_WEIGHTS) == set(metrics)


def test_the_difference_of_two_tasks_is_symmetric_and_zero_for_the_same(task):
    points = task_points(task.setup.asset)
    assert task_difference(task.reference, points, task.reference, points) == pytest.approx(0.0, abs=1e-12)
    r = task.reference
    elsewhere = replace(r, object_pose=r.object_pose + np.r_[0.3, [0.0] * 6], q=r.q + np.r_[0.3, [0.0] * 21])
    assert task_difference(r, points, elsewhere, points) == pytest.approx(0.0, abs=1e-9)
    higher = r.object_pose.copy()
    higher[:, 2] += np.linspace(0.0, 0.1, len(r.q))
    other = replace(r, object_pose=higher)
    there, back = task_difference(r, points, other, points), task_difference(other, points, r, points)
    assert there == pytest.approx(back) and 0.02 < there < 0.1
    wide = task_difference(r, points, r, points * 1.5)
    assert 0.0 < wide < 0.02


def test_tasks_are_compared_phase_by_phase(lift_reference):
    frames = phases(lift_reference, 5)
    r = lift_reference
    assert frames[[0, 1, 3, 4]].tolist() == [0.0, r.grasp_start, r.grasp_end, len(r.q) - 1.0]


def test_neighbours_are_the_nearest_others():
    differences = np.array([[0.0, 3.0, 1.0], [3.0, 0.0, 2.0], [1.0, 2.0, 0.0]])
    assert neighbours(differences, 1).tolist() == [[2], [2], [0]]
    assert neighbours(differences, 10).shape == (3, 2)


# Easier tasks, and transfer


def test_an_easier_task_is_lower_lighter_thicker_and_slower(task):
    easy = easier(task, 1.0)
    r, e = task.reference, easy.reference
    assert np.ptp(e.object_pose[:, 2]) < 0.6 * np.ptp(r.object_pose[:, 2])
    assert easy.setup.asset.mass == pytest.approx(0.4 * task.setup.asset.mass)
    assert len(e.q) == pytest.approx(1.6 * len(r.q), abs=2)
    assert np.ptp(easy.setup.asset.corners, axis=0)[2] == pytest.approx(
        1.3 * np.ptp(task.setup.asset.corners, axis=0)[2]
    )
    table = lowest(e.object_pose[0], easy.setup.asset.corners)
    assert table == pytest.approx(lowest(r.object_pose[0], task.setup.asset.corners), abs=1e-9)
    e.validate()
    np.testing.assert_array_equal(load_object(e.object_name).vertices, easy.setup.asset.vertices)


def test_no_ease_is_the_task_itself(task):
    same = easier(task, 0.0)
    np.testing.assert_allclose(same.reference.q, task.reference.q, atol=1e-9)
    assert same.setup.asset.mass == pytest.approx(task.setup.asset.mass)


def test_a_shorter_lift_is_still_a_lift_and_the_hand_follows(task):
    easy = easier(task, 1.0, ("lift",)).reference
    assert np.ptp(easy.object_pose[:, 2]) >= LEAST - 1e-9
    held = slice(task.reference.grasp_start, task.reference.grasp_end)
    before, after = (r.q[held, 2] - r.object_pose[held, 2] for r in (task.reference, easy))
    np.testing.assert_allclose(after, before, atol=1e-9)


def test_a_lighter_task_of_a_lighter_one_is_lighter_still(task):
    twice = easier(easier(task, 1.0, ("mass",)), 1.0, ("mass",))
    assert twice.setup.asset.mass == pytest.approx(0.16 * task.setup.asset.mass)
    assert load_object(twice.reference.object_name).mass == pytest.approx(twice.setup.asset.mass)


def test_a_result_is_transferred_to_itself_unchanged(task):
    base = base_actions(task.reference, task.setup.physics)
    rng = np.random.default_rng(0)
    actions = base + 0.01 * rng.standard_normal(base.shape)
    np.testing.assert_allclose(transfer(actions, task, task), actions, atol=1e-9)


def test_a_correction_is_transferred_in_the_palms_frame_at_the_same_phase(task):
    easy = easier(task, 1.0, ("time", "lift"))
    parent_base, child_base = (base_actions(t.reference, t.setup.physics) for t in (easy, task))
    actions = parent_base.copy()
    actions[:, 2] += 0.004
    actions[easy.reference.grasp_start :, 6:] += 0.1
    found = transfer(actions, easy, task)
    start = task.reference.grasp_start
    np.testing.assert_allclose((found - child_base)[start + 1 :, 6:], 0.1, atol=1e-9)
    np.testing.assert_allclose((found - child_base)[: start - 1, 6:], 0.0, atol=1e-9)
    shift = compose(
        inverse(palm_poses(task.reference.base_quat, child_base)), palm_poses(task.reference.base_quat, found)
    )
    np.testing.assert_allclose(np.linalg.norm(shift[:, :3], axis=1), 0.004, atol=1e-6)


def test_phases_match_at_the_grasp(task):
    slow = easier(task, 1.0, ("time",)).reference
    frames = same_phase(task.reference, slow)
    assert frames[task.reference.grasp_start] == pytest.approx(slow.grasp_start, abs=0.01)
    assert (np.diff(frames) >= 0).all() and frames[-1] == pytest.approx(len(slow.q) - 1, abs=0.01)


# The optimiser and paths


def test_a_bare_reference_that_succeeds_needs_no_search(task):
    found = optimise(task, TINY)
    assert found.strict and found.control_steps == len(task.reference.q) - 1


def test_the_whole_budget_lowers_the_error_where_a_success_does_not_end_it(task):
    first = optimise(task, TINY)
    found = optimise(task, replace(TINY, stop=False), 12_000)
    assert found.control_steps > 10 * first.control_steps and found.error <= first.error and found.strict


def test_the_optimiser_keeps_to_its_budget_and_is_never_worse_than_its_baseline(task):
    task.setup.asset.mass *= 8.0  # too heavy to be lifted
    optimiser = Optimiser(task, TINY)
    start = base_actions(task.reference, task.setup.physics)
    first = optimiser.evaluate(start)
    optimiser.steps = 0
    found = optimiser.run(20_000, start)
    assert not found.strict and found.error <= first.error
    assert 14_000 < found.control_steps <= 20_000 + 4 * len(start)  # evaluations beside the searches
    optimiser.steps = 0
    assert optimiser.run(optimiser._cheapest // 2, start).control_steps < optimiser._cheapest, "no search half done"


def test_a_baseline_that_mostly_holds_is_repaired_before_structured_plans(task, monkeypatch):
    task.setup.asset.mass *= 8.0  # too heavy to be lifted
    order = []

    def searched(name):
        def search(self, best, budget, rest):
            order.append((name, budget, rest))
            self.steps += 500 if name == "knots" else 0
            return best

        return search

    monkeypatch.setattr(Optimiser, "knots", searched("knots"))
    monkeypatch.setattr(Optimiser, "structured", searched("structured"))
    monkeypatch.setattr(Optimiser, "_cheapest", 10**6)
    optimiser = Optimiser(task, TINY)
    bare = optimiser.kinematic()
    monkeypatch.setattr(optimiser, "evaluate", lambda actions: replace(bare, error=0.5 * bare.error))
    monkeypatch.setattr(optimiser, "kinematic", lambda: bare)
    optimiser.run(3000, bare.actions)
    assert order == [("knots", 1500, 0), ("structured", 2500, False)]
    order.clear()
    optimiser.run(3000)
    assert order == [("structured", 3000, True)]
    order.clear()
    monkeypatch.setattr(Optimiser, "_cheapest", 1000)
    optimiser.run(3000, bare.actions)  # then with the rest, each time from another seed
    assert [(left, attempt) for name, left, attempt in order if name == "knots"] == [
        (1500, 0),
        (2500, 1),
        (2000, 2),
        (1500, 3),
        (1000, 4),
    ]


def test_a_baseline_that_is_no_better_than_the_reference_is_not_used(task, monkeypatch):
    seen = []

    def structured(self, best, budget, draws):
        seen.append((draws, best.error))
        return best

    monkeypatch.setattr(Optimiser, "structured", structured)
    options = replace(TINY, stop=False, budget=0)
    good = base_actions(task.reference, task.setup.physics)
    bad = good.copy()
    bad[:, 6:] = 0.0  # the hand never closes
    optimise(task, options, start=bad)
    worse = HomotopyTask(replace(task.reference, target=task.reference.target.copy()), task.setup)
    worse.reference.target[:, 6:] = 0.0
    optimise(worse, options, start=good)
    (draws, kinematic), (refined, transferred) = seen
    assert draws and not refined and transferred == pytest.approx(kinematic)


def test_a_path_has_one_budget_and_each_task_begins_from_the_last(task, monkeypatch):
    calls = []

    def solved(here, options, budget=None, start=None):
        calls.append((here.reference.name, budget, start))
        return result(actions=np.ones_like(here.reference.q), steps=100)

    monkeypatch.setattr(homotopy, "optimise", solved)
    monkeypatch.setattr(homotopy, "transfer", lambda actions, parent, child: (parent.reference.name, actions.sum()))
    parents = synthesised_parents(task, TINY)
    found = along(parents, task, TINY)
    names = [p.reference.name for p in parents]
    assert [c[0] for c in calls] == [*names, task.reference.name] and found.path == tuple(names)
    assert [c[1] for c in calls] == [3000 // 4, 2900 // 3, 2800 // 2, 2700] and found.control_steps == 400
    assert calls[0][2] is None and [c[2][0] for c in calls[1:]] == names
    assert len(names) == 3 and np.ptp(parents[0].reference.object_pose[:, 2]) < np.ptp(
        parents[2].reference.object_pose[:, 2]
    )


@pytest.fixture
def graded(task, monkeypatch):
    """A continuation over versions that are named by their ease and cost `steps` control steps each; one is solved
    where `solvable(ease, start)`, `start` being the ease of the version whose result it begins from; the task itself is
    left with the next one of `errors`. Returns the result, the path and what was tried: (ease, start, budget)."""
    eases = {task.reference.name: 0.0}

    def easy(of, ease, how):
        eases[f"ease {ease}"] = ease
        return HomotopyTask(replace(task.reference, name=f"ease {ease}"), task.setup)

    def run(solvable, options, steps=100, errors=()):
        tried, left = [], list(errors)

        def solved(here, options, budget=None, start=None):
            ease = eases[here.reference.name]
            tried.append((ease, start, budget))
            error = left.pop(0) if left and not ease else 1.0
            return result(error, solvable(ease, start), actions=np.zeros(3), steps=steps)

        monkeypatch.setattr(homotopy, "optimise", solved)
        monkeypatch.setattr(homotopy, "easier", easy)
        monkeypatch.setattr(homotopy, "transfer", lambda actions, parent, child: eases[parent.reference.name])
        return (*continued(task, options), tried)

    return run


def test_a_continuation_halves_its_step_where_a_version_fails_and_doubles_it_again(graded):
    found, path, tried = graded(lambda ease, start: start is None or start - ease < 0.3, replace(TINY, tasks=2))
    steps = [(1.0, None), (0.5, 1.0), (0.75, 1.0), (0.25, 0.75), (0.5, 0.75), (0.0, 0.5), (0.25, 0.5), (0.0, 0.25)]
    assert [(ease, start) for ease, start, _ in tried] == steps
    assert [budget for *_, budget in tried] == [1000, *[500] * 7]  # the easiest version has a whole share of 3000
    assert found.strict and found.control_steps == 800
    assert list(found.path) == [p.reference.name for p in path] == ["ease 1.0", "ease 0.75", "ease 0.5", "ease 0.25"]


def test_a_continuation_keeps_a_share_of_its_budget_for_the_task(graded):
    found, _, tried = graded(lambda ease, start: ease > 0.6, replace(TINY, tasks=2), steps=250)
    assert [ease for ease, *_ in tried] == [1.0, 0.5, 0.75, 0.25, 0.5, 0.625, 0.375, 0.5, 0.0]
    assert tried[-1][1:] == (0.625, 1000) and found.control_steps == 9 * 250 and not found.strict


def test_a_continuation_passes_a_version_that_its_smallest_step_does_not_solve(graded):
    _, path, tried = graded(lambda ease, start: start is None, replace(TINY, tasks=2, budget=10**6))
    assert [ease for ease, *_ in tried[:5]] == pytest.approx([1.0, 0.5, 0.75, 0.875, 0.9375])
    assert path[1].reference.name == "ease 0.94" and tried[-1][:2] == (0.0, pytest.approx(0.0, abs=homotopy.SMALLEST))
    assert sum(start is not None and start <= homotopy.SMALLEST for _, start, _ in tried) == 1


def test_a_continuation_keeps_the_tasks_best_result_and_begins_from_an_easiest_version_that_fails(graded):
    found, path, tried = graded(
        lambda ease, start: start is not None and ease > 0.0 and start - ease < 0.3,
        replace(TINY, tasks=2),
        steps=250,
        errors=(0.5, 0.8),
    )
    assert tried[1][:2] == (0.5, 1.0) and path[0].reference.name == "ease 1.0"
    assert sum(ease == 0.0 for ease, *_ in tried) > 1 and found.error == 0.5


def test_a_version_of_a_continuation_that_cannot_be_simulated_is_left_out_and_the_task_is_refused(graded):
    def solvable(ease, start):
        if ease == refused:
            raise DexhotError("not at rest")
        return True

    refused = 0.5
    found, _, tried = graded(solvable, replace(TINY, tasks=2))
    assert [(ease, start) for ease, start, _ in tried] == [(1.0, None), (0.5, 1.0), (0.0, 1.0)] and found.strict
    refused = 0.0
    with pytest.raises(DexhotError, match="not at rest"):
        graded(solvable, replace(TINY, tasks=2))


def test_a_parent_that_cannot_be_simulated_is_left_out(task, monkeypatch):
    def solved(here, options, budget=None, start=None):
        if here is not task:
            raise DexhotError("does not rest")
        assert start is None and budget == TINY.budget
        return result(steps=5)

    monkeypatch.setattr(homotopy, "optimise", solved)
    assert along(synthesised_parents(task, TINY), task, TINY).path == ()


def test_an_effective_parent_is_a_better_baseline_than_the_kinematic_reference(task):
    good = base_actions(task.reference, task.setup.physics)
    bad = good.copy()
    bad[:, 6:] = 0.0  # the hand never closes
    worse = HomotopyTask(replace(task.reference, target=task.reference.target.copy()), task.setup)
    worse.reference.target[:, 6:] = 0.0
    found, steps = better_baselines(worse, [(worse, result(actions=bad)), (worse, result(actions=good))], TINY)
    assert [k for k, _ in found] == [1] and steps == 3 * (len(task.reference.q) - 1)
    assert better_baselines(task, [(task, result(actions=bad))], TINY)[0] == []


def test_an_iteration_keeps_the_better_result_and_its_path(task, monkeypatch):
    monkeypatch.setattr(homotopy, "better_baselines", lambda *a: ([(0, np.zeros(3))], 7))
    monkeypatch.setattr(homotopy, "optimise", lambda *a, **k: result(error=0.5, steps=100))
    others = [(task, result(path=("grandparent",)))]
    found, parent = improved(task, result(error=0.9), others, TINY)
    assert parent == 0 and found.path == ("grandparent", task.reference.name) and found.control_steps == 117, (
        "the parent's 10 too"
    )
    kept, parent = improved(task, result(error=0.4), others, TINY)
    assert parent is None and kept.error == 0.4


def test_effective_means_a_lower_error():
    assert is_effective(result(0.4), result(0.5)) and not is_effective(result(0.5), result(0.5))
    assert not is_effective(result(0.4999), result(0.5)), "a tie"
    assert result(2.0, strict=True).better(result(1.0)) and not result(2.0).better(result(1.0))


# The search over a set


@pytest.fixture
def solved(monkeypatch, cache, tmp_path, lift_reference, lift_object):
    """Optimisations that take no time: the path is better. Their jobs."""
    from dexhot.objects.library import save_object

    save_object(lift_object)
    made = []

    def done(task, options, budget=None, start=None):
        made.append((task.reference.name, budget))
        return result(error=0.9)

    monkeypatch.setattr(path_search, "optimise", done)
    good = base_actions(lift_reference, load_setup(lift_reference).physics)
    along_path = result(0.1, True, path=("easy",), actions=good)
    monkeypatch.setattr(path_search, "along", lambda parents, task, options: along_path)

    def iterated(task, mine, others, options):
        made.append((task.reference.name, "improved"))
        name = others[0][0].reference.name
        return result(mine.error / 2, path=(*others[0][1].path, name), steps=50), 0

    monkeypatch.setattr(path_search, "improved", iterated)
    return made


def files(reference, folder, count):
    out = []
    for k in range(count):
        here = replace(reference, name=f"clip{k}")
        out.append(str(save(here, folder / f"clip{k}.reference.npz")))
    return out


def test_synthesised_paths_of_a_set(solved, tmp_path, lift_reference):
    clips = files(lift_reference, tmp_path / "clips", 2)
    out = tmp_path / "paths"
    ledger = search_paths(clips, "synthesised", TINY, out, workers=1)
    assert [row["verdict"] for row in ledger.rows] == [EFFECTIVE] * 2 and all(row["turned"] for row in ledger.rows)
    told = path_figures(ledger.rows)
    assert figures(ledger.rows)["yield"] == 1.0, "effective paths count in the ledger's page"
    assert told["effectiveness_ratio"] == told["effectiveness_ratio_of_failed"] == 1.0 and told["turned"] == 2
    kept = load(out / "clip0.demonstration.npz", Demonstration)
    assert kept.scores["success_strict"] and kept.provenance["path"] == ["easy"]
    found = pairs(out)
    names = [(child.name, parent.name) for child, parent in found[:3]]
    assert names == [
        ("clip0.reference.npz", "clip0.parent2.npz"),
        ("clip0.parent2.npz", "clip0.parent1.npz"),
        ("clip0.parent1.npz", "clip0.parent0.npz"),
    ]
    lifts = [np.ptp(load(path, Reference).object_pose[:, 2]) for path in (found[0][0], found[0][1], found[2][1])]
    assert lifts == sorted(lifts, reverse=True)
    search_paths(clips, "synthesised", TINY, out, workers=1)
    assert len(solved) == 2, "a finished search does nothing again"


def test_a_continuation_of_a_set_keeps_its_versions_in_their_order(solved, tmp_path, lift_reference, monkeypatch):
    """More than ten of them, too."""
    clips, out = files(lift_reference, tmp_path / "clips", 1), tmp_path / "paths"
    actions = base_actions(lift_reference, load_setup(lift_reference).physics)
    found = result(0.1, True, path=("by steps",), actions=actions)
    monkeypatch.setattr(path_search, "continued", lambda task, options: (found, [task] * 12))
    search_paths(clips, "continuation", TINY, out, workers=1)
    assert load(out / "clip0.demonstration.npz", Demonstration).provenance["path"] == ["by steps"]
    names = [parent.name for _, parent in pairs(out)]
    assert names[:3] == [f"clip0.parent{k}.npz" for k in (11, 10, 9)]


def test_paths_of_a_set_through_other_grasps_keep_the_grasp_that_led_there(
    solved, tmp_path, lift_reference, monkeypatch
):
    clips, out = files(lift_reference, tmp_path / "clips", 1), tmp_path / "paths"
    actions = base_actions(lift_reference, load_setup(lift_reference).physics)
    found = result(0.1, True, path=("another",), actions=actions)
    monkeypatch.setattr(path_search, "through_grasps", lambda task, options: (found, [task]))
    row = search_paths(clips, "regrasped", TINY, out, workers=1).rows[0]
    assert (row["kind"], row["parent"], row["verdict"], row["turned"]) == ("regrasped", "another", EFFECTIVE, True)
    assert [(child.name, parent.name) for child, parent in pairs(out)] == [("clip0.reference.npz", "clip0.parent0.npz")]


def test_paths_among_neighbours_take_k_iterations(solved, tmp_path, lift_reference):
    clips = files(lift_reference, tmp_path / "clips", 2)
    options = replace(TINY, tasks=2)
    ledger = search_paths(clips, "neighbours", options, tmp_path / "paths", workers=1)
    assert [name for _, name in solved].count("improved") == 4
    row = ledger.rows[0]
    assert row["error"] == pytest.approx(0.9 / 4) and row["parent"] == "clip0 -> clip1"
    assert ("clip0", 50) in solved, "without the path at the path's budget"
    child, parent = pairs(tmp_path / "paths")[0]
    assert (child.name, parent.name) == ("clip0.reference.npz", "clip1.reference.npz")
    with pytest.raises(DexhotError, match="two or more"):
        search_paths(clips[:1], "neighbours", options, tmp_path / "one", workers=1)


def test_the_same_budget_is_spent_without_the_path(solved, tmp_path, lift_reference, monkeypatch):
    def done(task, options, budget=None, start=None):
        solved.append((task.reference.name, budget))
        return result(error=0.9, strict=True)

    monkeypatch.setattr(path_search, "optimise", done)
    clips = files(lift_reference, tmp_path / "clips", 2)
    search_paths(clips, "neighbours", replace(TINY, tasks=1), tmp_path / "stop", workers=1)
    assert ("clip0", 50) not in solved, "a success ends an optimisation"
    search_paths(clips, "neighbours", replace(TINY, tasks=1, stop=False), tmp_path / "whole", workers=1)
    assert ("clip0", 50) in solved


def test_no_clip_of_a_test_split_is_solved_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr("dexhot_train.curriculum.variations.splits", lambda dataset: {"test": ["b"]})
    with pytest.raises(DexhotError, match="nothing may be trained"):
        search_paths(["grab/b"], "synthesised", TINY, tmp_path / "paths", workers=1)
    with pytest.raises(DexhotError, match="nothing may be trained"):
        path_search.task_of("grab/b", tmp_path)


def test_a_search_is_refused_for_no_clip_or_another_criterion(tmp_path):
    with pytest.raises(DexhotError, match="empty"):
        search_paths([], "synthesised", TINY, tmp_path)
    with pytest.raises(DexhotError, match="synthesised, continuation, regrasped, neighbours"):
        search_paths(["a"], "random", TINY, tmp_path)


def test_a_clip_that_cannot_be_simulated_is_refused(solved, tmp_path, lift_reference):
    lift_reference.object_pose[:, 2] += 0.1
    clips = files(lift_reference, tmp_path / "clips", 1)

    def refuse(job):
        raise DexhotError("not at rest")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(path_search, "solve", refuse)
        ledger = search_paths(clips, "synthesised", TINY, tmp_path / "paths", workers=1)
    assert [row["verdict"] for row in ledger.rows] == ["refused"] and path_figures(ledger.rows)["clips"] == 0


def test_the_command_searches_paths(solved, tmp_path, lift_reference, capsys):
    clips = files(lift_reference, tmp_path / "clips", 1)
    out = str(tmp_path / "paths")
    assert main(["train", "homotopy", *clips, "--out", out, "--workers", "1", "--budget", "3000", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["figures"]["turned"] == 1


def test_a_task_of_a_file_is_tracked_without_the_arm(tmp_path, cache, shipped):
    path = save(shipped.reference, tmp_path / "placed.reference.npz")
    found = path_search.task_of(str(path), tmp_path / "paths")
    assert not len(found.reference.arm_q) and found.setup.asset.name == load_setup(found.reference).asset.name
    assert EASIER == ("lift", "mass", "thickness", "time")


# What is refused before the work


def test_a_clip_that_cannot_be_read_ends_the_search_before_it_begins(lift_reference, tmp_path):
    (tmp_path / "cut.npz").write_bytes(b"PK")
    (tmp_path / "folder.npz").mkdir()
    for name, what in (("cut", "truncated"), ("folder", "is a folder"), ("nothing", "does not exist")):
        with pytest.raises(DexhotError, match=what):
            search_paths([str(tmp_path / f"{name}.npz")], "synthesised", TINY, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_plain_references_are_searched_in_a_folder_of_their_own(cache, lift_reference, tmp_path, monkeypatch, capsys):
    """The clip's is retargeted by eq. 5-7 alone, a file must have been, and the folder goes on with that alone."""

    def refuse(job):
        asked.append(path_search.task_of(job.clip, job.folder, hand=job.hand, plain=job.plain).reference)
        raise DexhotError("enough")

    asked = []
    monkeypatch.setattr(path_search, "solve", refuse)
    words = ["train", "homotopy", "parametric/lift-box-0", "--workers", "1", "--out", str(tmp_path / "out")]
    assert main([*words, "--plain"]) == 1 and main(words) == 1
    assert [reference_kind(reference) for reference in asked] == ["plain"]
    assert "other settings (plain)" in " ".join(capsys.readouterr().err.split())
    path = save(lift_reference, tmp_path / "lift.npz")
    with pytest.raises(DexhotError, match="dexhot retarget --plain"):
        path_search.task_of(str(path), tmp_path / "other", plain=True)


def test_two_clips_of_one_name_are_refused(lift_reference, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        save(lift_reference, tmp_path / folder / "lift.npz")
    with pytest.raises(DexhotError, match="rename one"):
        search_paths([str(tmp_path / f / "lift.npz") for f in "ab"], "synthesised", TINY, tmp_path / "out")


def test_another_reference_of_the_same_name_is_refused(lift_reference, tmp_path):
    path = tmp_path / "lift.npz"
    save(lift_reference, path)
    path_search.task_of(str(path), tmp_path / "out")
    path_search.check_clips([str(path)], tmp_path / "out")
    save(replace(lift_reference, q=lift_reference.q + 0.001), path)
    with pytest.raises(DexhotError, match="not the reference"):
        path_search.check_clips([str(path)], tmp_path / "out")


def test_a_search_that_refused_every_clip_fails(lift_reference, tmp_path, monkeypatch):
    def refuse(job):
        raise DexhotError("it rolls")

    save(lift_reference, tmp_path / "lift.npz")
    monkeypatch.setattr(path_search, "solve", refuse)
    words = ["train", "homotopy", str(tmp_path / "lift.npz"), "--workers", "1", "--out", str(tmp_path / "out")]
    assert main(words) == 1
