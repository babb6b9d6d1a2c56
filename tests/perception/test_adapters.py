"""Estimators with weights of their own: how they are called, and what is said without their weights."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from dexhot.errors import DexhotError, FileFormatError
from dexhot.geometry.cameras import Intrinsics
from dexhot.perception import weights
from dexhot.perception.adapters.mmpose import MmposeHands, load_mmpose
from dexhot.perception.adapters.rtmpose import DEVIATION, FILE, MEAN, RtmposeHand
from dexhot.perception.adapters.sam2 import (
    MODELS,
    CameraMasks,
    StreamingMasks,
    load_camera_predictor,
    load_masks,
    load_streaming,
    torchvision_importable,
)

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
        self.session = SimpleNamespace(processed_frames={}, obj_with_new_inputs=[])
        return self.session

    def __call__(self, **given):
        if "images" in given:
            return SimpleNamespace(original_sizes=[(4, 4)], pixel_values=[given["images"]])
        assert given["inference_session"] is self.session
        self.session.processed_frames[given["frame_idx"]] = given["frame"]
        return SimpleNamespace(pred_masks="raw")

    def add_inputs_to_inference_session(self, **given):
        self.prompts.append(given)
        self.session.obj_with_new_inputs = given["obj_ids"]

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
    assert session.session.obj_with_new_inputs == [2, 1]  # else the model takes the last one's prompt alone
    assert (follower.follow(np.zeros((4, 4, 3), np.uint8)) == labels).all()
    assert not session.session.processed_frames  # a long video is not kept in memory
    follower.start(np.zeros((4, 4, 3), np.uint8), {2: np.array([[1, 2], [3, 0]]), 1: np.array([0, 0, 3, 3])})
    clicks = session.prompts[2]
    assert clicks["input_points"] == [[[[1, 2], [3, 0]]]] and clicks["input_labels"] == [[[1, 1]]]


def test_streaming_masks_need_prompts():
    with pytest.raises(DexhotError, match="--prompt"):
        StreamingMasks(Session(), Session()).start(np.zeros((4, 4, 3), np.uint8), {})


SMALL = 128  # px, of the images that the tiny networks take


def tiny_streaming(kind):
    """A random network of a kind, small, in the folder of its weights, as save_pretrained writes it."""
    transformers = pytest.importorskip("transformers", "5.23")
    pytest.importorskip("torch")
    torchvision_importable()
    vision = {
        "backbone_config": {
            "model_type": "sam2_hiera_det_model", "hidden_size": 8, "image_size": [SMALL] * 2,
            "blocks_per_stage": [1, 2, 1, 1], "embed_dim_per_stage": [8, 16, 32, 64],
            "num_attention_heads_per_stage": [1, 1, 1, 1], "global_attention_blocks": [2],
        },
        "backbone_channel_list": [64, 32, 16, 8], "fpn_hidden_size": 128,
        "backbone_feature_sizes": [[SMALL // k] * 2 for k in (4, 8, 16)],
    }  # fmt: skip
    common = {
        "image_size": SMALL, "vision_config": vision,
        "prompt_encoder_config": {"image_size": SMALL, "hidden_size": 128},
        "mask_decoder_config": {
            "hidden_size": 128, "mlp_dim": 64, "iou_head_hidden_dim": 64, "num_attention_heads": 2
        },
        "memory_attention_hidden_size": 128, "memory_attention_num_layers": 1,
        "memory_encoder_hidden_size": 128, "memory_encoder_output_channels": 64,
        "memory_attention_rope_feat_sizes": [SMALL // 16] * 2, "mask_downsampler_embed_dim": 128,
        "memory_fuser_embed_dim": 128, "memory_fuser_intermediate_dim": 64,
    }  # fmt: skip
    own = {
        "sam2": {"memory_attention_feed_forward_hidden_size": 64},
        "edgetam": {
            "memory_attention_mlp_hidden_size": 64, "perceiver_resampler_mlp_intermediate_size": 32,
            "perceiver_resampler_num_latents": 16, "perceiver_resampler_num_latents_2d": 16,
            "memory_attention_rope_k_sizes": [4, 4],
        },
    }  # fmt: skip
    import torch

    torch.manual_seed(0)
    config = getattr(transformers, MODELS[kind].replace("Model", "Config"))(**common, **own[kind])
    folder, size = weights.weights_dir() / kind, {"height": SMALL, "width": SMALL}
    getattr(transformers, MODELS[kind])(config).save_pretrained(folder)
    transformers.Sam2VideoProcessor(
        image_processor=transformers.Sam2ImageProcessor(size=size),
        video_processor=transformers.Sam2VideoVideoProcessor(size=size),
        target_size=SMALL,
    ).save_pretrained(folder)


@pytest.mark.parametrize("kind", ["sam2", "edgetam"])
def test_transformers_networks_are_loaded_and_follow_two_prompts(kind):
    """The real classes with random weights (EdgeTAM's with SAM 2's backbone, whose own needs timm); needs transformers
    5.23 and torchvision, which no extra for users has (150 MB)."""
    tiny_streaming(kind)
    follower = load_streaming(kind)
    images = np.random.default_rng(0).integers(0, 255, (3, 48, 64, 3), np.uint8)
    prompts = {1: np.array([[20.0, 20.0], [22.0, 25.0]]), 2: np.array([3.0, 3.0, 30.0, 40.0])}
    for labels in (follower.start(images[0], prompts), follower.follow(images[1]), follower.follow(images[2])):
        assert labels.shape == (48, 64) and labels.dtype == np.uint8 and set(np.unique(labels)) <= {0, 1, 2}
    assert follower.session.obj_ids == [1, 2] and not follower.session.processed_frames


def tiny_rtmpose(path, outputs=("simcc_x", "simcc_y")):
    """A network in RTMPose's layout, all of whose keypoints are the brightest pixel."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    def constant(name, *values):
        return numpy_helper.from_array(np.array(values, np.int64), name)

    nodes, made = [], []
    for name, gone in zip(outputs, (2, 3)):  # over rows, over columns
        made.append(constant(f"{name}.axes", 1, gone))
        nodes += [
            helper.make_node("ReduceMax", ["image", f"{name}.axes"], [f"{name}.most"], keepdims=0),
            helper.make_node("Reshape", [f"{name}.most", "column"], [f"{name}.column"]),
            helper.make_node("Concat", [f"{name}.column"] * 2, [f"{name}.twice"], axis=2),
            helper.make_node("Reshape", [f"{name}.twice", "row"], [f"{name}.row"]),
            helper.make_node("Expand", [f"{name}.row", "all"], [name]),
        ]
    made += [constant("column", 1, 256, 1), constant("row", 1, 1, 512), constant("all", 1, 21, 512)]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 256, 256])
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 21, 512]) for name in outputs]
    graph = helper.make_graph(nodes, "tiny", [image], given, made)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))


