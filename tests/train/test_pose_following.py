"""`dexhot train ptf`: methods, a folder that resumes to the same curve, the report beside the paper's results."""

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dexhot.cli import main  # noqa: E402
from dexhot.errors import DexhotError, FileFormatError  # noqa: E402
from dexhot_train.learners import pose_following  # noqa: E402
from dexhot_train.learners.folder import CONFIG, CURVE  # noqa: E402
from dexhot_train.learners.following_page import NOT_RUN, PAGE, Run, averaged, page, read_runs, table  # noqa: E402
from dexhot_train.learners.pose_following import (  # noqa: E402
    RESULT,
    FollowingTraining,
    evaluate_pickup,
    train_pickup,
)
from dexhot_train.learners.ppo import PPO, PPOOptions  # noqa: E402
from dexhot_train.task.clips import task_clip  # noqa: E402
from dexhot_train.task.pickup import PickupOptions, PickupTask  # noqa: E402
from dexhot_train.task.pickup_clips import Pickup, make_pickup  # noqa: E402

LEARNER = PPOOptions(steps=4, hidden=(8,), epochs=1, minibatches=2, reward_scale=1.0)
TINY = FollowingTraining(worlds=3, steps=48, save_every=2, task=PickupOptions(length=3), ppo=LEARNER)  # 4 iterations


@pytest.fixture
def pickup(lift_reference, lift_setup) -> Pickup:
    return make_pickup("can", task_clip(lift_reference, lift_setup), 0.01)


class KilledError(Exception):
    pass


def test_a_killed_training_resumes_to_the_same_curve(pickup, tmp_path):
    train_pickup(pickup, TINY, tmp_path / "whole", episodes=2)

    def kill(done, total, line):
        if done == 3:
            raise KilledError

    with pytest.raises(KilledError):
        train_pickup(pickup, TINY, tmp_path / "killed", episodes=2, progress=kill)
    told = train_pickup(pickup, TINY, tmp_path / "killed", episodes=2)
    assert told["resumed_at_iteration"] == 2 and told["steps"] == 48 and told["episodes"] == 2
    assert (tmp_path / "killed" / CURVE).read_text() == (tmp_path / "whole" / CURVE).read_text()
    row = json.loads((tmp_path / "whole" / CURVE).read_text().splitlines()[-1])
    assert {"success", "success_once", "lifted", "progress_hand", "progress_object"} <= set(row)


def test_other_settings_are_refused(pickup, tmp_path):
    train_pickup(pickup, replace(TINY, steps=12), tmp_path, episodes=0)
    with pytest.raises(DexhotError, match=r"options\.method"):
        train_pickup(pickup, replace(TINY, steps=12, method="dense"), tmp_path, episodes=0)
    train_pickup(pickup, replace(TINY, steps=24), tmp_path, episodes=0)


def test_imitation_compares_states_without_actions(pickup, tmp_path, monkeypatch):
    made = []

    class Kept(PPO):
        def __init__(self, *a, **k):
            super().__init__(*a, **k)
            made.append(self)

    monkeypatch.setattr(pose_following, "PPO", Kept)
    for method in ("ptf", "imitation"):
        train_pickup(pickup, replace(TINY, steps=12, method=method), tmp_path / method, episodes=0)
    assert made[0].discriminator is None
    task = made[1].task
    first = made[1].discriminator.net[0]
    assert first.in_features == task.state_size < task.policy_size
    assert made[1].expert[0].shape == (len(pickup.q), task.state_size)
    rows = (tmp_path / "imitation" / CURVE).read_text().splitlines()
    assert json.loads(rows[0])["imitation_reward"] > 0.0


def test_the_demonstrations_states_are_those_that_the_policy_would_see(pickup):
    """Put at the demonstration's first frame, a world shows its first state."""
    options = PickupOptions(noise_palm=0.0, noise_finger=0.0)
    task = PickupTask(replace(pickup, noise=0.0), 2, "imitation", options, staggered=False)
    seen = task.reset().policy[:, : task.state_size]
    np.testing.assert_allclose(seen, task.demonstrated()[[0, 0]], atol=1e-5)


