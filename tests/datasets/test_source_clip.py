"""The human motion behind a reference."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from dexhot.cli import main
from dexhot.control.time_warp import frames_at, warp_reference
from dexhot.data.files import load, save
from dexhot.data.types import Reference
from dexhot.datasets.library import load_clip, split_clips, trajectories_dir
from dexhot.datasets.parametric import generate
from dexhot.datasets.source_clip import clip_or_file, human_motion
from dexhot.errors import DexhotError, NotFoundError
from dexhot.retargeting.placement import moved
from dexhot.retargeting.retarget import RetargetOptions, retarget
from dexhot.robots.robot_hand import load_hand
from report_samples import human_clip, lift_reference

PLACE = np.array([0.4, 0.2, 0.0, np.cos(0.3), 0.0, 0.0, np.sin(0.3)])


@pytest.fixture
def reference():
    return replace(lift_reference(), name="user/box_lift")


def test_it_stands_where_the_reference_was_placed(reference):
    motion = human_motion(moved(reference, PLACE), human_clip())
    np.testing.assert_allclose(motion.object_pose, moved(reference, PLACE).object_pose, atol=1e-9)
    palm_to_object = human_clip().hands["right"].keypoints[30, 0] - human_clip().object_pose[30, :3]
    at = motion.keypoints["right"][30, 0] - motion.object_pose[30, :3]
    assert np.linalg.norm(at) == pytest.approx(np.linalg.norm(palm_to_object))


def test_it_is_found_in_the_cache_by_the_references_name(cache, reference):
    save(human_clip(), trajectories_dir("user") / "box_lift.npz")
    assert human_motion(reference).keypoints["right"].shape == (60, 21, 3)


def test_of_a_part_of_the_clip_it_is_that_part(cache, reference):
    clip = human_clip()
    save(clip, trajectories_dir("user") / "box_lift.npz")
    rows = {name: getattr(reference, name)[20:50] for name in ("q", "target", "contact", "object_pose")}
    part = replace(reference, **rows, grasp_start=2, grasp_end=20, provenance={"trajectory": {"frames": [20, 50]}})
    np.testing.assert_allclose(human_motion(part).object_pose, clip.object_pose[20:50], atol=1e-9)


def test_it_is_as_slow_as_the_reference_and_as_short_as_what_was_tracked(reference):
    slow = warp_reference(reference, frames_at(reference, 0.5))
    motion = human_motion(slow, human_clip())
    assert len(motion.object_pose) == len(slow.q) == 119
    assert np.abs(motion.object_pose[:, :3] - slow.object_pose[:, :3]).max() < 0.005


def test_a_generated_clip_is_taken_by_name_as_one_of_a_dataset(cache, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert clip_or_file("parametric/lift-box-0-left").hands.keys() == {"left"}
    assert load_clip("parametric/lift-box-0").name == "parametric/lift-box-0"
    assert main(["retarget", "parametric/lift-box-0", "--plain", "--frames", "0:20", "--no-place"]) == 0
    assert load("lift-box-0.reference.npz", Reference).name == "parametric/lift-box-0"
    with pytest.raises(NotFoundError, match="parametric/KIND-SHAPE-SEED"):
        clip_or_file("parametric/box_lift")
    with pytest.raises(DexhotError, match="an object of yours: give its file"):
        clip_or_file("generated/lift-user_mug-0")


def test_a_clip_of_no_dataset_such_as_a_fit_is_found_in_its_copy(cache, tmp_path):
    clip = replace(generate("lift", "box", 3)[0], name="fit")
    save(clip, tmp_path / "fit.npz")
    made = tmp_path / "made.npz"
    assert (
        main(
            [
                "retarget",
                str(tmp_path / "fit.npz"),
                "--frames",
                "5:55",
                "--no-contact",
                "--no-place",
                "--out",
                str(made),
            ]
        )
        == 0
    )
    (tmp_path / "fit.npz").unlink()
    found = human_motion(load(made, Reference))
    np.testing.assert_allclose(found.object_pose, clip.object_pose[5:55], atol=1e-9)
    shutil.rmtree(cache / "clips")
    with pytest.raises(NotFoundError, match="fit"):
        human_motion(load(made, Reference))


def test_without_its_clip_the_error_names_the_missing_one(cache, reference):
    with pytest.raises(NotFoundError, match="user/box_lift"):
        human_motion(reference)


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_generated_clip_is_generated_again_from_its_name(cache, side):
    clip, box = generate("lift", "box", 3, side)
    found = human_motion(retarget(clip, load_hand(f"leap_{side}"), box, RetargetOptions(contact=False)))
    np.testing.assert_allclose(found.keypoints[side], clip.hands[side].keypoints, atol=1e-9)


def test_another_clip_of_the_same_name_is_refused(reference):
    clip = human_clip()
    clip.object_pose[:, 0] += 0.2
    with pytest.raises(DexhotError, match="is not the source of"):
        human_motion(reference, clip)


def test_a_clip_that_is_too_short_is_refused(reference):
    with pytest.raises(DexhotError, match="40 of 60 frames"):
        human_motion(reference, human_clip().cut(0, 40))


def test_every_name_that_chooses_a_split_is_listed():
    named = {"train": ["a"], "test_unseen_object": ["b"], "test_unseen_clip": []}
    with pytest.raises(DexhotError, match=r"those that have: train, test, test_unseen_object\.$"):
        split_clips("nope", named)
