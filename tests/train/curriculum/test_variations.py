"""Variations of clips: what is moved, stretched and warped, and what may not be trained on."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.data.files import save
from dexhot.datasets.parametric import generate
from dexhot.datasets.scanned import sampled_grasp
from dexhot.errors import DexhotError, NotFoundError
from dexhot.geometry.poses import inverse, lowest, transform
from dexhot.objects.asset import Symmetry
from dexhot.objects.library import load_object, load_symmetry
from dexhot.objects.shapes import named_shape, shape_asset
from dexhot.objects.stretched import keeps_symmetry, parse, stretched, stretched_name
from dexhot_train.curriculum import variations
from dexhot_train.curriculum.variations import (
    CLIP,
    KINDS,
    Variation,
    make,
    of_parent,
    parent_clip,
    require_training,
    training_clips,
    warped_time,
)

BOX = "parametric/lift-box-100"


def on_object(clip, points):
    return transform(inverse(clip.object_pose)[:, None], points)


def test_a_stretched_object_is_made_from_its_name():
    asset = stretched(shape_asset(named_shape("parametric/box-50x70x100")), np.array([1.1, 0.9, 1.2]), 1.5)
    again = load_object(asset.name)
    assert asset.name == "stretched/parametric/box-50x70x100/1100x900x1200x1500"
    np.testing.assert_array_equal(asset.vertices, again.vertices)
    np.testing.assert_allclose(np.ptp(asset.corners, axis=0), [0.055, 0.063, 0.12])
    parent = load_object("parametric/box-50x70x100")
    assert again.mass == pytest.approx(1.5 * parent.mass) and not len(again.resting_poses)
    assert again.inertia[0, 0] > 1.5 * parent.inertia[0, 0]  # taller
    assert load_symmetry(asset.name) == again.symmetry
    with pytest.raises(NotFoundError, match="thousandths"):
        load_object("stretched/parametric/box-50x70x100/1100x900")


def test_stretching_twice_is_stretching_the_parent():
    once = stretched_name("grab/duck", np.array([2.0, 1.0, 1.0]), 0.5)
    parent, factors, mass = parse(stretched_name(once, np.array([1.0, 1.5, 1.0]), 0.5))
    assert parent == "grab/duck" and factors.tolist() == [2.0, 1.5, 1.0] and mass == 0.25
    box = shape_asset(named_shape("parametric/box-50x70x100"))
    twice = stretched(stretched(box, np.array([1.1, 0.9, 1.0]), 0.3), np.array([1.1, 1.0, 0.7]), 0.3)
    again = load_object(twice.name)
    np.testing.assert_allclose(twice.vertices, again.vertices)
    np.testing.assert_allclose(twice.inertia, again.inertia)
    assert twice.mass == pytest.approx(again.mass)


@pytest.mark.parametrize(
    ("symmetry", "factors", "kept"),
    [
        (Symmetry(), [1.1, 0.9, 1.2], True),
        (Symmetry("sphere"), [1.1, 1.1, 1.1], True),
        (Symmetry("sphere"), [1.1, 1.1, 1.0], False),
        (Symmetry("axis"), [1.1, 1.1, 0.8], True),
        (Symmetry("axis"), [1.1, 0.9, 1.0], False),
    ],
)
def test_a_symmetric_object_is_stretched_only_where_its_symmetry_stays(symmetry, factors, kept):
    assert keeps_symmetry(symmetry, np.array(factors)) is kept


@pytest.mark.parametrize("kind", [CLIP, *KINDS])
def test_the_same_variation_is_always_the_same(kind):
    first, again = make(Variation(BOX, kind, 3)), make(Variation(BOX, kind, 3))
    np.testing.assert_array_equal(first.trajectory.hands["right"].keypoints, again.trajectory.hands["right"].keypoints)
    assert first.asset.name == again.asset.name == first.trajectory.object_name and first.friction == again.friction
    first.trajectory.validate()
    if kind != CLIP:
        other = make(Variation(BOX, kind, 4))
        assert other.drawn != first.drawn or kind == "synthetic"


def test_a_stretched_object_still_stands_on_the_table_and_is_touched_where_it_was():
    trajectory, asset = parent_clip(BOX)
    made = make(Variation(BOX, "stretched", 1))
    rest = lowest(trajectory.object_pose[0], asset.corners)
    assert lowest(made.trajectory.object_pose[0], made.asset.corners) == pytest.approx(rest, abs=1e-9)
    factors = np.array(made.drawn["factors"])
    before, after = (on_object(c, c.hands["right"].keypoints) for c in (trajectory, made.trajectory))
    np.testing.assert_allclose(after, before * factors, atol=1e-9)


def test_another_grasp_moves_with_the_object():
    trajectory, _ = parent_clip(BOX)
    made = make(Variation(BOX, "regrasped", 1)).trajectory
    before, after = (on_object(c, c.hands["right"].keypoints) for c in (trajectory, made))
    moved = np.linalg.norm(after - before, axis=-1)
    assert 0.001 < moved.max() < 0.06
    np.testing.assert_allclose(np.ptp(moved[:, 0]), np.ptp(np.linalg.norm(after - before, axis=-1)[:, 0]))
    span = np.linalg.norm(before[:, 4] - before[:, 8], axis=-1)
    np.testing.assert_allclose(np.linalg.norm(after[:, 4] - after[:, 8], axis=-1), span, atol=1e-9)  # rigid


def test_a_warped_clip_is_the_same_path_at_another_pace():
    time = np.linspace(2.0, 4.0, 50)
    stamps = warped_time(time, 1.2, variations.RHYTHM)
    assert stamps[0] == 2.0 and stamps[-1] == pytest.approx(2.0 + 1.2 * 2.0) and (np.diff(stamps) > 0).all()
    assert np.diff(stamps).max() > 1.2 * np.diff(stamps).min()  # not at one speed


def test_a_clip_that_keeps_its_grasp_has_its_parents_reference(lift_reference):
    loaded = make(Variation(BOX, "loaded", 0))
    same = of_parent(lift_reference, loaded)
    np.testing.assert_allclose(same.q, lift_reference.q, atol=1e-9)
    assert (same.object_name, same.name) == (loaded.asset.name, "varied/parametric_lift-box-100-loaded-0")
    warped = make(Variation(BOX, "warped", 1))
    tempo, _ = warped.pace
    made = of_parent(lift_reference, warped)
    assert len(made.q) == pytest.approx(tempo * len(lift_reference.q), abs=2) and not len(made.clip_frames)
    for t, u in ((0, 0), (lift_reference.grasp_start, made.grasp_start), (-1, -1)):  # the hand is where it was
        np.testing.assert_allclose(made.q[u], lift_reference.q[t], atol=0.02)
    made.validate()


def test_a_loaded_clip_has_another_mass_and_is_tried_in_a_slippery_world():
    made = make(Variation(BOX, "loaded", 0))
    low, high = variations.FRICTION
    assert low <= made.friction <= high and made.asset.mass != parent_clip(BOX)[1].mass
    np.testing.assert_array_equal(made.asset.vertices, parent_clip(BOX)[1].vertices)


def test_synthetic_grasps_are_drawn_around_the_object():
    asset = generate("lift", "box", 100)[1]
    found = [sampled_grasp(asset, np.random.default_rng(k)) for k in range(3)]
    yaws = {tuple(np.round(f[1], 3)) for f in found if f is not None}
    assert len(yaws) == len(found)
    assert sampled_grasp(asset, np.random.default_rng(0), tries=0) is None


def test_no_clip_of_a_test_split_is_varied(monkeypatch):
    monkeypatch.setattr(variations, "splits", lambda dataset: {"train": ["a"], "test_unseen_object": ["b"]})
    with pytest.raises(DexhotError, match="test_unseen_object"):
        parent_clip("grab/b")
    with pytest.raises(DexhotError, match="test_unseen_object"):
        require_training("grab/b, easier by 0.67")
    require_training("grab/a")


@pytest.mark.parametrize(
    "recorded, test",
    [
        ({"dataset": "GRAB full", "split": "test"}, True),
        ({"dataset": "GRAB full", "split": "train"}, False),
        ({"dataset": "TACO", "group": "S3", "split": "dextrack"}, True),
        ({"dataset": "TACO", "group": "train", "split": "published"}, False),
        ({"dataset": "FPHAB", "split": "test"}, True),
        ({}, False),
    ],
)
def test_a_reference_of_a_test_clip_is_refused_without_its_clip_and_by_any_name(cache, recorded, test, lift_reference):
    reference = replace(lift_reference, name="varied/of_it-warped-0", provenance={"trajectory": recorded})
    if not test:
        require_training(reference.name, reference)
        return
    with pytest.raises(DexhotError, match="nothing may be trained on it"):
        require_training(reference.name, reference)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("parametric/lift-box", "KIND-SHAPE-SEED"),
        ("parametric/throw-box-1", "'throw'; available: carry"),
        ("parametric/lift-cone-1", "'cone'; available: box"),
    ],
)
def test_a_clip_that_cannot_be_generated_is_refused(name, told):
    with pytest.raises(NotFoundError, match=told):
        parent_clip(name)


def test_sets_of_clips_have_names():
    generated = training_clips(["parametric"])
    assert BOX in generated and len(generated) > 20
    assert training_clips(["grab/duck_lift", "parametric", BOX]) == ["grab/duck_lift", *generated]


def test_a_dataset_without_splits_is_all_for_training(cache, lift, monkeypatch):
    for name in ("b-mirrored", "a"):
        save(replace(lift[0], name=f"dexycb/{name}"), cache / "trajectories" / "dexycb" / f"{name}.npz")
    assert training_clips(["dexycb"]) == ["dexycb/a", "dexycb/b-mirrored"]
    monkeypatch.setattr(variations, "splits", lambda dataset: {"train": ["a"], "test": ["b-mirrored"]})
    assert training_clips(["dexycb"]) == ["dexycb/a"]
