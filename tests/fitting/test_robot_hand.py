"""The robot's hand: where it is drawn, that it helps to find the object, and that depth is never read."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest
from tests.box_hand import box_hand
from tests.tiny_clip import ASSET, MODEL

from dexhot.data.recording import Recording
from dexhot.data.types import Evidence
from dexhot.errors import ClipError, FileFormatError
from dexhot.fitting.batch import BatchScene, Bodies, GivenSurface
from dexhot.fitting.contact_terms import BatchPenetration
from dexhot.fitting.motion_terms import Consistency, Sliding
from dexhot.fitting.recipe import load_recipe
from dexhot.fitting.recording_fit import fit_recording
from dexhot.fitting.robot_hand import RobotMotion, RobotSkin, fit_robot_hand, read_robot_motion, seen_points
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.depth_kernels import draw_depth
from dexhot.geometry.poses import IDENTITY, compose, inverse, make_pose, transform
from dexhot.geometry.rotations import matrix_to_6d, quat_to_matrix, rotvec_to_quat
from dexhot.humans.open_hand import open_hand
from dexhot.robots.coupling import Coupled
from dexhot.robots.robot_hand import load_hand

CAMERA = Intrinsics(160, 120, 150.0, 150.0, 79.5, 59.5)
LEAP = load_hand("leap_right")
SKIN = RobotSkin(LEAP)
WORLD_T_CAMERA = make_pose(np.array([0.3, -0.2, 0.6]), rotvec_to_quat(np.array([2.0, 0.3, 0.1])))
CAMERA_T_PALM = make_pose(np.array([-0.06, -0.02, 0.5]), rotvec_to_quat(np.array([0.4, 0.5, 0.2])))
FRAMES = 4
QUICK = (
    "solver.rotations=8", "solver.search_steps=20", "solver.follow_steps=4", "solver.steps=40", "solver.pixels=64",
)  # fmt: skip


def clip(camera_T_other: np.ndarray | None = None) -> tuple[Recording, Evidence, RobotMotion, np.ndarray]:
    """A LEAP hand before a box that moves with it, drawn in labels; the box's true poses in the camera's frame. With
    `camera_T_other` (7,): as a camera there sees it."""
    step = np.arange(FRAMES)[:, None] * [0.004, 0.0, 0.0]
    palm = np.tile(CAMERA_T_PALM, (FRAMES, 1))
    palm[:, :3] += step
    q = np.tile(LEAP.nominal, (FRAMES, 1))
    held = make_pose(np.array([0.09, 0.0, -0.09]), rotvec_to_quat(np.array([0.3, -0.4, 0.2])))
    poses = compose(palm, held)
    joints = RobotMotion("leap_right", np.arange(FRAMES) / 15.0, q, compose(WORLD_T_CAMERA, palm))
    world_T_camera = WORLD_T_CAMERA
    if camera_T_other is not None:
        palm, poses = compose(inverse(camera_T_other), palm), compose(inverse(camera_T_other), poses)
        world_T_camera = compose(WORLD_T_CAMERA, camera_T_other)
    f = np.array([CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy])
    labels = np.zeros((FRAMES, CAMERA.height, CAMERA.width), np.uint8)
    for t in range(FRAMES):
        near, far = np.full(labels.shape[1:], 1e3), np.full(labels.shape[1:], 1e3)
        draw_depth(transform(palm[t], SKIN.points(q[t])), SKIN.surface.faces, f, near)
        draw_depth(transform(poses[t], ASSET.vertices), np.asarray(ASSET.faces, np.int64), f, far)
        labels[t] = np.where(np.minimum(near, far) > 100, 0, np.where(near < far, 1, 2))
    time = joints.time
    color = np.where((labels == 2)[..., None], [40, 90, 170], 120).astype(np.uint8)
    recording = Recording("robot", time, color, np.zeros(labels.shape, np.uint16), CAMERA, world_T_camera)
    evidence = Evidence("robot", time, labels, {}, {}, np.full((FRAMES, 7), np.nan))
    return recording, evidence, joints, poses


RECORDING, EVIDENCE, MOTION, POSES = clip()


def write_joints(path) -> tuple[Recording, Evidence, np.ndarray]:
    """The clip's joints as a file."""
    np.savez(path, hand=MOTION.hand, time=MOTION.time, q=MOTION.q, world_T_palm=MOTION.world_T_palm)
    return RECORDING, EVIDENCE, POSES


def off(found: Evidence) -> float:
    """Mean distance (m) of the object's centre."""
    away = transform(found.object_pose, MODEL.centre) - transform(POSES, MODEL.centre)
    return float(np.linalg.norm(away, axis=1).mean())


def recipe(*settings: str):
    return load_recipe("robot_hand").changed([*QUICK, *settings])


