"""Mining's last resort: a path of easier tasks, only where a clip still fails, and its result competes."""

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
    """The paths asked for; each leads to the actions of the unspoilt reference."""
    made, good = [], base_actions(lift_reference, lift_setup.physics)

    def along(parents, task, options):
        made.append((len(parents), options.budget))
        return TaskResult(good, 0.01, True, 1234)

    monkeypatch.setattr(mining, "along", along)
    return made


def test_a_clip_that_fails_is_tried_along_a_path(paths, lift_reference, lift_setup):
    spoilt = replace(lift_reference, target=lift_reference.target.copy())
    spoilt.target[:, 6:] = 0.0  # the hand never closes
    failed = mine(spoilt, make_worlds(spoilt, lift_setup, TINY), replace(TINY, homotopy=0))
    assert not failed.scores["success_strict"] and not paths
    turned = mine(spoilt, make_worlds(spoilt, lift_setup, TINY), TINY)
    assert paths == [(3, TINY.repair.budget)] and turned.scores["success_strict"]
    assert turned.provenance["chosen"] == "homotopy" and turned.provenance["control_steps"] == 1234
    assert [c["name"] for c in turned.provenance["candidates"]] == ["replay", "homotopy"]


def test_a_clip_that_succeeds_needs_no_path(paths, lift_reference, lift_setup):
    found = mine(lift_reference, make_worlds(lift_reference, lift_setup, TINY), TINY)
    assert found.scores["success_strict"] and not paths
    assert np.isfinite(found.actions).all()
