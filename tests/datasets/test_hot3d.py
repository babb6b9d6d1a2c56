"""HOT3D's importer on a small sequence in its layout, on the sample sequence, and its errors for damaged files."""

import json
import shutil

import numpy as np
import pytest
import trimesh
from layouts import HOT3D, HOT3D_FRAMES, umetrack_profile, write_hot3d
from scipy.spatial.transform import Rotation

from dexhot.datasets import list_clips, load_clip
from dexhot.datasets.hot3d import moved_objects, read_sequence
from dexhot.datasets.hot3d_import import get_hot3d
from dexhot.datasets.umetrack import UmeTrackHand
from dexhot.errors import FileFormatError
from dexhot.geometry.poses import inverse, transform
from dexhot.geometry.sdf import ConvexUnion
from dexhot.objects import load_object
from dexhot.retargeting.retarget import RetargetOptions, retarget
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.physics import load_physics
from dexhot.simulation.scans import make_object
from dexhot.simulation.scene import object_scene
from dexhot.simulation.settle import rests

FILES = (
    "metadata.json",
    "umetrack_hand_user_profile.json",
    "umetrack_hand_pose_trajectory.jsonl",
    "dynamic_objects.csv",
)
IDENTITY = np.array([[0.0, 0, 0, 1, 0, 0, 0]])


def one_piece(name, vertices, faces, **options):
    """The mouse is nearly convex: its hull stands for the decomposition, which takes a minute."""
    hull = trimesh.convex.convex_hull(vertices)
    return make_object(name, vertices, faces, pieces=[(hull.vertices, hull.faces)], **options)


@pytest.fixture(scope="module")
def folder(shared_data):
    return shared_data / "hot3d_quest3"


