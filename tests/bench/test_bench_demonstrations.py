"""The benchmark of the data engine: which set it makes, where, and what it reports."""

import pytest

from dexhot.datasets import splits
from dexhot.paths import cache_dir
from dexhot_bench import demonstrations
from dexhot_train.curriculum.data_engine import EngineOptions
from dexhot_train.curriculum.ledger import MADE, NO_SUCCESS, Ledger


@pytest.fixture
def sets(cache, monkeypatch):
    """The sets asked for: (clips, options, folder). Each has a parent, and a variation that failed."""
    asked = []

    def make_set(clips, options, folder, workers, progress):
        asked.append((clips, options, folder))
        ledger = Ledger(folder)
        for kind, verdict, seconds in (("clip", MADE, 6.0), ("warped", NO_SUCCESS, 12.0)):
            row = {"name": kind, "parent": "p", "kind": kind, "verdict": verdict, "by": "replay", "object": "o"}
            ledger.add(row | {"seconds_cpu": seconds, "control_steps": 1})
        return ledger

    monkeypatch.setattr(demonstrations, "make_set", make_set)
    return asked


def test_failed_attempts_and_parents_count(sets):
    metrics = demonstrations.run(quick=True)["metrics"]
    assert metrics["yield"] == 0.5 and metrics["demonstrations_per_core_hour"] == pytest.approx(200.0)
    assert metrics["clip_yield"] == 1.0 and metrics["warped_seconds_each"] == 12.0


def test_the_full_run_is_the_default_set_of_train_clips_and_goes_on(sets):
    for _ in range(2):
        demonstrations.run()
    (clips, options, folder), (_, _, again) = sets
    train = [f"grab/{clip}" for clip in splits("grab")["train"]]
    assert clips == train[::3] and options == EngineOptions()
    assert folder == again and folder.parent == cache_dir() / "demonstrations"
    demonstrations.run(quick=True)
    clips, options, folder = sets[-1]
    assert set(clips) <= set(train[::3]) and options.per_clip == 2 and not folder.exists()


def test_other_code_makes_another_set(cache, tmp_path, monkeypatch):
    before = demonstrations.folder_of()
    (tmp_path / "engine.py").write_text("changed")
    monkeypatch.setattr(demonstrations.curriculum, "__file__", str(tmp_path / "__init__.py"))
    assert demonstrations.folder_of() != before
