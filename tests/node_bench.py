"""A node under test and a plain one beside it, on one executor."""

import time

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter

from dexhot.ros.core import messages
from dexhot.ros.core.process import bring_down
from dexhot.ros.core.qos import publish_profile, subscribe_profile
from dexhot.safety.machine import State


class NodeBench:
    """`other` subscribes and publishes in place of the graph; `start` brings up the node under test. Close it."""

    def __init__(self) -> None:
        rclpy.init(args=[])
        self.other, self.executor, self.tested = rclpy.create_node("other"), SingleThreadedExecutor(), None
        self.executor.add_node(self.other)

    def start(self, node, **parameters):
        """Configure and activate `node` with `parameters`; its state and fault_reason show the result."""
        self.tested = node
        given = {"speakers": ["other"]} | parameters
        node.set_parameters([Parameter(name, value=value) for name, value in given.items()])
        self.executor.add_node(node)
        node.trigger_configure()
        if node.state == "inactive":
            node.trigger_activate()
        return node

    def spin_until(self, condition, seconds: float = 60.0) -> bool:
        """Whether `condition()` came true while callbacks ran."""
        deadline = time.monotonic() + seconds
        while not (met := bool(condition())) and time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.02)
        return met

    def listen(self, kind, topic: str, qos: str = "sensor") -> list:
        """The messages of a topic, as they come."""
        heard: list = []
        self.other.create_subscription(kind, topic, heard.append, subscribe_profile(qos))
        return heard

    def publisher(self, kind, topic: str, qos: str = "state"):
        """A publisher to the node under test."""
        return self.other.create_publisher(kind, topic, publish_profile(qos))

    def supervise(self, state: State, t0: float = 0.0) -> None:
        """Be the supervisor."""
        if not hasattr(self, "safety"):
            self.safety = self.publisher(DiagnosticArray, "/safety/state", "latched")
        self.safety.publish(
            messages.safety_state(messages.Safety(state, "", t0), self.other.get_clock().now().to_msg())
        )

    def stop(self) -> None:
        """Deactivate the node under test and clean it up: it may be started again."""
        if self.tested.state == "active":
            self.tested.trigger_deactivate()
        if self.tested.state == "inactive":
            self.tested.trigger_cleanup()

    def close(self) -> None:
        """Give everything back."""
        if self.tested is not None:
            bring_down(self.tested)
            self.tested.destroy_node()
        self.other.destroy_node()
        self.executor.shutdown()
        rclpy.try_shutdown()
