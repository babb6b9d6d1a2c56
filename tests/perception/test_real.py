"""Real images against people's annotation: a hand grasps a block, a bottle on a desk, a hand before a camera.

What is reached is asserted with a margin; docs/perception.md says where it misses a goal.
"""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from dexhot.data.labels import LABELS
from dexhot.errors import DexhotError
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.meshes import read_mesh
from dexhot.geometry.planes import table_plane
from dexhot.geometry.rotations import quat_angle
from dexhot.hardware.camera.align import Aligner
from dexhot.hardware.camera.recording import open_recording
from dexhot.objects.library import save_object
from dexhot.objects.shapes import Shape, shape_asset

pytest.importorskip("ai_edge_litert")
from dexhot.fitting.recipe import load_recipe
from dexhot.fitting.recording_fit import fit_recording
from dexhot.humans.open_hand import open_hand
from dexhot.perception.hand_landmarks import HandFeatures, LandmarkHands, next_crop
from dexhot.perception.live import LiveEyes
from dexhot.perception.object_pose import rigid_model
from dexhot.perception.object_track import ObjectTrack
from dexhot.perception.perceive import perceive
from dexhot.perception.segmentation import ModelMask
from dexhot.perception.world import on_table
from dexhot.retargeting.placement import place
from dexhot.retargeting.retarget import retarget
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.setup import load_setup
from dexhot_train.mining.mine import MineOptions, make_worlds, mine

OUTLINES = json.loads(Path(__file__).with_name("outlines.json").read_text())
CLICK = np.array([185.0, 292.0])  # on the block: a second one of its size lies beside it


def overlap(mask, outline):
    """IoU of a mask with a polygon drawn by hand."""
    drawn = Image.new("1", mask.shape[::-1])
    ImageDraw.Draw(drawn).polygon([tuple(corner) for corner in outline], fill=1)
    there = np.asarray(drawn)
    return (mask & there).sum() / (mask | there).sum()


@pytest.fixture(scope="module")
def grasp(shared_data, hand_landmarks):
    """The recording, its truth, the block, the evidence and what else was seen."""
    folder = shared_data / "realsense_block"
    truth = np.load(folder / "truth.npz")
    recording = open_recording(next(folder.glob("1*")))
    block = shape_asset(Shape("box", tuple(truth["block_extents"])))
    mask = ModelMask(recording.intrinsics, block.vertices, block.faces)
    track = ObjectTrack(rigid_model(block.vertices, block.faces), mask, CLICK)
    evidence, seen = perceive(recording, LandmarkHands(count=2), track, "right")
    return recording, truth, block, evidence, seen


def test_the_visual_feature_is_of_the_picture_in_the_crop(grasp):
    recording, _, _, evidence, _ = grasp
    network, crops = HandFeatures(), [next_crop(evidence.keypoints["right"][k, :, 3:5]) for k in (0, 75)]
    first, last = (network(recording.color[k], where) for k, where in zip((0, 75), crops))
    assert first.shape == (network.size,) == (1152,) and np.isfinite(first).all()
    assert np.abs(first - last).max() > 0.1
    assert np.array_equal(network(recording.color[0], crops[0]), first)  # of this picture alone
    beside = replace(crops[0], centre=crops[0].centre + 100.0)
    assert np.abs(network(recording.color[0], beside) - first).max() > 0.1


def test_a_hand_that_grasps_a_block_is_seen_in_every_frame(grasp):
    _, truth, _, evidence, seen = grasp
    assert seen.hand_frames["right"] == 76 and seen.object_frames >= 74
    annotated = truth["keypoints_2d"][0]
    error = np.linalg.norm(evidence.keypoints["right"][:, :, 3:5] - annotated[..., :2], axis=-1)
    assert np.median(error[annotated[..., 2] > 0]) < 11  # 9.7 px


def test_the_blocks_masks_are_those_that_people_draw(grasp):
    evidence = grasp[3]
    found: dict[str, list[float]] = {}  # by outline: three images of the block at rest share one
    for k, outline in OUTLINES["realsense_block"].items():
        found.setdefault(str(outline), []).append(overlap(evidence.labels[int(k)] == 2, outline))
    each = np.concatenate(list(found.values()))
    assert len(each) == 10 and min(each) > 0.8 and np.mean(each) > 0.86  # 0.833 and 0.877
    assert len(found) == 8 and np.mean([np.mean(ious) for ious in found.values()]) > 0.86  # 0.872


