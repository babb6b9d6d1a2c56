"""Detects a running rig in this ROS domain and namespace, into which no recording must be played.

Its old joint states, commands and safety states would be taken for live ones.
"""

import os
from typing import TYPE_CHECKING

from dexhot.errors import DexhotError
from dexhot.ros.core.claim import Claim

if TYPE_CHECKING:
    from rclpy.node import Node

RIG = ("supervisor", "leap_driver", "franka_driver", "rig")  # nodes that exist only in a rig's graph


def on_this_machine(namespace: str = "") -> list[str]:
    """The rig's nodes on this machine in this domain and namespace ("robot1"); available at once."""
    full = f"/{namespace}" if namespace else ""
    return [name for name in RIG if Claim.held(f"{full}/{name}")]


def in_domain(node: "Node") -> list[str]:
    """The rig's nodes that `node` has discovered in its namespace, also on other machines; complete after a second."""
    here = node.get_namespace()
    known = {name for name, namespace in node.get_node_names_and_namespaces() if namespace == here}
    return [name for name in RIG if name in known]


def refusal(found: list[str]) -> str:
    """Error message for a rig's nodes; "" without any."""
    if not found:
        return ""
    domain = os.environ.get("ROS_DOMAIN_ID") or "0"
    return (
        f"a rig's graph runs in ROS domain {domain} ({', '.join(found)}), and a recording must not be played into it: "
        "stop it, or set another ROS_DOMAIN_ID or namespace:= for the replay."
    )


def require_none(namespace: str = "") -> None:
    """Raise DexhotError if a rig's graph runs on this machine in this domain and namespace."""
    if reason := refusal(on_this_machine(namespace)):
        raise DexhotError(reason)