def test_rtmpose_gives_the_pixels_of_its_networks_maxima():
    tiny_rtmpose(weights.weights_dir() / FILE)
    find, box = RtmposeHand(), np.array([80.0, 60.0, 180.0, 140.0])

    def spot(u, v):
        image = np.zeros((200, 300, 3), np.uint8)
        image[v, u] = 255
        return find(image, box)

    for place in ((121, 92), (191, 100)):  # in the box, and beside it, where it is padded by a quarter
        pixels, confidence = spot(*place)
        assert pixels == pytest.approx(np.tile(place, (21, 1)), abs=0.5) and confidence.shape == (21,)
    assert spot(195, 100)[1].max() < 0
    red = np.full((200, 300, 3), [200, 0, 0], np.uint8)
    assert find(red, box)[1] == pytest.approx((200 - MEAN[0]) / DEVIATION[0])  # RGB, normalised


def test_rtmpose_without_its_file_and_with_another_network():
    with pytest.raises(FileFormatError, match=f"{FILE} is missing: get it from OpenMMLab.* put it at"):
        RtmposeHand()
    tiny_rtmpose(weights.weights_dir() / FILE, ("heatmap", "score"))
    with pytest.raises(DexhotError, match="has outputs heatmap, score; RTMPose-hand has simcc_x and simcc_y"):
        RtmposeHand()


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
    follower.start(image, {2: np.array([[1, 2], [3, 0]]), 1: np.array([0, 0, 3, 3])})
    assert predictor.prompts[2][1]["points"].tolist() == [[1, 2], [3, 0]]
    assert predictor.prompts[2][1]["labels"].tolist() == [1, 1]
    with pytest.raises(DexhotError, match="load_streaming"):
        load_camera_predictor("config.yaml", "weights.pt")


