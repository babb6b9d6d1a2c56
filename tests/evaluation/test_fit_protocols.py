"""`dexhot evaluate fit` on small copies of DexYCB and HO-3D, and on a recording without truth."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from dexhot.cli import main
from dexhot.data.files import save
from dexhot.datasets import dexycb
from dexhot.datasets.dexycb_import import get_dexycb
from dexhot.datasets.ho3d_import import get_ho3d
from dexhot.datasets.labelled import LabelledClip
from dexhot.errors import ClipError, NotFoundError
from dexhot.evaluation import fit
from dexhot.evaluation.fit_measures import hand_errors, mask_iou, object_errors
from dexhot.evaluation.fit_protocols import PROTOCOLS, WILD, protocol
from dexhot.fitting.recipe import load_recipe
from dexhot.geometry.boxes import box_of
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.poses import compose, make_pose
from dexhot.geometry.rotations import rotvec_to_quat
from dexhot.hardware.camera.recording import open_recording
from dexhot.humans.open_hand import open_hand
from dexhot.metrics.pose_errors import auc, chamfer, f_score, procrustes, scaled_and_moved
from dexhot.objects.library import save_object
from dexhot.objects.shapes import named_shape, shape_asset
from dexhot.perception.protocols import HandSighting
from dexhot.simulation.scans import make_object
from dexhot.synthesis.files import write_bag

sys.path += [str(Path(__file__).parents[1] / "datasets"), str(Path(__file__).parents[1] / "fitting")]
from layouts import MESH, write_dexycb, write_ho3d

from tiny_clip import tiny_clip

CAMERA = Intrinsics(640, 480, 600.0, 600.0, 320.0, 240.0)
HANDS = np.random.default_rng(0).normal(size=(21, 3)) * 0.05 + [0, 0, 0.6]


def one_piece(name, vertices, faces, **options):
    hull = trimesh.convex.convex_hull(vertices)
    options.setdefault("pieces", [(hull.vertices, hull.faces)])
    return make_object(name, vertices, faces, **options)


@pytest.fixture
def user(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("DEXHOT_CONFIG", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def last_json(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_procrustes_takes_rotation_scale_and_shift_away_and_no_mirror():
    turned = 1.3 * HANDS @ np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    proper = turned if np.linalg.det(np.linalg.lstsq(HANDS, turned, rcond=None)[0]) > 0 else -turned
    assert np.allclose(procrustes(proper + 0.2, HANDS), HANDS)
    assert np.linalg.norm(procrustes(HANDS * [-1, 1, 1], HANDS) - HANDS) > 0.05


def test_ho3d_s_alignment_is_by_wrist_and_middle_knuckle():
    assert np.allclose(scaled_and_moved(1.7 * HANDS + 0.3, HANDS), HANDS)
    bent = HANDS.copy()
    bent[4] += 0.1
    assert np.allclose(np.delete(scaled_and_moved(bent, HANDS), 4, axis=0), np.delete(HANDS, 4, axis=0))


def test_auc_is_the_area_below_five_centimetres():
    assert auc(np.zeros(4)) == 1.0 and auc(np.full(4, 0.06)) == 0.0 and auc(np.array([0.0, 0.025, 0.05, 1.0])) == 0.375


def test_f_score_and_chamfer_look_both_ways():
    near, far = np.zeros((4, 3)), np.tile([0, 0, 1.0], (4, 1))
    both = np.concatenate([near, far])
    assert f_score(both, near, 0.005) == pytest.approx(2 / 3)  # precision a half, recall one
    assert chamfer(both, near) == pytest.approx(0.25) and chamfer(near, both) == pytest.approx(0.25)


def test_hand_errors_are_in_the_tables_units():
    row = hand_errors(HANDS + [0.01, 0, 0], HANDS, CAMERA)
    assert row["mpjpe_cm"] == pytest.approx(1.0) and row["joint_root_cm"] == pytest.approx(0.0, abs=1e-9)
    assert row["joint_pa_cm"] == pytest.approx(0.0, abs=1e-9) and row["joint_auc"] == pytest.approx(1.0)
    assert row["j2d_px"] == pytest.approx((600 * 0.01 / HANDS[:, 2]).mean())


def test_object_errors_know_the_symmetry_and_the_raw_turn():
    asset = shape_asset(named_shape("parametric/cylinder-40x100"))
    true = make_pose([0, 0, 0.7], rotvec_to_quat([0.3, 0.2, 0.1]))
    axis = np.array(asset.symmetry.axis)
    spun = compose(true, make_pose([0, 0, 0], rotvec_to_quat(axis)))
    row = object_errors(asset, spun, true, CAMERA)
    assert row["r_err_deg"] == pytest.approx(np.degrees(1.0)) and row["r_err_reduced_deg"] < 1e-6
    assert row["object_vertex_cm"] > 1.0 > 0.5 > row["add_s_cm"]
    moved = object_errors(asset, true + np.array([0.03, 0, 0, 0, 0, 0, 0]), true, CAMERA)
    assert moved["t_err_cm"] == pytest.approx(3.0) and moved["object_vertex_cm"] == pytest.approx(3.0)


def test_iou_leaves_out_what_a_hand_hides():
    drawn, labels = np.zeros((10, 10), bool), np.zeros((10, 10), int)
    drawn[2:6, 2:6] = True
    labels[2:6, 2:4] = 2
    labels[2:6, 4:6] = 1
    assert mask_iou(drawn, labels) == 1.0
    labels[2:6, 4:6] = 0
    assert mask_iou(drawn, labels) == 0.5


def test_rules_of_the_papers():
    tfhot = protocol("tfhot").part("dexycb")
    assert tfhot.expected == 384 and len(tfhot.objects) == 11 and tfhot.published["TF-HOT"]["t_err_cm"] == 2.39
    homan = protocol("homan").part("ho3d")
    assert homan.expected == 11524 and len(homan.sequences) == 13
    assert homan.published["Liu 2021"]["f5"] < homan.published["Liu 2021"]["f15"]
    assert WILD["TF-HOT"]["iou_object"] == 0.786 and WILD["HOMan, joint"]["contact"] == 0.895
    for one in PROTOCOLS.values():
        for part in one.parts:
            assert all(set(row) <= set(part.metrics) for row in part.published.values())
            assert load_recipe(part.recipe).name == part.recipe
    with pytest.raises(NotFoundError, match="ho3d"):
        protocol("homan").part("dexycb")


def small_dexycb(folder: Path) -> dict:
    """Subject 03 with five sequences, of which the fifth is in s0's test split."""
    for k in range(4):
        place = folder / dexycb.SUBJECTS[2] / f"20200820_10000{k}"
        place.mkdir(parents=True)
        (place / "meta.yml").write_text("{}")
    return write_dexycb(folder, frames=8, sequence="20200820_135508", number=2)


