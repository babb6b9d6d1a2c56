"""Rendered clips: pictures, truth and evidence agree with each other, come from the seed, and reach the disk whole."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dexhot.cli import main
from dexhot.data.bags import contents
from dexhot.data.files import kind_of, load
from dexhot.data.types import Evidence, HandObjectTrajectory
from dexhot.datasets.parametric import generate
from dexhot.errors import ClipError, NotFoundError
from dexhot.fitting.frames import frames_of
from dexhot.geometry.poses import compose, inverse, transform
from dexhot.geometry.rotations import quat_to_matrix
from dexhot.geometry.sdf_volume import sdf_volume
from dexhot.hardware.camera.recording import open_recording
from dexhot.humans.skin import HandPose, PosedHand
from dexhot.objects.library import save_object
from dexhot.simulation.renderer import NoRendererError
from dexhot.synthesis import Options, render
from dexhot.synthesis import motion as physical
from dexhot.synthesis.clip import lifted
from dexhot.synthesis.files import settings_of, write_clip
from dexhot.synthesis.scene import LABELS
from dexhot.synthesis.sheet import draw_sheet
from dexhot.synthesis.view import SHOWN, shown

SMALL = Options(seed=3, level="low", rate=8.0, width=160, height=120)


@pytest.fixture(scope="module")
def source():
    """A parametric clip from the approach to the lift, and its object."""
    clip, asset = generate("lift", "box", 0)
    return clip, asset


@pytest.fixture(scope="module")
def part(source):
    """1.5 s of it about the grasp, for what any motion shows."""
    return source[0].cut(60, 150), source[1]


@pytest.fixture(scope="module")
def clip(source):
    """It, rendered: recording, evidence, truth."""
    try:
        return render(*source, SMALL)
    except NoRendererError as e:
        pytest.skip(str(e))


def test_depth_pixels_of_the_table_lie_on_it(clip):
    """Camera pose, intrinsics and depth belong together."""
    recording, _, truth = clip
    v, u = np.nonzero((recording.depth[0] > 0) & (truth.evidence.labels[0] == 0))
    points = recording.intrinsics.backproject(np.stack([u, v], -1), 1e-3 * recording.depth[0][v, u])
    heights = transform(recording.world_T_camera, points)[:, 2]
    assert (np.abs(heights) < 0.004).mean() > 0.8  # the rest is the floor, the sleeve and noise


def test_the_camera_sees_most_of_the_hand(source):
    """With this seed, the view with the largest hand and object is from behind: fingers that neither a detector nor a
    person sees."""
    try:
        recording, _, truth = render(*source, replace(SMALL, seed=0, rate=4.0))
    except NoRendererError as e:
        pytest.skip(str(e))
    seen = [
        shown(recording.intrinsics, recording.world_T_camera, points, 1e-3 * depth, labels == LABELS["right"])
        for points, depth, labels in zip(
            truth.trajectory.hands["right"].keypoints, recording.depth, truth.evidence.labels
        )
    ]
    assert np.mean(seen) > 0.9 * SHOWN, seen


def test_labels_are_where_hand_and_object_are(clip):
    recording, _, truth = clip
    for t in range(len(recording.time)):
        depth, labels = 1e-3 * recording.depth[t], truth.evidence.labels[t]
        mesh = truth.evidence.hand_meshes["right"][t]
        u, v = np.round(recording.intrinsics.project(mesh)).astype(int).T
        front = np.abs(depth[v, u] - mesh[:, 2]) < 0.004  # what the camera sees of the hand
        assert front.sum() > 50 and (labels[v, u][front] == LABELS["right"]).mean() > 0.85
        centre = recording.intrinsics.project(truth.evidence.object_pose[t, :3])
        rows, columns = np.nonzero(labels == LABELS["object"])
        assert np.linalg.norm(centre - [columns.mean(), rows.mean()]) < 14


def test_truth_in_the_world_is_the_truth_in_the_camera(clip):
    recording, _, truth = clip
    track, seen = truth.trajectory.hands["right"], truth.evidence.keypoints["right"]
    assert np.allclose(transform(recording.world_T_camera, seen[..., :3]), track.keypoints, atol=1e-9)
    assert np.allclose(recording.intrinsics.project(seen[..., :3]), seen[..., 3:5])
    camera_T_mesh = compose(inverse(recording.world_T_camera), truth.trajectory.object_pose)
    assert np.allclose(camera_T_mesh, truth.evidence.object_pose)
    assert seen[..., 3:5].min() > 0 and (seen[..., 3:5].max(axis=(0, 1)) < [160, 120]).all()
    assert 0.5 <= recording.provenance["camera_distance_m"] <= 0.9


def test_a_seed_gives_the_same_clip_again_and_another_seed_another(part, clip):
    few = [render(*part, Options(seed=s, level="low", rate=4.0, width=64, height=48), frames=3) for s in (3, 3, 4)]
    (a, seen_a, _), (b, seen_b, _), (c, _, _) = few
    assert np.array_equal(a.color, b.color) and np.array_equal(a.depth, b.depth)
    assert np.array_equal(seen_a.keypoints["right"], seen_b.keypoints["right"], equal_nan=True)
    assert not np.array_equal(a.color, c.color) and not np.allclose(a.world_T_camera, c.world_T_camera)
    assert len(a.time) == 3 and np.allclose(np.diff(a.time), 0.25)


def test_a_second_camera_sees_the_same_moments_from_the_side(source, clip):
    """Round the vertical axis through the motion, with noise of its own."""
    recording, evidence, truth = clip
    beside, seen, again = render(*source, replace(SMALL, turn=90.0))
    assert np.array_equal(beside.time, recording.time) and beside.name == f"{recording.name}-turn90"
    assert np.allclose(again.trajectory.hands["right"].keypoints, truth.trajectory.hands["right"].keypoints)
    assert np.allclose(again.trajectory.object_pose, truth.trajectory.object_pose)
    views = [quat_to_matrix(one.world_T_camera[3:])[:, 2] for one in (recording, beside)]
    assert views[0][2] == pytest.approx(views[1][2]) and views[0][:2] @ views[1][:2] == pytest.approx(0.0, abs=1e-9)
    points = [
        transform(one.world_T_camera, found.keypoints["right"][..., :3])
        for one, found in ((recording, evidence), (beside, seen))
    ]
    gap = np.linalg.norm(np.nanmedian(points[0] - points[1], axis=1), axis=1)
    assert np.nanmedian(gap) < 0.03  # the near skin, of two sides
    off = [
        one.keypoints["right"][..., 3:5] - t.evidence.keypoints["right"][..., 3:5]
        for one, t in ((evidence, truth), (seen, again))
    ]
    assert not np.allclose(*off)


def test_the_hand_stays_outside_of_the_object(source, clip):
    """The recording's keypoints alone would leave it inside: without obstacles the same clip is refused."""
    assert clip[0].provenance["penetration_p95_mm"]["right"] < 2.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(physical.Obstacles, "rows", lambda self, posed, with_shape=False: _nothing())
        with pytest.raises(
            ClipError, match=r"parametric/lift-box-0 cannot be made physical: the right hand is [\d.]+ mm"
        ):
            render(*source, SMALL)


