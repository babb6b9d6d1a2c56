"""/clock for a process: rclpy gives each node a subscription, which costs as much as that of a control message.

Here one subscription serves all nodes, and is read when a node needs the time, which is less often than /clock ticks.
"""

from collections.abc import Callable, Sequence

from rclpy.node import Node
from rosgraph_msgs.msg import Clock

from dexhot.ros.core.intake import make_intake, take
from dexhot.ros.core.qos import subscribe_profile

Read = Callable[[], None]


def share_clock(nodes: Sequence[Node]) -> tuple[Node, Read] | None:
    """Take /clock from the nodes that follow it: the subscribing node, which the caller destroys, and a function that
    sets their time to the newest /clock. None when no node follows it."""
    following = [node._time_source for node in nodes if node._time_source._clock_sub is not None]
    if not following:
        return None
    first, topic = following[0], following[0]._clock_sub.topic_name  # type: ignore[union-attr]
    for node in nodes:
        source = node._time_source
        if source._clock_sub is not None:
            node.destroy_subscription(source._clock_sub)
            source._clock_sub = None
            first.attach_clock(node.get_clock())  # type: ignore[arg-type]  # always a ROSClock
    intake = make_intake(f"_{nodes[0].get_name()}_clock", nodes[0].get_namespace())
    subscription = intake.create_subscription(Clock, topic, lambda _: None, subscribe_profile("newest"))

    def read() -> None:
        for message, _ in take(subscription):
            first.clock_callback(message)

    return intake, read