def test_tfhot_on_a_small_copy(user, capsys):
    small_dexycb(user / "dexycb")
    get_dexycb(user / "dexycb", one_piece, accept_licence=True)
    command = ["evaluate", "fit", "--protocol", "tfhot", "--path", str(user / "dexycb"), "--recipe", "default"]
    assert main([*command, "--keypoints", "truth", "--clips", "1", "--out", "out/f.json", "--json"]) == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out.splitlines()[-1])
    assert found["count"] == {"unit": "videos", "expected": 384, "in_copy": 2, "clips_fitted": 1}
    assert not found["complete"] and found["frames"] >= 5 and "5 of 100 sequences" in found["incomplete"][0]
    assert "2 videos in the copy, 384 expected" in shown.err and "TF-HOT" in shown.err
    metrics = found["metrics"]
    assert metrics["mpjpe_cm"] < 3.0 and metrics["t_err_cm"] < 3.0 and metrics["j2d_px"] < 15.0, metrics
    assert json.loads((user / "out" / "f.json").read_text())["metrics"] == metrics


def test_every_second_frame_is_not_the_whole_copy(user, capsys, monkeypatch):
    small_dexycb(user / "dexycb")
    get_dexycb(user / "dexycb", one_piece, accept_licence=True)
    part = replace(protocol("tfhot").parts[0], expected=2)
    monkeypatch.setitem(PROTOCOLS, "tfhot", replace(protocol("tfhot"), parts=(part,)))
    command = ["evaluate", "fit", "--protocol", "tfhot", "--path", str(user / "dexycb"), "--recipe", "default"]
    complete = []
    for more in ([], ["--stride", "2"]):
        assert main([*command, *more, "--keypoints", "truth", "--json"]) == 0
        complete.append(last_json(capsys)["complete"])
    assert complete == [True, False]


def test_frames_without_contact_are_left_out(user):
    small_dexycb(user / "dexycb")
    get_dexycb(user / "dexycb", one_piece, accept_licence=True)
    part = protocol("handypriors").part("dexycb")
    [source, _] = fit.sources(user / "dexycb", part)
    asset = fit.objects_of([source], "dexycb")[source.object_name]
    clip = fit.open_clip(source, user / "dexycb", asset, 8, 1)
    joints, pose = clip.evidence.keypoints["right"][5, :, :3], clip.evidence.object_pose[5]
    distance = fit.touching_distance(asset, pose, joints)
    nearest = np.linalg.norm(joints[:, None] - fit.transform(pose, asset.vertices)[None], axis=-1).min()
    assert distance == pytest.approx(nearest)
    strict = replace(part, contact_within=1e-4)
    recipe, hand = load_recipe("default"), open_hand("right")
    with pytest.raises(ClipError, match=r"no frame .* passed the protocol's filter"):
        fit.evaluate_clip(clip, asset, strict, recipe, hand, hand.table("mano"), None)
    found = fit.evaluate_clip(clip, asset, replace(part, contact_within=1.0), recipe, hand, hand.table("mano"), None)
    assert found.frames == 5 and found.left_out + found.untracked == 3  # in three frames there is no hand
    assert fit.seen_by(clip, None).object_pose.shape == (8, 7) and np.isnan(fit.seen_by(clip, None).object_pose).all()


