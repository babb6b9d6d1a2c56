"""Parametric demonstrations: plausible hands, objects that move as said, the same from the same seed."""

import numpy as np
import pytest

from dexhot.data.keypoints import TIPS, wrist_pose
from dexhot.datasets import human_hand
from dexhot.datasets.library import load_clip
from dexhot.datasets.parametric import KINDS, generate
from dexhot.errors import NotFoundError
from dexhot.geometry.poses import IDENTITY, inverse, transform
from dexhot.geometry.rotations import quat_angle
from dexhot.geometry.sdf import ConvexUnion
from dexhot.objects.library import load_object
from dexhot.objects.shapes import SHAPES

HOLDING = list(TIPS[:4])  # thumb, index, middle, ring
BONES = [(base + i, base + i + 1) for base in (1, 5, 9, 13, 17) for i in range(3)]


@pytest.fixture(scope="module")
def made():
    """One demonstration per kind and shape, made when first asked for."""
    kept = {}

    def get(kind, shape):
        if (kind, shape) not in kept:
            kept[kind, shape] = generate(kind, shape, seed=5)
        return kept[kind, shape]

    return get


def tip_distances(trajectory, asset, frame=-1):
    points = trajectory.hands["right"].keypoints[frame, HOLDING]
    return ConvexUnion(asset.pieces).distance(transform(inverse(trajectory.object_pose[frame]), points))[0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_and_shape_is_valid_at_60_hz(made, kind, shape):
    trajectory, asset = made(kind, shape)
    trajectory.validate()
    asset.validate()
    assert trajectory.object_name == asset.name
    assert np.diff(trajectory.time) == pytest.approx(1 / 60)


@pytest.mark.parametrize("shape", SHAPES)
def test_fingertips_lie_on_opposite_sides_of_the_surface(made, shape):
    trajectory, asset = made("lift", shape)
    assert np.abs(tip_distances(trajectory, asset)).max() < 1e-3  # the sphere is faceted
    points = transform(inverse(trajectory.object_pose[-1]), trajectory.hands["right"].keypoints[-1, HOLDING])
    assert points[0, 0] < -0.015 and (points[1:, 0] > 0.015).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_open_hand_is_clear_of_the_object(made, shape):
    trajectory, asset = made("reach", shape)
    assert tip_distances(trajectory, asset).min() > 0.015


@pytest.mark.parametrize("shape", SHAPES)
def test_bones_stay_out_of_the_object_and_off_the_table(made, shape):
    trajectory, asset = made("carry", shape)
    keypoints = trajectory.hands["right"].keypoints
    middles = np.stack([(keypoints[:, a] + keypoints[:, b]) / 2 for a, b in BONES], axis=1)
    depth = ConvexUnion(asset.pieces).distance(transform(inverse(trajectory.object_pose)[:, None], middles))[0]
    assert depth.min() > -0.002
    assert keypoints[..., 2].min() > 0.01


def test_lift_raises_the_object_and_only_lifts_it(made):
    pose = made("lift", "box")[0].object_pose
    assert 0.10 <= pose[-1, 2] - pose[0, 2] <= 0.16
    assert pose[:, :2] == pytest.approx(np.tile(pose[0, :2], (len(pose), 1)))


def test_carry_puts_it_down_elsewhere_and_lets_go(made):
    trajectory, asset = made("carry", "cylinder")
    pose = trajectory.object_pose
    assert 0.12 <= np.linalg.norm(pose[-1, :2] - pose[0, :2]) <= 0.20
    assert pose[-1, 2] == pytest.approx(pose[0, 2])
    assert tip_distances(trajectory, asset).min() > 0.03


def test_rotate_turns_hand_and_object_together(made):
    trajectory, _ = made("rotate", "box")
    turned = quat_angle(trajectory.object_pose[0, 3:], trajectory.object_pose[-1, 3:])
    wrist = trajectory.hands["right"].wrist_pose[:, 3:]
    assert 0.5 <= turned <= 0.85
    assert quat_angle(wrist[140], wrist[-1]) == pytest.approx(turned, abs=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_inhand_turns_the_object_between_still_wrist_and_fingertips(made, shape):
    trajectory, asset = made("inhand", shape)
    turn = np.array([quat_angle(trajectory.object_pose[0, 3:], q) for q in trajectory.object_pose[:, 3:]])
    turning = turn > 1e-6
    assert 0.26 <= turn[-1] <= 0.44
    assert np.ptp(trajectory.hands["right"].wrist_pose[turning], axis=0).max() < 1e-9
    middle = int(np.flatnonzero(turning)[len(np.flatnonzero(turning)) // 3])
    assert np.abs(tip_distances(trajectory, asset, middle)).max() < 1e-3


def test_motion_is_smooth(made):
    keypoints = made("carry", "box")[0].hands["right"].keypoints
    speed = np.linalg.norm(np.diff(keypoints, axis=0), axis=-1) * 60
    assert speed.max() < 1.0
    assert np.abs(np.diff(speed, axis=0)).max() * 60 < 15.0


def test_the_same_seed_gives_the_same_and_another_another():
    first, again, other = (generate("reach", "box", seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.hands["right"].keypoints, again.hands["right"].keypoints)
    assert first.object_name != other.object_name


def test_the_left_hand_is_the_mirror_of_the_right():
    left, right = (generate("rotate", "composite", 5, side)[0] for side in ("left", "right"))
    left.validate()
    assert list(left.hands) == ["left"]
    mirror = [1.0, -1.0, 1.0]
    local = [
        transform(inverse(clip.object_pose[-1]), clip.hands[side].keypoints[-1])
        for side, clip in (("left", left), ("right", right))
    ]
    assert local[0] == pytest.approx(local[1] * mirror)
    points = left.hands["left"].keypoints
    knuckles = transform(inverse(left.hands["left"].wrist_pose)[:, None], points)[:, 5]
    assert (knuckles[:, 1] < -0.02).all()  # the index finger's, away from the thumb's side of a right hand


def test_unknown_kind_lists_the_kinds():
    with pytest.raises(NotFoundError, match="available: carry, grasp, inhand, lift, reach, regrasp, rotate"):
        generate("throw", "box")


def test_open_hand_spans_the_wrist_frame():
    points = human_hand.keypoints(IDENTITY, np.zeros(15))
    assert wrist_pose(points, "right") == pytest.approx(IDENTITY)


def test_reach_with_a_still_wrist_keeps_it():
    goal = human_hand.keypoints(IDENTITY, human_hand.RELAXED)[TIPS[1]] + [0.0, 0.005, -0.005]
    wrist, angles, miss = human_hand.reach({1: goal}, IDENTITY, human_hand.RELAXED)
    assert miss < 1e-4
    assert wrist == pytest.approx(IDENTITY)
    assert angles[:3] == pytest.approx(human_hand.RELAXED[:3])


@pytest.mark.parametrize("shape", SHAPES)
def test_an_object_is_known_by_its_name(shape, monkeypatch, tmp_path):
    _, asset = generate("reach", shape, 3)
    monkeypatch.setenv("DEXHOT_CACHE", str(tmp_path))
    again = load_object(asset.name)
    assert again.mass == pytest.approx(asset.mass)
    assert np.allclose(again.vertices, asset.vertices)


def test_an_invalid_parametric_name_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("DEXHOT_CACHE", str(tmp_path))
    with pytest.raises(NotFoundError, match="box-MMxMMxMM"):
        load_object("parametric/box-50x60")


def test_where_a_file_is_needed_the_error_names_the_command_that_writes_a_generated_clip(cache):
    assert load_clip("parametric/lift-box-0").name == "parametric/lift-box-0"
    with pytest.raises(NotFoundError, match="`dexhot generate` writes it"):
        load_clip("parametric/lift-box")
