"""Depth that is not over the table is none of the hand's."""

import numpy as np

from dexhot.fitting import kernels


def test_depth_of_a_label_that_is_not_over_the_plane_is_none():
    """A plane that is tilted about both axes; 30 mm before it, 5 mm before it, and beyond it."""
    camera = np.array([40.0, 50.0, 3.0, 2.0])
    n = np.array([0.3, -0.4, -0.866])
    n /= np.linalg.norm(n)
    v, u = np.mgrid[:5, :7]
    rays = np.stack([(u - 3.0) / 40.0, (v - 2.0) / 50.0, np.ones((5, 7))], axis=-1)
    on = -0.5 / (rays @ n)  # m, of the plane n . x = -0.5
    towards = 1.0 / (rays @ n)  # depth per m of height
    labels = np.full((5, 7), 1, np.uint8)
    labels[:, 0] = 2
    for height, kept in ((0.03, True), (0.005, False), (-0.02, False)):
        depth = np.round(1e3 * (on + height * towards)).astype(np.uint16)
        found = depth.copy()
        kernels.clear_low.py_func(found, labels, 1, camera, np.append(n, -0.5), 0.01)
        assert (found[:, 1:] == (depth if kept else 0 * depth)[:, 1:]).all() and (found[:, 0] == depth[:, 0]).all()
