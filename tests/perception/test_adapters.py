"""Estimators with weights of their own: how they are called, and what is said without their weights."""

from types import SimpleNamespace

import numpy as np
import pytest

from dexhot.errors import DexhotError, FileFormatError
from dexhot.geometry.cameras import Intrinsics
from dexhot.perception import weights
from dexhot.perception.adapters.mmpose import MmposeHands, load_mmpose
from dexhot.perception.adapters.sam2 import CameraMasks, StreamingMasks, load_camera_predictor, load_streaming

CAMERA = Intrinsics(64, 48, 60.0, 61.0, 31.5, 23.5)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DEXHOT_CACHE", str(tmp_path))


def test_missing_weights_are_named_with_their_place(tmp_path):
    with pytest.raises(FileFormatError, match=r"palm_detection_full\.tflite is missing: `dexhot models get"):
        weights.hand_landmark_file("palm_detection_full.tflite")
    with pytest.raises(FileFormatError, match=f"sam2 is missing: get it from .* put it at {tmp_path}/models/sam2"):
        load_streaming("sam2")
    with pytest.raises(DexhotError, match="one of sam2, edgetam"):
        load_streaming("sam3")


def test_another_file_than_the_published_one_is_refused():
    path = weights.weights_dir() / "hand-landmarks" / "hand_landmark_full.tflite"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"another network")
    with pytest.raises(FileFormatError, match="SHA-256"):
        weights.hand_landmark_file(path.name)


class Session:
    """Stands for transformers' processor and model: two masks, one above the other."""

    def __init__(self):
        self.prompts = []

    def init_video_session(self, inference_device):
        return "session"

    def __call__(self, **given):
        if "images" in given:
            return SimpleNamespace(original_sizes=[(4, 4)], pixel_values=[given["images"]])
        assert given["inference_session"] == "session"
        return SimpleNamespace(pred_masks="raw")

    def add_inputs_to_inference_session(self, **given):
        self.prompts.append(given)

    def post_process_masks(self, masks, original_sizes, binarize):
        found = np.full((2, 1, 4, 4), -1.0)
        found[0, 0, :2], found[1, 0, 1:3] = 1.0, 2.0
        return [found]


def test_streaming_masks_take_clicks_and_boxes_and_give_labels():
    session = Session()
    follower = StreamingMasks(session, session)
    labels = follower.start(np.zeros((4, 4, 3), np.uint8), {2: np.array([1, 2]), 1: np.array([0, 0, 3, 3])})
    assert labels[:, 0].tolist() == [2, 1, 1, 0]
    click, box = session.prompts
    assert click["input_points"] == [[[[1.0, 2.0]]]] and box["input_boxes"] == [[[0.0, 0.0, 3.0, 3.0]]]
    assert (follower.follow(np.zeros((4, 4, 3), np.uint8)) == labels).all()


def test_streaming_masks_need_prompts():
    with pytest.raises(DexhotError, match="--prompt"):
        StreamingMasks(Session(), Session()).start(np.zeros((4, 4, 3), np.uint8), {})


class CameraPredictor:
    """Stands for the streaming predictor of the package sam2: objects in the order of their prompts."""

    def __init__(self):
        self.prompts, self.first = [], None

    def load_first_frame(self, image):
        self.first = image

    def add_new_prompt(self, frame_idx, obj_id, **where):
        assert self.first is not None
        self.prompts.append((obj_id, where))
        return frame_idx, *self.track(self.first)

    def track(self, image):
        found = np.full((len(self.prompts), 1, 4, 4), -1.0)
        found[0, 0, :2], found[-1, 0, 1:3] = 1.0, 2.0
        return [name for name, _ in self.prompts], found


def test_the_package_sam2_is_called_by_its_streaming_predictor():
    predictor, image = CameraPredictor(), np.zeros((4, 4, 3), np.uint8)
    follower = CameraMasks(predictor)
    with pytest.raises(DexhotError, match="before it follows"):
        follower.follow(image)
    labels = follower.start(image, {2: np.array([1, 2]), 1: np.array([0, 0, 3, 3])})
    assert labels[:, 0].tolist() == [2, 1, 1, 0] and (follower.follow(image) == labels).all()
    (click_id, click), (box_id, box) = predictor.prompts
    assert (click_id, box_id) == (2, 1) and click["points"].tolist() == [[1, 2]] and click["labels"].tolist() == [1]
    assert box["bbox"].tolist() == [[0, 0], [3, 3]]
    with pytest.raises(DexhotError, match="load_streaming"):
        load_camera_predictor("config.yaml", "weights.pt")


def test_mmpose_gets_bgr_and_gives_the_surest_hand_first():
    seen = []

    def inferencer(image, return_vis):
        seen.append(image)
        hands = [
            {"keypoints": np.full((21, 2), k), "keypoint_scores": np.full(21, s)}
            for k, s in ((1, 0.5), (2, 0.9), (3, 0.1))
        ]
        yield {"predictions": [hands]}

    image = np.zeros((4, 4, 3), np.uint8)
    image[..., 0] = 200  # red
    found = MmposeHands(inferencer, "left")(image)
    assert [hand.pixels[0, 0] for hand in found] == [2, 1] and found[0].side == "left" and found[0].right_score == 0.0
    assert seen[0][0, 0].tolist() == [0, 0, 200]
    with pytest.raises(DexhotError, match="rtmpose"):
        load_mmpose()


def test_mmpose_with_a_skeleton_of_another_body_is_refused():
    body = [{"keypoints": np.zeros((17, 2)), "keypoint_scores": np.ones(17)}]
    with pytest.raises(DexhotError, match="17 keypoints"):
        MmposeHands(lambda image, return_vis: iter([{"predictions": [body]}]))(np.zeros((4, 4, 3), np.uint8))


@pytest.mark.parametrize("library", [False, True])
def test_foundationpose_is_called_in_both_its_ways_and_judged_by_depth(library):
    pytest.importorskip("numba")
    import trimesh

    from dexhot.perception.adapters.foundationpose import FoundationPose, FoundationPoseLibrary
    from dexhot.perception.object_pose import LOST, SURE, rigid_model

    box = trimesh.creation.box((0.2, 0.2, 0.1))
    model = rigid_model(np.asarray(box.vertices), np.asarray(box.faces))
    pose, calls = np.eye(4), []
    pose[2, 3] = 0.65

    class Estimator:
        def register(self, *given, **named):
            calls.append(named or given)
            return [pose] if library else pose

        def track_one(self, rgb, depth, K, iteration):
            return pose

        def track(self, frame, depth):
            return [pose]

    adapter = FoundationPoseLibrary(Estimator(), "box", model) if library else FoundationPose(Estimator(), model)
    color, depth = np.zeros((48, 64, 3), np.uint8), np.full((48, 64), 0.6, np.float32)
    found = adapter.register(CAMERA, color, depth, depth > 0)
    assert found.confidence > SURE and len(calls) == 1
    if not library:
        assert calls[0]["iteration"] == 5 and calls[0]["K"][1].tolist() == [0, 61.0, 23.5]
    hidden = np.zeros((48, 64), bool)
    assert adapter.follow(CAMERA, color, depth + 0.3, 0.1, hidden).confidence < LOST
    assert adapter.register(CAMERA, color, 0 * depth, depth > 0) is None
