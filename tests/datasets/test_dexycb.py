"""DexYCB's importer on a sequence in the published layout, and its motions alone (left hands, gravity unknown)."""

import numpy as np
import pytest
import trimesh
from layouts import FRAMES, MESH, box, write_dexycb

from dexhot.cli import main
from dexhot.data.files import load
from dexhot.data.types import Evidence, HandObjectTrajectory
from dexhot.datasets import dexycb, list_clips, load_clip
from dexhot.datasets.dexycb_import import get_dexycb
from dexhot.datasets.gravity import carried, common_up, resting_pose, ups
from dexhot.datasets.mirrored import mirrored_pose
from dexhot.errors import FileFormatError, LicenceError, NotFoundError
from dexhot.geometry.poses import compose, inverse, lowest, make_pose, transform
from dexhot.geometry.rotations import quat_angle, rotvec_to_quat
from dexhot.geometry.sdf import ConvexUnion
from dexhot.hardware.camera.recording import open_recording
from dexhot.humans.mano import mano
from dexhot.humans.model_files import mano_file
from dexhot.humans.skin import HandPose
from dexhot.objects import load_object
from dexhot.retargeting.retarget import RetargetOptions, retarget
from dexhot.robots.robot_hand import load_hand
from dexhot.simulation.scans import make_object, resting_object


def one_piece(name, vertices, faces, **options):
    """The hull stands for the decomposition, which takes a minute."""
    hull = trimesh.convex.convex_hull(vertices)
    options.setdefault("pieces", [(hull.vertices, hull.faces)])
    return make_object(name, vertices, faces, **options)


def resting(name, vertices, faces, **options):
    hull = trimesh.convex.convex_hull(vertices)
    options.setdefault("pieces", [(hull.vertices, hull.faces)])
    return resting_object(name, vertices, faces, **options)


@pytest.fixture
def user(cache, tmp_path, monkeypatch):
    """A cache and a configuration folder (for MANO) of one's own."""
    monkeypatch.setenv("DEXHOT_CONFIG", str(tmp_path / "config"))
    return tmp_path


def test_motion_is_the_world_s(user):
    truth = write_dexycb(user / "dexycb", with_pictures=False)
    got = get_dexycb(user / "dexycb", one_piece, accept_licence=True)
    assert got["clips"] == 1 and got["objects"] == 1 and not got["left_out"]
    clip = load_clip(list_clips("dexycb")[0].name)
    seen = np.arange(3, FRAMES)
    assert np.allclose(clip.time, seen / 30.0)
    assert quat_angle(clip.object_pose[:, 3:], clip.object_pose[0, 3:]).max() < 1e-3
    assert np.allclose(clip.object_pose[0, :2], 0.0) and lowest(clip.object_pose[0], box().vertices) == pytest.approx(
        0, abs=1e-4
    )
    lifted = truth["boxes"][seen, 2] - truth["boxes"][0, 2]
    assert np.allclose(clip.object_pose[:, 2] - clip.object_pose[0, 2], lifted, atol=1e-5)
    # both worlds have the same vertical, so distances and heights agree; the heading is free
    keypoints = clip.hands["right"].keypoints
    assert np.allclose(keypoints[..., 2], truth["keypoints"][seen][..., 2], atol=1e-4)
    local = transform(inverse(clip.object_pose)[:, None], keypoints)
    true = transform(inverse(truth["boxes"][seen])[:, None], truth["keypoints"][seen])
    assert np.allclose(np.linalg.norm(local, axis=-1), np.linalg.norm(true, axis=-1), atol=1e-4)
    assert np.allclose(local, true, atol=1e-4)


def test_up_is_the_side_of_the_tag_from_which_cameras_look(user):
    truth = write_dexycb(user / "dexycb", with_pictures=False, tag_turn=(0.0, 1.0, 0.0, 0.0))  # its z down
    get_dexycb(user / "dexycb", one_piece, accept_licence=True)
    clip = load_clip(list_clips("dexycb")[0].name)
    assert np.allclose(clip.hands["right"].keypoints[..., 2], truth["keypoints"][3:, :, 2], atol=1e-4)


def test_without_mano_the_labels_serve(user):
    truth = write_dexycb(user / "dexycb", with_pictures=False)
    for side in ("left", "right"):
        mano_file(side).unlink()
    get_dexycb(user / "dexycb", one_piece, accept_licence=True)
    clip = load_clip(list_clips("dexycb")[0].name)
    assert clip.hands["right"].model == ""
    assert np.allclose(clip.hands["right"].keypoints[..., 2], truth["keypoints"][3:, :, 2], atol=1e-4)


