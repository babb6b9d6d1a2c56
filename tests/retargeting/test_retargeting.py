"""Whole clips: human demonstration -> Reference."""

import json

import numpy as np
import pytest
from PIL import Image

from dexhot.cli import main
from dexhot.data.files import load, save
from dexhot.data.types import Reference
from dexhot.datasets.library import load_clip
from dexhot.datasets.parametric import mirrored
from dexhot.errors import ClipError, DexhotError, FileFormatError
from dexhot.geometry.single import rotation_error
from dexhot.objects.library import load_object, save_object
from dexhot.retargeting.correspondence import correspondence
from dexhot.retargeting.picture import draw
from dexhot.retargeting.retarget import RetargetOptions, retarget
from dexhot.retargeting.summary import summarise, tip_positions
from dexhot.robots.kinematics.hand import TABLE, HandModel
from dexhot.robots.robot_hand import list_hands, load_hand
from dexhot.robots.servos import servo


@pytest.fixture(scope="module")
def hand():
    return load_hand("leap_right")


def with_retarget(hand, **changes):
    """The hand with another `retarget:` section."""
    from dataclasses import replace

    return replace(hand, retarget={**hand.retarget, **changes})


def test_point_jacobian_matches_finite_differences(hand):
    model = HandModel(hand, ("index_medial",), base_quat=(0.8, 0.0, 0.6, 0.0))
    q = np.concatenate([[0.1, 0.2, 0.3, 0.2, -0.3, 0.4], hand.nominal])
    model.move(q)
    before, J, R = model.points().copy(), model.point_jacobian(), model.palm_rotation().copy()
    turn = model.palm_rotation_jacobian()
    for k in range(len(q)):
        step = np.zeros(len(q))
        step[k] = 1e-6
        model.move(q + step)
        np.testing.assert_allclose((model.points() - before) / 1e-6, J[:, :, k], atol=1e-5)
        np.testing.assert_allclose(rotation_error(model.palm_rotation(), R) / 1e-6, turn[:, k], atol=1e-5)


def test_gap_jacobian_matches_finite_differences(hand):
    q = np.concatenate([[0.1, 0.2, 0.3, 0.2, -0.1, 0.4], hand.nominal])
    free = HandModel(hand)
    free.move(q)
    model = HandModel(hand, table=free.points()[:, 2].min() - hand.tip_radius - 0.001)
    model.move(q)
    gaps = model.gaps()
    row = np.flatnonzero(gaps.kind == TABLE)[0]
    assert gaps.distance[row] == pytest.approx(0.001, abs=1e-6) and gaps.tip[row] >= 0
    for k in range(len(q)):
        step = np.zeros(len(q))
        step[k] = 1e-6
        model.move(q + step)
        assert (model.gaps().distance[row] - gaps.distance[row]) / 1e-6 == pytest.approx(
            gaps.jacobian[row, k], abs=1e-4
        )


def test_reference_is_smooth_within_limits_and_out_of_the_object(hand, lift_clip, lift_object, lift_reference):
    lift_reference.validate()
    fingers = lift_reference.q[:, 6:]
    assert (fingers >= hand.lower - 1e-9).all() and (fingers <= hand.upper + 1e-9).all()
    figures = summarise(lift_reference, lift_clip, hand, lift_object)
    assert figures["penetration_mm"] < 1.5 and figures["table_penetration_mm"] < 1.5
    assert figures["finger_speed_rad_s"] < hand.velocity.max()


def test_fingertips_are_on_their_contacts_while_the_object_moves(hand, lift_object, lift_reference):
    from dexhot.geometry.poses import inverse, transform
    from dexhot.geometry.sdf import ConvexUnion

    held = slice(lift_reference.grasp_start, lift_reference.grasp_end)
    tips = transform(inverse(lift_reference.object_pose)[:, None], tip_positions(lift_reference, hand))[held]
    gap = ConvexUnion(lift_object.pieces).distance(tips)[0] - hand.tip_radius
    touching = lift_reference.contact[held] > 0.5
    assert touching[:, -1].all() and touching.sum(1).min() >= 2
    assert np.abs(gap[touching]).mean() < 0.001


