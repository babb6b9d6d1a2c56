"""Mining's last resort: another grasp, then a path of easier tasks, only where a clip still fails, and its result
competes."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.control.sampling import SamplingOptions, base_actions
from dexhot_train.curriculum.homotopy import TaskResult
from dexhot_train.mining import mine as mining
from dexhot_train.mining.mine import MineOptions, make_worlds, mine
from dexhot_train.mining.search import SearchOptions

TINY = MineOptions(
    sampling=SamplingOptions(horizon=0.4),
    repair=SearchOptions(rounds=((4, 1),), rewinds=0, keep=True),
    structured=0,
    attempts=0,
    worlds=1,
    trials=1,
    homotopy=3,
)


@pytest.fixture
def paths(monkeypatch, lift_reference, lift_setup):
    """The paths asked for: in other grasps, which lead to nothing, and of easier tasks, which lead to the actions of
    the unspoilt reference."""
    made, good = [], base_actions(lift_reference, lift_setup.physics)

    def through_grasps(task, options):
        made.append(("grasps", options.budget))
        return TaskResult(base_actions(task.reference, task.setup.physics), 1.0, False, 100), []

    def along(parents, task, options):
        made.append((len(parents), options.budget))
        return TaskResult(good, 0.01, True, 1234)

    monkeypatch.setattr(mining, "along", along)
    monkeypatch.setattr(mining, "through_grasps", through_grasps)
    return made


def test_a_clip_that_fails_is_tried_along_a_path(paths, lift_reference, lift_setup):
    spoilt = replace(lift_reference, target=lift_reference.target.copy())
    spoilt.target[:, 6:] = 0.0  # the hand never closes
    failed = mine(spoilt, make_worlds(spoilt, lift_setup, TINY), replace(TINY, homotopy=0))
    assert not failed.scores["success_strict"] and not paths
    turned = mine(spoilt, make_worlds(spoilt, lift_setup, TINY), TINY)
    assert paths == [("grasps", TINY.repair.budget), (3, TINY.repair.budget)] and turned.scores["success_strict"]
    assert turned.provenance["chosen"] == "homotopy" and turned.provenance["control_steps"] == 100 + 1234
    assert [c["name"] for c in turned.provenance["candidates"]] == ["replay", "regrasped", "homotopy"]


def test_a_clip_that_another_grasp_solves_needs_no_easier_task(paths, lift_reference, lift_setup, monkeypatch):
    good, spoilt = base_actions(lift_reference, lift_setup.physics), lift_reference.target.copy()
    spoilt[:, 6:] = 0.0
    spoilt = replace(lift_reference, target=spoilt)
    monkeypatch.setattr(mining, "through_grasps", lambda task, options: (TaskResult(good, 0.01, True, 55), [task]))
    turned = mine(spoilt, make_worlds(spoilt, lift_setup, TINY), TINY)
    assert turned.scores["success_strict"] and turned.provenance["chosen"] == "regrasped" and not paths
    assert turned.provenance["control_steps"] == 55


def test_a_clip_that_succeeds_needs_no_path(paths, lift_reference, lift_setup):
    found = mine(lift_reference, make_worlds(lift_reference, lift_setup, TINY), TINY)
    assert found.scores["success_strict"] and not paths
    assert np.isfinite(found.actions).all()
