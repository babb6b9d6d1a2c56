"""The watch viewer: an image is shown with its own labels."""

import time

import numpy as np
import pytest
from std_msgs.msg import Header

from dexhot.geometry.cameras import pinhole
from dexhot.ros.core import messages
from dexhot.ros.see import image_pairs
from dexhot.ros.see.camera_messages import camera_info, image
from dexhot.ros.show import watch_viewer_node
from dexhot.ros.show.watch_viewer_node import KEPT, WatchViewerNode
from node_bench import NodeBench

pytestmark = pytest.mark.ros
CAMERA, BEGIN = pinhole(32, 24, 45.0), 1000.0
PLACE = "world camera_color_optical_frame 0 0 0 1 0 0 0"


@pytest.fixture
def viewer(ros_domain, cache):
    made = NodeBench()
    yield made.start(WatchViewerNode(), static_transforms=[PLACE], port=18320)
    made.close()


def see(node, k: int) -> None:
    """The k-th image: its every pixel is k."""
    header = Header(stamp=messages.to_stamp(BEGIN + k / 30))
    node.pairs.on_info(camera_info(header, CAMERA))
    node.pairs.on_depth(image(header, np.full((24, 32), 500 + k, np.uint16)))
    node.pairs.on_color(image(header, np.full((24, 32, 3), k, np.uint8)))


def label(node, k: int) -> None:
    node.on_labels(image(Header(stamp=messages.to_stamp(BEGIN + k / 30)), np.full((24, 32), k % 4, np.uint8)))


def test_an_image_is_shown_with_its_own_labels_and_without_any_when_none_come(viewer, monkeypatch):
    see(viewer, 0)
    assert viewer.newest.color[0, 0, 0] == 0 and viewer.newest.labels is None, "nothing labels them yet"
    label(viewer, 0)
    for k in (1, 2, 3):
        see(viewer, k)
    assert viewer.newest.color[0, 0, 0] == 0, "the newer ones wait"
    label(viewer, 2)
    shown = viewer.newest
    assert (shown.color[0, 0, 0], shown.depth[0, 0], shown.labels[0, 0]) == (2, 502, 2)
    monkeypatch.setattr(watch_viewer_node, "SILENT", 0.0)
    see(viewer, 4)
    assert viewer.newest.color[0, 0, 0] == 4 and viewer.newest.labels is None


def test_labels_of_an_image_that_is_gone_change_nothing(viewer):
    for k in range(KEPT + 1):
        see(viewer, k)
    label(viewer, 1)
    assert viewer.newest.color[0, 0, 0] == 1
    label(viewer, 0)
    assert viewer.newest.color[0, 0, 0] == 1


def test_a_silent_camera_is_named_with_its_topic_in_diagnostics_and_in_the_browser(viewer, monkeypatch):
    see(viewer, 0)
    label(viewer, 0)
    viewer.draw()
    assert not viewer.warnings and viewer.newest.problem == ""
    late = time.monotonic() + 12.0
    monkeypatch.setattr(image_pairs.time, "monotonic", lambda: late)
    shown = []
    monkeypatch.setattr(viewer.view, "show", lambda now: shown.append(viewer.view._text(now)))
    monkeypatch.setattr(viewer.server, "get_clients", lambda: {0: None})
    viewer.draw()
    why = viewer.warnings["images"]
    assert why.startswith("no depth on /camera/aligned_depth_to_color/image_raw for 12.0 s: no node publishes it")
    assert f"**{why}**" in shown[0]
