"""Subscriptions that no executor waits for: messages wait in the middleware's queue until they are taken.

Waking an executor for every message would cost more than most of the work on it; receive times do not depend on when
a message is taken.
"""

from collections.abc import Iterator
from typing import Any

import rclpy
from rclpy.node import Node
from rclpy.subscription import Subscription


def make_intake(name: str, namespace: str = "") -> Node:
    """A node for such subscriptions, which belongs to no executor; hidden when its name begins with _. The caller
    destroys it."""
    return rclpy.create_node(
        name, namespace=namespace, enable_rosout=False, start_parameter_services=False, use_global_arguments=False
    )


def take(subscription: Subscription, raw: bool = False) -> Iterator[tuple[Any, dict[str, Any]]]:
    """All queued messages, oldest first, each with the middleware's information on it; `raw`: as serialized bytes."""
    with subscription.handle:
        while (taken := subscription.handle.take_message(subscription.msg_type, raw)) is not None:
            yield taken