def test_targets_squeeze_only_while_holding(hand, lift_reference):
    squeeze = np.abs(lift_reference.target - lift_reference.q)
    assert squeeze[: lift_reference.grasp_start - 20].max() == 0.0
    assert squeeze[lift_reference.grasp_start + 5, 6:].max() > 0.01
    assert squeeze[:, :6].max() == 0.0
    fingers = servo(hand.servo, hand.joint_names)
    assert (fingers.torque / fingers.kp >= squeeze[:, 6:] - 1e-9).all()


def test_the_same_clip_gives_the_same_reference(hand, lift_clip, lift_object, lift_reference):
    again = retarget(lift_clip, hand, lift_object)
    np.testing.assert_array_equal(again.q, lift_reference.q)
    np.testing.assert_array_equal(again.target, lift_reference.target)


def test_without_contacts_the_measured_fingertips_are_followed(hand, lift_clip):
    from dexhot.retargeting.resampling import resample

    reference = retarget(lift_clip, hand, None, RetargetOptions(contact=False))
    human = correspondence(hand).tips(resample(lift_clip, "right")[0])
    assert np.linalg.norm(tip_positions(reference, hand) - human, axis=-1).mean() < 0.004
    np.testing.assert_array_equal(reference.target, reference.q)


@pytest.mark.parametrize("name", list_hands())
def test_every_shipped_hand_grasps_the_box(name, lift):
    trajectory, asset = lift
    hand = load_hand(name)
    trajectory = trajectory if hand.side == "right" else mirrored(trajectory)
    reference = retarget(trajectory, hand, asset)
    figures = summarise(reference, trajectory, hand, asset)
    assert figures["penetration_mm"] < 3.0
    assert (reference.contact[reference.grasp_start] > 0.5).sum() >= 2


@pytest.mark.parametrize("last", [0.466666666, 0.5, 0.516])
def test_a_clip_is_resampled_to_its_last_whole_frame(lift_clip, last):
    """HOT3D's stamps are whole nanoseconds: 14 steps of 30 Hz end a third of one before the 28th of 60 Hz."""
    from dexhot.retargeting.resampling import resample

    lift_clip.time = np.linspace(0.0, last, len(lift_clip.time))
    keypoints, _, object_pose = resample(lift_clip, "right")
    frames = round(np.floor(last * 60 + 0.01))
    assert len(keypoints) == len(object_pose) == frames + 1
    assert keypoints[0] == pytest.approx(lift_clip.hands["right"].keypoints[0])


def test_left_hand_mirrors_the_right(lift, lift_reference):
    trajectory, asset = lift
    left = retarget(mirrored(trajectory), load_hand("leap_left"), asset, RetargetOptions(contact=False))
    right = retarget(trajectory, load_hand("leap_right"), asset, RetargetOptions(contact=False))
    mirror = tip_positions(left, load_hand("leap_left")) * [1.0, -1.0, 1.0]
    assert np.abs(mirror - tip_positions(right, load_hand("leap_right"))).max() < 0.002


def test_reference_round_trip(lift_reference, tmp_path):
    again = load(save(lift_reference, tmp_path / "reference"), Reference)
    np.testing.assert_array_equal(again.target, lift_reference.target)
    assert again.provenance["retarget"] == lift_reference.provenance["retarget"]


def test_reference_with_nan_is_refused(lift_reference, tmp_path):
    lift_reference.q[17, 8] = np.nan
    with pytest.raises(FileFormatError, match="q has a non-finite value, first at frame 17"):
        save(lift_reference, tmp_path / "reference")


def test_a_hand_that_only_watches_is_refused(hand, lift_clip, lift_object):
    lift_clip.object_pose[:, 0] += 0.4
    with pytest.raises(DexhotError, match=r"does not hold the object.*--no-contact"):
        retarget(lift_clip, hand, lift_object)


def test_a_clip_in_which_nothing_moves_is_told_so(hand, lift_clip, lift_object):
    """As the first frames of a fit: the hand is still on its way."""
    with pytest.raises(ClipError, match=r"does not move in this clip \(2 frames\).*--frames"):
        retarget(lift_clip.cut(0, 2), hand, lift_object)


def test_missing_side_names_the_sides_there_are(lift):
    with pytest.raises(DexhotError, match="no left hand, only: right"):
        retarget(lift[0], load_hand("leap_left"), lift[1])


