"""`dexhot train baseline`: PPO without supervision, resumed where the benchmark looks for it."""

import json

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from dexhot.cli import main
from dexhot.cli.train import tracker
from dexhot.data.files import load, save
from dexhot.data.types import PolicyCard
from dexhot.errors import DexhotError
from dexhot_train.learners.baselines import STEPS, TrainedBaseline, baseline_folder, trained_baseline
from dexhot_train.learners.folder import CONFIG, CURVE
from dexhot_train.learners.ppo import PPOOptions
from dexhot_train.learners.tracker import TrackerOptions
from dexhot_train.task.clips import load_task_clip

pytestmark = pytest.mark.usefixtures("retargeted_once")


def test_it_trains_without_supervision_on_the_train_split(monkeypatch, cache):
    asked = []
    monkeypatch.setattr(tracker, "run", asked.append)
    main(["train", "baseline"])
    main(["train", "baseline", "omnigrasp", "--steps", "48"])
    first, second = asked
    assert first.clips == ["grab"] and first.imitation == 0.0 and first.steps == STEPS
    assert first.reward == "dextrack" and first.out == cache / "baselines" / "ppo-tracking"
    main(["train", "baseline", "--data", "grab-full", "taco", "--hand", "allegro_right", "--profile", "leap"])
    both = asked.pop()
    assert both.clips == ["grab-full", "taco"] and both.hand == "allegro_right" and both.profile == "leap"
    assert both.out.name == "ppo-tracking-grab_full-taco-allegro_right-leap"
    assert baseline_folder("tracking", profile="leap") == baseline_folder("tracking") == first.out
    main(["train", "baseline", "--hand", "allegro_right", "--plain"])
    plain = asked.pop()
    assert plain.plain and plain.out.name == "ppo-tracking-grab-allegro_right-plain" and not first.plain
    assert baseline_folder("tracking", plain=True).name == "ppo-tracking-plain"
    assert second.reward == "omnigrasp" and second.steps == 48 and second.out == baseline_folder("omnigrasp")


def test_plain_references_are_trained_on_in_a_folder_of_their_own_and_never_mixed(cache, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("dexhot_train.curriculum.variations.training_clips", lambda names: ["parametric/reach-box-0"])
    learner = PPOOptions(steps=4, hidden=(8,), epochs=1, minibatches=2, std=0.1, gain=0.1)

    def options(worlds, steps, seed, task):
        return TrackerOptions(2, steps, seed, task=task, ppo=learner)

    monkeypatch.setattr("dexhot_train.learners.tracker.TrackerOptions", options)
    assert main(["train", "baseline", "--workers", "1", "--steps", "8", "--plain"]) in (0, None)
    assert trained_baseline("tracking") is None
    folder = trained_baseline("tracking", plain=True).policy.parent
    settings = json.loads((folder / CONFIG).read_text())["settings"]
    assert settings["plain"] == ["parametric/reach-box-0"]
    command = load(folder / "policy.json", PolicyCard).provenance["command"]
    assert "--plain" in command
    words = ["train", "tracker", "parametric/reach-box-0", "--imitation", "0", "--trials", "0", "--workers", "1"]
    capsys.readouterr()
    assert main([*words, "--out", str(folder), "--steps", "16"]) == 1
    assert "other settings (plain)" in " ".join(capsys.readouterr().err.split())
    (folder / CONFIG).write_text(json.dumps({"settings": {n: v for n, v in settings.items() if n != "plain"}}))
    assert main([*words, "--out", str(folder), "--steps", "16"]) in (0, None), "a folder of before goes on"
    ours = save(load_task_clip("parametric/reach-box-0").reference, tmp_path / "ours")
    with pytest.raises(DexhotError, match=r"not retargeted by eq\. 5-7 alone"):
        load_task_clip(str(ours), plain=True)


def test_a_stopped_one_is_none_and_a_whole_one_tells_its_steps_and_resumes(cache, monkeypatch, capsys):
    """The commands with two generated clips in the place of GRAB's."""
    clips = ["parametric/reach-box-0", "parametric/reach-box-1"]
    monkeypatch.setattr("dexhot_train.curriculum.variations.training_clips", lambda names: clips)
    learner = PPOOptions(steps=4, hidden=(8,), epochs=1, minibatches=2, std=0.1, gain=0.1)

    def options(worlds, steps, seed, task):
        return TrackerOptions(2, steps, seed, task=task, ppo=learner)

    monkeypatch.setattr("dexhot_train.learners.tracker.TrackerOptions", options)
    assert trained_baseline("omnigrasp") is None
    words = ["train", "baseline", "omnigrasp", "--workers", "1", "--json", "--steps"]
    assert main([*words, "16"]) in (0, None)
    folder = baseline_folder("omnigrasp")
    assert trained_baseline("omnigrasp") == TrainedBaseline(folder / "policy.onnx", 16)
    capsys.readouterr()
    assert main([*words, "24"]) in (0, None)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["resumed_at_iteration"] == 2
    assert trained_baseline("omnigrasp").steps == 24 and len((folder / CURVE).read_text().splitlines()) == 3
    settings = json.loads((folder / CONFIG).read_text())["settings"]
    assert settings["clips"] == clips and settings["options"]["task"]["rewards"] == "omnigrasp"
    card = load(folder / "policy.json", PolicyCard)
    assert card.provenance["control_steps"] == 24 and card.training_data == clips
