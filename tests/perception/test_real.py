"""Real images: a RealSense's, in which a hand grasps a block."""

import numpy as np
import pytest
import trimesh

from dexhot.hardware.camera.recording import open_recording

pytest.importorskip("ai_edge_litert")
from dexhot.perception.hand_landmarks import LandmarkHands, iou, next_crop
from dexhot.perception.object_pose import rigid_model
from dexhot.perception.perceive import ObjectTrack, perceive
from dexhot.perception.segmentation import ModelMask


@pytest.fixture(scope="module")
def hands(hand_landmarks):
    return LandmarkHands(count=2)


def test_a_hand_grasps_a_block(shared_data, hands):
    folder = shared_data / "realsense_block"
    truth = np.load(folder / "truth.npz")
    recording = open_recording(next(folder.glob("1*")), start=20, count=12)
    # a second block of the same size lies beside it: which is meant takes a click
    blue = recording.color[..., 2].astype(int) - recording.color[..., 0] > 90  # the block alone is so blue
    click = np.median(np.argwhere(blue[0]), axis=0)[::-1]
    block = trimesh.creation.box(truth["block_extents"])
    vertices, faces = np.asarray(block.vertices), np.asarray(block.faces)
    track = ObjectTrack(rigid_model(vertices, faces), ModelMask(recording.intrinsics, vertices, faces), click)
    evidence, seen = perceive(recording, hands, track, "right")
    assert seen.hand_frames["right"] >= 11 and seen.object_frames >= 10  # two are lost, and found again
    annotated = truth["keypoints_2d"][0, 20:32]
    error = np.linalg.norm(evidence.keypoints["right"][:, :, 3:5] - annotated[..., :2], axis=-1)
    assert np.median(error[annotated[..., 2] > 0]) < 20
    for labels, there in zip(evidence.labels[seen.confidence > 0.5], blue[seen.confidence > 0.5]):
        assert ((labels == 2) & there).sum() / ((labels == 2) | there).sum() > 0.7


def test_the_next_crop_is_turned_with_the_hand():
    pixels = np.random.default_rng(0).uniform(0, 50, (21, 2)) + [0, 100]
    pixels[0], pixels[[5, 9, 13]] = [25, 200], [[15, 100], [25, 100], [35, 100]]
    assert next_crop(pixels).angle == pytest.approx(0.0)
    sideways = next_crop(pixels[:, ::-1] * [-1, 1])  # a quarter turn: the fingers point to the right
    assert sideways.angle == pytest.approx(np.pi / 2)


def test_overlap_of_boxes():
    assert iou(np.zeros(2), np.ones(2), np.array([[0.5, 0.0]]), np.array([[1.5, 1.0]])) == pytest.approx([1 / 3])
