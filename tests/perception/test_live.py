"""A known object in the images of a live camera."""

import numpy as np
import pytest

from dexhot.geometry.cameras import pinhole
from dexhot.objects.shapes import named_shape, shape_asset

pytest.importorskip("numba")
from dexhot.perception.live import LiveTrack
from dexhot.perception.object_pose import rigid_model
from dexhot.perception.segmentation import ModelMask


def test_an_object_that_nobody_guesses_is_searched_for():
    """In an empty image nothing is found, and nothing fails."""
    camera, box = pinhole(64, 48, 45.0), shape_asset(named_shape("parametric/box-56x70x91"))
    track = LiveTrack(rigid_model(box.vertices, box.faces), ModelMask(camera, box.vertices, box.faces))
    depth, searched = np.full((48, 64), 700, np.uint16), []
    track._search = lambda *given: searched.append(given)
    color = np.zeros((48, 64, 3), np.uint8)
    assert track(camera, depth, 0.0, np.zeros((48, 64), bool), color) == (None, 0.0)
    assert searched[0][-1] is color