@pytest.fixture(scope="module")
def clip(folder, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEXHOT_CACHE", str(tmp_path_factory.mktemp("cache")))
        assert get_hot3d(folder, one_piece) == {"clips": 1, "objects": 1}
        yield load_clip(list_clips("hot3d")[0].name)


@pytest.fixture
def copied(folder, tmp_path):
    for name in FILES:
        shutil.copyfile(folder / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def small(tmp_path, cache):
    """Its folder and its truth, with z up."""
    return tmp_path / "small", write_hot3d(tmp_path / "small")


def test_a_sequence_in_the_published_layout_is_a_clip_with_z_up_on_the_table(small):
    """In metres, the object's first place at x = y = 0, without the frame in which it is not tracked."""
    folder, true = small
    assert get_hot3d(folder, one_piece) == {"clips": 1, "objects": 1}
    clip = load_clip("hot3d/P0000_box_box")
    assert clip.time == pytest.approx(np.arange(HOT3D_FRAMES - 1) / 30, abs=1e-6)
    assert set(clip.hands) == {"left", "right"} and clip.object_name == "hot3d/box"
    vertices = load_object(clip.object_name).vertices
    bottom = transform(clip.object_pose[:, None], vertices[None])[..., 2].min(axis=1)
    assert bottom[0] == pytest.approx(0.0, abs=0.01)
    np.testing.assert_allclose(np.diff(bottom), 0.02, atol=1e-6)
    np.testing.assert_allclose(clip.object_pose[:, :2], 0.0, atol=1e-6)
    shift = clip.object_pose[0, :3] - true["box"][0, :3]
    wrist = true["wrist"][: HOT3D_FRAMES - 1]
    wrist[:, :3] += shift
    rest = 1e-3 * umetrack_profile()["landmark_rest_positions"] * [-1, 1, 1]  # a right hand is mirrored
    for k, mark in ((0, 5), (9, 11), (12, 2), (20, 4)):  # MediaPipe's number, UmeTrack's landmark; the index bends
        seen = clip.hands["right"].keypoints[:, k]
        np.testing.assert_allclose(seen, transform(wrist, rest[mark]), atol=1e-6)
    np.testing.assert_allclose(
        clip.hands["left"].keypoints[:, 0] - clip.hands["right"].keypoints[:, 0], [[0, 0.5, 0]] * 4, atol=1e-6
    )
    assert (clip.hands["right"].confidence[:, 1] == 0.5).all()


def test_a_joint_bends_its_own_finger_alone(small):
    """By the profile's axis through its centre: the index fingertip of the last frame, by hand."""
    folder, _ = small
    sequence = read_sequence(folder)
    hand, angles = UmeTrackHand(sequence.profile), sequence.hands["left"]["angles"]
    still, bent = (
        hand.keypoints(np.zeros((1, 22)), IDENTITY, "left")[0],
        hand.keypoints(angles[-1:], IDENTITY, "left")[0],
    )
    moved = np.linalg.norm(bent - still, axis=1) > 1e-6
    assert moved[6:9].all() and not moved[[0, 1, 2, 3, 4, *range(9, 21)]].any()
    at, place = still[5] - [0.008, 0.0, 0.0], 0.0
    for step, length in enumerate((0.008, 0.032, 0.025, 0.020)):  # four joints of 0.3 rad in a row
        place += length * np.array([np.cos(0.3 * (step + 1)), np.sin(0.3 * (step + 1)), 0.0])
    np.testing.assert_allclose(bent[8], at + place, atol=1e-6)


def test_a_hand_that_is_lost_in_a_frame_is_left_out(tmp_path, cache):
    write_hot3d(tmp_path / "lost", left_lost=True)
    assert set(read_sequence(tmp_path / "lost").hands) == {"right"}


def test_of_the_small_sequence_too_what_is_missing_or_damaged_is_named(small):
    folder, _ = small
    objects = moved_objects(read_sequence(folder), folder / "objects")
    assert objects == {HOT3D[0]: "box"}
    with pytest.raises(FileFormatError, match=r"265826671143948.*--objects"):
        moved_objects(read_sequence(folder), folder)
    path = folder / "umetrack_hand_pose_trajectory.jsonl"
    path.write_text(path.read_text()[:-100])
    with pytest.raises(FileFormatError, match="line 5"):
        read_sequence(folder)
    (folder / "dynamic_objects.csv").unlink()
    with pytest.raises(FileFormatError, match=r"lacks dynamic_objects\.csv"):
        read_sequence(folder)


@pytest.mark.data
def test_clip_has_both_hands_and_the_mouse(clip):
    assert clip.name == "hot3d/P0002_273c2819_mouse"
    assert set(clip.hands) == {"left", "right"}
    assert clip.time[-1] == pytest.approx(14 / 30, abs=1e-3)
    assert np.linalg.norm(clip.object_pose[:, :2] - clip.object_pose[0, :2], axis=1).max() > 0.03


@pytest.mark.data
def test_the_mouse_lies_on_the_table_the_right_way_up(clip):
    vertices = load_object(clip.object_name).vertices
    lowest = transform(clip.object_pose[:, None], vertices[None])[..., 2].min(axis=1)
    assert np.abs(lowest).max() < 0.003


@pytest.mark.data
def test_the_right_hand_holds_the_mouse_and_the_left_does_not(clip):
    solid = ConvexUnion(load_object(clip.object_name).pieces)
    object_T_world = inverse(clip.object_pose)[:, None]
    gap = {s: solid.distance(transform(object_T_world, h.keypoints[:, 4::4]))[0] for s, h in clip.hands.items()}
    assert gap["right"].min() > 0.0 and gap["right"].max() < 0.015
    assert gap["left"].min() > 0.05


@pytest.mark.data
@pytest.mark.parametrize("side", ["left", "right"])
def test_wrist_frame_points_along_the_fingers_and_out_of_the_back(clip, side):
    hand = clip.hands[side]
    local = transform(inverse(hand.wrist_pose)[:, None], hand.keypoints)
    assert (local[:, [5, 9, 13], 0] > 0.08).all()
    assert (local[:, 4, 1] * (1 if side == "right" else -1) > 0.03).all()  # the thumb is at y > 0 on the right only
    assert (local[:, 8:21:4, 2] < local[:, 5:18:4, 2]).all()  # fingertips bend to the palm's side of the knuckles


@pytest.mark.data
@pytest.mark.parametrize(("key", "side"), [("0", "left"), ("1", "right")])
def test_umetrack_wrist_moves_as_mano_says(folder, key, side):
    """The two fits of the same recording differ by one fixed rotation, and by one fixed offset of the wrist."""
    wrist = read_sequence(folder).hands[side]["wrist"]
    lines = (folder / "mano_hand_pose_trajectory.jsonl").read_text().splitlines()
    mano = [json.loads(line)["hand_poses"][key]["wrist_xform"] for line in lines]
    ours = Rotation.from_quat(np.roll(wrist[:, 3:], -1, axis=1))
    theirs = Rotation.from_quat(np.roll([m["q_wxyz"] for m in mano], -1, axis=1))
    between = ours.inv() * theirs
    assert np.degrees((between.mean().inv() * between).magnitude()).max() < 1.0
    root = np.array([0.0957 if side == "right" else -0.0957, 0.0064, 0.0062])  # MANO's mean root joint, m
    offset = ours.inv().apply(np.array([m["t_xyz"] for m in mano]) + root - wrist[:, :3])
    assert np.linalg.norm(offset - offset.mean(axis=0), axis=1).max() < 1e-3


@pytest.mark.data
def test_hand_at_rest_is_the_profile(folder):
    hand = UmeTrackHand(folder / "umetrack_hand_user_profile.json")
    rest = hand.keypoints(np.zeros((1, 22)), IDENTITY, "left")[0]
    assert rest[8] == pytest.approx(hand.landmarks[1])
    mirrored = hand.keypoints(np.zeros((1, 22)), IDENTITY, "right")[0]
    assert mirrored == pytest.approx(rest * [-1, 1, 1])


@pytest.mark.data
def test_the_clip_is_retargeted(clip):
    reference = retarget(clip, load_hand("leap_right"), load_object(clip.object_name))
    assert len(reference.q) == 29 and reference.contact[reference.grasp_start].max() > 0.5


@pytest.mark.data
def test_missing_file_is_named(copied):
    (copied / "dynamic_objects.csv").unlink()
    with pytest.raises(FileFormatError, match=r"lacks dynamic_objects\.csv"):
        read_sequence(copied)


@pytest.mark.data
def test_truncated_file_names_the_line(copied):
    path = copied / "umetrack_hand_pose_trajectory.jsonl"
    path.write_text(path.read_text()[:-500])
    with pytest.raises(FileFormatError, match="line 15"):
        read_sequence(copied)


@pytest.mark.data
def test_objects_without_mesh_are_named(folder, tmp_path):
    with pytest.raises(FileFormatError, match=r"\(mouse|265826671143948\).*--objects"):
        moved_objects(read_sequence(folder), tmp_path)


@pytest.mark.data
def test_the_mouse_is_settled_by_retargeting_it(clip):
    """As tracked it tips by 7 degrees once it is let go, and mining refused it."""
    asset = load_object(clip.object_name)
    reference = retarget(clip, load_hand("leap_right"), asset, RetargetOptions(iterations=1))
    scene = object_scene(asset, load_physics())
    assert not rests(scene, clip.object_pose[0]) and rests(scene, reference.object_pose[0])
    assert "turned by" in reference.provenance["mended"][-1]
