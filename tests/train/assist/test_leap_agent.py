"""The LEAP hand's agent: trained, resumed, exported, refused; the shipped one on a clip that it never saw."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from dexhot.cli import main
from dexhot.control.known_motion import observed_offsets
from dexhot.control.policy import OnnxNetwork
from dexhot.data.files import load, save
from dexhot.data.types import Demonstration, PolicyCard
from dexhot.errors import DexhotError
from dexhot.paths import share_dir
from dexhot_bench import assist as bench
from dexhot_train.assist import leap
from dexhot_train.assist.leap import LeapHands
from dexhot_train.assist.leap_agent import (
    LeapTraining,
    OffsetActor,
    leap_agent_from,
    leap_agent_of,
    save_leap_agent,
    train_leap,
)
from dexhot_train.assist.leap_success import leap_success, no_correction
from dexhot_train.assist.shipped import shipped
from dexhot_train.learners.dagger import DaggerOptions
from dexhot_train.task.clips import load_task_clip

LIFT = share_dir() / "policies" / "lift_box.npz"
TINY = LeapTraining(corrections=2, worlds=2, hidden=(8,), dagger=DaggerOptions(steps=10, updates=20, batch=16))


@pytest.fixture(scope="module")
def lift():
    """The shipped lift of a box."""
    return load_task_clip(str(LIFT))


def untrained(lift) -> OffsetActor:
    """One whose corrections are not the offset alone."""
    torch.manual_seed(0)
    actor = OffsetActor(observed_offsets(lift.setup.hand), (8,), 0.1)
    torch.nn.init.normal_(actor.net[-1].weight)
    return actor


@pytest.fixture
def actor(lift):
    """An untrained one."""
    return untrained(lift)


@pytest.fixture(scope="module")
def path(lift, tmp_path_factory):
    """Its file."""
    place = tmp_path_factory.mktemp("agent") / "a"
    return save_leap_agent(untrained(lift), [lift], TINY, place, "dexhot train assist leap", {})


def test_an_agent_begins_with_the_correction_back_to_the_reference(lift):
    hands = LeapHands([lift], 2)
    actor = OffsetActor(observed_offsets(hands.hand), (8,), 0.0)
    assert leap_agent_of(actor)(hands, hands.observed().policy) == pytest.approx(hands.offset(), abs=1e-6)


def test_joints_share_one_filter(actor, lift):
    """What it learns of a finger it knows of all: with equal names, joints that see the same are corrected alike."""
    actor.names.zero_()
    seen = np.zeros((1, sum(part["size"] for part in observed_offsets(lift.setup.hand))), np.float32)
    seen[:, 22 + 9] = seen[:, 22 + 17] = 0.3  # the change over a frame of two joints
    output = leap_agent_of(actor)(None, seen)[0]
    assert output[9] == output[17] != output[10]


def test_a_resumed_training_is_the_uninterrupted_one(lift, tmp_path):
    whole, told = train_leap([lift], TINY, tmp_path / "whole")
    train_leap([lift], replace(TINY, corrections=1), tmp_path / "parts")
    parts, _ = train_leap([lift], TINY, tmp_path / "parts")
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters()))
    assert told["corrections"]["loss"] < told["corrections"]["of_zero"]
    with pytest.raises(DexhotError, match=r"options\.seed"):
        train_leap([lift], replace(TINY, seed=1), tmp_path / "whole")


def test_a_file_acts_as_the_actor_and_names_what_it_is_for(actor, lift, path):
    network = OnnxNetwork(path)
    hands = LeapHands([lift], 3)
    seen = hands.observed().policy
    own, theirs = leap_agent_of(actor)(hands, seen), leap_agent_from(network)(hands, seen)
    assert np.clip(own, -1, 1) == pytest.approx(theirs, abs=1e-5) and own.std() > 0
    card = network.card
    assert card.baseline == "user_input" and card.hand == "leap_right" and card.terms == ""
    assert card.residual_limit == pytest.approx(hands.bound) and card.training_data == [lift.name]
    assert card.provenance["error"]["position"] == 0.01


def test_an_agent_of_grab_has_its_terms(actor, lift, tmp_path):
    reference = replace(lift.reference, name="grab/duck_lift")
    grab = replace(lift, reference=reference, demonstration=replace(lift.demonstration, reference=reference))
    assert "research" in OnnxNetwork(save_leap_agent(actor, [grab], TINY, tmp_path / "a", "", {})).card.terms


def test_a_network_that_is_for_something_else_is_refused_by_name(path):
    network = OnnxNetwork(path)
    for what, changed in (
        ("hand", {"hand": "adroit"}),
        ("what it corrects", {"baseline": "targets"}),
        ("observation", {"observation": network.card.observation[:-1]}),
    ):
        network.card = replace(network.card, **changed)
        with pytest.raises(DexhotError, match=what):
            leap_agent_from(network)
    with pytest.raises(DexhotError, match="door"):
        leap_agent_from(OnnxNetwork(shipped("door")))


def test_the_shipped_agent_helps_on_a_clip_and_an_object_that_it_never_saw(lift):
    card = load(shipped("leap").with_suffix(".json"), PolicyCard)
    assert lift.name not in card.training_data and "research" in card.terms
    agent = leap_agent_from(OnnxNetwork(shipped("leap")))
    alone, helped = (leap_success([lift], c, 8).success for c in (no_correction, agent))
    assert helped >= alone + 0.25


@pytest.fixture
def mined(tmp_path, monkeypatch):
    """A folder with a demonstration of a train and of a test clip."""
    monkeypatch.setattr(leap, "splits", lambda name: {"train": ["duck_lift"], "test_clip": ["phone_lift"]})
    for name in ("duck_lift", "phone_lift"):
        save(load(LIFT, Demonstration), tmp_path / "mined" / f"{name}.npz")
    return tmp_path / "mined"


def test_the_command_trains_evaluates_and_exports(mined, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("dexhot_train.assist.leap_agent.LeapTraining", lambda **k: replace(TINY, **k))
    command = ["train", "assist", "leap", "--experts", str(mined), "--out", str(tmp_path / "run"), "--corrections", "1"]
    main([*command, "--episodes", "2", "--json"])
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert OnnxNetwork(told["policy"]).card.provenance["command"] == "dexhot train assist leap --corrections 1"
    assert set(told["scores"]) == {"agent", "user_input"} and told["scores"]["agent"]["episodes"] == 2
    assert main([*command, "--sigma", "0.2"]) != 0
    assert "--sigma belongs to the Adroit tasks" in capsys.readouterr().err


def test_the_benchmark_prints_the_margin_or_null(mined, tmp_path, monkeypatch):
    monkeypatch.setattr(leap, "demonstrations_dir", lambda split: mined)
    found, by_clip = bench.leap(quick=True)
    assert found["leap_margin_points"] == pytest.approx(100 * (found["leap_success"] - found["user_input_leap"]))
    assert found["leap_clips"] == 1 and len(by_clip["reference_leap"]) == 1
    monkeypatch.setattr(leap, "demonstrations_dir", lambda split: tmp_path / "empty")
    found, by_clip = bench.leap(quick=True)
    assert found["leap_margin_points"] is None and "bench mine" in by_clip["missing"]
