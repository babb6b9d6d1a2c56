"""A checkpoint of rl_games becomes a policy: the same network, with the card of the task that it was trained on."""

import json
import os
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch")
for needed in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(needed)

from dexhot.cli import main  # noqa: E402
from dexhot.control.policy import OnnxNetwork, check_card  # noqa: E402
from dexhot.errors import DexhotError, FileFormatError  # noqa: E402
from dexhot.robots.robot_hand import load_hand  # noqa: E402
from dexhot.simulation.physics import load_physics  # noqa: E402
from dexhot.simulation.setup import Setup  # noqa: E402
from dexhot_train.isaacgym_export import RANDOMISATION, export_isaacgym  # noqa: E402
from dexhot_train.isaacgym_policy import isaacgym_policy  # noqa: E402
from dexhot_train.task.clips import task_clip  # noqa: E402
from dexhot_train.task.starts import StartOptions  # noqa: E402
from dexhot_train.task.tracking import TaskOptions  # noqa: E402

STARTS = StartOptions(1.0, 1.0, 0.0, 0.0, plans=1)
OPTIONS = TaskOptions(randomisation=RANDOMISATION, worlds=1, references=1, starts=STARTS, action="cumulative")


@pytest.fixture(scope="module")
def clip(_lift_reference, lift):
    setup = Setup(load_hand("leap_right"), lift[1], load_physics())
    return task_clip(replace(_lift_reference, name="grab/lift"), setup)


@pytest.fixture(scope="module")
def task(clip, tmp_path_factory):
    return export_isaacgym([clip], tmp_path_factory.mktemp("isaac") / "task", OPTIONS)


def rl_games(inputs, actions, hidden=(24, 12)):
    """What rl_games 1.6 keeps of a `continuous_a2c_logstd` with tracker.yaml's parts, and its mean action."""
    generator = torch.Generator().manual_seed(0)
    rand = lambda *size: 0.3 * torch.randn(*size, generator=generator)  # noqa: E731
    sizes, model = [inputs, *hidden], {}
    for k, (a, b) in enumerate(pairwise(sizes)):
        model |= {f"a2c_network.actor_mlp.{2 * k}.weight": rand(b, a), f"a2c_network.actor_mlp.{2 * k}.bias": rand(b)}
    for head, size in (("mu", actions), ("value", 1)):
        model |= {f"a2c_network.{head}.weight": rand(size, sizes[-1]), f"a2c_network.{head}.bias": rand(size)}
    model["a2c_network.sigma"] = torch.full((actions,), -2.3)
    model["running_mean_std.running_mean"] = rand(inputs).double()
    model["running_mean_std.running_var"] = (rand(inputs) ** 2).double()
    model["running_mean_std.running_var"][0] = 0.0  # of a feature that does not vary
    model["running_mean_std.count"] = torch.ones((), dtype=torch.float64)

    def mean_action(x):
        variance = model["running_mean_std.running_var"].float() + 1e-5
        x = torch.clamp((x - model["running_mean_std.running_mean"].float()) / torch.sqrt(variance), -5.0, 5.0)
        for k in range(len(hidden)):
            layer = f"a2c_network.actor_mlp.{2 * k}"
            x = torch.nn.functional.elu(x @ model[f"{layer}.weight"].T + model[f"{layer}.bias"])
        return torch.clamp(x @ model["a2c_network.mu.weight"].T + model["a2c_network.mu.bias"], -1.0, 1.0)

    mean_action.first = float(model["running_mean_std.running_mean"][0])
    kept = {"model": model, "epoch": 7, "frame": 917_504, "last_mean_rewards": np.float32(3.5), "optimizer": {}}
    return kept, mean_action


@pytest.fixture
def trained(task, tmp_path):
    """The checkpoint's file, its mean action, and the card of its task."""
    card = json.loads((task / "task.json").read_text())["card"]
    kept, mean_action = rl_games(sum(part["size"] for part in card["observation"]), len(card["joint_names"]))
    torch.save(kept, tmp_path / "tracker.pth")
    return tmp_path / "tracker.pth", mean_action, card


def test_the_policy_does_what_the_checkpoint_did_in_isaac_gym(trained, task, clip, tmp_path, capsys):
    checkpoint, mean_action, card = trained
    out = tmp_path / "new" / "tracker"
    assert main(["export", str(checkpoint), "--to", "policy", "--task", str(task), "--out", str(out)]) in (0, None)
    network = OnnxNetwork(out.with_suffix(".onnx"))
    check_card(network.card, clip.reference, clip.setup.physics, False, False)
    rng = np.random.default_rng(1)
    seen = rng.standard_normal((5, sum(part["size"] for part in card["observation"]))).astype(np.float32)
    seen[:, 0] = mean_action.first + 0.005  # so that what is added to a variance of zero counts
    limit, step = np.array(card["residual_limit"]), np.array(card["residual_step"])
    residual = limit * rng.uniform(-1.0, 1.0, (5, len(limit)))
    action = mean_action(torch.from_numpy(seen)).numpy()
    assert np.abs(action).max() > 0.5 and np.abs(action).std() > 0.1
    np.testing.assert_allclose(network(seen, residual), np.clip(residual + step * action, -limit, limit), atol=1e-6)


def test_its_card_is_the_tasks_with_the_terms_of_its_clips(trained, task):
    card = isaacgym_policy(trained[0], task)[1]
    assert (card.action, card.baseline, card.servo) == ("cumulative", "object_relative", "leap")
    assert card.training_data == ["grab/lift"] and "non-commercial" in card.terms
    assert card.provenance["control_steps"] == 917_504 and card.provenance["simulator"] == "Isaac Gym"


def test_a_checkpoint_of_another_task_or_of_another_learner_is_named(trained, task, tmp_path):
    kept, _ = rl_games(10, 22)
    torch.save(kept, tmp_path / "other.pth")
    with pytest.raises(DexhotError, match=r"observes 10 numbers and moves 22 joints, the task in .* give the folder"):
        isaacgym_policy(tmp_path / "other.pth", task)
    del kept["model"]["running_mean_std.running_var"]
    torch.save(kept, tmp_path / "bare.pth")
    with pytest.raises(FileFormatError, match=r"lacks running_mean_std\.running_var"):
        isaacgym_policy(tmp_path / "bare.pth", task)
    torch.save({"actor": torch.zeros(3)}, tmp_path / "none.pth")
    with pytest.raises(FileFormatError, match="not a checkpoint of rl_games"):
        isaacgym_policy(tmp_path / "none.pth", task)
    with pytest.raises(FileFormatError, match="not a task of `dexhot export --to isaacgym`"):
        isaacgym_policy(trained[0], tmp_path)


def test_a_checkpoint_that_wants_to_run_something_is_refused(task, tmp_path, monkeypatch):
    class Hostile:
        def __reduce__(self):
            return os.system, ("touch should_not_exist",)

    monkeypatch.chdir(tmp_path)
    torch.save({"model": Hostile()}, tmp_path / "evil.pth")
    with pytest.raises(FileFormatError, match="not a checkpoint that torch reads"):
        isaacgym_policy(tmp_path / "evil.pth", task)
    assert not (tmp_path / "should_not_exist").exists()


def test_a_policy_is_of_one_checkpoint_and_its_task(trained, task, capsys):
    assert main(["export", str(trained[0]), "--to", "policy"]) == 1
    assert "--task FOLDER on which it was trained" in capsys.readouterr().err