@pytest.mark.parametrize("name", ["build_sam2_video_predictor", "build_sam2_camera_predictor"])
def test_sam2_is_its_own_package_where_that_streams(name, tmp_path, monkeypatch):
    package = tmp_path / "packages" / "sam2"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "build_sam.py").write_text(f"def {name}(config, checkpoint):\n    return config, checkpoint\n")
    monkeypatch.syspath_prepend(package.parent)
    for module in ("sam2", "sam2.build_sam"):
        monkeypatch.setitem(sys.modules, module, None)  # so that it is as before after the test
        monkeypatch.delitem(sys.modules, module)
    if "camera" not in name:  # PyPI's
        with pytest.raises(FileFormatError, match=f"sam2 is missing: .* put it at {tmp_path}/models/sam2"):
            load_masks("sam2")
        return
    with pytest.raises(FileFormatError, match=r"sam2\.1_hiera_tiny\.pt is missing: .*facebookresearch/sam2"):
        load_masks("sam2")
    weights.weights_dir().mkdir(parents=True)
    (weights.weights_dir() / "sam2.1_hiera_tiny.pt").touch()
    config, checkpoint = load_masks("sam2").predictor
    assert config.endswith("sam2.1_hiera_t.yaml") and checkpoint.endswith("sam2.1_hiera_tiny.pt")


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


def test_mmpose_looks_for_one_hand_in_each_box():
    seen = []

    def inferencer(image, return_vis):
        seen.append(image.shape)
        hands = [{"keypoints": np.full((21, 2), 3.0), "keypoint_scores": np.full(21, s)} for s in (0.5, 0.9)]
        yield {"predictions": [hands]}

    hands = MmposeHands(inferencer)
    hands.boxes = {"left": np.array([40.0, 20.0, 60.0, 40.0]), "right": np.full(4, np.nan)}
    [found] = hands(np.zeros((100, 100, 3), np.uint8))
    assert found.side == "left" and found.confidence == pytest.approx(0.9) and found.pixels[0].tolist() == [38, 18]
    assert seen == [(30, 30, 3)] and hands.boxes == {}


def test_mmpose_with_a_skeleton_of_another_body_is_refused():
    body = [{"keypoints": np.zeros((17, 2)), "keypoint_scores": np.ones(17)}]
    with pytest.raises(DexhotError, match="17 keypoints"):
        MmposeHands(lambda image, return_vis: iter([{"predictions": [body]}]))(np.zeros((4, 4, 3), np.uint8))


BOX_POSE = np.eye(4)
BOX_POSE[2, 3] = 0.65


class NvlabsEstimator:
    """Stands for NVlabs' FoundationPose."""

    def __init__(self, **made):
        self.made, self.calls = made, []

    def register(self, **given):
        self.calls.append(given)
        return BOX_POSE

    def track_one(self, rgb, depth, K, iteration):
        return BOX_POSE


class LibraryEstimator:
    """Stands for the inference library's MultiObjectEstimator, with the types that its examples give it."""

    def __init__(self, options=None, status=0):
        self.options, self.status, self.calls = options, status, []

    def __enter__(self):
        return self

    def register(self, frame, objects, masks, depth):
        [spec] = objects
        assert masks[spec.name].dtype == np.uint8 and masks[spec.name].max() == 255 and frame.k.shape == (3, 3)
        self.calls.append(frame)
        return self.track(frame, depth)

    def track(self, frame, depth):
        assert frame.rgb.dtype == np.uint8 and depth.dtype == np.float32
        return [SimpleNamespace(status=self.status, pose=BOX_POSE.astype(np.float32))]