def test_tfhot_looks_for_keypoints_in_the_boxes_of_the_hands_masks():
    """The other papers' detectors find the hand themselves."""
    recording, evidence, _ = tiny_clip(3)
    clip = LabelledClip(recording, evidence, None, ["0", "1", "2"])
    given = []

    class Boxed:
        def __init__(self):
            self.boxes = {}

        def __call__(self, color):
            given.append(self.boxes)
            self.boxes = {}
            seen = evidence.keypoints["right"][len(given) % 3 - 1]
            return [HandSighting("right", seen[:, 3:5], 0.9, 1.0, np.zeros(21))]

    seen = fit.seen_by(clip, Boxed(), protocol("tfhot").part("dexycb").boxed)
    for box, labels in zip(given, evidence.labels, strict=True):
        assert box["right"] == pytest.approx(box_of(labels == 1))
    assert (seen.labels == evidence.labels).all() and np.isnan(seen.object_pose).all()
    assert seen.keypoints["right"][0, :, 3:5] == pytest.approx(evidence.keypoints["right"][0, :, 3:5])
    given.clear()
    fit.seen_by(clip, Boxed(), protocol("handypriors").part("dexycb").boxed)
    assert given == [{}] * 3


def test_homan_on_a_small_copy_with_the_released_hands(user, capsys):
    truth = write_ho3d(user / "ho3d")
    get_ho3d(user / "ho3d", one_piece, accept_licence=True)
    from dexhot.humans.mano import mano
    from dexhot.humans.skin import KEYPOINT_ORDER

    in_mano = truth["keypoints"][:, np.argsort(KEYPOINT_ORDER)] * [1, -1, -1]
    vertices = np.repeat(truth["keypoints"][:, :1], len(mano("right").vertices), axis=1) * [1, -1, -1]
    (user / "ho3d" / "evaluation_xyz.json").write_text(json.dumps(in_mano.tolist()))
    (user / "ho3d" / "evaluation_verts.json").write_text(json.dumps(vertices.tolist()))
    command = ["evaluate", "fit", "--protocol", "homan", "--path", str(user / "ho3d"), "--recipe", "default", "--json"]
    assert main([*command, "--keypoints", "truth", "--model", "mano", "--submission", "sub/pred.zip"]) == 0
    found = last_json(capsys)
    assert found["count"]["in_copy"] == 6 and found["count"]["expected"] == 11524
    metrics = found["metrics"]
    assert {"hand_vertex_cm", "joint_scale_cm", "object_vertex_cm", "penetration_mm", "contact"} <= set(metrics)
    assert {"mesh_pa_cm", "f5", "f15"} <= set(metrics) and metrics["add_s_cm"] < 2.0
    assert (user / "sub" / "pred.zip").is_file()


def test_without_the_released_hands_the_object_alone_is_scored(user, monkeypatch):
    write_ho3d(user / "ho3d")
    get_ho3d(user / "ho3d", one_piece, accept_licence=True)
    part = protocol("homan").part("ho3d")
    [source] = fit.sources(user / "ho3d", part)
    asset = fit.objects_of([source], "ho3d")[f"ycb/{MESH}"]
    clip = fit.open_clip(source, user / "ho3d", asset, 3, 1)
    assert len(clip.frames) == 3 and not np.isfinite(clip.evidence.keypoints["right"][..., :5]).any()
    bare = replace(clip, evidence=replace(clip.evidence, labels=np.zeros_like(clip.evidence.labels)))
    drawn = fit.with_drawn_masks(bare, asset).evidence.labels
    assert mask_iou(drawn[0] == 2, clip.evidence.labels[0]) > 0.9  # as the segmentation that the tests wrote


def test_a_recording_without_truth_gets_the_proxies(user, capsys):
    recording, evidence, _ = tiny_clip(8)
    asset = shape_asset(named_shape("parametric/box-50x70x100"))
    save_object(replace(asset, name="user/box"))
    write_bag(user / "tiny", recording)
    stamps = open_recording(user / "tiny").time
    save(replace(evidence, time=stamps, provenance={"object": "user/box"}), user / "tiny.evidence.npz")
    assert main(["evaluate", "fit", str(user / "tiny"), "--json"]) == 0
    metrics = last_json(capsys)["metrics"]
    assert metrics["j2d_px"] < 10 and metrics["iou_object"] > 0.8 and metrics["sd_object_mm"] < 4, metrics
    assert 0 <= metrics["contact"] <= 1 and metrics["penetration_mm"] >= 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "either --protocol tfhot"),
        (["--protocol", "tfhot"], "needs your copy of its dataset: --path FOLDER"),
        (["--protocol", "tfhot", "--path", "."], "neither DexYCB .* nor HO-3D"),
        (["x.bag", "--submission", "y.zip"], "--submission is of --protocol"),
    ],
)
def test_wrong_arguments_say_what_to_do(user, capsys, arguments, told):
    assert main(["evaluate", "fit", *arguments]) == 1
    import re

    assert re.search(told, capsys.readouterr().err.replace("\n", " "))


def test_evaluate_still_takes_a_file(user, capsys):
    assert main(["evaluate", "fitting.npz"]) == 1
    assert "fitting.npz" in capsys.readouterr().err
