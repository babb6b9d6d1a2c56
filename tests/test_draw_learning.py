"""The figure of the methods on the test split has what benchmarks/results has."""

import pytest
from tools import draw_learning
from tools.draw_learning import lines
from tools.results import latest


def test_each_method_is_drawn_with_its_steps_and_its_success():
    found = {line.name: line for line in lines()}
    ppo = latest("policy-ppo")
    tracking, metrics = ppo["controllers"]["tracking"], ppo["metrics"]
    drawn = found["PPO without supervision"]
    assert drawn.steps == [metrics["margin_points_steps"] / 1e6] and drawn.values == [tracking["perturbed"]]
    assert drawn.interval[0] < drawn.values[0] < drawn.interval[1]
    planned = found["planned, 160 rollouts a clip"]
    assert not planned.steps, "it is not trained"
    assert 100 * (planned.values[0] - drawn.values[0]) == pytest.approx(metrics["margin_points"], abs=0.1)
    cloned = [line for name, line in found.items() if name.startswith("cloned")]
    assert [len(line.steps) for line in cloned] == [4, 4, 4] and all(x.steps == sorted(x.steps) for x in cloned)


def test_the_picture_is_written_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(draw_learning, "PICTURE", tmp_path / "new" / "learning.png")
    assert draw_learning.draw().read_bytes().startswith(b"\x89PNG")
    assert draw_learning.PICTURE.stat().st_size < 150_000
