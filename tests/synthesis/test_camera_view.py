"""Where the camera stands."""

import numpy as np

from dexhot.geometry.cameras import pinhole
from dexhot.geometry.poses import inverse, transform
from dexhot.synthesis.view import FARTHEST, NEAREST, in_view, longest_run, look_at, place, shown

CAMERA = pinhole(640, 480, 42.6)


def test_a_camera_looks_at_its_target_and_is_upright():
    pose = look_at(np.array([1.0, -0.5, 0.6]), np.array([0.1, 0.2, 0.05]))
    seen = transform(inverse(pose), np.array([[0.1, 0.2, 0.05], [0.1, 0.2, 0.15]]))
    assert np.allclose(seen[0, :2], 0, atol=1e-12) and seen[0, 2] > 0
    assert abs(seen[1, 0]) < 1e-9 and seen[1, 1] < 0  # up in the world is up in the picture


def test_the_nearest_distance_that_shows_everything_is_taken():
    small, wide = (np.tile(np.eye(3) * s, (4, 1, 1)) for s in (0.05, 0.19))
    near, far = (place(CAMERA, np.zeros(3), 0.3, 0.6, points, 0.0) for points in (small, wide))
    assert near.distance == NEAREST and NEAREST < far.distance <= FARTHEST
    assert in_view(CAMERA, far.world_T_camera, wide).all()
    assert near.frames == slice(0, 4)


def test_of_a_motion_that_is_too_long_the_part_in_view_remains():
    points = np.zeros((50, 1, 3))
    points[:, 0, 0] = np.linspace(-1.5, 1.5, 50)
    view = place(CAMERA, np.zeros(3), np.pi / 2, 0.6, points, 0.5)
    assert view.distance > 0.89 and 5 < view.frames.stop - view.frames.start < 25
    assert in_view(CAMERA, view.world_T_camera, points)[view.frames].all()


def test_the_longest_run():
    assert longest_run(np.array([1, 0, 1, 1, 1, 0, 1, 1], bool)) == slice(2, 5)
    assert longest_run(np.zeros(3, bool)) == slice(0, 0)


def test_a_point_behind_the_camera_is_not_in_view():
    pose = look_at(np.array([1.0, 0.0, 0.5]), np.zeros(3))
    assert not in_view(CAMERA, pose, np.array([[[3.0, 0.0, 1.5]]])).any()


def test_a_keypoint_is_seen_where_its_pixel_shows_the_hand_close_before_it():
    hand = np.zeros((480, 640), bool)
    hand[:, 300:] = True
    depth = np.full(hand.shape, 0.60)  # m, before the camera
    under_skin, behind, on_other, outside = [0.0, 0.0, 0.61], [0.0, 0.0, 0.65], [-0.1, 0.0, 0.61], [2.0, 0.0, 0.61]
    points = np.array([under_skin, behind, on_other, outside])
    assert shown(CAMERA, np.array([0.0, 0, 0, 1, 0, 0, 0]), points, depth, hand) == 0.25