def test_contacts_without_an_object_are_refused(hand, lift_clip):
    with pytest.raises(DexhotError, match="needs the object"):
        retarget(lift_clip, hand, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"thumb": "thumb"}, "thumb_tip"),
        ({"tips": {"index_tip": ["index_dip", "index_tip", 0.9]}}, "lacks"),
        ({"links": {"index_middle": "index_pip"}}, "index_medial"),
        ({"links": {"index_medial": "index_knuckle"}}, "index_mcp"),
    ],
)
def test_wrong_names_in_the_hand_yaml_list_the_valid_ones(hand, changes, message):
    with pytest.raises(FileFormatError, match=message):
        correspondence(with_retarget(hand, **changes))


def test_command_writes_reference_and_picture(cache, lift_clip, lift_object, tmp_path, capsys):
    save_object(lift_object)
    clip, out, picture = save(lift_clip, tmp_path / "clip.npz"), tmp_path / "reference.npz", tmp_path / "look.png"
    assert main(["retarget", str(clip), "--out", str(out), "--picture", str(picture), "--json"]) == 0
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    placed = load(out, Reference)
    np.testing.assert_allclose(placed.placement, line["placement"], atol=1e-3)
    assert line["penetration_mm"] < 2.0 and picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.data
def test_real_lift_is_held_at_its_contacts(grab, hand):
    trajectory = load_clip("grab/cylindersmall_lift")
    asset = load_object(trajectory.object_name)
    reference = retarget(trajectory, hand, asset)
    figures = summarise(reference, trajectory, hand, asset)
    assert figures["penetration_mm"] < 2.0 and figures["table_penetration_mm"] < 2.0
    assert 0.5 < reference.grasp_start / 60 < 0.8


def hurried_clip(lift_clip, folder):
    """The file of the clip, done four times as fast."""
    lift_clip.time = lift_clip.time / 4
    return save(lift_clip, folder / "clip.npz")


def test_auto_speed_reports_the_factor_and_what_it_is_due_to(cache, lift_clip, lift_object, tmp_path, capsys):
    save_object(lift_object)
    clip, out = hurried_clip(lift_clip, tmp_path), tmp_path / "reference.npz"
    assert main(["retarget", str(clip), "--out", str(out), "--json"]) == 0
    told = capsys.readouterr()
    line, reference = json.loads(told.out.splitlines()[-1]), load(out, Reference)
    assert line["speed_factor"] == pytest.approx(reference.speed_factor) and reference.speed_factor > 1.05
    assert "rad/s2 at" in line["limited_by"][0] and "too fast" not in told.err
    assert line["arm_position_mm"] < line["arm_position_tolerance_mm"] == 5.0
    assert line["arm_rotation_deg"] < line["arm_rotation_tolerance_deg"] == pytest.approx(3.0)


def test_speed_1_keeps_the_clips_time_and_names_the_joints_that_are_too_fast(
    cache, lift_clip, lift_object, tmp_path, capsys
):
    save_object(lift_object)
    clip, out = hurried_clip(lift_clip, tmp_path), tmp_path / "reference.npz"
    assert main(["retarget", str(clip), "--out", str(out), "--speed", "1", "--json"]) == 0
    told = capsys.readouterr()
    line, reference = json.loads(told.out.splitlines()[-1]), load(out, Reference)
    assert len(reference.arm_q) and not len(reference.arm_frames) and line["speed_factor"] == 1.0
    named = [text for text in told.err.splitlines() if text.startswith("too fast: ")]
    assert named == [f"too fast: {text}" for text in line["limited_by"]] and named


@pytest.mark.parametrize("slow", [True, False])
def test_the_picture_has_the_time_map_where_there_is_one(lift_clip, lift_object, lift_reference, tmp_path, slow):
    T = len(lift_reference.q)
    lift_reference.arm_frames = np.linspace(0, T - 1, 2 * T - 1) if slow else np.zeros(0)
    path = draw(lift_reference, lift_clip, load_hand("leap_right"), lift_object, tmp_path / "look.png")
    image = np.asarray(Image.open(path).convert("RGB"))
    frame = image[int(0.32 * len(image)) : int(0.64 * len(image)), int(0.915 * image.shape[1]) : -10]
    assert ((frame == [217, 102, 31]).all(axis=-1).sum() > 50) == slow  # the robot's colour
