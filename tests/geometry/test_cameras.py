"""The pinhole camera: its conventions, and that its methods undo each other."""

import numpy as np
import pytest

from dexhot.geometry.cameras import Intrinsics, pinhole, pinhole_rays, project_pinhole

CAMERA = Intrinsics(160, 120, 150.0, 160.0, 79.0, 60.0)


def test_a_point_on_the_axis_is_at_the_principal_point_and_x_is_right_y_down():
    assert CAMERA.project([0, 0, 2]).tolist() == [79.0, 60.0]
    assert CAMERA.project([[1, 0, 2], [0, 1, 2]]).tolist() == [[154.0, 60.0], [79.0, 140.0]]


def test_backprojection_undoes_projection():
    points = np.random.default_rng(0).uniform([-1, -1, 0.5], [1, 1, 2], (4, 5, 3))
    np.testing.assert_allclose(CAMERA.backproject(CAMERA.project(points), points[..., 2]), points, atol=1e-12)


def test_distortion_is_brown_conradys():
    camera = Intrinsics(160, 120, 1.0, 1.0, 0.0, 0.0, d=(0.1, 0.02, 0.003, 0.004, 0.005))
    x, y, r2 = 0.3, -0.2, 0.13
    radial = 1 + 0.1 * r2 + 0.02 * r2**2 + 0.005 * r2**3
    expected = [
        x * radial + 2 * 0.003 * x * y + 0.004 * (r2 + 2 * x * x),
        y * radial + 2 * 0.004 * x * y + 0.003 * (r2 + 2 * y * y),
    ]
    np.testing.assert_allclose(camera.project([x, y, 1.0]), expected, atol=1e-12)


def test_every_nth_pixel_sees_the_same_rays():
    fewer = CAMERA.every(3)
    assert (fewer.width, fewer.height) == (54, 40)
    np.testing.assert_allclose(fewer.backproject([7.0, 5.0], 1.0), CAMERA.backproject([21.0, 15.0], 1.0))


def test_the_field_of_view_is_that_of_the_outer_pixels_edges():
    camera = pinhole(640, 480, 60.0)
    top = camera.backproject([camera.cx, -0.5], 1.0)
    assert np.degrees(np.arctan(-top[1])) == pytest.approx(30.0) == camera.fovy / 2 and camera.cx == 319.5


def test_the_four_numbers_and_the_matrix_are_the_camera_without_its_lens():
    points = np.random.default_rng(0).uniform([-1, -1, 0.5], [1, 1, 2], (4, 5, 3))
    np.testing.assert_allclose(project_pinhole(points, CAMERA.pinhole), CAMERA.project(points), atol=1e-12)
    np.testing.assert_allclose(pinhole_rays(CAMERA.project(points), CAMERA.pinhole), points[..., :2] / points[..., 2:])
    images = points @ CAMERA.matrix.T
    np.testing.assert_allclose(images[..., :2] / images[..., 2:], CAMERA.project(points), atol=1e-10)
    assert Intrinsics.from_matrix(160, 120, CAMERA.matrix) == CAMERA
    assert Intrinsics.from_matrix(160, 120, CAMERA.matrix.ravel(), [0.1] * 8).d == (0.1,) * 5


def test_slopes_are_the_derivatives_of_the_projection():
    points, step = np.random.default_rng(0).uniform([-1, -1, 0.5], [1, 1, 2], (6, 3)), 1e-6
    for k, slope in enumerate(np.moveaxis(CAMERA.slopes(points), -1, 0)):
        moved = step * np.eye(3)[k]
        found = (CAMERA.project(points + moved) - CAMERA.project(points - moved)) / (2 * step)
        np.testing.assert_allclose(slope, found, rtol=1e-6, atol=1e-4)


def test_a_cut_and_an_averaged_image_see_the_same_rays():
    cut, mean = CAMERA.cropped(20, 10, 40, 30), CAMERA.averaged(4)
    assert (cut.width, cut.height, mean.width, mean.height) == (40, 30, 40, 30)
    np.testing.assert_allclose(cut.backproject([7.0, 5.0], 1.0), CAMERA.backproject([27.0, 15.0], 1.0))
    np.testing.assert_allclose(mean.backproject([7.0, 5.0], 1.0), CAMERA.backproject([29.5, 21.5], 1.0))
