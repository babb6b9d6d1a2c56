"""`dexhot bench sim`: what its numbers mean, at tiny sizes."""

import itertools
import json

import numpy as np
import pytest

pytest.importorskip("torch")

from dexhot.cli import main
from dexhot.paths import share_dir
from dexhot_bench import sim
from dexhot_bench.pendulum import STEPS, Pendulum
from dexhot_train.learners.ppo import PPOOptions
from dexhot_train.task.clips import load_task_clip
from dexhot_train.task.starts import StartOptions
from dexhot_train.task.tracking import TaskOptions


def test_a_pendulum_moves_as_gymnasiums():
    """One step by hand, from Pendulum-v1's equations."""
    task = Pendulum(1)
    task.reset()
    task.angle[:], task.speed[:], task.left[:] = 0.5, -1.0, 5
    step = task.step(np.array([[0.25]]))
    speed = -1.0 + (15.0 * np.sin(0.5) + 3.0 * 0.5) * 0.05
    assert step.reward[0] == pytest.approx(-(0.25 + 0.1 + 0.001 * 0.25))
    np.testing.assert_allclose(
        step.observations.policy[0], [np.cos(0.5 + 0.05 * speed), np.sin(0.5 + 0.05 * speed), speed], rtol=1e-6
    )


def test_only_whole_episodes_count():
    task = Pendulum(8)
    task.reset()
    ends = [int(task.step(np.zeros((8, 1))).truncated.sum()) for _ in range(2 * STEPS)]
    assert sum(ends[:STEPS]) == 8 and len(task.returns) == sum(ends) - 8
    assert -2000 < np.mean(task.returns) < -500


def test_the_peer_learns_with_the_same_settings():
    rsl_rl_peer = pytest.importorskip("dexhot_bench.rsl_rl_peer")
    options = PPOOptions(steps=16, hidden=(8,), epochs=1, minibatches=1, learning_rate=3e-4, entropy=0.0)
    configuration = rsl_rl_peer.peer_configuration(options)
    assert configuration["algorithm"]["gamma"] == options.gamma and configuration["actor"]["hidden_dims"] == [8]
    task = Pendulum(4)
    rsl_rl_peer.train_peer(task, options, 30, 0)
    assert len(task.returns) == 4 * (30 * 16 // STEPS - 1)  # as many steps as ours would take


def test_the_overhead_is_what_the_environment_takes_beside_its_physics(monkeypatch):
    """By a clock that goes on by 3 s of wall time and 6 s of CPU in a step, and by 1 s and 2 s in its physics."""
    clock = itertools.cycle([np.array([0.0, 0.0]), np.array([3.0, 6.0]), np.array([4.0, 8.0])])
    monkeypatch.setattr(sim, "_now", lambda: next(clock))
    monkeypatch.setattr(sim, "WORLDS", 4)
    clip = load_task_clip(str(share_dir() / "policies" / "lift_box.npz"))
    assert sim.throughput(clip, 2, 1) == {
        "control_steps_per_s": 4 / 3.0,
        "physics_control_steps_per_s": 4 / 1.0,
        "overhead_fraction": (6.0 - 2.0) / 2.0,
    }


def test_the_command(monkeypatch, capsys):
    pytest.importorskip("rsl_rl")
    monkeypatch.setattr(sim, "QUICK", (5, 2, 30))
    monkeypatch.setattr(sim, "TASK", TaskOptions(starts=StartOptions(plans=1)))
    monkeypatch.setattr(sim, "WORLDS", 4)
    monkeypatch.setattr(sim, "WARP_WORLDS", {"cpu": 2, "cuda": 2})
    monkeypatch.setattr(sim, "SWING", 2)
    monkeypatch.setattr(sim, "LAST", 2)
    monkeypatch.setattr(sim, "STANDARD", PPOOptions(steps=16, hidden=(8,), epochs=1, minibatches=1))
    assert main(["bench", "sim", "--quick", "--json"]) in (0, None)
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    metrics = line["metrics"]
    assert line["bench"] == "sim" and line["subset"]["worlds"] == 4
    assert {"overhead_fraction", "control_steps_per_s", "physics_control_steps_per_s"} <= set(metrics)
    assert metrics["warp_control_steps_per_s"] > 0 and line["subset"]["warp_worlds"] == 2
    assert {"learning_steps_per_s", "rsl_rl_learning_steps_per_s", "parity_sigma"} <= set(metrics)


@pytest.mark.parametrize(("module", "extra"), [("rsl_rl", "peers"), ("mujoco_warp", "gpu")])
def test_a_missing_extra_is_one_sentence(module, extra, monkeypatch, capsys):
    monkeypatch.setattr(sim, "find_spec", lambda name: None if name == module else True)
    assert main(["bench", "sim", "--quick"]) == 1
    [line] = [line for line in capsys.readouterr().err.splitlines() if line]
    assert f"pip install 'dexhot[{extra}]'" in line