def test_the_grasping_hand_is_fitted_in_metres(grasp):
    recording, truth, block, evidence, _ = grasp
    assert max(above_the_table(recording, evidence, t) for t in range(7)) < 0.005  # its depth there is not the hand's
    fit = fit_recording(recording, evidence, block, load_recipe("default"), open_hand("right"))
    camera_T_world = truth["camera_T_world"][0]
    true = truth["keypoints_3d"] @ camera_T_world[:3, :3].T + camera_T_world[:3, 3]
    error = 1e3 * np.linalg.norm(fit.trajectory.hands["right"].keypoints - true, axis=-1)
    assert np.isfinite(error).mean() > 0.9
    assert np.nanmean(error) < 15.0 and np.nanmean(error[17:]) < 13.3  # 14.9, 13.2 mm; the goal for all is 15
    turns = quat_angle(evidence.object_pose[45:60, 3:], evidence.object_pose[44:59, 3:])
    assert np.degrees(turns).max() < 20.0  # 12; 52 before a spin had a price
    guess = evidence.relative_depth["right"] / recording.intrinsics.fx * true[:, :1, 2]
    ahead, guess = (
        z - np.nanmean(z, axis=1, keepdims=True)
        for z in (true[..., 2], np.where(np.isnan(true[..., 2]), np.nan, guess))
    )
    known = np.isfinite(ahead)
    assert (
        0.5 < np.polyfit(ahead[known], guess[known], 1)[0] < 1.2
    )  # in the unit of the pixels; 0.26 in the model's own


@pytest.mark.parametrize("click", [CLICK, np.array([236.0, 418.0])])
def test_a_live_camera_s_prompt_chooses_between_two_blocks(grasp, click):
    """`dexhot up watch prompt:=`: the block, or the arch beside it."""
    recording, _, block, _, _ = grasp
    camera, first = recording.intrinsics, (recording.color[0], recording.depth[0], 0.0)
    found = LiveEyes(camera, block, prompt=click[None]).look(*first).sighting
    assert found is not None and np.linalg.norm(camera.project(found.pose[:3, 3]) - click) < 30
    with pytest.raises(DexhotError, match="not inside the image"):
        LiveEyes(camera, block, prompt=np.array([[9000.0, 1.0]]))


@pytest.mark.timeout(600)
def test_the_real_grasp_becomes_a_demonstration_that_succeeds(grasp, tmp_path, monkeypatch):
    """From one camera's video to actions that lift the block on the floating hand and on the arm rig. Mined by a
    structured plan alone; the whole miner's survives 92 % of the perturbed worlds."""
    recording, _, block, evidence, _ = grasp
    monkeypatch.setenv("DEXHOT_CACHE", str(tmp_path))
    recording = replace(recording, world_T_camera=on_table(recording))
    fit = fit_recording(recording, evidence, block, load_recipe("default"), open_hand("right"))
    save_object(block)
    hand = load_hand("leap_right")
    reference = place(retarget(fit.trajectory, hand, block), hand)
    options = MineOptions(structured=100, worlds=1, trials=4, attempts=0)
    found = mine(reference, make_worlds(reference, load_setup(reference), options), options)
    assert found.scores["success_strict"] and found.scores["success_strict_arm"], found.scores
    assert found.scores["robustness"] >= 0.5


def above_the_table(recording, evidence, t: int) -> float:
    """Median height, m, of what was measured in the hand's mask."""
    depth = 1e-3 * recording.depth[t]
    plane = table_plane(recording.intrinsics, depth)
    v, u = np.nonzero((evidence.labels[t] == LABELS["right"]) & (depth > 0))
    points = recording.intrinsics.backproject(np.stack([u, v], -1), depth[v, u])
    return float(np.median(points @ plane.n - plane.d))


