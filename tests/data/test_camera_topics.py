"""A camera's topics among all others."""

import pytest

from dexhot.data.camera_topics import find_camera
from dexhot.data.topics import COLOR, COLOR_INFO, DEPTH

REALSENSE = ["/camera/camera/color/image_raw", "/camera/camera/aligned_depth_to_color/image_raw"]


def test_realsense_ros_default_names_are_found():
    found = find_camera(REALSENSE)
    assert (found.color, found.depth) == tuple(REALSENSE) and found.info == "/camera/camera/color/camera_info"


def test_ours_are_found_packed_or_not():
    assert find_camera([COLOR, DEPTH]).info == COLOR_INFO
    packed = find_camera([f"{COLOR}/compressed", f"{DEPTH}/compressedDepth"])
    assert packed.depth == f"{DEPTH}/compressedDepth" and packed.namespace == "/camera"


@pytest.mark.parametrize(
    ("namespace", "expected"), [("", "/camera/camera"), ("/a", "/a"), ("a/", "/a"), ("/camera", "/camera")]
)
def test_of_several_the_one_that_was_asked_for(namespace, expected):
    topics = [COLOR, "/a/color/image_rect_raw", "/a/color/image_raw", *REALSENSE]
    found = find_camera(topics, namespace)
    assert found.namespace == expected and found.color.endswith("/image_raw")


def test_no_colour_no_camera():
    assert find_camera([DEPTH, "/color/image_raw/theora"]) is None and find_camera(REALSENSE, "/b") is None
    assert "no aligned depth" in str(find_camera([COLOR]))
