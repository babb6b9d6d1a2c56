"""HO-3D in its published layout: OpenGL's frame, depth in two channels, joints in MANO's order, the submission."""

import json
import zipfile

import numpy as np
import pytest
from layouts import MESH, write_ho3d

from dexhot.datasets import ho3d
from dexhot.datasets.ho3d_import import get_ho3d
from dexhot.errors import ClipError, FileFormatError
from dexhot.evaluation.fit import incomplete
from dexhot.evaluation.fit_protocols import protocol
from dexhot.geometry.rotations import quat_angle
from dexhot.objects import list_objects
from dexhot.simulation.scans import make_object


@pytest.fixture
def user(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("DEXHOT_CONFIG", str(tmp_path / "config"))
    return tmp_path


def test_a_training_sequence_has_its_truth_in_the_optical_frame(user):
    truth = write_ho3d(user / "ho3d", "MC1", "train")
    clip = ho3d.labelled_clip(user / "ho3d", "train", "MC1")
    assert np.allclose(clip.evidence.object_pose[:, :3], truth["mesh"][:, :3], atol=1e-9)
    assert quat_angle(clip.evidence.object_pose[:, 3:], truth["mesh"][:, 3:]).max() < 1e-6
    assert np.allclose(clip.truth.hands["right"].keypoints, truth["keypoints"], atol=1e-9)
    pixels = clip.recording.intrinsics.project(truth["keypoints"])
    assert np.allclose(clip.evidence.keypoints["right"][..., 3:5], pixels)
    vertices = clip.evidence.hand_meshes["right"]
    assert np.linalg.norm(vertices[0] - truth["keypoints"][0, 8], axis=1).min() < 1e-6  # the index finger's tip
    labels = clip.evidence.labels[0]
    u, v = np.round(pixels[0, 8]).astype(int)
    assert (labels[v - 4 : v + 5, u - 4 : u + 5] == 1).any() and (labels == 2).sum() > 500
    tip = clip.recording.depth[0, v - 4 : v + 5, u - 4 : u + 5].min()
    assert tip == pytest.approx(1e3 * truth["keypoints"][0, 8, 2], abs=15)
    assert abs(int(clip.recording.depth[0, 0, 0]) - 1200) <= 1
    assert clip.frames[1] == "MC1/0001" and clip.recording.time[1] == pytest.approx(1 / 30)


def test_of_the_evaluation_split_the_wrist_alone_is_known(user):
    truth = write_ho3d(user / "ho3d")
    clip = ho3d.labelled_clip(user / "ho3d", "evaluation", "SM1", stride=2)
    assert clip.truth is None and len(clip.frames) == 3
    assert np.allclose(clip.root, truth["keypoints"][::2, 0], atol=1e-9)
    assert (clip.evidence.keypoints["right"][..., 5] == 0).all()
    assert clip.evidence.boxes["right"][0].tolist() == [200, 100, 400, 300]


def test_objects_are_shared_with_dexycb(user):
    write_ho3d(user / "ho3d")
    hull = lambda name, v, f, **o: make_object(name, v, f, pieces=[(v, f)], **o)  # noqa: E731
    got = get_ho3d(user / "ho3d", hull, accept_licence=True)
    assert got == {"objects": 1, "evaluation": {"sequences": 1, "frames": 6}} and list_objects() == [f"ycb/{MESH}"]


def test_another_version_s_list_of_frames_is_named(user):
    """HOMan's rows are of v2."""
    part = protocol("homan").part("ho3d")
    for count, said in ((11524, []), (20137, ["HO-3D v3"]), (5, ["lists 5 frames; HO-3D v2 has 11,524"])):
        (user / "evaluation.txt").write_text("SM1/0000\n" * count)
        found = incomplete(user, part)
        assert len(found) == len(said) and all(words in one for words, one in zip(said, found))
    (user / "evaluation.txt").write_text("SM1/0000\n" * 20137)
    assert not incomplete(user, protocol("handypriors").part("ho3d"))


def test_a_submission_is_in_mano_s_order_and_opengl_s_frame(user):
    rng = np.random.default_rng(0)
    frames = ["SM1/0000", "AP10/0003"]
    joints = {name: rng.normal(size=(21, 3)) * 0.1 + [0, 0, 0.7] for name in frames}
    vertices = {name: rng.normal(size=(778, 3)) * 0.1 + [0, 0, 0.7] for name in frames}
    path = ho3d.write_submission(user / "pred.zip", frames, joints, vertices)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["pred.json"]
        found_joints, found_vertices = (np.array(part) for part in json.loads(archive.read("pred.json")))
    assert found_joints.shape == (2, 21, 3) and found_vertices.shape == (2, 778, 3)
    assert (found_joints[..., 2] < 0).all()
    for mediapipe, in_mano in (
        (0, 0),
        (1, 13),
        (4, 16),
        (5, 1),
        (8, 17),
        (12, 18),
        (13, 10),
        (16, 19),
        (17, 7),
        (20, 20),
    ):
        assert np.allclose(found_joints[1, in_mano], joints["AP10/0003"][mediapipe] * [1, -1, -1], atol=1e-4)
    del joints["SM1/0000"]
    with pytest.raises(ClipError, match=r"1 of the 2 frames .* the first is SM1/0000"):
        ho3d.write_submission(user / "pred.zip", frames, joints, vertices)


def test_a_damaged_annotation_is_named(user):
    write_ho3d(user / "ho3d")
    path = user / "ho3d" / "evaluation" / "SM1" / "meta" / "0002.pkl"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(FileFormatError, match=r"0002\.pkl was refused"):
        ho3d.labelled_clip(user / "ho3d", "evaluation", "SM1")
