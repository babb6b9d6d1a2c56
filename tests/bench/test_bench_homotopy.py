"""`dexhot bench homotopy`: the tasks of table 9's tests, what is not run, and how a ratio is counted."""

import json

import pytest

from dexhot.cli import main
from dexhot.data.files import load, save
from dexhot.data.types import Reference
from dexhot.datasets import splits
from dexhot.datasets.parametric import generate
from dexhot.errors import NotFoundError
from dexhot_bench import dextrack, homotopy
from dexhot_bench.homotopy import ratio, seen_by, task_list


def test_lists_are_fixed_of_their_split_and_a_has_no_clip_that_was_seen(cache):
    train, held_out = splits("grab")["train"], {c for name, s in splits("grab").items() if "test" in name for c in s}
    every = task_list("a")
    assert len(every) == homotopy.TASKS == 50 and {clip.partition("/")[2] for clip in every} <= set(train)
    assert every == task_list("a") and len(task_list("b")) == len(held_out) == 29  # all there are
    assert not {clip.partition("/")[2] for clip in task_list("b")} & set(train)
    fewer = task_list("a", every[:40])
    assert len(fewer) == len(train) - 40 and not set(fewer) & set(every[:40])
    assert task_list("c") == task_list("d") == []  # TACO is not imported
    with pytest.raises(NotFoundError, match="test of table 9"):
        task_list("e")


def test_taco_s_tests_are_the_same_fifty_of_s0(cache, monkeypatch):
    monkeypatch.setattr(homotopy, "splits", lambda name: {"test_S0": [f"c{k}" for k in range(207)]})
    assert len(task_list("c")) == 50 and task_list("c") == task_list("d") and len(set(task_list("c"))) == 50


def test_without_a_generator_nothing_is_run_and_that_is_said(cache, capsys, tmp_path):
    assert main(["bench", "homotopy", "--paths", str(tmp_path / "t"), "--json"]) == 0
    line = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert line["metrics"] == {f"effectiveness_ratio_{test}": None for test in "abcd"}
    assert line["tests"]["a"]["why"] == "no generator was given" and line["tests"]["c"]["why"].startswith("its dataset")
    rows = line["printed"]["Table 9: effective paths of the generator"]["rows"]
    assert rows[0] == ["(a)", "not run (0.64)", "0 of 50"] and len(line["lists"]["a"]) == 50
    assert main(["bench", "mine", "--generator", "g.npz"]) == 1
    assert "--generator belongs to `dexhot bench homotopy`" in " ".join(capsys.readouterr().err.split())


def test_a_test_is_solved_from_references_and_its_ratio_is_the_ledgers(
    cache, tmp_path, monkeypatch, lift, retarget_once
):
    seen = {}

    def search_paths(files, criterion, options, folder, command, workers, executor, told, generator):
        seen.update(files=files, criterion=criterion, options=options, generator=generator)
        folder.mkdir(parents=True)
        made = {"parent": "", "kind": criterion, "seconds_cpu": 1.0, "control_steps": 10}
        made |= {"strict": False, "strict_direct": False, "turned": False}
        rows = [made | {"name": "x", "verdict": "effective"}, made | {"name": "y", "verdict": "not effective"}]
        (folder / "ledger.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    monkeypatch.setattr(homotopy, "search_paths", search_paths)
    monkeypatch.setattr("dexhot.datasets.retargeted.human_clip", lambda name: lift)
    monkeypatch.setattr("dexhot.datasets.retargeted.retarget", retarget_once)
    found = homotopy.run(True, tmp_path / "g.npz", table="b", paths=tmp_path)
    assert len(seen["files"]) == 2 and seen["criterion"] == "generated" and not seen["options"].stop
    assert seen["options"].budget == homotopy.BUDGET // 10 and seen["generator"] == tmp_path / "g.npz"
    assert load(seen["files"][0], Reference).hand == "leap_right"
    assert found["metrics"] == {"effectiveness_ratio_b": 0.5} and ratio(tmp_path / "b")["clips"] == 2
    table = dextrack.run(table="9", paths=tmp_path)["tables"]["9"]
    assert table["b"]["effectiveness_ratio"] == 0.5 and table["a"]["effectiveness_ratio"] is None


def test_what_a_generator_saw_is_in_its_folders(lift_reference, tmp_path, cache):
    save(lift_reference, tmp_path / "tasks" / "c.reference.npz")
    assert seen_by([tmp_path]) == {lift_reference.name} == {generate("lift", "box", 0)[0].name}