def test_mano_s_parameters_are_in_the_world(user):
    write_dexycb(user / "dexycb", with_pictures=False)
    get_dexycb(user / "dexycb", one_piece, accept_licence=True)
    track = load_clip(list_clips("dexycb")[0].name).hands["right"]
    hand = mano("right")
    posed = hand.shaped(track.parameters[5, 51:]).posed(HandPose.from_vector(track.parameters[5, :51]))
    assert np.allclose(posed.keypoints(hand.table("mano")), track.keypoints[5], atol=1e-9)


def test_left_hands_are_mirrored_with_their_object(user):
    write_dexycb(user / "dexycb", side="left", with_pictures=False)
    assert get_dexycb(user / "dexycb", one_piece, accept_licence=True)["objects"] == 2
    clip = load_clip(list_clips("dexycb")[0].name)
    assert set(clip.hands) == {"right"} and clip.object_name == f"ycb/{MESH}-mirrored"
    get_dexycb(user / "dexycb", one_piece, accept_licence=True, mirror=False)
    kept = load_clip(f"dexycb/{dexycb.SUBJECTS[0]}_20200709_141754")
    assert set(kept.hands) == {"left"} and kept.object_name == f"ycb/{MESH}"
    gap = {}
    for one, side in ((clip, "right"), (kept, "left")):
        solid = ConvexUnion(load_object(one.object_name).pieces)
        gap[side] = solid.distance(transform(inverse(one.object_pose)[:, None], one.hands[side].keypoints))[0]
    assert np.allclose(gap["right"], gap["left"], atol=1e-6)
    hand = mano("right")
    row = clip.hands["right"].parameters[7]
    mirrored = mano("left").mirrored().shaped(row[51:]).posed(HandPose.from_vector(row[:51]))
    assert np.allclose(mirrored.keypoints(hand.table("mano")), clip.hands["right"].keypoints[7], atol=1e-9)


def test_a_recording_has_its_truth_beside_it(user):
    truth = write_dexycb(user / "dexycb", frames=20)
    name = f"{truth['name']}/{truth['serials'][1]}"
    command = ["datasets", "get", "dexycb", "--path", str(user / "dexycb"), "--accept-licence", "dexycb"]
    assert main([*command, "--recording", name, "--out", str(user / "out")]) == 0
    recording = open_recording(user / "out" / "bag")
    assert len(recording) == 20 and recording.intrinsics.fx == 615.0 and recording.has_depth
    evidence, clip = (
        load(user / "out" / "truth_evidence.npz", Evidence),
        load(user / "out" / "truth.npz", HandObjectTrajectory),
    )
    camera = truth["cameras"][1]
    assert np.allclose(evidence.object_pose[5], compose(inverse(camera), truth["boxes"][5]), atol=1e-5)
    assert set(np.unique(evidence.labels)) == {0, 1, 2} and not (evidence.labels[:3] == 1).any()
    seen = evidence.keypoints["right"]
    assert np.isnan(seen[:3, :, :5]).all() and (seen[:3, :, 5] == 0).all() and (seen[3:, :, 5] == 1).all()
    points = transform(inverse(camera), truth["keypoints"][8])
    assert np.allclose(seen[8, :, :3], points, atol=1e-5)
    assert np.allclose(seen[8, :, 3:5], recording.intrinsics.project(points), atol=1e-2)
    vertices = evidence.hand_meshes["right"][8]
    assert np.linalg.norm(vertices - points[8], axis=1).min() < 0.02
    back = transform(inverse(recording.world_T_camera), clip.hands["right"].keypoints[8])
    assert np.allclose(back, points, atol=1e-4)
    where = evidence.labels[8] == 2
    assert np.median(recording.depth[8][where]) == pytest.approx(1e3 * evidence.object_pose[8, 2], abs=80)


