"""Signed distance to a union of convex pieces, against closed forms."""

import numpy as np
import pytest

from dexhot.geometry.sdf import SPACING, ConvexUnion, _sample

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


def test_a_triangle_is_sampled_by_its_area_however_thin_it_is():
    sliver = np.array([[[0.0, 0, 0], [0.1, 0, 0], [0.05, 0.001, 0]]])
    points, owner = _sample(np.concatenate([sliver, 0.1 * np.eye(3)[None]]))
    thin, wide = points[owner == 0], points[owner == 1]
    assert len(thin) < 2.5 * 0.1 / SPACING
    assert np.ptp(thin[:, 0]) > 0.09 and np.diff(np.sort(thin[:, 0])).max() < 1.1 * SPACING
    area = 0.1**2 * np.sqrt(3) / 2
    assert 0.8 < len(wide) * SPACING**2 / area < 1.6
    inside = wide.sum(axis=1) / 0.1
    np.testing.assert_allclose(inside, 1.0)


def test_a_rod_of_slivers_has_the_distance_of_a_cylinder():
    angle = np.linspace(0.0, 2.0 * np.pi, 120, endpoint=False)
    ring = 0.01 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    rod = ConvexUnion([(np.concatenate([np.c_[ring, np.full(120, z)] for z in (-0.1, 0.1)]), None)])
    x = np.random.default_rng(0).uniform([-0.03, -0.03, -0.09], [0.03, 0.03, 0.09], (5000, 3))
    off = np.linalg.norm(x[:, :2], axis=1)
    error = np.abs(rod.distance(x[off > 0.005])[0] - (off[off > 0.005] - 0.01))
    assert error.max() < 5e-4 and error.mean() < 3e-6  # 3.6e-6 with fifty times as many samples, along each edge
