"""A known object in a live camera's images: guesses, a pose that does not drift, and what its covariance says."""

import numpy as np
import pytest

from dexhot.geometry.cameras import pinhole
from dexhot.geometry.poses import make_pose, matrix_to_pose, pose_to_matrix, transform
from dexhot.geometry.rotations import rotvec_to_quat
from dexhot.objects.shapes import named_shape, shape_asset

pytest.importorskip("numba")
from dexhot.geometry.depth_kernels import draw_depth
from dexhot.perception import live
from dexhot.perception.live import LiveEyes, pose_covariance
from dexhot.perception.object_pose import points_in, rigid_model
from dexhot.perception.segmentation import ModelMask

CAMERA = pinhole(320, 240, 42.0)
BOX = shape_asset(named_shape("parametric/box-50x70x100"))
HERE = make_pose((0.02, 0.01, 0.6), rotvec_to_quat(np.array([0.5, 0.4, -0.7])))


def picture(pose: np.ndarray | None, seed: int = 0, asset=BOX) -> np.ndarray:
    """(H, W) uint16 mm: an object before a wall that is out of reach."""
    z = np.full((CAMERA.height, CAMERA.width), 1e3)
    if pose is not None:
        pinholes = np.array([CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy])
        draw_depth(transform(pose, asset.vertices), np.asarray(asset.faces, np.int64), pinholes, z)
    z[z > 100] = 1.5
    return np.round(1e3 * (z + 0.001 * np.random.default_rng(seed).normal(size=z.shape))).astype(np.uint16)


@pytest.fixture
def eyes(monkeypatch):
    """They may guess, but not search."""
    found = LiveEyes(CAMERA, BOX)
    monkeypatch.setattr(found.track, "_search", lambda *_: None)
    return found


def test_a_guess_finds_an_object_without_a_search(eyes):
    near = make_pose(HERE[:3] + [0.008, -0.005, 0.01], HERE[3:])
    seen = eyes.look(None, picture(HERE), 0.0, guesses=[near])
    assert np.linalg.norm(seen.sighting.pose[:3, 3] - HERE[:3]) < 0.003
    assert (seen.labels == 2).sum() > 500


def test_a_wrong_guess_is_no_object_and_the_next_one_is_tried(eyes):
    away = make_pose(HERE[:3] + [0.2, 0.0, 0.0], HERE[3:])
    assert eyes.look(None, picture(HERE), 0.0, guesses=[away]).sighting is None
    assert eyes.look(None, picture(HERE), 0.1, guesses=[away, HERE]).sighting is not None


def test_an_object_that_is_gone_is_lost_and_found_by_the_guess_of_the_same_image(eyes):
    eyes.look(None, picture(HERE), 0.0, guesses=[HERE])
    assert eyes.look(None, picture(None), 0.1, guesses=[HERE]).sighting is None
    moved = make_pose(HERE[:3] + [-0.08, 0.0, 0.0], HERE[3:])
    seen = eyes.look(None, picture(moved), 0.2, guesses=[moved])
    assert np.linalg.norm(seen.sighting.pose[:3, 3] - moved[:3]) < 0.003


def test_noise_does_not_move_an_object_that_stands_still(eyes):
    poses = [
        matrix_to_pose(eyes.look(None, picture(HERE, seed), seed / 15, guesses=[HERE]).sighting.pose)
        for seed in range(8)
    ]
    assert all(np.array_equal(pose, poses[1]) for pose in poses[2:])
    moved = make_pose(HERE[:3] + [0.01, 0.0, 0.0], HERE[3:])
    seen = eyes.look(None, picture(moved), 0.6)
    assert np.linalg.norm(seen.sighting.pose[:3, 3] - moved[:3]) < 0.003


def test_with_guesses_searches_are_rare(monkeypatch):
    for guesses, most in (([], 6), ([make_pose((0.5, 0, 1.0), (1, 0, 0, 0))], 2)):
        eyes, searched = LiveEyes(CAMERA, BOX), []
        monkeypatch.setattr(eyes.track, "_search", lambda *_, kept=searched: kept.append(1))
        for k in range(30):
            eyes.look(None, picture(None), k / 15, guesses=guesses)
        assert len(searched) == most


def covariance_of(asset, pose: np.ndarray) -> np.ndarray:
    depth = picture(pose, asset=asset) * np.float32(1e-3)
    model = rigid_model(asset.vertices, asset.faces)
    return pose_covariance(model, pose_to_matrix(pose), points_in(CAMERA, depth, depth < 1.2, live.POINTS))


def test_a_turn_that_the_depth_leaves_open_is_uncertain():
    """Of a standing cylinder: about its axis, which is the world's, not the mesh's own."""
    cylinder = shape_asset(named_shape("parametric/cylinder-60x120"))
    tilted = make_pose((0.0, 0.0, 0.6), rotvec_to_quat(np.array([np.pi / 2, 0.0, 0.0])))
    covariance = covariance_of(cylinder, tilted)
    axis = transform(tilted, np.array([0.0, 0.0, 1.0])) - tilted[:3]
    about = float(np.sqrt(axis @ covariance[3:, 3:] @ axis))
    across = float(np.sqrt(covariance[5, 5])) if abs(axis[2]) < 0.5 else float(np.sqrt(covariance[3, 3]))
    assert about > 0.3 and across < 0.1
    box = covariance_of(BOX, HERE)
    assert np.sqrt(np.linalg.eigvalsh(box[3:, 3:])[-1]) < 0.1 and np.sqrt(box[0, 0]) < 0.005


def test_few_points_say_little():
    model, pose = rigid_model(BOX.vertices, BOX.faces), pose_to_matrix(HERE)
    depth = picture(HERE) * np.float32(1e-3)
    points = points_in(CAMERA, depth, depth < 1.2, live.POINTS)
    many, few = (np.trace(pose_covariance(model, pose, part)) for part in (points, points[:6]))
    assert few > 3 * many
    assert np.isfinite(pose_covariance(model, pose, points[:0])).all()


def test_an_object_that_nobody_guesses_is_searched_for():
    """In an empty image nothing is found, and nothing fails."""
    camera, box = pinhole(64, 48, 45.0), BOX
    track = live.LiveTrack(rigid_model(box.vertices, box.faces), ModelMask(camera, box.vertices, box.faces))
    depth, searched = np.full((48, 64), 700, np.uint16), []
    track._search = lambda *given: searched.append(given)
    color = np.zeros((48, 64, 3), np.uint8)
    assert track(camera, depth, 0.0, np.zeros((48, 64), bool), color) == (None, 0.0)
    assert searched[0][-1] is color
