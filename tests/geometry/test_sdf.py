"""Signed distance to a union of convex pieces, against closed forms."""

import numpy as np
import pytest

from dexhot.geometry.sdf import ConvexUnion

CUBE = np.array(np.meshgrid([0, 1], [0, 1], [0, 1])).reshape(3, -1).T * 0.05


@pytest.fixture(scope="module")
def bar():
    """Two 50 mm cubes side by side: a 100 x 50 x 50 mm box whose pieces share a face."""
    return ConvexUnion([(CUBE, None), (CUBE + [0.05, 0, 0], None)])


def test_distance_equals_the_box_everywhere(bar):
    x = np.random.default_rng(0).uniform(-0.05, 0.15, (2000, 3))
    low, high = np.zeros(3), np.array([0.1, 0.05, 0.05])
    outside = np.linalg.norm(np.maximum(np.maximum(low - x, x - high), 0), axis=1)
    inside = np.minimum(x - low, high - x).min(1)
    distance, _ = bar.distance(x)
    np.testing.assert_allclose(distance, np.where(outside > 0, outside, -inside), atol=1e-6)


def test_shared_face_is_not_surface(bar):
    distance, _ = bar.distance(np.array([[0.05, 0.025, 0.025]]))
    assert distance[0] == pytest.approx(-0.025, abs=1e-6)


def test_direction_points_outward_on_both_sides(bar):
    _, direction = bar.distance(np.array([[0.03, 0.02, 0.049], [0.03, 0.02, 0.06]]))
    np.testing.assert_allclose(direction, [[0, 0, 1], [0, 0, 1]], atol=1e-9)


def test_batch_shape_is_kept(bar):
    distance, direction = bar.distance(np.zeros((4, 2, 3)))
    assert distance.shape == (4, 2) and direction.shape == (4, 2, 3)
