"""Normal equations without zeros, and compiled searches, against plain ones."""

import numpy as np
import pytest

from dexhot.fitting import kernels, row_kernels
from dexhot.fitting.frames import nearest_depth
from dexhot.fitting.normal_equations import mirror
from dexhot.humans.open_hand import open_hand
from dexhot.humans.skin import JOINTS, HandPose

RNG = np.random.default_rng(11)
HAND = open_hand()
POSED = HAND.shaped(RNG.normal(size=10)).posed(HandPose.from_vector(0.5 * RNG.normal(size=51)))


def sums(jacobian, weight, residual):
    """J^T W J and J^T W r."""
    return jacobian.T @ (weight[:, None] * jacobian), jacobian.T @ (weight * residual)


def test_rows_are_added_up_where_they_begin():
    jacobian = RNG.normal(size=(30, 6)) * (RNG.random((30, 6)) > 0.5)
    weight, residual = RNG.random(30), RNG.normal(size=30)
    A, g = np.eye(10), np.ones(10)
    row_kernels.add_rows(jacobian, weight, residual, 3, A, g)
    assert not np.triu(A, 1).any()
    mirror(A)
    whole = np.hstack([np.zeros((30, 3)), jacobian, np.zeros((30, 1))])
    wanted = sums(whole, weight, residual)
    assert np.allclose(A, np.eye(10) + wanted[0]) and np.allclose(g, 1.0 + wanted[1])


@pytest.mark.parametrize("with_object", [False, True])
def test_rows_of_points_are_those_of_their_jacobians(with_object):
    """Of joints and vertices, and of none (-1), whose direction does not count."""
    ids = np.concatenate([RNG.integers(0, JOINTS + len(HAND.vertices), 40), [-1, 0, 15]])
    directions, weight, residual = RNG.normal(size=(43, 3)), RNG.random(43), RNG.normal(size=43)
    by_object = RNG.normal(size=(43 if with_object else 0, 6))
    dense = np.einsum("ka,kap->kp", directions, POSED.point_jacobians(np.maximum(ids, 0)))
    dense[ids < 0] = 0.0
    dense = np.hstack([dense, by_object if with_object else np.zeros((43, 6))])
    A, g = np.zeros((57, 57)), np.zeros(57)
    row_kernels.add_point_rows(ids, directions, by_object, weight, residual, POSED.binding, A, g)
    mirror(A)
    wanted = sums(dense, weight, residual)
    assert np.allclose(A, wanted[0]) and np.allclose(g, wanted[1])


def test_rows_of_one_vertex_are_one():
    """As J^T W J and J^T W r have it: the weights' sum, and the weighted mean of the residuals."""
    ids, ways = np.array([5, 2, 5, 5]), RNG.normal(size=(9, 3))
    weight, residual = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.5, -1.0, 0.0, 2.0])
    some, directions, total, mean = row_kernels.summed(ids, ways[ids], weight, residual, 9)
    assert some.tolist() == [5, 2] and total.tolist() == [8.0, 2.0]
    assert np.allclose(mean, [8.5 / 8.0, -1.0]) and np.array_equal(directions, ways[[5, 2]])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_nearest_point_is_found_along_any_axis(axis):
    points, queries = (RNG.normal(size=(n, 3)) * np.where(np.arange(3) == axis, 5.0, 1.0) for n in (150, 200))
    apart = np.linalg.norm(queries[:, None] - points, axis=2)
    wanted = np.where(apart.min(axis=1) < 0.8, apart.argmin(axis=1), -1)
    found = kernels.nearest_point(queries, points, 0.8)
    assert np.array_equal(found, wanted) and 0 < np.count_nonzero(found < 0) < 200
    assert (kernels.nearest_point(queries, points[:0], 0.8) == -1).all()


def test_the_nearest_vertex_faces_the_camera():
    vertices, ids = RNG.normal(size=(300, 3)), RNG.permutation(300)[:200]
    normals, rays = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in RNG.normal(size=(2, 300, 3)))
    points, rays = RNG.normal(size=(100, 3)), rays[:100]
    apart = np.linalg.norm(points[:, None] - vertices[ids], axis=2)
    apart[rays @ normals[ids].T >= -0.3] = np.inf
    wanted = np.where(apart.min(axis=1) < 0.7, ids[apart.argmin(axis=1)], -1)
    found = kernels.nearest(points, rays, vertices, normals, ids, 0.7)
    assert np.array_equal(found, wanted) and 0 < np.count_nonzero(found < 0) < 100


@pytest.mark.parametrize("step, size", [(4, (13, 18)), (3, (9, 11)), (1, (4, 5)), (2, (6, 7))])
def test_the_nearest_depth_is_that_of_the_pixels_around(step, size):
    depth = RNG.integers(0, 4, size).astype(np.uint16) * 100
    depth[-3:] = 0
    reach = step // 2
    for j, row in enumerate(nearest_depth(depth, step)):
        for i, found in enumerate(row):
            around = depth[
                max(0, step * j - reach) : step * j + reach + 1, max(0, step * i - reach) : step * i + reach + 1
            ]
            assert found == (1e-3 * around[around > 0].min() if (around > 0).any() else 0.0)


def test_the_depth_at_a_pixel_is_the_median_of_its_label():
    """In every second pixel; too few of them, or a patch that leaves the image, tell nothing."""
    depth, labels = RNG.integers(500, 600, (30, 40)).astype(np.uint16), RNG.integers(1, 3, (30, 40)).astype(np.uint8)
    labels[:, 30:], depth[20:] = 2, 0
    pixels = np.array([[10.4, 9.6], [30.0, 10.0], [35.0, 10.0], [10.0, 21.0], [2.4, 10.0], [10.0, 27.0]])
    found = kernels.patch_medians(depth, labels, 1, pixels, 3, 4)
    patch = (slice(7, 14, 2), slice(7, 14, 2))
    assert found[0] == pytest.approx(1e-3 * np.median(depth[patch][labels[patch] == 1]))
    assert found[1] > 0 and (found[2:] == 0).all()