def buried():
    """A clip in which the hand is in the middle of a large box, and that box."""
    clip, asset = generate("lift", "box", 0)
    clip = clip.cut(0, 20)
    clip.name, clip.object_name = "parametric/buried", "user/large"
    large = replace(asset, name="user/large", vertices=4.0 * asset.vertices, resting_poses=np.zeros((0, 7)))
    clip.object_pose[:, :3] = clip.hands["right"].keypoints.mean(axis=1)
    return clip, large


def _nothing():
    return physical.Rows(np.zeros(0), np.zeros((0, 51)), np.zeros(0), 0.0)


def test_a_clip_whose_last_stamp_is_rounded_down_keeps_its_last_frame(source):
    clip = source[0].cut(0, 29)
    clip.time = np.arange(29) / 60.0
    clip.time[-1] -= 1e-9
    time, object_pose, keypoints = physical.resampled(clip, 30.0)
    assert len(time) == 15 and np.allclose(object_pose[-1], clip.object_pose[-1])
    assert np.allclose(keypoints["right"][5], clip.hands["right"].keypoints[10])


def test_fingers_touch_what_they_hold(source, clip):
    """Pushed out of the object, they do not hover beside it."""
    _, _, truth = clip
    mesh, pose = truth.evidence.hand_meshes["right"], truth.evidence.object_pose
    volume = sdf_volume(source[1].vertices, source[1].faces, 0.002)
    gap = [volume.distance(transform(inverse(p), m))[0].min() for p, m in zip(pose[-4:], mesh[-4:])]
    assert np.max(gap) < 0.002


def test_a_clip_that_cannot_be_repaired_is_named(source):
    with pytest.raises(ClipError, match="parametric/buried cannot be made physical: the right hand keeps"):
        render(*buried(), SMALL)


def test_a_level_that_does_not_exist_is_refused_with_the_valid_ones(source):
    with pytest.raises(NotFoundError, match="available: high, low, middle"):
        render(*source, Options(level="none"))


