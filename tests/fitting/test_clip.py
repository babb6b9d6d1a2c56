"""Keypoint files: what is read, and what is refused with a reason."""

import numpy as np
import pytest

from dexhot.errors import FileFormatError
from dexhot.fitting.clip import convention_of
from dexhot.fitting.keypoint_file import read_keypoints

POINTS = np.random.default_rng(0).normal(size=(4, 21, 3))
CAMERA = np.array([600.0, 600.0, 320.0, 240.0])


def test_3d_keypoints_of_an_npy(tmp_path):
    points = POINTS.copy()
    points[1, 8] = np.nan
    np.save(tmp_path / "k.npy", points)
    sightings, time = read_keypoints(tmp_path / "k.npy")
    assert len(sightings) == 4 and np.allclose(np.diff(time), 1 / 30)
    assert sightings[1].confidence[8] == 0.0 and sightings[1].confidence.sum() == 20.0
    assert np.isfinite(sightings[1].points).all() and np.array_equal(sightings[0].points, POINTS[0])


def test_pixels_with_camera_depth_confidence_and_time(tmp_path):
    path, stamps = tmp_path / "k.npz", np.array([0.0, 0.1, 0.2, 0.4])
    depth = np.full((4, 21), 0.7)
    depth[0, 3] = np.nan
    np.savez(path, pixels=POINTS[..., :2], camera=CAMERA, depth=depth, confidence=np.full((4, 21), 0.5), time=stamps)
    sightings, time = read_keypoints(path)
    assert np.array_equal(time, stamps) and np.array_equal(sightings[2].camera, CAMERA)
    assert sightings[0].depth[3] == 0.0 and sightings[0].points is None
    assert (sightings[0].confidence == 0.5).all()


@pytest.mark.parametrize(
    "arrays, told",
    [
        ({"pixels": POINTS[..., :2]}, r"needs points .* or pixels .* and camera"),
        ({"pixels": POINTS[..., :2], "camera": CAMERA[:3]}, "four numbers fx fy cx cy"),
        ({"pixels": POINTS[..., :2], "camera": -CAMERA}, "positive"),
        ({"points": POINTS[:, :20]}, r"points has shape \(4, 20, 3\), expected \(4, 21, 3\)"),
        ({"points": POINTS, "depth": np.zeros((3, 21))}, "depth has shape"),
        ({"points": POINTS[:0]}, "no frames"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path, arrays, told):
    np.savez(tmp_path / "k.npz", **arrays)
    with pytest.raises(FileFormatError, match=told):
        read_keypoints(tmp_path / "k.npz")


def test_pickled_and_foreign_files_are_refused(tmp_path):
    np.save(tmp_path / "o.npy", np.array([{}], object), allow_pickle=True)
    (tmp_path / "t.npy").write_text("keypoints")
    for name in ("o.npy", "t.npy"):
        with pytest.raises(FileFormatError, match="not a keypoint file"):
            read_keypoints(tmp_path / name)


def test_a_clip_s_convention_is_that_of_its_dataset(lift_clip):
    assert convention_of(lift_clip, "right") == "parametric"
    lift_clip.provenance = {"dataset": "HOT3D"}
    assert convention_of(lift_clip, "right") == "umetrack"
    lift_clip.provenance = {}
    assert convention_of(lift_clip, "right") == "mediapipe"
    lift_clip.hands["right"].model = "mano"
    assert convention_of(lift_clip, "right") == "mano"
