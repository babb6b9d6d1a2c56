"""Shares one subscription to /clock per process: rclpy makes one per node, each as expensive as a control message."""

from collections.abc import Sequence

from rclpy.node import Node


def share_clock(nodes: Sequence[Node]) -> None:
    """Let the first node that follows /clock set the time of the others."""
    first = None
    for node in nodes:
        source = node._time_source
        if source._clock_sub is None:
            continue
        if first is None:
            first = source
            continue
        node.destroy_subscription(source._clock_sub)
        source._clock_sub = None
        first.attach_clock(node.get_clock())  # type: ignore[arg-type]  # always a ROSClock
