"""Rendered people: closed skins, other bones than the model's, both hands of one person, an arm at the wrist."""

import numpy as np
import pytest
import trimesh

from dexhot.humans.open_hand import open_hand
from dexhot.humans.skin import JOINTS, PARENTS, HandPose
from dexhot.synthesis.person import (
    BONE_RANGE,
    BUMP,
    arm_faces,
    bumps,
    draw_person,
    forearm,
    forearm_away,
    loop_subdivision,
    with_bones,
)


def test_subdivision_is_closed_and_keeps_the_volume():
    hand = open_hand()
    weights, faces = loop_subdivision(len(hand.vertices), hand.faces)
    fine = trimesh.Trimesh(weights @ hand.vertices, faces, process=False)
    coarse = trimesh.Trimesh(hand.vertices, hand.faces, process=False)
    assert fine.is_watertight and fine.is_winding_consistent and len(faces) == 4 * len(hand.faces)
    assert 0.96 < fine.volume / coarse.volume < 1.0
    assert np.allclose(weights.sum(axis=1), 1.0)
    reference = trimesh.remesh.subdivide_loop(hand.vertices, hand.faces, 1)[0]
    assert (
        abs(trimesh.Trimesh(*trimesh.remesh.subdivide_loop(hand.vertices, hand.faces, 1)).volume - fine.volume) < 1e-9
    )
    assert len(reference) == weights.shape[0]


def bone_lengths(joints):
    return np.array([np.linalg.norm(joints[k] - joints[PARENTS[k]]) for k in range(1, JOINTS)])


def test_bones_get_the_lengths_that_they_should_have():
    hand = open_hand()
    lengths = 1.0 + np.random.default_rng(0).uniform(-BONE_RANGE, BONE_RANGE, 20)
    vertices, joints = with_bones(hand, hand.vertices, hand.joints, lengths)
    assert np.allclose(bone_lengths(joints) / bone_lengths(hand.joints), lengths[:15])
    tip = hand.tips[1]  # the index finger's outer phalanx
    now, then = np.linalg.norm(vertices[tip] - joints[3]), np.linalg.norm(hand.vertices[tip] - hand.joints[3])
    assert now / then == pytest.approx(lengths[16], abs=0.005)
    assert 0.0005 < np.abs(vertices - hand.vertices).max() < 0.012


def test_the_skin_is_uneven_by_the_stated_height():
    hand = open_hand()
    raised = bumps(hand.vertices, hand.faces, np.random.default_rng(1))
    assert np.sqrt((raised**2).sum(axis=1).mean()) == pytest.approx(BUMP, rel=0.05)


@pytest.mark.parametrize("left_out", ["bumps", "with_bones"])
def test_a_person_has_bumps_and_bones_of_its_own(left_out, monkeypatch):
    whole = draw_person(np.random.default_rng(2), "right").hand
    without = {"bumps": lambda v, f, rng: 0.0 * v, "with_bones": lambda hand, v, j, lengths: (v, j)}
    monkeypatch.setattr(f"dexhot.synthesis.person.{left_out}", without[left_out])
    plain = draw_person(np.random.default_rng(2), "right").hand
    assert np.sqrt(((whole.vertices - plain.vertices) ** 2).sum(axis=1).mean()) > 0.8 * BUMP


def test_both_hands_are_of_one_person():
    right, left = (draw_person(np.random.default_rng(4), side) for side in ("right", "left"))
    assert np.allclose(left.hand.vertices, right.hand.vertices * [-1, 1, 1]) and left.hand.side == "left"
    assert np.array_equal(left.skin, right.skin)


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_forearm_is_closed_outward_and_begins_inside_the_hand(side):
    person = draw_person(np.random.default_rng(4), side)
    posed = person.hand.shaped().posed(HandPose(translation=np.array([0.0, 0.0, 0.3])))
    arm = trimesh.Trimesh(forearm(person, posed, forearm_away(posed, 0.0)), arm_faces(), process=False)
    assert arm.is_watertight and arm.volume > 0
    hand = trimesh.Trimesh(person.surface(posed), person.subdivision[1], process=False)
    assert hand.volume > 0
    first = arm.vertices[:24]
    inside = hand.contains(first) if trimesh.util.has_module("rtree") else None
    assert inside is None or inside.mean() > 0.7


def test_the_elbow_stays_above_the_table():
    person = draw_person(np.random.default_rng(4), "right")
    back = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    for turn in (np.eye(3), back, back.T, back @ back):
        posed = person.hand.shaped().posed(HandPose(turn, np.array([0.0, 0.0, 0.12])))
        arm = forearm(person, posed, forearm_away(posed, 0.0))
        assert arm[-1, 2] > 0.04
