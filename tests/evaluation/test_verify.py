"""A reference is judged as the clip that it names only where it is that clip: what a file can pretend is renamed."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest

from dexhot.cli import main
from dexhot.control.sampling import base_actions
from dexhot.control.time_warp import frames_at, warp_reference
from dexhot.data.files import load, save
from dexhot.data.types import Demonstration, Reference
from dexhot.datasets.library import keep_clip
from dexhot.datasets.parametric import generate
from dexhot.evaluation import verify as module
from dexhot.evaluation.score import score
from dexhot.evaluation.verify import verified, verify
from dexhot.metrics.rollout import compute
from dexhot.objects.library import save_object
from dexhot.paths import share_dir
from dexhot.retargeting.placement import moved
from dexhot.retargeting.retarget import RetargetOptions, plain_options, with_profile
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.setup import load_setup

ELSEWHERE = np.array([0.4, 0.2, 0.0, np.cos(0.3), 0.0, 0.0, np.sin(0.3)])
HAND = load_hand("leap_right")


@pytest.fixture(autouse=True)
def retarget(retarget_once, monkeypatch):
    """Of the verifier as of these tests: it solves once what is alike."""
    monkeypatch.setattr(module, "retarget", retarget_once)
    return retarget_once


@pytest.fixture
def reference(lift_reference, tmp_path) -> Reference:
    """The lift, as a file gives it back."""
    return load(save(moved(lift_reference, ELSEWHERE), tmp_path / "r.npz"), Reference)


def rows(reference: Reference, part: slice) -> Reference:
    names = ("q", "target", "contact", "object_pose", "arm_q", "clip_frames")
    return replace(reference, **{name: getattr(reference, name)[part] for name in names}, grasp_start=0, grasp_end=1)


def still(reference: Reference) -> Reference:
    """Hand and object stay where they begin, which takes no skill."""
    q, pose = (np.repeat(x[:1], len(x), axis=0) for x in (reference.q, reference.object_pose))
    return replace(reference, q=q, target=q.copy(), object_pose=pose)


def stretched(reference: Reference) -> Reference:
    slow = warp_reference(reference, frames_at(reference, 0.5))
    return replace(slow, clip_frames=np.zeros(0))


def foreign(reference: Reference) -> Reference:
    """Another lift under this clip's name and with its hash."""
    trajectory, asset = generate("lift", "box", seed=4)
    other = module.retarget(trajectory, HAND, asset)
    return replace(other, name=reference.name, provenance=copy.deepcopy(reference.provenance))


@pytest.mark.parametrize("profile", [None, "dextrack"])
def test_it_is_retargeted_for_the_servos_that_it_was_made_for(
    profile, lift_clip, lift_object, lift_setup, retarget, monkeypatch
):
    """Stronger servos hold other grasps."""
    made = retarget(lift_clip, HAND, lift_object, RetargetOptions(profile=profile))
    asked = []
    monkeypatch.setattr(module, "retarget", lambda clip, hand, asset, options: asked.append(options) or made)
    assert verify(with_profile(made, "leap_lite"), lift_setup).whole  # its targets are for others since
    assert asked == [RetargetOptions(profile=profile)]


def test_fingers_that_turn_the_object_are_a_choice_and_not_another_clip(lift_setup, cache, retarget):
    trajectory, asset = generate("inhand", "box", 0)
    save_object(asset)
    setup = replace(lift_setup, asset=asset)
    assert verify(retarget(trajectory, HAND, asset, RetargetOptions(in_hand=True)), setup).whole


def test_a_plain_reference_is_verified_as_one(lift_setup, cache, retarget):
    trajectory, asset = generate("lift", "box", 0)
    save_object(asset)
    plain = retarget(trajectory, HAND, asset, plain_options())
    assert verify(plain, replace(lift_setup, asset=asset)).whole
    plain.provenance["retarget"]["plain"] = False  # pretends to be the default
    assert not verify(plain, replace(lift_setup, asset=asset)).whole


def test_servos_that_do_not_exist_make_it_unverified(reference, lift_setup):
    reference.provenance["retarget"]["profile"] = "strong"
    assert "strong" in verify(reference, lift_setup).why


def test_the_clip_itself_keeps_its_name_wherever_it_was_placed(reference, lift_setup):
    found = verify(reference, lift_setup)
    assert found.name == "parametric/lift-box-0" and found.verified and found.whole and found.why == ""
    assert found.reference is reference  # so that a simulation from it repeats to the last bit


