"""Each decision of the search along a clip, with a planner whose errors the test chooses."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from dexhot.geometry.rotations import rotvec_to_quat
from dexhot.objects.asset import Symmetry
from dexhot.simulation.backend import Batch
from dexhot_train.mining.search import SearchOptions, search, tracking_error, within

STRIDE, STEPS, FRAMES = 4, 8, 42
EACH = list(range(0, FRAMES - 1, STRIDE))
ROUNDS = ((8, 1), (16, 2))


class Planner:
    """Predicts what `error` (t, world) says: m from the reference in each step of the horizon."""

    def __init__(self, error=lambda t, world: 0.0, worlds: int = 1, diverged=(), cost: int = 1):
        self.error, self.cost, self.diverged = error, cost, diverged
        self.frames, self.stride, self.steps = FRAMES, STRIDE, STEPS
        self.residual = np.zeros((FRAMES + STEPS, 8))
        self.control_steps = 0
        self.models = [f"world {k}" for k in range(worlds)]
        still = np.tile([0.0, 0, 0, 1, 0, 0, 0], (FRAMES, 1))
        self.reference = SimpleNamespace(object_pose=still)
        self.scene = SimpleNamespace(object=SimpleNamespace(symmetry=Symmetry()))
        self.simulator = SimpleNamespace(object_pose=lambda states: states[..., :7])
        self.predicted, self.planned = [], []

    def predict(self, states, t):
        self.predicted.append((t, list(self.models)))
        assert (states[:, 7] == t).all()  # begins where the last part ended
        poses = np.tile([0.0, 0, 0, 1, 0, 0, 0, 0], (len(states), STEPS, 1))
        poses[..., 7] = t + 1 + np.arange(STEPS)
        for row, model in zip(poses, self.models):
            row[:, 0] = self.error(t, int(model[-1]))
        gone = np.array([(t, int(model[-1])) in self.diverged for model in self.models])
        return Batch(poses, np.zeros((len(states), STEPS, 0)), gone)

    def plan(self, states, t, samples, iterations):
        self.planned.append((t, samples, iterations))
        self.residual[t:] += 1.0
        self.control_steps += self.cost

    def actions(self, start, stop):
        return self.residual[start:stop].copy()


def run(planner: Planner, decisive: int = 1, progress=None, **options):
    states = np.zeros((len(planner.models), 8))
    return search(planner, states, SearchOptions(**({"rounds": ROUNDS, "rewinds": 0} | options)), progress, decisive)


def rewinds_of(planner: Planner) -> list[tuple[int, int]]:
    """(from, to) frames of every step back."""
    return [(a, b) for a, b in pairwise([t for t, _ in planner.predicted]) if b < a]


def frames_planned(planner: Planner) -> list[int]:
    return list(dict.fromkeys(t for t, *_ in planner.planned))


def test_a_good_plan_is_left_alone_every_second_time_and_when_repairing_always():
    fresh, kept = Planner(), Planner()
    run(fresh)
    run(kept, keep=True)
    assert frames_planned(fresh) == [0, 4, 12, 20, 28, 36] and not kept.planned


@pytest.mark.parametrize(("error", "frames"), [(0.0099, []), (0.0101, EACH)])
def test_a_plan_is_good_within_a_centimetre(error, frames):
    planner = Planner(lambda t, world: error)
    run(planner, keep=True)
    assert frames_planned(planner) == frames


@pytest.mark.parametrize(("error", "rounds"), [(0.0249, 1), (0.0251, 2)])
def test_a_fair_plan_needs_no_further_round(error, rounds):
    planner = Planner(lambda t, world: error)
    run(planner, keep=True)
    assert planner.planned == [(t, *ROUNDS[k]) for t in EACH for k in range(rounds)]


def test_beyond_its_budget_there_are_no_further_rounds_and_no_rewinds():
    planner = Planner(lambda t, world: 0.05, cost=10)
    run(planner, budget=25, rewinds=3, rewind=1)
    # two rounds at frame 0 (20 of 25) and a rewind to it, then one round in each: the budget is spent
    assert planner.planned[:3] == [(0, 8, 1), (0, 16, 2), (0, 8, 1)]
    assert [t for t, *_ in planner.planned[3:]] == EACH[1:]


def test_a_budget_that_is_just_spent_allows_a_further_round():
    planner = Planner(lambda t, world: 0.03, cost=10)
    run(planner, budget=10)
    assert planner.planned[:2] == [(0, 8, 1), (0, 16, 2)]


@pytest.mark.parametrize(("error", "rewinds"), [(0.0349, 0), (0.0351, 2)])
def test_a_lost_object_sends_the_search_back_so_often(error, rewinds):
    planner = Planner(lambda t, world: error if t == 20 else 0.0)
    run(planner, rewinds=2, rewind=2, keep=True)
    assert rewinds_of(planner) == [(20, 20 - 2 * STRIDE)] * rewinds


def test_later_rewinds_go_further_and_none_before_the_start():
    planner = Planner(lambda t, world: 0.05 if t == 24 else 0.0)
    run(planner, rewinds=6, rewind=3, keep=True)
    assert [b - a for a, b in rewinds_of(planner)] == [-12, -12, -16, -16, -20, -20]
    early = Planner(lambda t, world: 0.05 if t == 4 else 0.0)
    run(early, rewinds=1, rewind=3, keep=True)
    assert rewinds_of(early) == [(4, 0)]


def test_a_rewind_takes_back_what_was_planned_since():
    planner = Planner(lambda t, world: 0.05 if t == 12 and len(planner.planned) < 4 else 0.0)
    found = run(planner, rewinds=1, rewind=1, rounds=((8, 1),))
    # plans at 0, 4 and 12 (lost); back to 8, which is left alone; 12 again, then 20, 28 and 36
    assert [t for t, *_ in planner.planned] == [0, 4, 12, 12, 20, 28, 36]
    np.testing.assert_array_equal(found[:, 0], np.searchsorted([0, 4, 12, 20, 28, 36], np.arange(FRAMES), side="right"))


def test_an_object_is_lost_in_the_first_half_of_the_horizon_only():
    late = Planner(lambda t, world: np.where(np.arange(STEPS) < STEPS // 2, 0.0, 0.05) * (t == 12))
    soon = Planner(lambda t, world: np.where(np.arange(STEPS) < STEPS // 2, 0.05, 0.0) * (t == 12))
    for planner, rewinds in ((late, 0), (soon, 1)):
        run(planner, rewinds=1, rewind=1, keep=True)
        assert len(rewinds_of(planner)) == rewinds


def test_a_turn_loses_an_object_too():
    planner = Planner()
    planner.reference.object_pose[12:, 3:] = rotvec_to_quat([0.0, 0.0, np.radians(33)])
    run(planner, rewinds=1, rewind=1, keep=True)
    assert rewinds_of(planner)


def test_only_the_decisive_worlds_decide():
    """World 2 loses the object; the first two do not."""
    planner = Planner(lambda t, world: 0.05 * (world == 2), worlds=3)
    run(planner, decisive=2, rewinds=1, rewind=1, keep=True)
    assert not rewinds_of(planner)
    assert [r for r in planner.planned if r[0] == 0] == [(0, 8, 1)]  # not good in every world, yet fair in the decisive
    decided = Planner(lambda t, world: 0.05 * (world == 1 and t > 0), worlds=3)
    run(decided, decisive=2, rewinds=1, rewind=1, keep=True)
    assert rewinds_of(decided) == [(4, 0)]


@pytest.mark.parametrize(("error", "counts"), [(0.0699, True), (0.0701, False)])
def test_a_world_that_loses_the_object_no_longer_counts(error, counts):
    planner = Planner(lambda t, world: error * (world == 1 and t >= 8), worlds=3)
    run(planner, keep=True)
    worlds = dict(planner.predicted)
    assert worlds[8] == ["world 0", "world 1", "world 2"]
    assert worlds[12] == (["world 0", "world 1", "world 2"] if counts else ["world 0", "world 2"])
    assert planner.models == ["world 0", "world 1", "world 2"]  # as it was given


def test_a_world_that_diverges_no_longer_counts_unless_it_decides():
    planner = Planner(worlds=3, diverged={(8, 0), (8, 2)})
    run(planner, keep=True)
    assert dict(planner.predicted)[12] == ["world 0", "world 1"]


@pytest.mark.parametrize(("error", "whole"), [(0.099, True), (0.101, False)])
def test_the_search_ends_where_the_object_was_dropped_in_every_decisive_world(error, whole):
    planner = Planner(lambda t, world: error * (t >= 8 and world < 2), worlds=3)
    run(planner, decisive=2, keep=True)
    assert (planner.predicted[-1][0] == EACH[-1]) is whole
    one = Planner(lambda t, world: 0.2 * (t >= 8 and world == 0), worlds=3)
    run(one, decisive=2, keep=True)
    assert one.predicted[-1][0] == EACH[-1]


def test_progress_never_decreases_and_counts_the_rewinds():
    told = []
    lost = Planner(lambda t, world: 0.05 if t == 20 else 0.0)
    run(lost, progress=lambda *report: told.append(report), rewinds=2)
    assert len(rewinds_of(lost)) == 2 and [rewinds for _, rewinds in told[:: len(told) - 1]] == [0, 2]
    assert all(before <= after for before, after in pairwise(told)), told
    assert told[-1] == (1.0, 2)


def test_progress_is_the_share_of_the_clip():
    told = []
    run(Planner(), progress=lambda fraction, rewinds: told.append(fraction), keep=True)
    np.testing.assert_allclose(told, np.minimum(1.0, (np.array(EACH) + STRIDE) / FRAMES))


def test_errors_are_those_after_each_step_and_of_the_last_frame_beyond_it():
    planner = Planner()
    planner.reference.object_pose[:, 0] = 0.01 * np.arange(FRAMES)
    planner.reference.object_pose[-1, 3:] = rotvec_to_quat([0.0, 0.0, 0.4])
    start = np.zeros((1, 8))
    start[0, 7] = 38
    position, angle = tracking_error(planner, planner.predict(start, 38), 38)
    np.testing.assert_allclose(position, [[0.39, 0.40, *[0.41] * 6]])
    np.testing.assert_allclose(angle, [[0.0, 0.0, *[0.4] * 6]], atol=1e-9)


@pytest.mark.parametrize(
    ("limits", "worlds", "steps", "inside"),
    [
        ((0.021, 1.0), slice(None), slice(None), True),
        ((0.02, 1.0), slice(None), slice(None), False),
        ((0.02, 1.0), slice(1), slice(None), True),
        ((0.02, 1.0), slice(None), slice(2), True),
        ((1.0, 0.0), slice(None), slice(None), False),
    ],
)
def test_within_is_below_both_limits_in_these_worlds_and_steps(limits, worlds, steps, inside):
    planner = Planner(lambda t, world: np.where(np.arange(STEPS) < 2, 0.01, 0.01 + 0.01 * world), worlds=2)
    ahead = planner.predict(np.zeros((2, 8)), 0)
    assert within(planner, ahead, 0, limits, worlds, steps) is inside
    ahead.diverged[1] = True
    assert within(planner, ahead, 0, limits, worlds, steps) is (inside and worlds == slice(1))
