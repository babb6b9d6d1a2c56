"""success_panel of what controllers play: placed for the arm, only where it is strict, once for the same motion."""

from types import SimpleNamespace

import numpy as np
import pytest

from dexhot.control.sampling import base_actions
from dexhot.data.files import save
from dexhot.errors import UnreachableError
from dexhot.evaluation import placed_panel
from dexhot.evaluation.controllers import evaluate_file, evaluate_reference
from dexhot.evaluation.options import EvaluationOptions
from dexhot.evaluation.panel import ARM, Light, Panel
from dexhot.evaluation.placed_panel import PlacedPanel
from dexhot.evaluation.summary import summarise
from dexhot.geometry.poses import make_pose
from dexhot.geometry.rotations import rotvec_to_quat
from dexhot.objects.library import save_object
from dexhot.retargeting.placement import moved
from dexhot.simulation.setup import load_setup

PASSED = Panel(Light("nominal", True, ""), tuple(Light(f"w{k}", True, "") for k in range(4)) + (Light(ARM, False, ""),))


@pytest.fixture
def placed(placed_lift, monkeypatch):
    """The lift placed for the arm, made once."""
    monkeypatch.setattr(placed_panel, "place", lambda reference, hand: placed_lift)
    return placed_lift


@pytest.fixture
def played(monkeypatch):
    """The demonstrations whose panel was asked for; each passes in all worlds but the arm's."""
    seen = []
    monkeypatch.setattr(placed_panel, "of_demonstration", lambda demonstration, setup: demonstration)
    monkeypatch.setattr(placed_panel, "play_panel", lambda motion, setup: seen.append(motion) or PASSED)
    return seen


def test_targets_are_carried_to_where_the_arm_reaches_the_clip(lift_reference, lift_setup, placed, played):
    """Also from elsewhere than where the person was."""
    elsewhere = moved(lift_reference, make_pose([0.1, 0.2, 0.0], rotvec_to_quat(np.array([0.0, 0.0, 1.0]))))
    targets = base_actions(elsewhere, lift_setup.physics)
    assert PlacedPanel(elsewhere, lift_setup).of_targets(targets).success
    [demonstration] = played
    assert demonstration.reference is placed and demonstration.servo == "leap"
    expected = base_actions(moved(lift_reference, placed.placement), lift_setup.physics)
    np.testing.assert_allclose(demonstration.actions, expected, atol=1e-9)


def test_the_same_targets_are_played_once(lift_reference, lift_setup, placed, played):
    panels = PlacedPanel(lift_reference, lift_setup)
    for _ in range(2):
        panels.of_targets(lift_reference.target)
    panels.of_targets(lift_reference.q)
    assert len(played) == 2


def test_a_clip_out_of_reach_stays_where_it_was_recorded(lift_reference, lift_setup, monkeypatch):
    def unreachable(reference, hand):
        raise UnreachableError("no placement reaches it")

    monkeypatch.setattr(placed_panel, "place", unreachable)
    panels = PlacedPanel(lift_reference, lift_setup)
    assert panels.reference is lift_reference
    assert panels.verdict({"success_strict": True}, lambda: PASSED)["success_panel"]


def test_a_clip_that_is_placed_stays_where_it_is(lift_setup, placed, monkeypatch):
    monkeypatch.setattr(placed_panel, "place", lambda reference, hand: None)
    assert PlacedPanel(placed, lift_setup).reference is placed


def test_what_is_not_strict_is_not_played(lift_reference, lift_setup):
    def never():
        raise AssertionError("played")

    assert PlacedPanel(lift_reference, lift_setup).verdict({"success_strict": False}, never) == {"success_panel": False}


def test_the_panel_stands_beside_each_strict_figure(lift_reference, lift_setup, placed, played):
    options = EvaluationOptions("planned", 0, rollouts=16, prior="none", baselines=(), panel=True)
    rows = evaluate_reference(lift_reference, lift_setup, options)
    assert rows["planned"]["success_panel"] and not rows["planned"]["panel"][ARM]
    assert rows["frozen"]["success_panel"] is False
    found = summarise([{"clip": "a", **rows}])
    assert found["planned"]["success_panel"] == 1.0 and found["frozen"]["success_panel"] == 0.0


def test_a_network_runs_in_the_loop_of_the_placed_clip(lift_reference, lift_setup, placed, monkeypatch):
    asked = {}
    monkeypatch.setattr(placed_panel, "Policy", lambda reference, network, *rest: (reference, network))
    monkeypatch.setattr(placed_panel, "of_controller", lambda make, reference: asked.update(made=make(reference)))
    monkeypatch.setattr(placed_panel, "play_panel", lambda motion, setup: PASSED)
    network = SimpleNamespace()
    assert PlacedPanel(lift_reference, lift_setup).of_network(network) is PASSED
    assert asked["made"] == (placed, network)


def test_a_demonstrations_own_rows_have_the_panel_too(shipped, played, cache, tmp_path):
    save_object(load_setup(shipped.reference).asset)
    options = EvaluationOptions("kinematic", 0, baselines=(), panel=True)
    row = evaluate_file(save(shipped, tmp_path / "d"), options)
    assert row["demonstration"]["success_panel"] and row["playback"]["success_panel"]
    assert any(d.actions is not None and len(d.actions) == row["frames"] for d in played)