@pytest.mark.parametrize("name", ["leap_right", "allegro_right"])
def test_the_skin_follows_the_joints(name):
    """Each fingertip's site is a tip's radius below the skin, in every posture."""
    hand = load_hand(name)
    skin = RobotSkin(hand)
    for q in (hand.nominal, hand.open, 0.5 * (hand.lower + hand.upper)):
        model = hand.spec().compile()
        data = mujoco.MjData(model)
        data.qpos[[model.joint(joint).qposadr[0] for joint in hand.joint_names]] = q
        mujoco.mj_kinematics(model, data)
        palm = make_pose(data.xpos, data.xquat)[model.body("palm").id]
        tips = transform(inverse(palm), np.stack([data.site(site).xpos for site in hand.tip_sites]))
        gaps = np.linalg.norm(skin.points(q)[:, None] - tips, axis=2).min(axis=0)
        assert (np.abs(gaps - hand.tip_radius) < 0.006).all(), gaps


def test_any_hand_yaml_has_a_skin(tmp_path):
    """Coupled joints follow: the tip moves as in the hand's own model."""
    hand = load_hand(box_hand(tmp_path))
    skin = RobotSkin(hand)
    model = hand.spec().compile()
    data = mujoco.MjData(model)
    data.qpos[[model.joint(name).qposadr[0] for name in hand.joint_names]] = hand.nominal
    Coupled(model).follow(data.qpos)
    mujoco.mj_kinematics(model, data)
    palm = make_pose(data.xpos, data.xquat)[model.body("palm").id]
    tip = transform(inverse(palm), data.site(hand.tip_sites[0]).xpos)
    assert len(skin.points(hand.nominal)) == skin.surface.size and skin.surface.faces.max() < skin.surface.size
    assert np.linalg.norm(skin.points(hand.nominal) - tip, axis=1).min() < 0.012
    assert np.linalg.norm(skin.points(hand.open) - tip, axis=1).min() > 0.012


def deepest(found: Evidence, motion: RobotMotion) -> float:
    """How deep (m) the hand is in the object, mean over the frames."""
    bodies = Bodies({}, MODEL, "", surfaces={"right": SKIN.surface})
    placed = bodies.object_unknowns(quat_to_matrix(found.object_pose[:, 3:]), found.object_pose[:, :3])
    points = seen_points(SKIN, motion, WORLD_T_CAMERA)
    scene = BatchScene(bodies, placed, None, {"right.points": points})
    return float(np.mean([max(0.0, -scene.distances(t, x)[0].min()) for t, x in enumerate(points)]))


def test_the_object_is_found():
    """From masks alone, behind the hand; the recipe without terms is the start."""
    found = fit_robot_hand(RECORDING, EVIDENCE, MODEL, recipe(), MOTION)
    start = fit_robot_hand(RECORDING, EVIDENCE, MODEL, recipe().without(recipe().terms), MOTION)
    assert off(found) < 0.012 and off(start) < 0.03 and not np.array_equal(found.object_pose, start.object_pose)
    assert found.provenance["fit"]["terms"] == list(recipe().terms) and found.provenance["object"] == ASSET.name
    assert found.labels is EVIDENCE.labels


def test_a_second_camera_tells_how_far_away_the_object_is():
    """From the side; the same view given twice tells nothing new."""
    across = make_pose([0.5, 0.0, 0.5], rotvec_to_quat([0.0, -np.pi / 2, 0.0]))  # x of this one is depth of the first
    second, seen, _, _ = clip(across)
    depth = transform(POSES, MODEL.centre)[:, 2]
    off_by = {}
    for name, recordings, evidences in (
        ("one", RECORDING, EVIDENCE),
        ("twice", [RECORDING, RECORDING], [EVIDENCE, EVIDENCE]),
        ("two", [RECORDING, second], [EVIDENCE, seen]),
    ):
        found = fit_robot_hand(recordings, evidences, MODEL, recipe(), MOTION)
        off_by[name] = np.abs(transform(found.object_pose, MODEL.centre)[:, 2] - depth).mean()
    assert off_by["two"] < 0.5 * min(off_by["one"], off_by["twice"]), off_by
    with pytest.raises(ClipError, match="has no world_T_camera"):
        uncalibrated = replace(second, world_T_camera=None)
        fit_robot_hand([RECORDING, uncalibrated], [EVIDENCE, seen], MODEL, recipe(), MOTION)


def test_the_known_hand_pushes_the_object_out():
    """Joints that bring the hand 15 mm into the object."""
    into = POSES[0, :3] - CAMERA_T_PALM[:3]
    shift = make_pose(0.015 * into / np.linalg.norm(into), np.array([1.0, 0, 0, 0]))
    camera_T_palm = compose(inverse(WORLD_T_CAMERA), MOTION.world_T_palm)
    moved = replace(MOTION, world_T_palm=compose(WORLD_T_CAMERA, compose(shift, camera_T_palm)))
    strong = recipe("penetration.weight=5")
    pushed = fit_robot_hand(RECORDING, EVIDENCE, MODEL, strong, moved)
    free = fit_robot_hand(RECORDING, EVIDENCE, MODEL, strong.without(["penetration"]), moved)
    assert deepest(pushed, moved) < 0.6 * deepest(free, moved) and deepest(free, moved) > 0.005