def test_small_differences_are_the_importers(reference, lift_setup):
    moved_by = reference.object_pose + [1e-4, 0, 0, 0, 0, 0, 0]
    found = verify(replace(reference, object_pose=moved_by), lift_setup)
    assert found.whole
    np.testing.assert_allclose(found.reference.object_pose, reference.object_pose, atol=1e-9)


@pytest.mark.parametrize(
    ("cheat", "name", "why"),
    [
        (lambda r: rows(r, slice(0, 60)), "cut of parametric/lift-box-0", "frames 0 to 59 of 0 to"),
        (lambda r: rows(r, slice(40, 100)), "cut of parametric/lift-box-0", "frames 40 to 99 of 0 to"),
        (still, "unverified: parametric/lift-box-0", "the object is up to"),
        (stretched, "unverified: parametric/lift-box-0", "frames that its clip does not have"),
        (foreign, "unverified: parametric/lift-box-0", ""),
        (lambda r: warp_reference(r, frames_at(r, 0.5)), "parametric/lift-box-0 at 0.50 of its speed", "2.00 times"),
    ],
    ids=["cut at the end", "cut at both ends", "static", "stretched", "foreign", "slow, and says so"],
)
def test_what_a_file_can_pretend_gets_another_name(reference, lift_setup, cheat, name, why):
    found = verify(cheat(reference), lift_setup)
    assert found.name == name and why in found.why and found.why
    assert found.whole == name.endswith("speed")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda r: {"object_pose": r.object_pose + [0, 0, 0.003, 0, 0, 0, 0]}, "the object is up to 3 mm"),
        (lambda r: {"q": np.repeat(r.q[:1], len(r.q), axis=0)}, "the palm is up to"),
        (lambda r: {"q": r.q + np.r_[np.zeros(6), np.full(16, 0.15)]}, "the fingers are up to 0.15 rad"),
        (lambda r: {"table_height": -0.1}, "off the table"),
        (lambda r: {"object_name": "parametric/box-1x1x1"}, "not parametric/box-"),
    ],
    ids=["object", "palm", "fingers", "table", "other object"],
)
def test_every_part_of_the_motion_must_be_the_clips(reference, lift_setup, change, why):
    found = verify(replace(reference, **change(reference)), lift_setup)
    assert not found.verified and why in found.why


def test_a_tilted_placement_is_none(lift_reference, lift_setup):
    tilt = np.array([0.0, 0.0, 0.0, np.cos(0.1), np.sin(0.1), 0.0, 0.0])
    assert "tilts" in verify(moved(lift_reference, tilt), lift_setup).why


def test_what_a_smooth_arm_moves_the_wrist_by_is_within_the_tolerance(reference, lift_setup):
    reference.q[:, 0] += 0.005
    assert verify(reference, lift_setup).whole


def test_the_arm_gets_no_more_time_than_its_limits_ask_for(placed_lift, lift_setup):
    assert verify(placed_lift, lift_setup).whole
    last = len(placed_lift.q) - 1
    slow = replace(placed_lift, arm_frames=np.linspace(0, last, round(1.3 * len(placed_lift.arm_frames))))
    found = verify(slow, lift_setup)
    assert not found.verified and "its limits ask for" in found.why


def test_the_hash_is_the_importers(lift_setup, lift_clip, lift_object, retarget):
    clip = replace(lift_clip, provenance={"dataset": "lab", "importer": 1})
    reference = retarget(clip, HAND, lift_object, plain_options())
    assert verify(reference, lift_setup, clip).whole
    for change in ({"object_pose": clip.object_pose + 1e-9}, {"provenance": {"dataset": "lab", "importer": 2}}):
        assert "hash" in verify(reference, lift_setup, replace(clip, **change)).why
    clip.hands["right"].keypoints[3, 4, 1] += 1e-9
    assert "hash" in verify(reference, lift_setup, clip).why


def test_a_generated_clip_may_differ_in_the_last_bits_of_another_machine(lift_setup, lift_clip, lift_object, retarget):
    reference = retarget(lift_clip, HAND, lift_object, plain_options())
    near = replace(lift_clip, object_pose=lift_clip.object_pose + 1e-12)
    assert near.source()["hash"] != lift_clip.source()["hash"] and verify(reference, lift_setup, near).whole
    other = replace(lift_clip, provenance=lift_clip.provenance | {"seed": 1})
    assert "not made from this" in verify(reference, lift_setup, other).why
    far = replace(lift_clip, object_pose=lift_clip.object_pose + np.array([0, 0.01, 0, 0, 0, 0, 0]))
    assert not verify(reference, lift_setup, far).verified