def test_keypoints_are_lifted_by_depth_inside_of_the_mask_only(clip):
    recording, evidence, truth = clip
    found = evidence.keypoints["right"]
    pixels, points = found[..., 3:5], found[..., :3]
    known = np.isfinite(points).all(-1)
    assert known.mean() > 0.3
    off = points[known] - truth.evidence.keypoints["right"][..., :3][known]
    assert np.median(np.linalg.norm(off, axis=1)) < 0.03
    nothing = lifted(pixels, recording.depth, np.zeros_like(evidence.labels, bool), recording.intrinsics)
    assert np.isnan(nothing).all()


def test_a_bag_gives_the_recording_back(clip, tmp_path):
    recording, evidence, truth = clip
    folder = write_clip(tmp_path / "new" / "clip", recording, evidence, truth, {"seed": 3})
    again = open_recording(folder)
    assert np.array_equal(again.depth, recording.depth)
    assert np.abs(again.color.astype(float) - recording.color).mean() < 4  # JPEG
    assert again.intrinsics == recording.intrinsics
    assert np.allclose(np.diff(again.time), np.diff(recording.time), atol=1e-6)
    assert np.allclose(again.world_T_camera, recording.world_T_camera)
    assert set(contents(folder / "bag").counts) == {
        "/camera/color/image_raw/compressed",
        "/camera/color/camera_info",
        "/camera/aligned_depth_to_color/image_raw/compressedDepth",
        "/camera/aligned_depth_to_color/camera_info",
        "/tf_static",
    }
    assert np.array_equal(load(folder / "truth.npz", HandObjectTrajectory).object_pose, truth.trajectory.object_pose)
    assert np.array_equal(load(folder / "truth_evidence.npz", Evidence).labels, truth.evidence.labels)
    found = load(folder / "evidence.npz", Evidence)
    assert found.provenance["level"] == "low" and found.provenance["object"] == truth.trajectory.object_name
    assert len(frames_of(again, found, "right")) == len(again.time)  # `dexhot fit` accepts it beside the bag
    assert settings_of(folder) == {"seed": 3} and settings_of(tmp_path) is None
    assert [p.name for p in folder.parent.iterdir()] == ["clip"]  # no scratch folder is left


def test_the_truths_parameters_are_of_the_rendered_person(clip, source):
    """Rendered hand and open hand differ: no shape of the model that is fitted gives these bones."""
    from dexhot.synthesis.person import draw_person

    _, _, truth = clip
    track = truth.trajectory.hands["right"]
    person = draw_person(np.random.default_rng(SMALL.seed), "right", physical.shape_of(source[0], "right"))
    posed = PosedHand(person.hand.shaped(), HandPose.from_vector(track.parameters[0]))
    assert np.abs(posed.keypoints(person.hand.table("mediapipe")) - track.keypoints[0]).max() < 1e-9


def test_a_contact_sheet_is_a_picture_of_ours(clip, tmp_path):
    recording, evidence, _ = clip
    path = draw_sheet(recording, evidence, tmp_path / "a" / "sheet.png")
    assert kind_of(path) == "dexhot/picture"


@pytest.mark.usefixtures("cache")
def test_the_command_renders_goes_on_and_names_what_it_leaves_out(part, tmp_path, capsys, clip):
    from dexhot.data import save

    bad, large = buried()
    save_object(large)
    save_object(part[1])
    save(bad, tmp_path / "bad.npz")
    save(part[0], tmp_path / "good.npz")
    both = [str(tmp_path / "bad.npz"), str(tmp_path / "good.npz")]
    words = ["--out", str(tmp_path / "out"), "--json"]
    words += ["--rate", "4", "--width", "64", "--height", "48", "--frames", "3", "--picture"]
    assert main(["synth", *both, *words]) == 0
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    (made,) = told["made"]
    assert made["frames"] == 3 and set(told["left_out"]) == {str(tmp_path / "bad.npz")}
    assert "cannot be made physical" in told["left_out"][str(tmp_path / "bad.npz")]
    assert (tmp_path / "out" / "parametric-lift-box-0-seed0-middle" / "sheet.png").is_file()
    assert main(["synth", both[1], *words]) == 0  # what is complete stays
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert told["made"] == [] and told["kept"] == [made["folder"]]
    assert main(["synth", both[1], *words, "--rate", "5"]) == 1  # same folder, other settings
    assert "was not made with these settings" in capsys.readouterr().err
    assert main(["synth", both[0], *words]) == 1  # nothing at all could be rendered
