"""Presses a button of a running teleoperation, for machines without a pedal or the ros2 CLI."""

import os
import time

import rclpy
from rclpy.duration import Duration
from sensor_msgs.msg import Joy

from dexhot.bringup.graph import environment
from dexhot.data.topics import relative
from dexhot.errors import DexhotError
from dexhot.ros.core.qos import publish_profile

DISCOVERY = 5.0  # s
BUTTONS = 32  # all of them: which one counts is a parameter of the node


def press(topic: str, on: bool, namespace: str = "") -> str:
    """Publish the button's state once; returns what was done. Raises DexhotError where nobody listens."""
    os.environ.update(environment(os.environ))
    rclpy.init(args=[])
    try:
        node = rclpy.create_node(
            f"dexhot_teleop_{os.getpid()}", namespace=f"/{namespace}", start_parameter_services=False
        )
        publisher = node.create_publisher(Joy, relative(topic), publish_profile("state"))
        deadline = time.monotonic() + DISCOVERY
        while not publisher.get_subscription_count():
            if time.monotonic() > deadline:
                raise DexhotError(
                    f"no node listens to {topic}: start `dexhot up teleop` first, or give its --namespace."
                )
            time.sleep(0.02)
        message = Joy(buttons=[int(on)] * BUTTONS)
        message.header.stamp = node.get_clock().now().to_msg()
        publisher.publish(message)
        publisher.wait_for_all_acked(Duration(seconds=1.0))
        node.destroy_node()
    finally:
        rclpy.try_shutdown()
    return f"{topic}: {'pressed' if on else 'released'}; /teleop/state and the graph's log show the result"
