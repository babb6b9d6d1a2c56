"""Loops over masks, against scipy and numpy; what is marked touches the image's edges too."""

import numpy as np
import pytest
from scipy import ndimage

from dexhot.perception import mask_kernels as kernels

BLOBS = {"inside": (slice(5, 12), slice(6, 17)), "at two edges": (slice(0, 8), slice(14, 24)), "none": (slice(0),) * 2}


@pytest.fixture(params=BLOBS)
def mask(request):
    """(20, 24) bool: a region with holes and ragged edges; a speck away from it."""
    found = np.zeros((20, 24), bool)
    found[BLOBS[request.param]] = np.random.default_rng(0).random(found[BLOBS[request.param]].shape) < 0.8
    found[17, 2] = request.param != "none"
    return found


@pytest.mark.parametrize("times", [1, 2, 3])
def test_grown_and_shrunk_masks_are_scipys(mask, times):
    assert (kernels.dilate(mask, times, True) == ndimage.binary_dilation(mask, iterations=times)).all()
    assert (kernels.dilate(mask, times, False) == ndimage.binary_erosion(mask, iterations=times)).all()


def test_filled_holes_are_scipys(mask):
    expected = ndimage.binary_fill_holes(mask)
    kernels.fill_holes(mask)
    assert (mask == expected).all()


def test_a_pixel_is_near_a_mask_within_its_reach(mask):
    rows, columns = (each.ravel() for each in np.mgrid[:20, :24])
    around = ndimage.maximum_filter(mask, size=5, mode="constant")
    assert (kernels.near(mask, columns, rows, 2) == around.ravel()).all()


def test_depth_about_a_pixel_is_the_median_of_what_is_measured():
    depth = np.random.default_rng(1).uniform(0.4, 0.9, (6, 7)).astype(np.float32)
    depth[2:5, 2:5] = 0.0
    depth[2, 2] = 0.5
    rows, columns = (each.ravel() for each in np.mgrid[:6, :7])
    for value, row, column in zip(kernels.measured_at(depth, columns, rows), rows, columns):
        about = depth[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        assert value == (np.median(about[about > 0]) if (about > 0).any() else 0.0)
    depth[:] = 0.0
    assert not kernels.measured_at(depth, columns, rows).any()
