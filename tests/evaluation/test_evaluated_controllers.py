"""Controllers on clips: what a row holds, what counts as perturbed, and the summary."""

import numpy as np
import pytest

from dexhot.cli import main
from dexhot.control.sampling import base_actions
from dexhot.errors import DexhotError, NotFoundError
from dexhot.evaluation.controllers import (
    MOTIONS,
    EvaluationOptions,
    PlayedMotion,
    clips_named,
    interval,
    judge_motion,
    summarise,
)
from dexhot.rollouts.floating import floating_simulator

OPTIONS = EvaluationOptions(rollouts=16, trials=3, prior="none")


@pytest.fixture
def judged(lift_reference, lift_setup):
    simulator = floating_simulator(lift_reference, lift_setup)

    def judge(name: str, trials: int = 3):
        motion = MOTIONS[name](lift_reference, lift_setup, OPTIONS)
        return judge_motion(lift_reference, motion, simulator, lift_setup, trials)

    return judge


def test_the_frozen_hand_never_succeeds_strictly_and_planned_does(judged):
    frozen, planned = judged("frozen"), judged("planned")
    assert not frozen["success_strict"] and frozen["perturbed"] == 0.0 and frozen["rollouts"] == 0
    assert planned["success_strict"] and planned["perturbed"] >= 2 / 3 and 0 < planned["rollouts"] <= 16
    assert planned["seconds_cpu"] > 0 and planned["expected"] is not None


def test_perturbed_worlds_are_the_same_for_every_controller(judged):
    assert judged("replay") == judged("replay")


def test_object_relative_replay_follows_the_object(lift_reference, lift_setup):
    """The baselines differ by this alone."""
    kinematic, replay = (MOTIONS[name](lift_reference, lift_setup, OPTIONS) for name in ("kinematic", "replay"))
    np.testing.assert_array_equal(kinematic.targets, replay.targets)
    np.testing.assert_array_equal(replay.targets, base_actions(lift_reference, lift_setup.physics))
    assert replay.relative and not kinematic.relative and isinstance(replay, PlayedMotion)


def test_the_constant_is_the_priors_mean(lift_reference, lift_setup):
    unfitted = MOTIONS["constant"](lift_reference, lift_setup, OPTIONS)  # of mean zero
    np.testing.assert_allclose(unfitted.targets, base_actions(lift_reference, lift_setup.physics), atol=1e-9)


SPLITS = {"train": ["a"], "test_unseen_object": ["b"], "test_unseen_clip": ["c"], "quick": ["a"]}


def test_test_is_both_test_splits_and_no_clip_of_another():
    assert clips_named("test", None, SPLITS) == ["b", "c"] and clips_named("test", ["c"], SPLITS) == ["c"]
    with pytest.raises(NotFoundError, match="clip of the test split"):
        clips_named("test", ["a"], SPLITS)
    with pytest.raises(DexhotError, match="has no clips"):
        clips_named("test", None, {"train": ["a"]})


def row(clip: str, replay: float, planned: float):
    def of(fraction: float):
        names = ("success_strict", "success_10cm_20deg", "success_10cm_40deg")
        errors = {"T_err_cm": 1.0, "R_err_rad": 0.1, "seconds_cpu": 2.0, "rollouts": 10, "refused": ""}
        return dict.fromkeys(names, fraction > 0.5) | errors | {"perturbed": fraction}

    return {"clip": clip, "frames": 100, "replay": of(replay), "planned": of(planned)}


def test_the_margin_over_replay_is_paired_by_clip():
    found = summarise([row("b", 0.2, 0.6), row("c", 0.6, 1.0)], {"b"})["planned"]
    assert found["over_replay"] == pytest.approx(0.4) and found["over_replay_interval"] == pytest.approx([0.4, 0.4])
    assert found["perturbed"] == pytest.approx(0.8) and found["perturbed_unseen_objects"] == pytest.approx(0.6)
    assert found["n"] == 2 and found["success_strict"] == 1.0


def test_no_rows_are_an_error():
    with pytest.raises(DexhotError, match="no clip"):
        summarise([])


def test_the_interval_is_of_the_mean_over_clips():
    low, high = interval(np.r_[np.zeros(50), np.ones(50)])
    assert 0.37 < low < 0.44 and 0.56 < high < 0.63


def test_the_command_names_what_does_not_go_together(capsys, cache):
    assert main(["evaluate"]) == 1
    assert "--controller planned" in capsys.readouterr().err
    assert main(["evaluate", "--controller", "planned", "--arm"]) == 1
    assert "takes no FILE" in capsys.readouterr().err
    assert main(["evaluate", "--controller", "planned", "--clips", "nonsense"]) == 1
    assert "clip of the test split" in capsys.readouterr().err