@pytest.mark.parametrize("library", [False, True])
def test_foundationpose_is_called_in_both_its_ways_and_judged_by_depth(library):
    pytest.importorskip("numba")
    import trimesh

    from dexhot.perception.adapters.foundationpose import FoundationPose, FoundationPoseLibrary
    from dexhot.perception.object_pose import LOST, SURE, rigid_model

    box = trimesh.creation.box((0.2, 0.2, 0.1))
    model = rigid_model(np.asarray(box.vertices), np.asarray(box.faces))
    estimator = LibraryEstimator() if library else NvlabsEstimator()
    spec = SimpleNamespace(name="user/box")
    adapter = FoundationPoseLibrary(estimator, spec, model) if library else FoundationPose(estimator, model)
    color, depth = np.zeros((48, 64, 3), np.uint8), np.full((48, 64), 0.6, np.float32)
    found = adapter.register(CAMERA, color, depth, depth > 0)
    assert found.confidence > SURE and len(estimator.calls) == 1
    K = estimator.calls[0].k if library else estimator.calls[0]["K"]
    assert K[1].tolist() == [0, 61.0, 23.5] and (library or estimator.calls[0]["iteration"] == 5)
    hidden = np.zeros((48, 64), bool)
    assert adapter.follow(CAMERA, color, depth + np.float32(0.3), 0.1, hidden).confidence < LOST
    assert adapter.register(CAMERA, color, 0 * depth, depth > 0) is None
    if library:
        estimator.status = 3
        assert adapter.register(CAMERA, color, depth, depth > 0) is None
        assert adapter.follow(CAMERA, color, depth, 0.2, hidden).confidence == 0.0


def asset():
    from dexhot.objects.shapes import named_shape, shape_asset

    return shape_asset(named_shape("parametric/box-50x70x100"))


def test_nvlabs_foundationpose_is_made_for_the_mesh_with_its_weights(monkeypatch, tmp_path):
    pytest.importorskip("numba")
    from dexhot.perception.adapters.foundationpose import NVLABS_WEIGHTS, load_foundationpose

    modules = {
        "estimater": SimpleNamespace(FoundationPose=NvlabsEstimator, __file__=str(tmp_path / "estimater.py")),
        "nvdiffrast": SimpleNamespace(), "nvdiffrast.torch": SimpleNamespace(RasterizeCudaContext=lambda: "context"),
        "learning": SimpleNamespace(), "learning.training": SimpleNamespace(),
        "learning.training.predict_pose_refine": SimpleNamespace(PoseRefinePredictor=lambda: "refiner"),
        "learning.training.predict_score": SimpleNamespace(ScorePredictor=lambda: "scorer"),
    }  # fmt: skip
    modules["nvdiffrast"].torch = modules["nvdiffrast.torch"]
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    for run in NVLABS_WEIGHTS:
        place = tmp_path / "weights"
        with pytest.raises(FileFormatError, match=f"{run}/model_best.pth is missing: .* into {place}"):
            load_foundationpose(asset())
        (place / run).mkdir(parents=True)
        (place / run / "model_best.pth").touch()
    made = load_foundationpose(asset()).estimator.made
    assert made["glctx"] == "context" and (made["scorer"], made["refiner"]) == ("scorer", "refiner")
    assert (
        made["model_pts"] == pytest.approx(asset().vertices) and made["model_normals"].shape == made["model_pts"].shape
    )


def test_the_library_is_made_for_the_mesh_with_its_networks(monkeypatch, tmp_path):
    pytest.importorskip("numba")
    import trimesh

    from dexhot.perception.adapters.foundationpose import load_library

    package = SimpleNamespace(
        MultiObjectEstimator=LibraryEstimator, ObjectSpec=SimpleNamespace, RegisterOptions=SimpleNamespace
    )
    monkeypatch.setitem(sys.modules, "foundation_pose_nvidia", package)
    monkeypatch.delenv("FP_LIBRARY", raising=False)
    with pytest.raises(DexhotError, match=r"libfoundation_pose_nvidia\.so is missing: .* FP_LIBRARY"):
        load_library(asset())
    library = tmp_path / "libfoundation_pose_nvidia.so"
    library.touch()
    monkeypatch.setenv("FP_LIBRARY", str(library))
    for name in ("refiner_net.onnx", "score_net.onnx"):
        path = weights.weights_dir() / "foundationpose" / name
        with pytest.raises(FileFormatError, match=f"{name} is missing: get it from NGC .* put it at {path}"):
            load_library(asset())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = load_library(asset())
    options, spec = found.estimator.options, found.spec
    assert options.library_path == library and options.refine_model_path.name == "refiner_net.onnx"
    mesh = trimesh.load(spec.cad_path, process=False)
    assert spec.mesh_unit_scale == 1.0 and np.ptp(mesh.vertices, axis=0) == pytest.approx(
        np.ptp(asset().vertices, axis=0)
    )
