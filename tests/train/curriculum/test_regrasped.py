"""Paths through another grasp: tried, judged as the task, within one budget."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.control.sampling import SamplingOptions, base_actions
from dexhot.errors import DexhotError
from dexhot.metrics.success import SUCCESSES
from dexhot_train.curriculum import regrasped
from dexhot_train.curriculum.homotopy import HomotopyOptions, Optimiser
from dexhot_train.curriculum.regrasped import kept_frames, through_grasps
from dexhot_train.curriculum.tasks import HomotopyTask
from dexhot_train.mining.search import SearchOptions

TINY = HomotopyOptions(
    budget=20_000,
    grasps=2,
    sampling=SamplingOptions(samples=4, iterations=1, horizon=0.4, replan=0.3),
    knots=SearchOptions(rounds=((4, 1),), rewinds=0, keep=True),
)


@pytest.fixture
def open_hand(lift_reference, lift_setup) -> HomotopyTask:
    """A lift whose reference never closes the hand."""
    target = lift_reference.target.copy()
    target[:, 6:] = 0.0
    return HomotopyTask(replace(lift_reference, target=target), lift_setup)


def test_another_grasp_turns_a_clip_that_fails(open_hand):
    judge = Optimiser(open_hand, TINY)
    assert not judge.kinematic().strict
    found, parents = through_grasps(open_hand, TINY)
    assert found.strict and found.path == (f"{open_hand.reference.name}, regrasped",)
    assert np.array_equal(parents[0].reference.object_pose, open_hand.reference.object_pose)
    judged = judge.evaluate(found.actions)
    assert (judged.strict, judged.error) == (True, pytest.approx(found.error))
    assert 0 < found.control_steps <= TINY.budget


def test_the_task_judges_by_its_own_reference(lift_reference, lift_setup, monkeypatch):
    """A parent's success is none where the hand is too far from the task's reference."""
    monkeypatch.setattr(regrasped, "regrasp", lambda reference, hand, asset, move: lift_reference)
    far = replace(lift_reference, q=lift_reference.q.copy())
    far.q[2:, 0] += 8 * SUCCESSES["success_strict"]["E_hand"]  # m: E_hand is a quarter of it
    task = HomotopyTask(far, lift_setup)
    assert Optimiser(HomotopyTask(lift_reference, lift_setup), TINY).kinematic().strict
    found, _ = through_grasps(task, replace(TINY, budget=4000))
    assert not found.strict


def test_a_grasp_out_of_reach_is_left_out(open_hand, monkeypatch):
    def refused(reference, hand, asset, move):
        raise DexhotError("out of reach")

    monkeypatch.setattr(regrasped, "regrasp", refused)
    found, parents = through_grasps(open_hand, TINY)
    assert not found.strict and found.path == () and parents == []
    assert np.array_equal(found.actions, base_actions(open_hand.reference, open_hand.setup.physics))


def test_the_grasps_that_hold_longest_are_improved_within_one_budget(open_hand, monkeypatch):
    """Of three, the first holds for 30 frames, the second for 10, the third for 20; nothing improves them."""
    holds, order = {0.0: 30, 1.0: 10, 2.0: 20}, []

    def moved(reference, hand, asset, count, seed):
        return np.arange(count)[:, None] * np.ones(6)

    def regrasp(reference, hand, asset, move):
        return replace(reference, name=str(move[0]))

    def noted(name, steps):
        def search(self, best, *rest):
            order.append((name, float(self.task.reference.name)))
            self.steps += steps
            return best

        return search

    monkeypatch.setattr(regrasped, "moves", moved)
    monkeypatch.setattr(regrasped, "regrasp", regrasp)
    monkeypatch.setattr(regrasped, "kept_frames", lambda o, actions: holds[float(o.task.reference.name)])
    monkeypatch.setattr(Optimiser, "structured", noted("structured", 1000))
    monkeypatch.setattr(Optimiser, "knots", noted("knots", 5000))
    found, _ = through_grasps(open_hand, replace(TINY, grasps=3, budget=24_000))
    assert order[:5] == [("structured", k) for k in (0.0, 1.0, 2.0, 0.0, 2.0)], "all are tried, the best two refined"
    searched = [k for _, k in order[5:]]
    assert len(searched) > 2 and searched == [0.0, 2.0, *[0.0] * (len(searched) - 2)], "each once, then the best"
    assert 24_000 <= found.control_steps < 24_000 + 5000 + 2 * len(open_hand.reference.q)


def test_frames_are_kept_until_the_object_is_lost(lift_reference, lift_setup, open_hand):
    good, bad = (Optimiser(HomotopyTask(r, lift_setup), TINY) for r in (lift_reference, open_hand.reference))
    frames, actions = len(lift_reference.q), base_actions(lift_reference, lift_setup.physics)
    assert kept_frames(good, actions) == frames and good.steps == frames - 1
    lost = kept_frames(bad, base_actions(open_hand.reference, lift_setup.physics))
    height = open_hand.reference.object_pose[:, 2] - open_hand.reference.object_pose[0, 2]
    assert int(np.argmax(height > 0.05)) <= lost < frames, "left on the table; ADD-S of a box is less than its distance"