def test_the_shipped_demonstration_is_the_clip_that_it_names(cache):
    shipped = load(share_dir() / "policies" / "lift_box.npz", Demonstration).reference
    found = verify(shipped, load_setup(shipped))
    assert found.whole, found.why


def test_without_its_clip_or_its_hash_a_reference_is_unverified(cache, reference, lift_setup):
    absent = replace(reference, name="lab/pour", provenance={"source": {"clip": "lab/pour", "hash": ""}})
    assert verify(absent, lift_setup).name == "unverified: lab/pour" and "not here" in verify(absent, lift_setup).why
    del reference.provenance["source"]["hash"]
    assert "no hash" in verify(reference, lift_setup).why


def test_a_file_of_yours_is_verified_by_the_copy_of_it_but_never_as_a_clip_of_a_dataset(
    cache, lift_clip, lift_object, lift_setup, retarget
):
    for name, whole in (("pour", True), ("lab/pour", True), ("grab/apple_lift", False)):
        yours = replace(lift_clip, name=name)
        keep_clip(yours)
        found = verify(retarget(yours, HAND, lift_object, plain_options()), lift_setup)
        assert found.name == (name if whole else f"unverified: {name}") and found.whole == whole
    part = lift_clip.cut(10, len(lift_clip.time) - 1)
    part = replace(part, name="pour")
    keep_clip(part)
    assert verify(retarget(part, HAND, lift_object, plain_options()), lift_setup).name == "cut of pour"


def test_a_part_that_was_retargeted_is_verified_as_a_cut(lift_clip, lift_object, lift_setup, retarget):
    part = retarget(lift_clip.cut(10, len(lift_clip.time) - 1), HAND, lift_object, plain_options())
    found = verify(part, lift_setup)
    assert found.name == "cut of parametric/lift-box-0" and found.verified and not found.whole
    assert f"frames 10:{len(lift_clip.time) - 1}" in found.why


def test_a_cut_of_a_cut_counts_frames_of_the_whole_clip(lift_clip):
    twice = lift_clip.cut(10, 90).cut(5, 50)
    assert twice.provenance["frames"] == [15, 60] and twice.source() == lift_clip.cut(15, 60).source()


def test_a_still_object_is_judged_against_the_clips_path(reference, lift_setup, cache, tmp_path):
    """What the file alone would have called a success."""
    save_object(lift_setup.asset)
    lazy = still(reference)
    actions = base_actions(lazy, lift_setup.physics)
    file = Demonstration("d", lazy, actions, lazy.q, lazy.object_pose, lift_setup.physics.version, "leap")
    rollout = score(file, lift_setup)
    assert compute(rollout, lift_setup.asset, HAND)["T_err_max_cm"] < 1.0
    judged = verified(rollout, lift_setup)
    assert judged.name == "unverified: parametric/lift-box-0" and not judged.metrics["success_strict"]
    assert judged.metrics["T_err_max_cm"] > 8.0


def test_evaluate_says_what_was_verified(cache, reference, lift_setup, tmp_path, capsys):
    save_object(lift_setup.asset)
    lazy = still(reference)
    actions = base_actions(lazy, lift_setup.physics)
    for name, r in (("honest", reference), ("lazy", lazy)):
        file = Demonstration(name, r, actions, r.q, r.object_pose, lift_setup.physics.version, "leap")
        assert main(["evaluate", str(save(file, tmp_path / f"{name}.npz")), "--json"]) == 0
        printed = capsys.readouterr()
        told = json.loads(printed.out.splitlines()[-1])
        assert told["reference_kind"] == "contacts"
        assert told["verification"]["verified"] is (name == "honest")
        assert ("is not the motion of its clip" in " ".join(printed.err.split())) is (name == "lazy")


def test_a_teleoperated_scene_is_no_clip_whatever_it_was_made_from(reference, lift_setup):
    found = verify(replace(reference, provenance=reference.provenance | {"teleop": {}}), lift_setup)
    assert found.name == f"teleoperated: {reference.name}" and not found.verified and "displacement" in found.why