def test_the_evaluation_has_the_same_starts_for_every_method(pickup, monkeypatch):
    seen = []

    def still(observation):
        seen.append(observation.numpy().copy())
        return torch.zeros(len(observation), pickup.q.shape[1])

    for _ in range(2):
        told = evaluate_pickup(still, pickup, PickupOptions(length=2), episodes=3)
        assert told == {"success": 0.0, "success_once": 0.0, "lifted": 0.0, "episodes": 3}
    np.testing.assert_array_equal(seen[0], seen[2])


def a_run(method: str, seed: int, at: list, rates: list, **result) -> Run:
    return Run("can", "leap_right", method, seed, np.array(at, float), np.array(rates, float), result)


def test_rows_of_the_table_say_what_was_not_run():
    told = {"success_once": 1.0, "lifted": 1.0}
    runs = [
        a_run("ptf", 0, [10], [1.0], steps=100, success=0.5, **told),
        a_run("ptf", 1, [10], [1.0], steps=101, success=0.9, **told),
    ]
    rows = table([*runs, a_run("dense", 0, [10], [0.0])])
    assert len(rows) == 3 * 2 * 4
    here = {row["method"]: row for row in rows if (row["task"], row["hand"]) == ("can", "leap_right")}
    assert here["ptf"]["success"] == pytest.approx(0.7) and here["ptf"]["success_sd"] == pytest.approx(0.2)
    assert here["ptf"]["seeds"] == 2 and here["ptf"]["steps"] == 100
    assert here["dense"]["success"] == NOT_RUN and here["dense"]["seeds"] == 0  # not finished
    banana = next(row for row in rows if row["task"] == "banana" and row["method"] == "sparse")
    assert banana["paper"] == "fails" and banana["success"] == NOT_RUN


def test_seeds_are_averaged_as_far_as_all_got():
    at, low, mean, high = averaged(
        [a_run("ptf", 0, [10, 20, 30], [0.0, 0.5, 1.0]), a_run("ptf", 1, [10, 20], [np.nan, 1.0])]
    )
    assert at.tolist() == [10, 20] and mean.tolist() == [0.0, 0.75]
    assert low.tolist() == [0.0, 0.5] and high.tolist() == [0.0, 1.0]


def test_the_page_draws_every_method_of_a_task(pickup, tmp_path):
    for method in ("ptf", "sparse"):
        train_pickup(pickup, replace(TINY, method=method), tmp_path / method, episodes=2)
    assert {run.method for run in read_runs(tmp_path)} == {"ptf", "sparse"}
    text = page(tmp_path).read_text()
    assert text.count("<polyline") == 2 and "not run" in text and "can, leap_right" in text
    (tmp_path / "sparse" / RESULT).write_text("{")
    with pytest.raises(FileFormatError, match="damaged"):
        page(tmp_path)


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(FileFormatError, match="dexhot train ptf"):
        page(tmp_path)


def test_the_command(pickup, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("dexhot_train.task.pickup_clips.load_pickup", lambda *a: pickup)
    monkeypatch.setattr(pose_following.FollowingTraining, "iterations", 1)
    words = ["train", "ptf", "can", "--method", "dense", "--seed", "3", "--worlds", "2", "--episodes", "2"]
    assert main([*words, "--workers", "1", "--out", str(tmp_path), "--json"]) in (0, None)
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["method"] == "dense" and told["seed"] == 3 and told["success"] == 0.0
    config = json.loads((tmp_path / "can-leap_right-dense-3" / CONFIG).read_text())
    assert config["command"] == "dexhot train ptf can --method dense --worlds 2 --episodes 2 --seed 3"
    assert main(["train", "ptf-report", str(tmp_path), "--json"]) in (0, None)
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (tmp_path / PAGE).is_file() and len(told["rows"]) == 24
