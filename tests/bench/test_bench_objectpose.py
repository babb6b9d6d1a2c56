"""`dexhot bench objectpose` on one object: its figures tell an estimator that works from one that does not."""

import numpy as np
import pytest
import trimesh

from dexhot.errors import DexhotError
from dexhot.perception.appearance import Appearance
from dexhot.perception.object_pose import DepthObjectPose, rigid_model
from dexhot.perception.object_track import RETRY
from dexhot.perception.protocols import ObjectSighting
from dexhot_bench import objectpose

BOX = trimesh.creation.box((0.12, 0.07, 0.04))
TIN = objectpose.made_mesh(trimesh.creation.cylinder(0.03, 0.14))


def shorten(patch: pytest.MonkeyPatch, frames: int, away: int, back: int) -> None:
    patch.setattr(objectpose, "bench_objects", lambda meshes: [("box", *objectpose.made_mesh(BOX)), ("tin", *TIN)])
    for name, value in (("QUICK_OBJECTS", 1), ("FRAMES", frames), ("AWAY", away), ("BACK", back)):
        patch.setattr(objectpose, name, value)


@pytest.fixture
def short(monkeypatch):
    """One box, tracked for two thirds of a second and out of view for a fifth of a second."""
    shorten(monkeypatch, 20, 5, 11)


@pytest.fixture(scope="module")
def found():
    """What the benchmark found on it, once."""
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch, 20, 5, 11)
        return objectpose.run(quick=True)


def test_a_box_is_registered_tracked_lost_and_found_again(found):
    metrics = found["metrics"]
    assert found["subset"] == ["box"] and found["add_s_005d_by_object"] == {"box": metrics["add_s_005d"]}
    assert metrics["add_01d"] >= 0.75 and metrics["add_s_005d"] >= 0.75  # of four cases
    assert metrics["reacquired_s_p50"] <= metrics["reacquired_s_max"] < 0.5 and metrics["confidence_auc"] > 0.9
    assert metrics["reacquired_1s_fraction"] == metrics["reacquired_depth_1s_fraction"] == 1.0
    assert 0.0 < metrics["register_s_p50"] < 10.0 and 0.0 < metrics["track_ms_p50"] <= metrics["track_ms_p99"]
    assert any("Open3D" in note for note in found["notes"]) or "open3d_add_01d" in metrics


def test_nobody_says_when_or_where_the_object_is_back(short):
    """It is searched for in every fifth image, as in a recording, and comes back in the one after such a search."""
    assert objectpose.BACK % RETRY == 1
    box = objectpose.made_mesh(BOX)
    model, scene = rigid_model(*box), objectpose.DrawnScene(*box)
    views = objectpose.moving(scene, model, np.random.default_rng(0))
    away = [k for k, (pose, _) in enumerate(views) if pose is None]
    assert away == list(range(objectpose.AWAY, objectpose.BACK))
    wait = objectpose.follow(scene, model, views, colours=True)[2]
    assert wait >= 4 / 30
    unmarked = [(pose, view._replace(mask=np.zeros_like(view.mask))) for pose, view in views]
    assert objectpose.follow(scene, model, unmarked, colours=True)[2] == wait


def test_things_are_painted_in_colours_that_tell_them_apart():
    box = objectpose.made_mesh(BOX)
    scene, rng = objectpose.DrawnScene(*box), np.random.default_rng(0)
    view = scene.seen(objectpose.random_pose(rng, np.zeros(3)), rng, hand=False)
    look = Appearance()
    look.learn(view.color, view.mask)
    assert view.color.dtype == np.uint8 and look.distinct
    there = look.probability(view.color) > 0.5
    assert (there & view.mask).sum() > 0.9 * view.mask.sum()


def test_wrong_poses_in_view_are_judged_beside_empty_views(found):
    metrics, wrong = found["metrics"], found["confidence_by_wrong"]
    assert {"turned", "moved", "other object", "away"} <= set(wrong)
    assert wrong["moved"]["count"] == wrong["other object"]["count"] == 4  # of four cases
    assert 0.5 < metrics["confidence_auc_in_view"] < metrics["confidence_auc"] <= 1.0
    assert wrong["away"]["auc"] > 0.99 and wrong["away"]["sure_fraction"] == 0.0


def test_a_confidence_that_every_pose_gets_tells_nothing_of_those_in_view(monkeypatch):
    shorten(monkeypatch, 6, 2, 4)
    monkeypatch.setattr(DepthObjectPose, "confidence", lambda *_: (0.9, 1.0))
    assert objectpose.run(quick=True)["metrics"]["confidence_auc_in_view"] < 0.75


def test_a_pose_that_a_symmetry_makes_right_is_no_wrong_one():
    """Of a ball, however it is turned."""
    ball = objectpose.made_mesh(trimesh.creation.icosphere(3, 0.05))
    model, scene, rng = rigid_model(*ball), objectpose.DrawnScene(*ball), np.random.default_rng(0)
    pose = objectpose.random_pose(rng, model.centre)
    view = scene.seen(pose, rng, hand=False)
    judged = {one.kind: one for one in objectpose.misplaced(model, pose, view.depth, view.hand, rng)}
    assert judged["turned"].right and not judged["moved"].right
    assert judged["turned"].confidence > judged["moved"].confidence


def test_each_kind_of_wrong_pose_is_compared_with_all_right_ones():
    kept = [("tracked", 0.9, True), ("registered", 0.6, True), ("moved", 0.7, False), ("away", 0.0, False)]
    judged = [objectpose.JudgedPose(*one) for one in kept]
    assert objectpose.auc(judged) == 0.75
    assert objectpose.by_kind(judged) == {
        "moved": {"count": 1, "auc": 0.5, "sure_fraction": 1.0},
        "away": {"count": 1, "auc": 1.0, "sure_fraction": 0.0},
    }
    assert objectpose.of_like_size(np.array([[3.0, 0, 0], [1, 0, 0], [0, 0, 2.5]]), 0) == 2
    assert objectpose.of_like_size(np.ones((1, 3)), 0) is None


def test_an_estimator_that_answers_anything_fails(monkeypatch):
    """Sure of itself, a metre away."""
    shorten(monkeypatch, 8, 2, 6)
    wrong = ObjectSighting(np.block([[np.eye(3), np.full((3, 1), 1.0)], [np.zeros((1, 3)), 1.0]]), 1.0, 1.0)
    for name in ("search", "follow"):
        monkeypatch.setattr(DepthObjectPose, name, lambda *_, **__: wrong)
    metrics = objectpose.run(quick=True)["metrics"]
    assert metrics["add_01d"] == metrics["add_s_005d"] == 0.0 and metrics["reacquired_s_max"] == np.inf
    assert metrics["reacquired_1s_fraction"] == 0.0


def test_meshes_of_a_folder_stand_beside_the_made_ones(tmp_path, cache):
    BOX.export(tmp_path / "mine.obj")
    names = [name for name, *_ in objectpose.bench_objects(tmp_path)]
    assert names[-3:] == ["mine", "box", "cylinder"]
    (tmp_path / "none").mkdir()
    with pytest.raises(DexhotError, match=r"has no \.obj"):
        objectpose.bench_objects(tmp_path / "none")
