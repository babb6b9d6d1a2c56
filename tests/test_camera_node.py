"""The camera node: realsense2_camera's topics, a device that is pulled and put back, recordings that end."""

import threading
import time

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image

from dexhot.hardware.frames import COLOR, COLOR_INFO, DEPTH, CameraError, CameraLostError, EndOfFrames
from dexhot.hardware.frames_sim import SimCamera
from dexhot.nodes import camera_node, messages
from dexhot.nodes.qos import subscribe_profile

pytestmark = pytest.mark.ros


class Cable:
    """What the test does to the device."""

    def __init__(self) -> None:
        self.plugged, self.opened, self.closed = threading.Event(), 0, 0
        self.plugged.set()
        self.failure: Exception | None = None


class Device(SimCamera):
    """The drawn scene, behind a cable."""

    name = "D435"

    def __init__(self, cable: Cable):
        super().__init__(160, 120)
        self.cable = cable
        if not cable.plugged.is_set():
            raise CameraError("no camera is connected")
        cable.opened += 1

    def read(self, timeout):
        if self.cable.failure:
            raise self.cable.failure
        if not self.cable.plugged.is_set():
            raise CameraLostError("device disconnected")
        return super().read(timeout)

    def close(self):
        self.cable.closed += 1


@pytest.fixture
def graph(ros_domain, monkeypatch):
    """A function that makes an active camera node on a device behind a cable: (node, cable, spin_until, listen)."""
    rclpy.init()
    cable = Cable()
    monkeypatch.setattr(camera_node, "camera_source", lambda text, mode: lambda: Device(cable))
    node, other = camera_node.CameraNode(), rclpy.create_node("other")
    node.set_parameters([Parameter("silence", value=0.5), Parameter("retry", value=0.1)])
    executor = SingleThreadedExecutor()
    for n in (node, other):
        executor.add_node(n)
    node.trigger_configure()
    node.trigger_activate()

    def spin_until(condition, seconds: float = 20.0) -> bool:
        deadline = time.monotonic() + seconds
        while not condition() and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.02)
        return condition()

    def listen(kind, topic, qos: str = "sensor") -> list:
        heard: list = []
        other.create_subscription(kind, topic, heard.append, subscribe_profile(qos))
        return heard

    yield node, cable, spin_until, listen
    if node.state == "active":
        node.trigger_deactivate()
    node.trigger_cleanup()
    for n in (node, other):
        n.destroy_node()
    executor.shutdown()
    rclpy.try_shutdown()


def test_images_come_under_the_names_and_encodings_of_realsense2_camera(graph):
    _, _, spin_until, listen = graph
    color, depth, info = listen(Image, COLOR), listen(Image, DEPTH), listen(CameraInfo, COLOR_INFO)
    assert spin_until(lambda: color and depth and info)
    assert (color[0].encoding, depth[0].encoding, color[0].width, depth[0].step) == ("rgb8", "16UC1", 160, 320)
    assert color[0].header.frame_id == "camera_color_optical_frame" and info[0].k[0] == 150.0
    assert np.frombuffer(depth[0].data, np.uint16).max() == 800


def test_colour_depth_and_info_of_one_moment_have_one_stamp(graph):
    _, _, spin_until, listen = graph
    heard = [listen(Image, COLOR), listen(Image, DEPTH), listen(CameraInfo, COLOR_INFO)]
    assert spin_until(lambda: all(len(h) > 5 for h in heard))
    stamps = [{messages.seconds(m.header.stamp) for m in h} for h in heard]
    assert len(stamps[0] & stamps[1] & stamps[2]) > 2


def test_a_pulled_cable_is_told_and_a_put_back_one_goes_on(graph):
    node, cable, spin_until, _ = graph
    assert spin_until(lambda: node.camera.health.frames > 3)
    cable.plugged.clear()
    assert spin_until(lambda: "no camera is connected" in node.warnings.get("lost", ""))
    assert node.state == "active" and cable.closed == 1
    cable.plugged.set()
    seen = node.camera.health.frames
    assert spin_until(lambda: node.camera.health.frames > seen + 3 and not node.warnings)
    assert node.values["reconnects"] == 1 and cable.opened == 2


def test_age_drops_and_reconnects_are_in_the_diagnostics(graph):
    _, _, spin_until, listen = graph
    heard = listen(DiagnosticArray, "/diagnostics", "state")

    def values() -> dict:
        return {v.key: v.value for m in heard[-1:] for v in m.status[0].values}

    assert spin_until(lambda: float(values().get("age.count", 0)) > 0 and "rate_hz" in values())
    assert {"frames", "dropped", "reconnects", "stamps_back", "age.p99_ms", "rate_hz"} <= values().keys()


def test_the_end_of_a_recording_ends_the_node(graph):
    node, cable, spin_until, _ = graph
    cable.failure = EndOfFrames("over")
    assert spin_until(lambda: "is over" in node.finished) and node.exit_code == 0


def test_an_error_while_reading_is_a_fault(graph):
    node, cable, spin_until, _ = graph
    cable.failure = ValueError("half an image")
    assert spin_until(lambda: "half an image" in node.fault_reason)
    assert node.state == "inactive" and cable.closed == 1


def test_a_camera_that_is_not_there_refuses_activation(graph):
    node, cable, _, _ = graph
    node.trigger_deactivate()
    cable.plugged.clear()
    node.trigger_activate()
    assert node.state == "inactive" and "no camera is connected" in node.fault_reason


def test_no_heartbeat_before_the_first_frame(graph):
    node, _, spin_until, _ = graph
    assert spin_until(node.alive)
    assert node.camera.health.frames > 0
