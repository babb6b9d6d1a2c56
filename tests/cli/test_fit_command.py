"""`dexhot fit` and `dexhot models`: a clip and a keypoint file to a hand model's parameters, and what there is."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.mano_file import write_mano

from dexhot.cli import fit_command, fit_inputs, main
from dexhot.data.files import kind_of, load, save
from dexhot.data.types import Evidence, HandObjectTrajectory
from dexhot.fitting.recipe import load_recipe
from dexhot.geometry.poses import IDENTITY, compose, inverse, make_pose
from dexhot.geometry.rotations import rotvec_to_quat
from dexhot.humans.mano import mano
from dexhot.humans.open_hand import open_hand
from dexhot.humans.skin import HandPose
from dexhot.perception.bag import write_evidence
from dexhot.progress import Progress


def last_line(capsys) -> dict:
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def test_a_clip_gets_parameters_that_give_its_keypoints_again(lift_clip, tmp_path, capsys):
    clip = lift_clip.cut(0, 60)
    save(clip, tmp_path / "lift.npz")
    out, picture = tmp_path / "out" / "fit.npz", tmp_path / "fit.png"
    assert main(["fit", str(tmp_path / "lift.npz"), "--out", str(out), "--picture", str(picture), "--json"]) == 0
    told = last_line(capsys)["hands"]["right"]
    assert told["convention"] == "parametric" and told["residual_mm_mean"] < 2.0
    assert kind_of(picture) == "dexhot/picture"
    fitted = load(out, HandObjectTrajectory)
    track, hand = fitted.hands["right"], open_hand()
    assert track.model == "open_hand" and track.parameters.shape == (60, 61)
    assert np.array_equal(fitted.object_pose, clip.object_pose) and fitted.object_name == clip.object_name
    for row, keypoints in zip(track.parameters[::20], track.keypoints[::20]):
        posed = hand.shaped(row[51:]).posed(HandPose.from_vector(row[:51]))
        assert np.abs(posed.keypoints(hand.table("parametric")) - keypoints).max() < 1e-9
    assert np.abs(track.keypoints - clip.hands["right"].keypoints).max() < 0.02


def test_a_left_hand_is_fitted_by_the_left_model(tmp_path, capsys):
    from dexhot.datasets.parametric import generate

    clip = generate("grasp", "box", 0, side="left")[0].cut(60, 90)
    save(clip, tmp_path / "left.npz")
    assert main(["fit", str(tmp_path / "left.npz"), "--out", str(tmp_path / "o.npz"), "--json"]) == 0
    told = last_line(capsys)["hands"]
    assert set(told) == {"left"} and told["left"]["residual_mm_mean"] < 2.0


def test_a_file_of_pixels_becomes_a_trajectory_of_a_hand_alone(lift_clip, tmp_path, capsys):
    from tests.fitting.seen_keypoints import CAMERA, seen_clip

    truth, sightings = seen_clip("lift", "box", 0)
    parts = {name: np.stack([getattr(s, name) for s in sightings[:20]]) for name in ("pixels", "depth", "confidence")}
    np.savez(tmp_path / "seen.npz", camera=CAMERA, **parts)
    words = [
        "fit",
        str(tmp_path / "seen.npz"),
        "--convention",
        "parametric",
        "--out",
        str(tmp_path / "o.npz"),
        "--json",
    ]
    assert main([*words, "--out", str(tmp_path / "o.npz")]) == 0
    fitted = load(tmp_path / "o.npz", HandObjectTrajectory)
    assert fitted.object_name == "none" and "residual_px_mean" in last_line(capsys)["hands"]["right"]
    assert 1e3 * np.linalg.norm(fitted.hands["right"].keypoints - truth[:20], axis=-1).mean() < 8.0


@pytest.mark.parametrize(
    "words, told",
    [
        (["--convention", "smpl"], "no keypoint convention of the open_hand model named 'smpl'; available: mano"),
        (["--model", "mano"], "MANO_RIGHT.pkl"),
        (["--sigma", "0"], "must be positive"),
    ],
)
def test_what_cannot_be_fitted_is_reported(lift_clip, tmp_path, capsys, monkeypatch, words, told):
    monkeypatch.setenv("DEXHOT_CONFIG", str(tmp_path / "config"))
    save(lift_clip, tmp_path / "lift.npz")
    assert main(["fit", str(tmp_path / "lift.npz"), "--out", str(tmp_path / "o.npz"), *words]) == 1
    assert told in capsys.readouterr().err and not (tmp_path / "o.npz").exists()


def test_evidence_in_place_of_its_recording_is_told_where_it_belongs(tmp_path, capsys):
    seen = tmp_path / "block.evidence.npz"
    save(Evidence("block", np.zeros(1), np.zeros((1, 4, 4), np.uint8), {}, {}, np.full((1, 7), np.nan)), seen)
    assert main(["fit", str(seen)]) == 1
    assert f"`dexhot fit RECORDING --evidence {seen}`" in " ".join(capsys.readouterr().err.split())


def test_a_clip_is_not_replaced_by_its_own_fit(lift_clip, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = save(lift_clip, f"{lift_clip.name.rpartition('/')[2]}.fit.npz")  # the default of --out
    before = path.read_bytes()
    assert main(["fit", str(path)]) == 1
    assert "is the clip itself" in capsys.readouterr().err and path.read_bytes() == before


def test_the_pictures_of_two_hands_replace_no_file_of_the_user(lift_clip, tmp_path, capsys):
    hands = lift_clip.hands | {"left": lift_clip.hands["right"]}
    save(replace(lift_clip, hands=hands), tmp_path / "two.npz")
    (tmp_path / "fit_left.png").write_bytes(b"somebody's")
    words = ["fit", str(tmp_path / "two.npz"), "--out", str(tmp_path / "o.npz"), "--picture", str(tmp_path / "fit.png")]
    assert main(words) == 1
    assert "fit_left.png" in capsys.readouterr().err and (tmp_path / "fit_left.png").read_bytes() == b"somebody's"


def test_the_user_s_mano_file_is_fitted(tmp_path, capsys):
    write_mano(tmp_path)
    hand = mano("right", tmp_path / "MANO_RIGHT.pkl")
    poses = [
        HandPose.from_vector(np.r_[0.3, 0.1, 0.2, 0.1 * c, 0, 0.5, 0.3 * c * np.ones(45)]) for c in (0.0, 0.2, 0.4)
    ]
    truth = np.stack([hand.shaped().posed(pose).keypoints(hand.table("mano")) for pose in poses])
    np.save(tmp_path / "k.npy", truth)
    words = ["fit", str(tmp_path / "k.npy"), "--model", "mano", "--mano", str(tmp_path / "MANO_RIGHT.pkl")]
    assert main([*words, "--out", str(tmp_path / "o.npz"), "--json"]) == 0
    told = last_line(capsys)["hands"]["right"]
    assert told["convention"] == "mano" and told["residual_mm_mean"] < 2.0
    assert load(tmp_path / "o.npz", HandObjectTrajectory).hands["right"].model == "mano"


def test_the_wrong_side_is_refused_before_anything_is_written(lift_clip, tmp_path, capsys):
    np.save(tmp_path / "k.npy", lift_clip.hands["right"].keypoints[:40])
    words = ["fit", str(tmp_path / "k.npy"), "--convention", "parametric", "--out", str(tmp_path / "o.npz")]
    assert main([*words, "--side", "left"]) == 1
    assert "keypoints of a right hand" in capsys.readouterr().err and not (tmp_path / "o.npz").exists()
    assert main(words) == 0


def test_models_says_what_is_missing_and_where_it_goes(tmp_path, capsys, monkeypatch, cache):
    monkeypatch.setenv("DEXHOT_CONFIG", str(tmp_path))
    assert main(["models", "--json"]) == 0
    told, absent = last_line(capsys), "missing: dexhot models get hand-landmarks"
    smpl = "missing: smpl.is.tue.mpg.de; the open body stands in"
    assert [row["status"] for row in told["models"]] == [*["shipped"] * 2, *["missing"] * 2, smpl, *[absent] * 2]
    assert "MANO_RIGHT.pkl" in told["missing"] and str(tmp_path / "mano") in told["missing"]
    (tmp_path / "mano").mkdir()
    (tmp_path / "mano" / "MANO_LEFT.pkl").write_bytes(b"")
    assert main(["models", "--json"]) == 0
    told = last_line(capsys)
    assert told["missing"] is None
    assert [row["status"] for row in told["models"]][2:4] == ["mirrored from the other side", "found"]


def test_a_recording_becomes_a_trajectory_of_hand_and_object(tmp_path, capsys, monkeypatch):
    """`dexhot fit FOLDER` with the evidence beside it: names of recipe, terms and settings are checked first."""
    from tests.tiny_clip import ASSET, tiny_clip

    recording, evidence, points = tiny_clip(6)
    recording.world_T_camera = IDENTITY
    evidence.provenance["object"] = ASSET.name
    save(evidence, tmp_path / "tiny.evidence.npz")
    (tmp_path / "tiny").mkdir()
    monkeypatch.setattr("dexhot.cli.fit_recording.open_recording", lambda path, **_: recording)
    monkeypatch.chdir(tmp_path)
    shown = []
    with monkeypatch.context() as noted:
        noted.setattr(Progress, "__call__", lambda job, *report: shown.append(report))
        words = ["fit", "tiny", "--without", "ground", "--set", "solver.iterations=4", "--picture", "p.png", "--json"]
        assert main(words) == 0
    counted = [report for report in shown if report[2] == "fitting tiny, frames"]
    assert counted == [(k, 6, "fitting tiny, frames") for k in range(1, 7)]
    assert shown[0] == (0, None, "fitting tiny, the hand's shape")
    told = last_line(capsys)
    fitted = load(tmp_path / "tiny.fit.npz", HandObjectTrajectory)
    assert fitted.object_name == ASSET.name and (tmp_path / "p.png").is_file()
    assert "ground" not in fitted.provenance["fit"]["terms"] and told["hand_lost_frames"] == 0
    assert np.linalg.norm(fitted.hands["right"].keypoints - points, axis=-1).mean() < 0.012 and "world" not in told
    recording.world_T_camera = None  # then the plane that is seen, 0.9 m away, is the table
    assert main(["fit", "tiny", "--set", "solver.iterations=4", "--json"]) == 0 and "world" in last_line(capsys)
    height = load(tmp_path / "tiny.fit.npz", HandObjectTrajectory).hands["right"].keypoints[..., 2]
    assert 0.9 - height.mean() == pytest.approx(points[..., 2].mean(), abs=0.012)
    assert main(["fit", "tiny", "--without", "penetrating"]) == 1
    assert "penetration" in capsys.readouterr().err
    (tmp_path / "tiny.evidence.npz").unlink()
    assert main(["fit", "tiny"]) == 1
    assert "dexhot perceive tiny" in " ".join(capsys.readouterr().err.split())


def test_recordings_of_two_cameras_become_one_trajectory(tmp_path, capsys, monkeypatch):
    """`dexhot fit A B`: evidence of each by its name or in order; what is missing or does not fit is named."""
    from tests.tiny_clip import ASSET, tiny_clip

    beside = make_pose([0.6, 0.0, 0.6], rotvec_to_quat(np.array([0.0, -np.pi / 2, 0.0])))
    (first, evidence, points), (second, seen, _) = tiny_clip(4), tiny_clip(4, seed=1, at=beside)
    views = {"a": replace(first, name="a", world_T_camera=IDENTITY), "b": replace(second, name="b")}
    evidence.provenance["object"] = ASSET.name
    for name, found in (("a", evidence), ("b", seen)):
        save(found, tmp_path / f"{name}.evidence.npz")
        (tmp_path / name).mkdir()
    monkeypatch.setattr("dexhot.cli.fit_recording.open_recording", lambda path, **_: views[path])
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "a", "b", "--set", "solver.iterations=4", "--json"]) == 0
    told = last_line(capsys)
    fitted = load(tmp_path / "a.fit.npz", HandObjectTrajectory)
    assert told["views"] == 2 and fitted.provenance["fit"]["views"] == ["a", "b"]
    assert np.linalg.norm(fitted.hands["right"].keypoints - points, axis=-1).mean() < 0.006
    (tmp_path / "b.evidence.npz").rename(tmp_path / "other.npz")
    for words, said in (
        (["a", "b"], "b.evidence.npz does not exist: run `dexhot perceive b`"),
        (["a", "b", "--evidence", "a.evidence.npz"], "not 1 for 2"),
        (["a", "a"], "evidence of two recordings"),
    ):
        assert main(["fit", *words]) == 1
        assert said in " ".join(capsys.readouterr().err.split())
    views["b"].world_T_camera = None
    assert main(["fit", "a", "b", "--evidence", "a.evidence.npz", "other.npz", "--force"]) == 1
    assert "b has no world_T_camera" in " ".join(capsys.readouterr().err.split())


def test_a_lab_s_regressor_starts_the_object(tmp_path, capsys, monkeypatch):
    """`dexhot fit FOLDER --recipe homan --regressor MODULE:FUNCTION`: said, and kept with the trajectory; refused where
    nothing would start from it."""
    from tests.lab_estimators import POSE
    from tests.tiny_clip import ASSET, tiny_clip

    recording, evidence, _ = tiny_clip(3)
    save(evidence, tmp_path / "tiny.evidence.npz")
    (tmp_path / "tiny").mkdir()
    monkeypatch.setattr("dexhot.cli.fit_recording.open_recording", lambda path, **_: recording)
    monkeypatch.chdir(tmp_path)
    name = "tests.lab_estimators:regressor"
    words = ["fit", "tiny", "--object", ASSET.name, "--regressor", name]
    for more, said in (
        ([], "--regressor starts the object of the recipes that never read depth; default starts"),
        (["--recipe", "homan", "--object", "none"], "give --object NAME, not none"),
        (["--recipe", "homan", "--regressor", "lab"], "estimator for --regressor named 'lab'"),
        (["--recipe", "homan", "--regressor", "no.such:make"], "--regressor no.such:make cannot be imported"),
    ):
        assert main([*words, *more]) == 1
        assert said in " ".join(capsys.readouterr().err.split())
    assert not Path("tiny.fit.npz").exists()
    still = ["--set", "solver.coarse_steps=1", "solver.fine_steps=1"]
    assert main([*words, "--recipe", "homan", *still, "--json"]) == 0
    told = last_line(capsys)
    assert told["object_start"] == "regressor" and told["regressor"] == name
    assert told["regressor_frames"] == 3 and told["regressor_score_p50"] == 0.8
    fitted = load(tmp_path / "tiny.fit.npz", HandObjectTrajectory)
    assert fitted.provenance["fit"]["regressor"] == name
    seen = compose(inverse(recording.world_T_camera), fitted.object_pose)  # the command has levelled the world
    assert np.abs(seen[:, :3] - POSE[:3, 3]).max() < 0.05


def test_a_recording_of_a_robot_gives_the_object_s_poses(tmp_path, capsys, monkeypatch):
    """`dexhot fit FOLDER --recipe robot_hand --joints FILE` writes evidence; one without the other is refused."""
    from tests.fitting.test_robot_hand import ASSET, QUICK, write_joints

    recording, evidence, poses = write_joints(tmp_path / "joints.npz")
    save(evidence, tmp_path / "robot.evidence.npz")
    (tmp_path / "robot").mkdir()
    monkeypatch.setattr("dexhot.cli.fit_recording.open_recording", lambda path, **_: recording)
    monkeypatch.chdir(tmp_path)
    words = ["fit", "robot", "--object", ASSET.name, "--recipe", "robot_hand"]
    assert main(words) == 1 and "belong together" in capsys.readouterr().err
    assert main(["fit", "robot", "--object", ASSET.name, "--joints", "joints.npz"]) == 1
    words += ["--joints", "joints.npz"]
    assert main([*words, "--picture", "p.png"]) == 1 and "--picture" in capsys.readouterr().err
    assert main([*words, "--set", *QUICK, "--json"]) == 0
    assert last_line(capsys)["frames_with_object"] == len(poses)
    found = load(tmp_path / "robot.fit.npz", Evidence)
    assert np.linalg.norm(found.object_pose[:, :3] - poses[:, :3], axis=1).max() < 0.05
    assert found.provenance["fit"]["hand"] == "leap_right"
    assert found.provenance["fit"]["object_start"] == "silhouette search"
    start = ["--regressor", "tests.lab_estimators:regressor", "--without", *found.provenance["fit"]["terms"]]
    assert main([*words, *start, "--force", "--json"]) == 0 and last_line(capsys)["object_start"] == "regressor"
    found = load(tmp_path / "robot.fit.npz", Evidence)
    assert np.allclose(found.object_pose, [0.1, 0.05, 0.7, 1, 0, 0, 0])
    assert found.provenance["fit"]["regressor"] == "tests.lab_estimators:regressor"
    save(evidence, tmp_path / "beside.npz")  # a second camera; here it sees the same
    words[2:2] = ["robot", "--evidence", "robot.evidence.npz", "beside.npz"]
    assert main([*words, "--set", *QUICK, "--force", "--json"]) == 0 and last_line(capsys)["views"] == 2


def test_a_picture_of_a_person_is_fitted(tmp_path, monkeypatch, capsys):
    """`dexhot fit IMAGE --recipe body`: what is written is a start again; what is missing is named."""
    from PIL import Image
    from tests.fitting.test_body import ASSET as BOX
    from tests.fitting.test_body import CAMERA, TRUE, seen

    from dexhot.data.labels import LABELS
    from dexhot.fitting.body import read_body_start, write_body_state

    monkeypatch.chdir(tmp_path)
    recording, evidence = seen()
    Image.fromarray(recording.color[0]).save("a.png")
    rows = []
    for category, name in ((1, "right"), (2, "object")):
        flat = (evidence.labels[0] == LABELS[name]).T.ravel()
        edges = np.flatnonzero(np.diff(np.r_[False, flat, not flat[-1]]))
        runs = np.diff(np.r_[0, edges]).tolist()
        segmentation = {"size": [CAMERA.height, CAMERA.width], "counts": runs}
        rows.append({"image_id": 1, "category_id": category, "segmentation": segmentation})
    images = [{"id": 1, "file_name": "a.png", "width": CAMERA.width, "height": CAMERA.height}]
    categories = [{"id": 1, "name": "person"}, {"id": 2, "name": "suitcase"}]
    Path("coco.json").write_text(json.dumps({"images": images, "categories": categories, "annotations": rows}))
    write_body_state(TRUE, Path("start.npz"))
    words = ["fit", "a.png", "--recipe", "body", "--object", BOX.name, "--coco", "coco.json", "--category", "suitcase"]
    assert main(words) == 1 and "--start" in capsys.readouterr().err
    fovy = str(np.degrees(2 * np.arctan(0.5 * CAMERA.height / CAMERA.fy)))
    words += ["--start", "start.npz", "--fovy", fovy, "--set", "solver.steps=2", "--json"]
    assert main(words) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["human_iou"] > 0.8 and said["object_iou"] > 0.8
    assert np.allclose(read_body_start(Path("a.body.npz")).position, TRUE.position, atol=0.05)
    assert said["object_start"] == "given"
    assert main(words) == 1 and "--force" in capsys.readouterr().err
    words += ["--force", "--regressor", "tests.lab_estimators:regressor"]
    assert main(words) == 1 and "start.npz has the object's pose" in capsys.readouterr().err
    write_body_state(replace(TRUE, object_pose=np.full((1, 7), np.nan)), Path("start.npz"))
    assert main([*words, "--without", *load_recipe("body").terms]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["object_start"] == "regressor" and said["regressor_frames"] == 1
    assert read_body_start(Path("a.body.npz")).object_pose[0] == pytest.approx([0.1, 0.05, 0.7, 1, 0, 0, 0])


def test_the_evidence_may_be_the_bag_that_perceive_wrote(tmp_path):
    from tests.tiny_clip import tiny_clip

    recording, evidence, _ = tiny_clip(2)
    path = write_evidence(evidence, tmp_path / "bag")
    args = fit_command.Args("clip", evidence=(path,), object="none")
    [found], asset = fit_inputs.seen_in(args, [recording])
    assert asset is None and (found.labels == evidence.labels).all()
    assert found.keypoints["right"] == pytest.approx(evidence.keypoints["right"], abs=1e-3, nan_ok=True)
