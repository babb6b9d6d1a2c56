"""The world of a camera whose pose is unknown: level with the table."""

import numpy as np
import pytest

from dexhot.data.recording import Recording
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.poses import transform

pytest.importorskip("numba")
from dexhot.perception.world import on_table

CAMERA = Intrinsics(160, 120, 150.0, 150.0, 79.5, 59.5)


def seen(depth):
    image = np.zeros((*depth.shape, 3), np.uint8)
    return Recording("table", np.zeros(1), image[None], np.round(1000 * depth).astype(np.uint16)[None], CAMERA)


def test_up_is_away_from_the_table_and_ahead_is_x():
    v, u = np.mgrid[:120, :160]
    rays = CAMERA.backproject(np.stack([u, v], -1), np.ones(u.shape))
    tilt = np.radians(35)
    n = np.array([0.0, -np.sin(tilt), -np.cos(tilt)])  # the camera looks down at the table, 0.6 m above it
    depth = -0.6 / (rays @ n)
    world_T_camera = on_table(seen(np.where((depth > 0) & (depth < 1.5), depth, 0)))
    table = transform(world_T_camera, rays[60:, ::9] * depth[60:, ::9, None])
    assert np.abs(table[..., 2]).max() < 0.003 and world_T_camera[2] == pytest.approx(0.6, abs=0.003)
    ahead = transform(world_T_camera, np.array([0.0, 0.0, 1.0])) - world_T_camera[:3]
    assert ahead[1] == pytest.approx(0, abs=1e-3) and ahead[0] > 0.5 and ahead[2] < -0.7
    assert transform(world_T_camera, [0.0, 0.0, 0.6 / np.cos(tilt)]) == pytest.approx(np.zeros(3), abs=0.004)


def test_without_a_table_there_is_no_world():
    assert on_table(seen(np.zeros((120, 160)))) is None
    box = np.zeros((120, 160))
    box[50:75, 60:100] = 0.7  # the side of something, alone
    assert on_table(seen(box)) is None
