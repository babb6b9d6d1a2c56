"""The rig node of a lab's own rig: it marks the clip, and says when nobody tells where the object is."""

import time

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import Header

from dexhot.control.safety import State
from dexhot.data import files
from dexhot.nodes import messages
from dexhot.nodes.process import bring_down, bring_up
from dexhot.nodes.qos import publish_profile, subscribe_profile
from dexhot.nodes.real_rig_node import RealRigNode

pytestmark = pytest.mark.ros


class Lab:
    """The node, and a client that supervises it."""

    def __init__(self, reference: str):
        rclpy.init(args=["test", "--ros-args", "-p", f"reference:={reference}", "-p", "exit_when_done:=true"])
        self.executor = SingleThreadedExecutor()
        self.node, self.client = RealRigNode(), rclpy.create_node("client")
        for node in (self.node, self.client):
            self.executor.add_node(node)
        self.marks: list[str] = []
        self.client.create_subscription(
            Header, "/rig/episode", lambda m: self.marks.append(m.frame_id), subscribe_profile("latched")
        )
        self.safety = self.client.create_publisher(DiagnosticArray, "/safety/state", publish_profile("latched"))
        self.pose = self.client.create_publisher(PoseWithCovarianceStamped, "/object/pose", publish_profile("state"))
        assert bring_up(self.node), self.node.fault_reason

    def spin_until(self, condition, seconds: float = 20.0) -> bool:
        end = time.monotonic() + seconds
        while not (met := bool(condition())) and time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)
        return met

    def close(self) -> None:
        bring_down(self.node)
        self.executor.shutdown()
        self.node.destroy_node()
        self.client.destroy_node()
        rclpy.try_shutdown()


@pytest.fixture
def lab(ros_domain, lift_reference, tmp_path):
    made = Lab(str(files.save(lift_reference, tmp_path / "reference.npz")))
    yield made
    made.close()


def test_it_says_that_no_pose_comes_until_one_comes(lab):
    assert lab.spin_until(lambda: "pose" in lab.node.warnings)
    assert "/object/pose" in lab.node.warnings["pose"]

    def told() -> bool:
        lab.pose.publish(PoseWithCovarianceStamped())
        return "pose" not in lab.node.warnings

    assert lab.spin_until(told)


def test_a_clip_ends_after_its_last_frame(lab):
    assert lab.spin_until(lambda: lab.marks == ["start 1"])
    tracking = messages.Safety(State.TRACKING, "", lab.node.now() - 0.5)
    lab.safety.publish(messages.safety_state(tracking, lab.node.stamp()))
    assert lab.spin_until(lambda: lab.node.safety.moving)
    assert not lab.node.finished
    past = messages.Safety(State.TRACKING, "", lab.node.now() - lab.node.frames / 60 - 1.0)
    lab.safety.publish(messages.safety_state(past, lab.node.stamp()))
    assert lab.spin_until(lambda: lab.node.finished)
    assert lab.spin_until(lambda: lab.marks == ["start 1", "end 1"])