def test_a_bottle_is_found_where_it_is_clicked_on(shared_data):
    folder = shared_data / "rgbd_bottle"
    (color_camera, _), (depth_camera, color_T_depth) = (
        camera_of(folder / f"{k}_camera.yaml") for k in ("color", "depth")
    )
    align = Aligner(depth_camera, color_camera, color_T_depth[:3, :3], color_T_depth[:3, 3])
    vertices, faces = read_mesh(folder / "schauma.obj")
    model, drawn = rigid_model(vertices, faces), ModelMask(color_camera, vertices, faces)
    track, unaided = ObjectTrack(model, drawn, np.array([470.0, 250.0])), ObjectTrack(model, drawn)
    for number, (k, outline) in enumerate(OUTLINES["rgbd_bottle"].items()):
        color = np.asarray(Image.open(folder / f"color_camera_image_{k}.png").convert("RGB"))
        depth = align(np.asarray(Image.open(folder / f"depth_camera_image_{k}.png"))) * np.float32(1e-3)
        nothing = np.zeros(depth.shape, bool)
        found, _ = track(color_camera, depth, number / 30, nothing, color)
        assert overlap(track.seen(found.pose, depth, nothing, color), outline) > 0.9  # 0.91
    assert unaided(color_camera, depth, 0.0, nothing, color)[0] is None
    places = [tuple(map(int, found)) for found in re.findall(r"(\d+),(\d+) \(", unaided.ambiguous)]
    assert any(np.hypot(u - 470, v - 289) < 5 for u, v in places) and len(places) > 1  # with what else has its shape


def camera_of(path):
    """Intrinsics and pose of a camera of 3DObjectTracking's."""
    text = path.read_text()
    width, height, fx, fy, cx, cy = (
        float(re.search(rf"{name}: ([\d.]+)", text)[1]) for name in ("width", "height", "f_u", "f_v", "pp_x", "pp_y")
    )
    pose = np.array([float(x) for x in re.search(r"data: \[(.*?)\]", text, re.S)[1].split(",")]).reshape(4, 4)
    return Intrinsics(int(width), int(height), fx, fy, cx, cy), pose


def test_a_hand_video_is_fitted_to_its_pixels(shared_data, hand_landmarks):
    recording = open_recording(shared_data / "hand_video" / "human_hand_video.mp4", count=150)
    evidence, seen = perceive(recording, LandmarkHands(), None, "right")
    assert seen.hand_frames["right"] == len(recording)
    fit = fit_recording(recording, evidence, None, load_recipe("default"), open_hand("right"))
    keypoints = fit.trajectory.hands["right"].keypoints
    detected = evidence.keypoints["right"]
    off = np.linalg.norm(recording.intrinsics.project(keypoints) - detected[..., 3:5], axis=-1)[detected[..., 5] > 0.5]
    assert off.mean() < 4 and np.percentile(off, 99) < 25  # 3.2 and 10.0 px; all 621 frames: 3.9 and 16.3
    authors = np.load(shared_data / "hand_video" / "human_joint_right.npy")
    aligned = [procrustes_error(found, true) for found, true in zip(keypoints, authors)]
    assert 1e3 * np.mean(aligned) < 8  # 5.9 mm, 14.6 without relative depth; all frames: 8.9


def procrustes_error(found, true):
    """Mean distance, m, after the best similarity transform."""
    found, true = found - found.mean(0), true - true.mean(0)
    U, S, Vt = np.linalg.svd(found.T @ true)
    sign = np.diag([1, 1, np.sign(np.linalg.det(U @ Vt))])
    scale = (S * np.diag(sign)).sum() / (found**2).sum()
    return np.linalg.norm(scale * found @ U @ sign @ Vt - true, axis=1).mean()


def test_the_next_crop_is_turned_with_the_hand():
    pixels = np.random.default_rng(0).uniform(0, 50, (21, 2)) + [0, 100]
    pixels[0], pixels[[5, 9, 13]] = [25, 200], [[15, 100], [25, 100], [35, 100]]
    assert next_crop(pixels).angle == pytest.approx(0.0)
    sideways = next_crop(pixels[:, ::-1] * [-1, 1])  # a quarter turn: the fingers point to the right
    assert sideways.angle == pytest.approx(np.pi / 2)
