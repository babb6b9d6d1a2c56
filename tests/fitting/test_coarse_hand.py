"""Meshes of a hand regressor: their keypoints, the estimate that starts from them, and what the recipes do with it."""

from dataclasses import replace

import numpy as np
import pytest
from tests.tiny_clip import ASSET, CAMERA, HAND, SHAPE, tiny_clip

from dexhot.errors import ClipError, FileFormatError
from dexhot.fitting.batch import BatchScene, Bodies
from dexhot.fitting.batch_view import view_of
from dexhot.fitting.coarse_hand import BY_REGRESSOR, TOPOLOGIES, CoarseHand, coarse_hand, keypoints_of
from dexhot.fitting.descent import hand_start
from dexhot.fitting.hand_fit import Sighting, fit_hand
from dexhot.fitting.homan import first_pixels, hands_from
from dexhot.fitting.recipe import load_recipe
from dexhot.fitting.recording_fit import fit_recording
from dexhot.fitting.scene import object_model

TABLE = "mediapipe"


@pytest.fixture(scope="module")
def clip():
    """Recording, evidence with the open hand's meshes of the true hand, and the true poses."""
    recording, evidence, points = tiny_clip(3, 0.002)
    sightings = [Sighting(np.ones(21), points=rows) for rows in points]
    fit = fit_hand(HAND, HAND.table(TABLE), sightings, shape=SHAPE)
    meshes = np.stack([fit.posed(t).vertices for t in range(3)])
    marked = evidence.provenance | {BY_REGRESSOR: {"right": "open"}}
    return recording, replace(evidence, hand_meshes={"right": meshes}, provenance=marked), fit


def bodies():
    return Bodies({"right": HAND}, object_model(ASSET), TABLE, 16)


def test_meshes_of_a_truth_are_no_evidence(clip):
    _, evidence, _ = clip
    assert coarse_hand(evidence, "right").topology == "open" and coarse_hand(evidence, "left") is None
    assert coarse_hand(replace(evidence, provenance={}), "right") is None
    unseen = {"right": np.full_like(evidence.hand_meshes["right"], np.nan)}
    assert coarse_hand(replace(evidence, hand_meshes=unseen), "right") is None
    with pytest.raises(ClipError, match="topology 'soma'; mano or open"):
        coarse_hand(replace(evidence, provenance={BY_REGRESSOR: {"right": "soma"}}), "right")


def test_a_meshs_keypoints_are_those_of_its_model(clip):
    _, evidence, fit = clip
    mesh = evidence.hand_meshes["right"].copy()
    mesh[1] = np.nan
    found = keypoints_of(CoarseHand("right", "open", mesh))
    true = np.stack([fit.posed(t).keypoints(HAND.table("mano")) for t in range(3)])
    assert np.isnan(found[1]).all() and 1e3 * np.linalg.norm(found - true, axis=-1)[[0, 2]].mean() < 2.0
    with pytest.raises(ClipError, match="760 vertices, not 5"):
        keypoints_of(CoarseHand("right", "open", mesh[:, :5]))


def test_manos_topology_needs_the_users_file(monkeypatch, tmp_path):
    monkeypatch.setenv("DEXHOT_CONFIG", str(tmp_path))
    with pytest.raises(FileFormatError, match=r"MANO_RIGHT\.pkl does not exist.*registration"):
        keypoints_of(CoarseHand("right", "mano", np.zeros((1, 778, 3))))


def test_a_hand_starts_from_its_meshes_even_where_the_keypoints_are_wrong(clip):
    recording, evidence, fit = clip
    wrong = {"right": evidence.keypoints["right"].copy()}
    wrong["right"][..., 3:5] += 40.0
    view = view_of(recording, replace(evidence, keypoints=wrong), ["right"], 64)
    true = np.stack([fit.posed(t).keypoints(HAND.table(TABLE)) for t in range(3)])

    def error(mesh):
        start = hand_start(bodies(), "right", view, mesh)
        return np.linalg.norm(BatchScene(bodies(), start, None).keypoints("right") - true, axis=-1).mean()

    assert error(coarse_hand(evidence, "right")) < 0.012 < 0.05 < error(None)


def test_homan_holds_the_vertices_where_the_meshes_have_them(clip):
    recording, evidence, _ = clip
    view = view_of(recording, evidence, ["right"], 64)
    missing = evidence.hand_meshes["right"].copy()
    missing[2] = np.nan
    known = replace(evidence, hand_meshes={"right": missing})
    start = hands_from(bodies(), view, known)
    seen = first_pixels(bodies(), view, known, start)["right"]
    assert seen[:2] == pytest.approx(CAMERA.project(missing[:2]))
    assert seen[2] == pytest.approx(CAMERA.project(BatchScene(bodies(), start, None).hand_vertices("right")[2]))


def test_meshes_of_another_model_than_the_fitted_one_give_its_start_alone(clip, monkeypatch):
    recording, evidence, fit = clip
    monkeypatch.setitem(TOPOLOGIES, "mano", lambda side: HAND)  # stands for MANO's file
    other = replace(evidence, provenance={BY_REGRESSOR: {"right": "mano"}})
    view = view_of(recording, evidence, ["right"], 64)
    start = hands_from(bodies(), view, other)
    vertices = BatchScene(bodies(), start, None).hand_vertices("right")
    assert first_pixels(bodies(), view, other, start)["right"] == pytest.approx(CAMERA.project(vertices))
    true = np.stack([fit.posed(t).vertices for t in range(3)])
    assert np.linalg.norm(vertices - true, axis=-1).mean() < 0.015


@pytest.mark.parametrize("name", ["homan", "handypriors"])
def test_the_recipes_take_them(clip, name, monkeypatch):
    """A mesh that is elsewhere than the keypoints moves the fit."""
    recording, evidence, _ = clip
    tiny = ["solver.rotations=2", "solver.search_steps=1", "solver.follow_steps=1", "solver.pixels=48"]
    more = {"homan": ["solver.coarse_steps=1", "solver.fine_steps=1"], "handypriors": ["solver.steps=1"]}
    recipe = load_recipe(name).changed(tiny + more[name])
    moved = {"right": evidence.hand_meshes["right"] + [0.05, 0.0, 0.0]}
    one = fit_recording(recording, replace(evidence, hand_meshes=moved), ASSET, recipe, HAND).trajectory
    two = fit_recording(recording, replace(evidence, provenance={}), ASSET, recipe, HAND).trajectory
    assert np.linalg.norm((one.hands["right"].keypoints - two.hands["right"].keypoints).mean(axis=(0, 1))) > 0.03
