"""Learning curves over simulated control steps, mining counted in."""

import json

import numpy as np
import pytest

from dexhot.cli import main
from dexhot.errors import FileFormatError
from dexhot_train.learners.curves_page import draw, mined_steps, read_curve


def training(folder, steps, tracked):
    folder.mkdir(parents=True)
    rows = [
        {"iteration": k + 1, "steps": at, "return": 10.0 * value, "whole/tracked": value}
        for k, (at, value) in enumerate(zip(steps, tracked))
    ]
    del rows[0]["whole/tracked"]  # no episode had ended
    (folder / "curve.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def ledger(folder, stages):
    folder.mkdir(parents=True, exist_ok=True)
    made = {"name": "c", "parent": "", "kind": "", "verdict": "no success", "seconds_cpu": 1.0}
    rows = [made | {"control_steps": steps, "stage": stage} for stage, steps in stages]
    (folder / "ledger.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_what_was_mined_moves_a_curve_to_the_right(tmp_path):
    folder, mined = training(tmp_path / "t", [100, 200], [0.1, 0.2]), ledger(tmp_path / "set", [(1, 40), (1, 60)])
    bare, ours = read_curve(str(folder)), read_curve(f"ours={folder}+{mined}")
    assert bare.name == "t" and bare.mined == 0 and bare.steps.tolist() == [0, 100, 200]
    assert ours.name == "ours" and ours.mined == mined_steps(mined) == 100 and ours.steps.tolist() == [100, 200, 300]
    np.testing.assert_array_equal(ours.values["whole/tracked"], [np.nan, np.nan, 0.2])


def test_the_stages_of_a_flywheel_follow_each_other_each_after_its_mining(tmp_path):
    wheel = ledger(tmp_path / "wheel", [(1, 1000), (2, 500)])
    for stage in (1, 2):
        training(wheel / f"stage{stage}" / "controller", [100, 200], [0.1, 0.2 * stage])
    curve = read_curve(str(wheel))
    assert curve.steps.tolist() == [1000, 1100, 1200, 1700, 1800, 1900] and curve.mined == 1500
    assert curve.mining == [(0, 1000), (1200, 1700)] and np.isnan(curve.values["return"][3])  # no line between them


def test_a_page_and_a_picture_and_a_folder_without_a_curve(tmp_path, capsys):
    first, second = (training(tmp_path / name, [1e6, 2e6], [0.1, 0.4]) for name in ("a", "b"))
    page, picture = tmp_path / "c.html", tmp_path / "c.png"
    assert main(["train", "curves", str(first), f"ppo={second}", "--out", str(page), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])["curves"]
    assert told["ppo"] == {"mined": 0, "steps": 2e6, "whole/tracked": 0.4, "return": 4.0}
    assert "<svg" in page.read_text() and "ppo" in page.read_text()
    assert draw([read_curve(str(first))], picture).read_bytes()[:4] == b"\x89PNG"
    (first / "curve.jsonl").write_text((first / "curve.jsonl").read_text()[:-20])  # killed in the middle of a line
    assert len(read_curve(str(first)).steps) == 2
    with pytest.raises(FileFormatError, match="has no curve"):
        read_curve(str(tmp_path))
    with pytest.raises(FileFormatError, match="nothing was mined"):
        read_curve(f"{first}+{tmp_path}")
    assert main(["train", "curves", str(first), str(first)]) == 1
    assert "two trainings have one name" in " ".join(capsys.readouterr().err.split())
