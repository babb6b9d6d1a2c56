"""Clips, paths, priors, sets and the miner's benchmark with another hand than the LEAP: the Allegro."""

import numpy as np
import pytest

from dexhot.cli import main
from dexhot.data.files import load
from dexhot.data.types import Demonstration
from dexhot.datasets.parametric import generate
from dexhot.errors import DexhotError
from dexhot.objects.library import save_object
from dexhot_bench import mine as bench_mine
from dexhot_train.curriculum import data_engine
from dexhot_train.curriculum.path_search import task_of
from dexhot_train.curriculum.variations import training_clips
from dexhot_train.task.clips import load_task_clip

HAND, CLIP = "allegro_right", "parametric/lift-box-0"


def test_a_clip_of_the_task_is_tracked_by_the_hand_that_was_asked_for(cache):
    clip = load_task_clip(CLIP, hand=HAND)
    assert clip.reference.hand == clip.setup.hand.name == HAND
    assert clip.reference.joint_names[6:] == list(clip.setup.hand.joint_names)


def test_a_folder_of_paths_keeps_to_its_hand(cache, tmp_path):
    task = task_of(CLIP, tmp_path, hand=HAND)
    assert task.reference.hand == HAND and task.setup.hand.name == HAND
    assert task_of(CLIP, tmp_path, hand=HAND).reference.hand == HAND
    with pytest.raises(DexhotError, match="begun with allegro_right, not leap_right"):
        task_of(CLIP, tmp_path)


def test_the_miners_benchmark_mines_with_it_in_a_folder_of_its_own(cache, tmp_path, monkeypatch):
    trajectory, asset = generate("lift", "box", 0)
    save_object(asset)
    seen = []
    monkeypatch.setattr(bench_mine, "load_clip", lambda name: trajectory)
    monkeypatch.setattr(bench_mine, "mine_into", lambda out, reference, setup, options: seen.append((reference, setup)))
    bench_mine.mine_clip(("a", tmp_path, bench_mine.QUICK, "dextrack", HAND))
    [(reference, setup)] = seen
    assert reference.hand == setup.hand.name == HAND and reference.provenance["servo"] == "dextrack"
    folders = {bench_mine.mined_dir("train", "dextrack", hand=hand) for hand in (HAND, "leap_right")}
    assert len(folders) == 2


def test_the_commands_hand_it_on(cache, tmp_path, monkeypatch, capsys):
    asked = {}

    def make_set(clips, options, folder, command, *rest):
        asked.update(options=options, command=command)
        raise DexhotError("enough")

    monkeypatch.setattr(data_engine, "make_set", make_set)
    words = ["--hand", HAND, "--out", str(tmp_path / "set")]
    assert main(["train", "demonstrations", "parametric/lift-box-100", *words]) == 1
    assert asked["options"].hand == HAND and f"--hand {HAND}" in asked["command"]
    for command in (["demonstrations", "grab"], ["prior"], ["homotopy", "grab"]):
        assert main(["train", *command, "--hand", "no_such_hand"]) == 1
        assert "no_such_hand" in capsys.readouterr().err


def test_a_demonstration_of_the_data_engine_is_the_hands(cache, tmp_path):
    options = data_engine.EngineOptions(0, hand=HAND, parent_rollouts=42, keep=0.0, enough=0.2, trials=1)
    ledger = data_engine.make_set(["parametric/lift-box-100"], options, tmp_path, workers=1)
    assert len(ledger.rows) == 1
    for path in tmp_path.glob("*.npz"):
        made = load(path, Demonstration)
        assert made.reference.hand == HAND and np.isfinite(made.actions).all()


def test_a_datasets_name_stands_for_its_train_split(cache):
    named = training_clips(["parametric"])
    assert len(named) == 24 and all(name.startswith("parametric/") for name in named)
    assert training_clips(["parametric/lift-box-100", "some.npz"]) == ["parametric/lift-box-100", "some.npz"]
