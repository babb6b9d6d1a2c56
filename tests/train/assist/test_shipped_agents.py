"""Agents as files: exported, run, refused; the shipped ones beside the user input alone."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from dexhot.cli import main
from dexhot.control.policy import OnnxNetwork
from dexhot.errors import DexhotError
from dexhot_train.assist.adroit import TASKS
from dexhot_train.assist.experts import load_experts
from dexhot_train.assist.hands import AssistOptions
from dexhot_train.assist.shipped import agent_from, save_agent, shipped
from dexhot_train.assist.success import success
from dexhot_train.assist.training import AssistTraining, SteadiedActor, agent_of
from dexhot_train.learners.dagger import DaggerOptions
from dexhot_train.learners.networks import Actor

OPTIONS = AssistTraining("door")


@pytest.fixture(scope="module")
def actor():
    """An untrained one for the door, whose corrections are not zero."""
    torch.manual_seed(0)
    made = Actor(67 + 28, 28, (64, 64), 0.1)
    torch.nn.init.normal_(made.net[-1].weight, std=0.5)
    return made


@pytest.fixture(scope="module")
def path(actor, tmp_path_factory):
    """Its file."""
    return save_agent(actor, OPTIONS, tmp_path_factory.mktemp("agent") / "door", "dexhot train assist door", {}, 12)


def test_an_exported_agent_answers_as_the_trained_one(actor, path):
    seen = np.random.default_rng(0).normal(size=95).astype(np.float32)
    ours, theirs = agent_of(actor)(seen), agent_from(OnnxNetwork(path))(seen)
    assert np.allclose(np.clip(ours, -1, 1), theirs, atol=1e-5) and np.abs(theirs).max() > 0.1
    card = OnnxNetwork(path).card
    assert card.joint_names[0] == "A_ARTz" and card.provenance["command"].startswith("dexhot train assist")


def test_a_steadied_agent_is_exported_with_its_weight(actor, tmp_path):
    steadied = SteadiedActor(actor, 0.01)
    network = OnnxNetwork(save_agent(steadied, OPTIONS, tmp_path / "door", "", {}, 12))
    assert network.card.observation[-1] == {"name": "noise of the user input", "size": 1}
    for noise in (0.0, 0.02):
        seen = np.r_[np.random.default_rng(0).normal(size=95), noise].astype(np.float32)
        theirs = agent_from(network)(seen)
        assert np.allclose(agent_of(steadied)(seen), theirs, atol=1e-5) and theirs.any() == (noise > 0.01)


def test_the_exported_correction_is_bounded_in_radians(path):
    network = OnnxNetwork(path)
    limit = np.array(network.card.residual_limit)
    residual = network(100.0 * np.ones((1, 95), np.float32), np.full((1, 28), 9.0))[0]
    assert (np.abs(residual) <= limit * (1 + 1e-6)).all() and np.abs(residual / limit).max() == pytest.approx(1.0)


def test_only_residual_agents_are_files_and_only_they_assist(actor, path, tmp_path):
    with pytest.raises(DexhotError, match="rl_no_user"):
        save_agent(actor, replace(OPTIONS, method="rl_no_user"), tmp_path / "x", "", {}, 12)
    network = OnnxNetwork(path)
    network.card.baseline = "targets"
    with pytest.raises(DexhotError, match="corrects no user input"):
        agent_from(network)


@pytest.mark.parametrize(
    ("task", "sigma", "margin"),
    [("door", 0.15, 0.3), ("hammer", 0.10, 0.2), ("relocate", 0.05, 0.05), ("pen", 0.05, 0.05)],
)
def test_the_shipped_agents_help_on_motions_that_they_never_saw(shared_data, task, sigma, margin):
    """Each motion once; the full figures, of 100 episodes, are in docs/assist.md."""
    test, options = load_experts(task, shared_data / "adroit" / "experts.npz").split("test"), AssistOptions()
    alone = success(test, sigma, None, options, 12).success
    helped = success(test, sigma, agent_from(OnnxNetwork(shipped(task))), options, 12).success
    assert helped >= alone + margin and helped >= 0.8


@pytest.mark.parametrize("task", TASKS)
def test_the_shipped_agents_do_no_harm_to_a_steady_user(shared_data, task):
    """Who succeeds alone on every motion: so does the user with an agent."""
    test, options = load_experts(task, shared_data / "adroit" / "experts.npz").split("test"), AssistOptions()
    assert success(test, 0.0, agent_from(OnnxNetwork(shipped(task))), options, 12).success == 1.0


def test_the_command_trains_evaluates_and_exports(shared_data, tmp_path, monkeypatch, capsys):
    brief = partial(AssistTraining, worlds=2, dagger=DaggerOptions(steps=20, updates=50))
    monkeypatch.setattr("dexhot_train.assist.training.AssistTraining", brief)
    experts = str(shared_data / "adroit" / "experts.npz")
    command = ["train", "assist", "door", "--corrections", "1", "--episodes", "2", "--experts", experts]
    main([*command, "--out", str(tmp_path / "run"), "--json"])
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert OnnxNetwork(told["policy"]).card.training_data == ["12 expert motions of door, noise 0.15 rad"]
    assert set(told["scores"]) == {"agent_0.15", "agent_0", "user_input_0.15", "user_input_0"}
    policies = ["--policies", str(shared_data / "adroit" / "policies.npz"), "--episodes", "0"]
    main([*command, *policies, "--out", str(tmp_path / "answered"), "--json"])
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    card = OnnxNetwork(told["policy"]).card
    assert card.training_data[1] == "corrections from the expert policies of policies.npz"
    assert "--policies policies.npz" in card.provenance["command"]
    assert main([*command, "--sigma", "-1", "--out", str(tmp_path / "run")]) != 0
    assert "--sigma must be 0 or more" in capsys.readouterr().err