def test_splits_are_the_toolkit_s():
    s0 = list(dexycb.split_of("s0", "test"))
    assert len(s0) == 8 * 20 * 8 and s0[0] == ("20200820-subject-03", 4, "836212060125")
    assert len(set(dexycb.split_of("s0", "train")) & set(s0)) == 0
    assert {n // 5 for _, n, _ in dexycb.split_of("s3", "test")} == {7, 11, 15}
    with pytest.raises(NotFoundError, match="s0, s1, s2, s3"):
        next(dexycb.split_of("s9", "test"))


def test_terms_must_be_accepted(user):
    write_dexycb(user / "dexycb", with_pictures=False)
    with pytest.raises(LicenceError, match="accept-licence dexycb"):
        get_dexycb(user / "dexycb", one_piece)


def test_another_folder_and_missing_meshes_are_named(user):
    with pytest.raises(FileFormatError, match="is not DexYCB: it needs calibration/"):
        get_dexycb(user, one_piece, accept_licence=True)
    write_dexycb(user / "dexycb", with_pictures=False)
    with pytest.raises(FileFormatError, match=rf"lacks {MESH}/textured_simple\.obj; .*--objects DIR"):
        get_dexycb(user / "dexycb", one_piece, True, objects=user)


def test_up_is_where_most_objects_at_rest_agree():
    rng = np.random.default_rng(0)
    camera_T_world = make_pose([0.1, 0.2, 0.9], rotvec_to_quat([2.0, 0.3, -0.4]))
    up = transform(camera_T_world, [0, 0, 1.0]) - camera_T_world[:3]
    poses = np.stack([make_pose([0, 0, 0.05], rotvec_to_quat(v)) for v in ([0, 0, 0], [1.3, 0, 0], [0, 1.7, 0])])
    candidates, moved = [], []
    for k in range(9):
        tilt = make_pose([0, 0, 0], rotvec_to_quat(np.radians(2) * rng.normal(size=3)))
        yaw = make_pose(rng.normal(size=3), rotvec_to_quat([0, 0, rng.uniform(0, 6)]))
        placed = compose(compose(camera_T_world, compose(tilt, yaw)), poses[k % 3])
        if k == 4:  # held in the air
            placed = compose(placed, make_pose([0, 0, 0], rotvec_to_quat([0.8, 0.5, 0])))
        clip = np.tile(placed, (20, 1))
        clip[10:, :3] += 0.1 * up + 0.3 * rng.normal(size=3) * (np.ones(3) - np.abs(up))
        moved.append(carried(clip))
        rest = resting_pose(clip)
        assert rest[:3] == pytest.approx(placed[:3]) and quat_angle(rest[3:], placed[3:]) < 1e-6
        candidates.append(ups(rest, poses))
    candidates.append(ups(None, poses))
    moved.append(np.zeros(3))
    found = common_up(candidates, np.array(moved))
    upside_down = common_up([np.concatenate([-c, c]) for c in candidates], np.array(moved))
    assert np.degrees(np.arccos(upside_down.up @ up)) < 2.0
    assert np.degrees(np.arccos(found.up @ up)) < 2.0
    assert found.agreeing.tolist() == [True] * 4 + [False] + [True] * 4 + [False]
    assert 0.5 < found.spread_deg < 5.0 and found.error_deg < found.spread_deg


def test_an_object_that_moves_at_once_has_no_rest():
    moving = np.tile([0.0, 0, 0, 1, 0, 0, 0], (30, 1))
    moving[:, 0] = 0.01 * np.arange(30)
    assert resting_pose(moving) is None


def test_mirrored_twice_is_the_same():
    pose = make_pose([0.1, 0.2, 0.3], rotvec_to_quat([0.3, 0.4, 0.5]))
    assert mirrored_pose(mirrored_pose(pose)) == pytest.approx(pose)
    point = np.array([0.01, 0.02, 0.03])
    flip = np.array([-1.0, 1, 1])
    assert transform(mirrored_pose(pose), point * flip) == pytest.approx(transform(pose, point) * flip)


@pytest.fixture(scope="module")
def grasps(shared_data, tmp_path_factory):
    """The bottle's and the box's real grasps, without their pictures."""
    meshes = tmp_path_factory.mktemp("meshes")
    for name in ("003_cracker_box", "006_mustard_bottle"):
        (meshes / f"{name}.obj").write_bytes((shared_data / "ycb" / f"{name}.obj").read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEXHOT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield get_dexycb(shared_data / "dexycb_motion", resting, True, meshes), list_clips("dexycb")


@pytest.mark.data
def test_gravity_of_real_grasps_is_found_and_its_accuracy_reported(grasps):
    got, clips = grasps
    assert got["clips"] == len(clips) == 36
    assert got["gravity"]["sessions"] == 7 and got["gravity"]["spread_deg"] < 4.0 and got["gravity"]["error_deg"] < 2.5


@pytest.mark.data
def test_real_grasps_hold_the_mirrored_object_and_lift_it(grasps):
    near = []
    for info in grasps[1]:
        clip = load_clip(info.name)
        pose, asset = clip.object_pose, load_object(clip.object_name)
        assert set(clip.hands) == {"right"} and clip.object_name.endswith("-mirrored")
        lifted = pose[:, 2] > pose[0, 2] + 0.05
        assert lifted.any(), info.name
        tips = transform(inverse(pose[lifted])[:, None], clip.hands["right"].keypoints[lifted][:, 4::4])
        near.append(np.median(np.sort(np.abs(ConvexUnion(asset.pieces).distance(tips)[0]), axis=1)[:, :3]))
        lowest_points = lowest(pose, asset.vertices)
        assert lowest_points.min() > -0.03
    assert np.median(near) < 0.012  # an unmirrored object, or the wrong pose, is 3 cm off


@pytest.mark.data
def test_a_real_grasp_is_retargeted(grasps):
    name = next(info.name for info in grasps[1] if "mustard" in info.object)
    clip = load_clip(name)
    reference = retarget(clip, load_hand("leap_right"), load_object(clip.object_name), RetargetOptions())
    assert reference.contact[reference.grasp_start].max() > 0.5
