"""The RealSense reader against librealsense's software device, recorder and playback; no camera is needed."""

import sqlite3
import sys
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("pyrealsense2", exc_type=ImportError)

from dexhot.errors import FileFormatError, MissingExtraError
from dexhot.hardware.camera import realsense, source
from dexhot.hardware.camera.bag import find_frames
from dexhot.hardware.camera.file import FileCamera
from dexhot.hardware.camera.frames import CameraError, CameraLostError, EndOfFrames
from software_camera import EPOCH, SoftwareCamera, color_image, record

COUNT = 20


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A .db3 file of librealsense's recorder."""
    path = tmp_path_factory.mktemp("realsense") / "recorded.db3"
    record(path, COUNT)
    return path


@pytest.fixture(scope="module")
def live():
    """What the reader gave of a software device that was fed."""
    software = SoftwareCamera()
    camera = realsense.open_device(software.device)
    found = []
    for _ in range(COUNT):  # one by one: a reader that is late misses some
        software.feed(1)
        found.append(camera.read(1.0))
    camera.close()
    return [f for f in found if f is not None]


@pytest.fixture(scope="module")
def played(recording):
    """The recording through librealsense's own playback and alignment: frame number -> frames."""
    rs = realsense.librealsense()
    playback = rs.context().load_device(str(recording))
    playback.set_real_time(True)  # as fast as it can, a busy machine's reader would find the recording over
    camera = realsense.open_device(playback)
    found = [camera.read(1.0)]
    while found[-1] is not None or playback.current_status() != rs.playback_status.stopped:
        found.append(camera.read(0.1))
    camera.close()
    return {f.number: f for f in found if f is not None}


def test_frames_come_as_pairs_with_the_cameras_numbers(live):
    assert len(live) > COUNT / 2
    assert all((f.color == color_image(f.number)).all() for f in live)


def test_stamps_are_those_of_the_camera(live):
    assert all(f.stamp == pytest.approx(EPOCH * 1e-3 + f.number / 30, abs=1e-3) for f in live)


def test_depth_is_aligned_to_colour(live):
    """The box's left edge: column 100 of the depth camera, seen by the colour camera at 0.6 m."""
    frames = live[-1]
    expected = 280 * ((100 + frames.number - 160) / 300 + 0.015 / 0.6) + 160
    edge = np.argmax(frames.depth[120] == 600)
    assert abs(edge - expected) <= 1.5


def test_the_intrinsics_are_the_colour_cameras(live):
    i = live[0].intrinsics
    assert (i.width, i.height, i.fx, i.cx) == (320, 240, 280, 160)


def test_a_recording_read_without_librealsense_is_what_its_playback_gives(recording, played):
    assert len(played) > COUNT / 2
    for frames in find_frames(recording):
        if frames.number in played:
            assert (frames.color == played[frames.number].color).all()
            assert frames.stamp == pytest.approx(played[frames.number].stamp, abs=1e-3)


def test_our_alignment_is_that_of_librealsense(recording, played):
    for frames in find_frames(recording):
        if frames.number in played:
            assert (frames.depth != played[frames.number].depth).mean() < 0.01


def test_a_recording_loses_no_frame(recording):
    assert [int(f.color[0, 0, 0]) for f in find_frames(recording)] == list(range(COUNT))


def test_a_recording_is_a_camera_that_ends(recording):
    recorded = find_frames(recording)
    camera = FileCamera("recorded", recorded.__iter__, sleep=lambda s: None, clock=iter(range(10**6)).__next__)
    found = []
    with pytest.raises(EndOfFrames):
        while True:
            found.append(camera.read(10.0))
    assert [f.number for f in found if f] == list(range(1, COUNT + 1))


def test_a_recording_without_intrinsics_is_refused(recording, tmp_path):
    path = tmp_path / "lacking.db3"
    path.write_bytes(recording.read_bytes())
    with sqlite3.connect(path) as database:
        database.execute(
            "delete from messages where topic_id in (select id from topics where name like '%Color%image/camera_info')"
        )
    with pytest.raises(FileFormatError, match=r"lacks.*Color_0/image/camera_info"):
        find_frames(path)


def test_no_camera_on_usb_is_a_clear_refusal():
    rs = realsense.librealsense()
    if len(rs.context().query_devices()):
        pytest.skip("a camera is connected")
    with pytest.raises(CameraError, match="no RealSense camera is connected"):
        realsense.open_realsense("", 640, 480, 30)


def test_a_camera_that_cannot_be_opened_is_reported(monkeypatch):
    """As far as librealsense goes without one: modes are asked for as it knows them, and starting fails."""
    monkeypatch.setattr(realsense, "connected", lambda: {"12345": "3.2"})
    with pytest.raises(CameraError, match="RealSense 12345 cannot stream 640x480 at 30 Hz"):
        realsense.open_realsense("", 640, 480, 30)
    assert callable(realsense.librealsense().pipeline.try_wait_for_frames)


def test_a_lost_camera_is_not_replaced_by_another(monkeypatch):
    opened = []
    monkeypatch.setattr(realsense, "connected", lambda: {"first": "3.2", "second": "3.2"})
    monkeypatch.setattr(source, "open_realsense", lambda serial, *mode: opened.append(serial))
    open_again = source.camera_source("realsense", source.Mode())
    open_again()
    monkeypatch.setattr(realsense, "connected", lambda: {"second": "3.2"})
    open_again()
    assert opened == ["first", "first"]


def test_a_mode_that_is_not_there_is_refused_without_a_start(monkeypatch):
    """Which would wait 15 s for it."""

    def resolve(pipeline):
        raise RuntimeError("Couldn't resolve requests")

    config = SimpleNamespace(enable_device=lambda *given: None, enable_stream=lambda *given: None, resolve=resolve)
    pipeline = SimpleNamespace(start=lambda config: pytest.fail("started"))
    names = {"stream": SimpleNamespace(color=0, depth=1), "format": SimpleNamespace(rgb8=0, z16=1)}
    rs = SimpleNamespace(
        config=lambda: config, pipeline=lambda: pipeline, pipeline_wrapper=lambda pipeline: pipeline, **names
    )
    monkeypatch.setattr(realsense, "librealsense", lambda: rs)
    monkeypatch.setattr(realsense, "connected", lambda: {"first": "3.2"})
    with pytest.raises(CameraError, match="cannot stream 640x480 at 31 Hz"):
        realsense.open_realsense("first", 640, 480, 31)


def test_an_error_of_the_device_means_that_it_is_lost():
    def wait(ms):
        raise RuntimeError("device disconnected")

    camera = realsense.RealSense("D435", wait, lambda: None)
    with pytest.raises(CameraLostError, match="D435: device disconnected"):
        camera.read(0.1)


def test_stopping_an_unplugged_camera_is_no_error():
    def stop():
        raise RuntimeError("no device")

    realsense.RealSense("D435", lambda ms: (False, None), stop).close()


def test_without_the_extra_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyrealsense2", None)
    realsense.librealsense.cache_clear()
    with pytest.raises(MissingExtraError, match=r"dexhot\[hardware\]"):
        realsense.librealsense()
    realsense.librealsense.cache_clear()
