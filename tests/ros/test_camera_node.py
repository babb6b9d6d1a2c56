"""The camera node: realsense2_camera's topics, a device that is pulled and put back, recordings that end."""

import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image

from dexhot.data.topics import COLOR, COLOR_INFO, DEPTH, DEPTH_INFO
from dexhot.hardware.camera.drawn import SimCamera
from dexhot.hardware.camera.frames import CameraError, CameraLostError, EndOfFrames, Frames
from dexhot.ros.core import messages
from dexhot.ros.see import camera_node
from node_bench import NodeBench

pytestmark = pytest.mark.ros


class Cable:
    """What the test does to the device."""

    def __init__(self) -> None:
        self.plugged, self.opened, self.closed = threading.Event(), 0, 0
        self.plugged.set()
        self.blind = False  # without depth
        self.failure: Exception | None = None


class Device(SimCamera):
    """The drawn scene, behind a cable."""

    name = "D435"

    def __init__(self, cable: Cable):
        super().__init__(160, 120, 30.0)
        self.cable = cable
        if not cable.plugged.is_set():
            raise CameraError("no camera is connected")
        cable.opened += 1

    def read(self, timeout):
        if self.cable.failure:
            raise self.cable.failure
        if not self.cable.plugged.is_set():
            raise CameraLostError("device disconnected")
        frames = super().read(timeout)
        return replace(frames, depth=None) if frames and self.cable.blind else frames

    def close(self):
        self.cable.closed += 1


class CameraBench(NodeBench):
    """An active camera node on a device behind a cable."""

    def __init__(self, cable: Cable):
        super().__init__()
        self.cable = cable
        self.node = self.start(camera_node.CameraNode(), silence=0.5, retry=0.1)


@pytest.fixture
def bench(ros_domain, monkeypatch):
    cable = Cable()
    monkeypatch.setattr(camera_node, "camera_source", lambda text, mode: lambda: Device(cable))
    made = CameraBench(cable)
    yield made
    made.close()


def test_images_come_under_the_names_and_encodings_of_realsense2_camera(bench):
    color, depth, info = bench.listen(Image, COLOR), bench.listen(Image, DEPTH), bench.listen(CameraInfo, COLOR_INFO)
    assert bench.spin_until(lambda: color and depth and info)
    assert (color[0].encoding, depth[0].encoding, color[0].width, depth[0].step) == ("rgb8", "16UC1", 160, 320)
    assert color[0].header.frame_id == "camera_color_optical_frame" and info[0].k[0] == 150.0
    assert np.frombuffer(depth[0].data, np.uint16).max() == 800


def test_colour_depth_and_info_of_one_moment_have_one_stamp(bench):
    heard = [bench.listen(Image, COLOR), bench.listen(Image, DEPTH), bench.listen(CameraInfo, COLOR_INFO)]
    assert bench.spin_until(lambda: all(len(h) > 5 for h in heard))
    stamps = [{messages.seconds(m.header.stamp) for m in h} for h in heard]
    assert len(stamps[0] & stamps[1] & stamps[2]) > 2


def test_a_pulled_cable_is_reported_and_a_put_back_one_goes_on(bench):
    node, cable = bench.node, bench.cable
    assert bench.spin_until(lambda: node.camera.health.frames > 3)
    cable.plugged.clear()
    assert bench.spin_until(lambda: "no camera is connected" in node.warnings.get("lost", ""))
    assert node.state == "active" and cable.closed == 1
    cable.plugged.set()
    seen = node.camera.health.frames
    assert bench.spin_until(lambda: node.camera.health.frames > seen + 3 and not node.warnings)
    assert node.values["reconnects"] == 1 and cable.opened == 2


def test_age_drops_and_reconnects_are_in_the_diagnostics(bench):
    heard = bench.listen(DiagnosticArray, "/diagnostics", "state")

    def values() -> dict:
        return {v.key: v.value for m in heard[-1:] for s in m.status for v in s.values}

    assert bench.spin_until(lambda: float(values().get("age.count", 0)) > 0 and "rate_hz" in values())
    assert {"frames", "dropped", "reconnects", "stamps_back", "age.p99_ms", "rate_hz"} <= values().keys()


def test_the_end_of_a_recording_ends_the_node(bench):
    node, cable = bench.node, bench.cable
    cable.failure = EndOfFrames("over")
    assert bench.spin_until(lambda: "end of" in node.finished) and node.exit_code == 0


