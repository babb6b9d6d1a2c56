"""A webcam and a video as cameras without depth."""

import pytest

from dexhot.hardware.camera.file import FileCamera
from dexhot.hardware.camera.frames import CameraError, CameraLostError
from dexhot.hardware.camera.source import Mode, camera_source, has_depth
from dexhot.hardware.camera.webcam import open_webcam

pytest.importorskip("imageio_ffmpeg")
PATTERN = ("-f", "lavfi")


def test_images_come_in_colour_without_depth_until_the_device_is_gone():
    camera = open_webcam("testsrc=duration=0.2", 64, 48, 10, options=PATTERN)
    frames = [camera.read(1.0) for _ in range(2)]
    assert [f.number for f in frames] == [0, 1] and frames[0].color.shape == (240, 320, 3)  # as it gives them
    assert frames[0].depth is None and frames[1].stamp >= frames[0].stamp
    with pytest.raises(CameraLostError, match="unplugged"):
        while True:
            camera.read(1.0)
    camera.close()


def test_a_missing_device_is_named_with_the_way_to_find_it():
    with pytest.raises(CameraError, match=r"/dev/video77.*ls /dev/video"):
        open_webcam("/dev/video77", 640, 480, 30)


def test_a_video_is_a_recorded_camera(shared_data):
    text = f"video:{shared_data}/hand_video/human_hand_video.mp4"
    camera = camera_source(text, Mode(loop=True))()
    assert isinstance(camera, FileCamera) and camera.read(1.0).depth is None
    camera.close()


@pytest.mark.parametrize("text, depth", [("webcam", False), ("video:x.mp4", False), ("realsense", True), ("sim", True)])
def test_has_depth(text, depth):
    assert has_depth(text) is depth
