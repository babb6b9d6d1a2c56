"""Every keypoint in metres: by measured depth, or by the palm's length."""

import numpy as np
import pytest

from dexhot.geometry.cameras import pinhole
from dexhot.perception.hand_scale import PALM_BONES, PALM_RATIOS, filled
from dexhot.perception.protocols import HandSighting
from teleop_hand import flat

CAMERA = pinhole(640, 480, 45.0)


def sighting(points: np.ndarray) -> HandSighting:
    """As a landmark model sees them: pixels, and depth relative to the wrist in pixels."""
    f, z = CAMERA.fx, points[:, 2]
    pixels = points[:, :2] * f / z[:, None] + [CAMERA.cx, CAMERA.cy]
    return HandSighting("right", pixels, 0.9, 1.0, (z / z[0] - 1.0) * f)


@pytest.mark.parametrize("distance", [0.3, 0.7])
@pytest.mark.parametrize("tilt", [0.0, 0.8])
def test_the_palms_length_gives_the_distance_however_the_hand_is_tilted(distance, tilt):
    c, s = np.cos(tilt), np.sin(tilt)
    points = flat(0.5) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) + [0.05, 0.02, distance]
    bones = np.linalg.norm(points[PALM_BONES[:, 0]] - points[PALM_BONES[:, 1]], axis=1)
    found = filled(CAMERA, sighting(points), np.full((21, 3), np.nan), bones.sum() / PALM_RATIOS.sum())
    np.testing.assert_allclose(found, points, rtol=1e-6)


def test_measured_points_are_kept_and_give_the_others_their_distance():
    points = flat(0.5) + [0.05, 0.02, 0.6]
    measured = points.copy()
    measured[[3, 8, 12]] = np.nan
    found = filled(CAMERA, sighting(points), measured, 0.2)  # a wrong palm length does not matter
    np.testing.assert_allclose(found, points, atol=1e-9)
    np.testing.assert_array_equal(found[0], points[0])


class OneHand:
    """Sees the same hand in every image."""

    def __init__(self, points: np.ndarray):
        self.seen = sighting(points)

    def __call__(self, color: np.ndarray) -> list[HandSighting]:
        return [self.seen]


@pytest.mark.parametrize("palm_length", [0.0, 0.095])
def test_a_camera_without_depth_gives_keypoints_in_metres_if_asked(palm_length):
    from dexhot.perception.live import LiveEyes

    eyes = LiveEyes(CAMERA, None, OneHand(flat() + [0, 0, 0.5]), ("right",), None, palm_length)
    seen = eyes.look(np.zeros((480, 640, 3), np.uint8), np.zeros((480, 640), np.uint16), 0.0)
    points = seen.keypoints["right"][:, :3]
    assert np.isfinite(points).all() if palm_length else np.isnan(points).all()
    assert not seen.labels.any()  # no mask without depth
    if palm_length:
        assert points[0, 2] == pytest.approx(0.5, rel=0.1)