def test_an_error_while_reading_is_a_fault(bench):
    node, cable = bench.node, bench.cable
    cable.failure = ValueError("half an image")
    assert bench.spin_until(lambda: "half an image" in node.fault_reason)
    assert "cannot be read any more" in node.finished and node.exit_code == 1, "and its graph ends with it"
    assert node.state == "inactive" and cable.closed == 1


def test_a_camera_that_is_not_there_refuses_activation(bench):
    node, cable = bench.node, bench.cable
    node.trigger_deactivate()
    cable.plugged.clear()
    node.trigger_activate()
    assert node.state == "inactive" and "no camera is connected" in node.fault_reason


@pytest.mark.parametrize(("patience", "waits"), [(60.0, True), (0.1, False)])
def test_frames_wait_for_their_audience_and_not_for_ever(bench, patience, waits):
    node = bench.node
    bench.stop()
    node.set_parameters([Parameter("audience", value="other"), Parameter("patience", value=patience)])
    node.trigger_configure()
    heard = [bench.listen(kind, topic) for kind, topic in ((Image, COLOR), (Image, DEPTH), (CameraInfo, COLOR_INFO))]
    node.trigger_activate()
    assert bench.spin_until(lambda: node.camera.health.frames > 10)
    assert (sum(node.publisher.published.values()) == 0) == waits
    heard.append(bench.listen(CameraInfo, DEPTH_INFO))
    assert bench.spin_until(lambda: all(heard))


def test_no_depth_info_without_depth(bench):
    bench.cable.blind = True
    seen = bench.node.camera.health.frames
    assert bench.spin_until(lambda: bench.node.camera.health.frames > seen + 1)
    heard = [bench.listen(CameraInfo, topic) for topic in (COLOR_INFO, DEPTH_INFO)]
    assert bench.spin_until(lambda: len(heard[0]) > 3) and not heard[1]


def test_no_heartbeat_before_the_first_frame(bench):
    node = bench.node
    assert bench.spin_until(node.alive)
    assert node.camera.health.frames > 0


def test_a_recorded_operator_waits_to_and_fro_until_the_clutch_engages():
    node = SimpleNamespace(engaged=False, stopped=False, first=[], camera=SimpleNamespace(recorded=True))
    node.p, shown = SimpleNamespace(hold=0.003, fps=1000, hold_timeout=60.0), []

    def publish(frames):
        shown.append(frames.number)
        node.engaged = len(shown) == 7

    node.publisher = SimpleNamespace(publish=publish)
    for k in range(4):  # the fourth comes after the clutch engaged
        camera_node.CameraNode.wait_with(node, Frames(float(k), k, np.zeros((2, 2, 3), np.uint8), None, None))
    assert shown == [2, 1, 0, 0, 1, 2, 2] and not node.first


def test_a_recorded_operator_waits_no_longer_than_the_timeout_and_says_what_the_clutch_waits_for():
    done, shown = [], []
    node = SimpleNamespace(engaged=False, stopped=False, first=[], camera=SimpleNamespace(recorded=True))
    node.p = SimpleNamespace(hold=0.003, fps=1000, hold_timeout=0.02)
    node.publisher = SimpleNamespace(publish=shown.append)
    node.finish = lambda why, code: done.append((why, code))
    said = DiagnosticArray(status=[DiagnosticStatus(message="not engaged yet (the hand is lost)")])
    camera_node.CameraNode.on_teleop(node, said)
    for k in range(3):
        camera_node.CameraNode.wait_with(node, Frames(float(k), k, np.zeros((2, 2, 3), np.uint8), None, None))
    assert done == [("the clutch has not engaged within 0.02 s: not engaged yet (the hand is lost)", 1)]
    assert len(shown) > 5 and node.stopped


def test_a_rendered_person_is_a_camera_by_its_staged_file(ros_domain, monkeypatch):
    from dexhot.synthesis import rendered_camera

    made = []
    monkeypatch.setattr(rendered_camera, "RenderedCamera", lambda *given: made.append(given) or Device(Cable()))
    bench = NodeBench()
    node = bench.start(camera_node.CameraNode(), camera="rig:/made/staged.npz", width=320, height=240, fps=15)
    heard = bench.listen(Image, COLOR)
    assert bench.spin_until(lambda: heard) and node.state == "active"
    assert made == [(Path("/made/staged.npz"), 320, 240, 15)]
    bench.close()