def test_depth_is_never_read():
    """Neither that of the images nor a pose that an estimator saw there."""
    short = recipe("solver.rotations=2", "solver.search_steps=2", "solver.follow_steps=1", "solver.steps=3")
    deep = replace(RECORDING, depth=np.full_like(RECORDING.depth, 400))
    seen = replace(EVIDENCE, object_pose=np.tile(IDENTITY + [0, 0, 0.4, 0, 0, 0, 0], (FRAMES, 1)))
    one = fit_robot_hand(deep, seen, MODEL, short, MOTION)
    two = fit_robot_hand(RECORDING, EVIDENCE, MODEL, short, MOTION)
    assert np.array_equal(one.object_pose, two.object_pose)


def test_the_object_starts_where_a_regressor_sees_it():
    """8 degrees and 6 mm off; without terms it is that start, with them it ends near, and never by the depth."""
    spin = np.tile(IDENTITY, (FRAMES, 1))
    spin[:, 3:] = rotvec_to_quat(np.array([0.0, 0.0, 0.15]))
    given = compose(POSES, spin) + [0.0, 0.0, 0.006, 0, 0, 0, 0]
    start = fit_robot_hand(RECORDING, EVIDENCE, MODEL, recipe().without(recipe().terms), MOTION, given)
    assert np.allclose(start.object_pose, given) and start.provenance["fit"]["object_start"] == "regressor"
    found = fit_robot_hand(RECORDING, EVIDENCE, MODEL, recipe(), MOTION, given)
    assert off(found) < 0.012 and not np.array_equal(found.object_pose, start.object_pose)
    deep = replace(RECORDING, depth=np.full_like(RECORDING.depth, 400))
    assert np.array_equal(fit_robot_hand(deep, EVIDENCE, MODEL, recipe(), MOTION, given).object_pose, found.object_pose)


def test_a_known_surface_is_touched_as_a_hand_is():
    """Terms have the same value and gradient by the object whether a hand's points are given or come of its joints."""
    hand, rng = open_hand(), np.random.default_rng(0)
    bodies = Bodies({"right": hand}, MODEL, "mediapipe")
    poses = [POSES[0], POSES[0] + [0.001, 0, 0, 0, 0, 0, 0]]
    placed = bodies.object_unknowns(quat_to_matrix(np.stack(poses)[:, 3:]), np.stack(poses)[:, :3])
    joints = {
        "right.turn": matrix_to_6d(quat_to_matrix(rotvec_to_quat(0.1 * rng.normal(size=(2, 3))))),
        "right.place": placed["object.place"] + [0.0, 0.0, 0.03],
        "right.fingers": 0.1 * rng.normal(size=(2, 45)),
    }
    grown = BatchScene(bodies, placed, CAMERA, joints)
    known = {"right.points": grown.hand_vertices("right")}
    surface = GivenSurface(len(hand.vertices), hand.faces)
    given = BatchScene(Bodies({}, MODEL, "", surfaces={"right": surface}), placed, CAMERA, known)
    for term in (BatchPenetration(1.0), Sliding(1.0, 0.01), Consistency(1.0, 0.0)):
        value = term.add(grown)
        assert np.allclose(value, term.add(given)) and value.any()
    one, two = grown.pull_back(), given.pull_back()
    assert set(two) == {"object.turn", "object.place"}
    assert all(np.allclose(one[name], x) and x.any() for name, x in two.items())
    assert np.array_equal(grown.drawn().mask, given.drawn().mask)


def test_joints_are_interpolated_at_the_images():
    middle = MOTION.at(np.array([0.5 / 15.0, 1.0 / 15.0]))
    assert np.allclose(middle.world_T_palm[0, :3], MOTION.world_T_palm[:2, :3].mean(axis=0))
    points = seen_points(SKIN, middle, WORLD_T_CAMERA)
    assert np.allclose(
        points[1], transform(inverse(WORLD_T_CAMERA), transform(MOTION.world_T_palm[1], SKIN.points(MOTION.q[1])))
    )
    with pytest.raises(ClipError, match="same clock"):
        MOTION.at(np.array([100.0, 101.0]))


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(ClipError, match="world_T_camera"):
        fit_robot_hand(replace(RECORDING, world_T_camera=None), EVIDENCE, MODEL, recipe(), MOTION)
    with pytest.raises(ClipError, match="--joints"):
        fit_recording(RECORDING, EVIDENCE, ASSET, recipe(), open_hand())
    path = tmp_path / "joints.npz"
    write_joints(path)
    assert np.array_equal(read_robot_motion(path).q, MOTION.q)
    good = dict(np.load(path))
    for change, said in (
        ({"q": good["q"][:, :15]}, r"q has shape \(4, 15\), expected finite numbers \(4, 16\)"),
        ({"world_T_palm": good["world_T_palm"][:2]}, "world_T_palm has shape"),
        ({"time": good["time"][::-1]}, "time must increase"),
        ({"world_T_palm": 2.0 * good["world_T_palm"]}, "unit quaternions"),
    ):
        np.savez(path, **(good | change))
        with pytest.raises(FileFormatError, match=said):
            read_robot_motion(path)
    path.write_bytes(b"nothing")
    with pytest.raises(FileFormatError, match="it needs hand, time"):
        read_robot_motion(path)
