"""Subscriptions that no executor waits for: messages wait in the middleware's queue until they are taken.

Waking for every message costs more than most of what is done with it; receive times do not depend on when it is taken.
"""

from collections.abc import Iterator
from typing import Any

import rclpy
from rclpy.node import Node
from rclpy.subscription import Subscription


def make_intake(name: str, namespace: str = "") -> Node:
    """A node for such subscriptions, which no executor gets; hidden when its name begins with _. The caller destroys
    it."""
    return rclpy.create_node(
        name, namespace=namespace, enable_rosout=False, start_parameter_services=False, use_global_arguments=False
    )


def take(subscription: Subscription, raw: bool = False) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Every message that has come, oldest first, with what the middleware knows of it; `raw`: as serialized bytes."""
    with subscription.handle:
        while (taken := subscription.handle.take_message(subscription.msg_type, raw)) is not None:
            yield taken
