"""Sets of real hand poses: BigHand2.2M's and F-PHAB's published layouts, and the measures of retrieval."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from dexhot.cli import main
from dexhot.data.files import save
from dexhot.data.keypoints import wrist_axes, wrist_pose
from dexhot.data.types import HandTrack
from dexhot.datasets import fphab
from dexhot.datasets.bighand import bighand_poses, read_lines
from dexhot.datasets.hand_poses import (
    MIRROR,
    PUBLISHED_ORDER,
    HandPoses,
    as_right,
    dexycb_poses,
    palm_normalised,
    palm_size,
    viewpoints,
)
from dexhot.datasets.human_hand import RELAXED, keypoints
from dexhot.datasets.library import load_clip, trajectories_dir
from dexhot.errors import DexhotError, FileFormatError, NotFoundError
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.poses import compose, inverse, make_pose, pose_to_matrix, transform
from dexhot.geometry.rotations import matrix_to_quat
from dexhot.objects.library import load_object
from dexhot.simulation.scans import make_object

BEFORE = make_pose([0.05, -0.02, 0.5], [0.5, 0.5, -0.5, 0.5])  # of a wrist, in front of a camera


def hand(bend: float = 0.0, pose: np.ndarray = BEFORE) -> np.ndarray:
    """(21, 3) m of a right hand, its fingers bent by so much more."""
    return keypoints(pose, RELAXED + bend * np.array([0, 0, 0] + [0, 1, 1] * 4))


def published(points: np.ndarray) -> str:
    """63 numbers, mm, in the order of both data sets."""
    return " ".join(f"{1e3 * x:.5f}" for x in points[np.argsort(PUBLISHED_ORDER)].ravel())


def test_a_palm_normalised_hand_knows_neither_place_nor_turn_nor_size():
    moved = make_pose([0.3, 0.1, 0.9], Rotation.from_euler("xyz", [1.0, -0.4, 2.0]).as_quat()[[3, 0, 1, 2]])
    other = transform(moved, 1.3 * hand(0.3))
    assert np.allclose(palm_normalised(other), palm_normalised(hand(0.3)), atol=1e-9)
    assert palm_size(palm_normalised(other)) == pytest.approx(1.0)
    assert not np.allclose(palm_normalised(other), palm_normalised(hand(0.0)), atol=0.05)


def test_dexycb_s_grasps_are_hand_poses_left_ones_in_the_mirror(cache, lift_clip):
    with pytest.raises(NotFoundError, match="dexycb"):
        dexycb_poses()
    points = lift_clip.hands["right"].keypoints
    left = HandTrack(points * MIRROR, wrist_pose(points * MIRROR, "left"), np.ones(points.shape[:2]))
    for name, hands in (("a", {"right": lift_clip.hands["right"]}), ("b", {"left": left})):
        save(replace(lift_clip, name=f"dexycb/{name}", hands=hands), trajectories_dir("dexycb") / f"{name}.npz")
    found = dexycb_poses()
    assert found.name == "dexycb" and not found.viewed
    np.testing.assert_allclose(found.keypoints, np.concatenate([points, points]))


def test_a_viewpoint_is_where_the_camera_is_and_no_turn_of_the_picture():
    back = np.stack([[1.0, 0, 0], [0, -1.0, 0], [0, 0, -1.0]], axis=1)  # dorsal side to a camera that looks along z
    points = hand(pose=make_pose([0.0, 0.0, 0.6], matrix_to_quat(back)))
    assert viewpoints(points) @ wrist_axes(points, "right").T @ [0, 0, -1] == pytest.approx(1.0)
    assert viewpoints(points)[2] > 0.95
    turned = points @ Rotation.from_euler("z", 1.1).as_matrix().T
    assert np.allclose(viewpoints(turned), viewpoints(points))
    tilted = points.copy()
    tilted[:] = (points - points[0]) @ Rotation.from_euler("x", 1.1).as_matrix().T + points[0]
    assert viewpoints(tilted) @ viewpoints(points) == pytest.approx(np.cos(1.1), abs=1e-6)


def test_left_hands_become_right_ones_with_their_pictures():
    camera = Intrinsics(640, 480, 500.0, 500.0, 300.0, 240.0)
    right = HandPoses("x", np.stack([hand(0.4), hand(0.6)]), True, camera=camera)
    left = replace(right, keypoints=right.keypoints * [-1, 1, 1], camera=replace(camera, cx=639.0 - 300.0))
    assert as_right(right) is right
    made = as_right(left)
    assert made.mirrored and np.allclose(made.keypoints, right.keypoints) and made.camera == camera


def test_bighand_is_read_in_metres_and_in_our_order(tmp_path):
    rows = [hand(0.3 * k) for k in range(4)]
    text = "".join(f"image_D0000000{k}.png\t{published(row)}\n" for k, row in enumerate(rows))
    (tmp_path / "training" / "images").mkdir(parents=True)
    (tmp_path / "training" / "Training_Annotation.txt").write_text(text)
    poses = bighand_poses(tmp_path)
    assert np.allclose(poses.keypoints, rows, atol=1e-7) and poses.viewed and not poses.colour
    assert poses.images[2].name == "image_D00000002.png" and not poses.mirrored
    assert np.allclose(bighand_poses(tmp_path, every=2).keypoints, rows[::2], atol=1e-7)
    with pytest.raises(FileFormatError, match=r"Training_Annotation\.txt"):
        bighand_poses(tmp_path / "training" / "images")


@pytest.mark.parametrize("damage", ["a.png 1 2 3", "a.png " + " ".join(["nan"] * 63), "a.png " + " ".join(["-1"] * 63)])
def test_a_damaged_line_is_named(tmp_path, damage):
    (tmp_path / "x.txt").write_text(f"b.png {published(hand())}\n{damage}\n")
    with pytest.raises(FileFormatError, match="line 2"):
        read_lines(tmp_path / "x.txt")


SEQUENCE = "Subject_1/pour_juice_bottle/1"
SIZE = (0.07, 0.06, 0.2)  # m


@pytest.fixture
def copy(tmp_path):
    """F-PHAB with one sequence: a carton stands on the table before a tilted camera, then is lifted by a hand."""
    folder = tmp_path / "fphab"
    world_T_camera = make_pose([0.1, -0.6, 0.5], Rotation.from_euler("x", -2.2).as_quat()[[3, 0, 1, 2]])
    lift = 0.12 * np.clip((np.arange(30) - 10) / 15, 0, 1)
    carton = make_pose(np.array([0.1, 0.0, 0.1]) + lift[:, None] * [0, 0, 1], [1.0, 0, 0, 0])
    wrist = compose(carton, make_pose([-0.1, 0.0, 0.03], [1.0, 0, 0, 0]))
    in_camera = compose(inverse(world_T_camera), carton)
    hands = transform(inverse(world_T_camera), keypoints(wrist, np.tile(RELAXED, (30, 1))))
    files = {
        f"Hand_pose_annotation_v1/{SEQUENCE}/skeleton.txt": [f"{t} {published(p)}" for t, p in enumerate(hands)],
        f"Hand_pose_annotation_v1/{fphab.IGNORED[0]}/skeleton.txt": ["broken"],
        "Hand_pose_annotation_v1/Subject_1/open_wallet/1/skeleton.txt": [f"0 {published(hands[0])}"],
        f"{fphab.OBJECTS}/{SEQUENCE}/object_pose.txt": [],
        fphab.SPLIT: ["Training 1", "Subject_1/open_wallet/1 7", "Test 1", f"{SEQUENCE} 3"],
    }
    for t, pose in enumerate(in_camera[:28]):  # two frames without an object's pose
        matrix = pose_to_matrix(pose)
        matrix[:3, 3] *= 1e3
        files[f"{fphab.OBJECTS}/{SEQUENCE}/object_pose.txt"].append(f"{t} " + " ".join(map(str, matrix.T.ravel())))
    for name, lines in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("\n".join(lines) + "\n")
    models = folder / "Object_models" / "juice_bottle_model"
    models.mkdir(parents=True)
    trimesh.creation.box(SIZE).export(models / "juice_bottle_model.ply")
    return folder


def test_fphab_poses_are_those_that_the_colour_camera_sees(copy):
    poses = fphab.fphab_poses(copy)
    first = fphab.read_sequence(copy, SEQUENCE).keypoints[0]
    assert len(poses.keypoints) == 31 and not poses.images
    moved = transform(fphab.COLOUR_T_DEPTH, first)
    assert np.abs(poses.keypoints - moved).max(axis=(1, 2)).min() < 1e-6
    assert np.linalg.norm(moved - first, axis=1) == pytest.approx(0.0260, abs=0.003)


def test_fphab_clips_stand_on_the_table_with_the_papers_split(copy, tmp_path, monkeypatch):
    monkeypatch.setenv("DEXHOT_CACHE", str(tmp_path / "cache"))
    asset = make_object("fphab/juice_bottle", *mesh(), pieces=[mesh()])
    upright = [make_pose([0, 0, 0.1], [1.0, 0, 0, 0]), make_pose([0, 0, 0.1], [0.0, 1.0, 0, 0])]
    lying = make_pose([0, 0, 0.035], [np.sqrt(0.5), 0.0, np.sqrt(0.5), 0.0])
    sequence = fphab.read_sequence(copy, SEQUENCE)
    assert len(sequence.time) == 28 and sequence.split == "test" and sequence.object == "juice_bottle"
    clip = fphab.trajectory(sequence, np.stack([lying, *upright]), asset.vertices)
    clip.validate()
    lowest = transform(clip.object_pose[0], asset.vertices)[:, 2].min()
    assert lowest == pytest.approx(0.0, abs=1e-6) and clip.provenance["split"] == "test"
    assert clip.object_pose[-1, 2] - clip.object_pose[0, 2] == pytest.approx(0.12, abs=2e-3)
    reach = np.linalg.norm(clip.hands["right"].keypoints[:, 0] - clip.object_pose[:, :3], axis=1)
    assert reach == pytest.approx(np.hypot(0.1, 0.03), abs=1e-5)


def mesh() -> tuple[np.ndarray, np.ndarray]:
    """The carton's."""
    box = trimesh.creation.box(SIZE)
    return np.asarray(box.vertices), np.asarray(box.faces)


