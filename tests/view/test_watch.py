"""The live view of a person: what is known is drawn where it is, with its uncertainty; what is not seen is hidden."""

import numpy as np
import pytest

from dexhot.geometry.cameras import pinhole
from dexhot.geometry.poses import make_pose, transform
from dexhot.humans.open_hand import open_hand
from dexhot.objects.shapes import named_shape, shape_asset
from dexhot.view.player import new_server
from dexhot.view.watch import SIGMAS, WatchSnapshot, WatchView, tinted

PLACE = make_pose((0.1, 0.2, 0.3), (0.7071067811865476, -0.7071067811865476, 0.0, 0.0))


@pytest.fixture
def view():
    server = new_server("127.0.0.1", 18200)
    yield WatchView(server, "right", shape_asset(named_shape("parametric/sphere-60")), PLACE)
    server.stop()


def snapshot(**ages: float) -> WatchSnapshot:
    now = WatchSnapshot(keypoints=np.random.default_rng(0).normal(0, 0.1, (21, 4)) ** 2)
    now.object_pose = make_pose((0.4, 0.5, 0.6), (1.0, 0, 0, 0))
    now.object_covariance = np.diag([1e-6, 4e-6, 1e-6])
    now.hand = np.zeros(51 + open_hand("right").shape_size)
    now.ages = {"hand": 0.0, "object": 0.0, "hand mesh": 0.0} | ages
    return now


def test_hand_and_object_are_where_they_are_known_with_two_sigmas_around(view):
    now = snapshot()
    view.show(now)
    assert view.joints.points == pytest.approx(now.keypoints[:, :3], abs=1e-6)
    assert view.spheres[3].scale == pytest.approx(SIGMAS * now.keypoints[3, 3])
    assert view.object.position == pytest.approx([0.4, 0.5, 0.6])
    assert view.ellipsoid.scale == pytest.approx(SIGMAS * 0.002)
    assert "2 mm" in view.text.content


def test_the_hands_mesh_is_drawn_in_the_world(view):
    view.show(snapshot())
    rest = open_hand("right").shaped(np.zeros(open_hand("right").shape_size)).rest[16:]
    assert view.skin.vertices == pytest.approx(transform(PLACE, rest), abs=1e-5)


def test_what_is_not_seen_any_more_is_hidden_and_said_to_be(view):
    view.show(snapshot(hand=2.0, object=0.1))
    assert not view.joints.visible and view.object.visible
    assert "hand: not seen for 2.0 s" in view.text.content
    view.show(snapshot(object=1.0))
    assert view.joints.visible and not view.object.visible and not view.ellipsoid.visible


def test_depth_is_drawn_as_points_before_the_camera(view):
    now = snapshot()
    now.camera, now.depth = pinhole(64, 48, 45.0), np.full((48, 64), 500, np.uint16)
    now.color = np.full((48, 64, 3), 90, np.uint8)
    view.show(now)
    assert view.cloud.points[:, 1] == pytest.approx(0.7, abs=1e-4)  # 0.5 m along y, which the camera looks along


def test_labels_tint_the_image():
    color, labels = np.full((4, 4, 3), 100, np.uint8), np.zeros((4, 4), np.uint8)
    labels[0] = 2
    out = tinted(color, labels)
    assert (out[1:] == 100).all() and (out[0] != 100).any()
    assert (tinted(color, labels[:2]) == color).all()  # labels of another size
