"""The table in a camera's images."""

import numpy as np

from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.planes import TableInView

CAMERA = Intrinsics(160, 120, 150.0, 150.0, 80.0, 60.0)


def depth_of(height: float) -> np.ndarray:
    """mm, of a table so many metres below a camera that looks down and ahead."""
    rays = (np.arange(120)[:, None] - CAMERA.cy) / CAMERA.fy + np.zeros((1, 160))
    slope = np.radians(40.0)
    depth = height / (np.cos(slope) * rays + np.sin(slope))
    return np.where((depth > 0) & (depth < 2.0), 1e3 * depth, 0).astype(np.uint16)


def test_a_table_is_kept_while_it_is_seen_and_sought_again_when_the_camera_moves():
    view = TableInView(CAMERA)
    plane = view(depth_of(0.5))
    assert plane is not None and abs(plane.d + 0.5) < 0.005
    assert np.allclose(plane.n, [0.0, -np.cos(np.radians(40.0)), -np.sin(np.radians(40.0))], atol=0.01)
    covered = depth_of(0.5)
    covered[:20] = 400
    assert view(covered) is plane
    assert view(depth_of(0.8)) is None  # not sought in each image
    found = [view(depth_of(0.8)) for _ in range(40)]
    assert found[-1] is not None and abs(found[-1].d + 0.8) < 0.005


def test_what_fills_little_of_an_image_is_no_table():
    depth = np.zeros((120, 160), np.uint16)
    depth[50:70, 60:90] = 600
    assert TableInView(CAMERA)(depth) is None
    assert TableInView(CAMERA)(np.zeros((120, 160), np.uint16)) is None