def test_the_command_imports_fphab_after_its_terms(copy, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DEXHOT_CACHE", str(tmp_path / "cache"))
    command = ["datasets", "get", "fphab", "--path", str(copy)]
    assert main(command) != 0
    assert "must be accepted" in capsys.readouterr().err
    assert main([*command, "--accept-licence", "fphab"]) == 0
    assert load_object("fphab/juice_bottle").resting_poses.shape[0] >= 2
    assert load_clip("fphab/Subject_1-pour_juice_bottle-1").provenance["split"] == "test"


def test_a_copy_that_is_not_whole_is_refused(copy, tmp_path):
    with pytest.raises(FileFormatError, match="not F-PHAB"):
        fphab.fphab_poses(tmp_path)
    path = copy / "Hand_pose_annotation_v1" / SEQUENCE / "skeleton.txt"
    path.write_text(path.read_text().replace("\n1 ", "\n1 7 ", 1))
    with pytest.raises(FileFormatError, match="line 2: expected 64"):
        fphab.read_sequence(copy, SEQUENCE)
    (copy / fphab.SPLIT).write_text("Subject_1/pour_juice_bottle/1 3\n")
    with pytest.raises(FileFormatError, match="line 1"):
        fphab.read_split(copy)


def test_a_set_without_poses_or_with_nan_is_refused():
    with pytest.raises(DexhotError, match="pose 1"):
        HandPoses("x", np.stack([hand(), np.full((21, 3), np.nan)]), False)
