"""Whether a rig's graph runs in this ROS domain and namespace: a recording must not be played into it.

Its joint states would be those of another day, its commands and safety states too.
"""

import os
from typing import TYPE_CHECKING

from dexhot.errors import DexhotError
from dexhot.ros.core.claim import Claim

if TYPE_CHECKING:
    from rclpy.node import Node

RIG = ("supervisor", "leap_driver", "franka_driver", "rig")  # nodes that a rig's graph alone has


def on_this_machine(namespace: str = "") -> list[str]:
    """The rig's nodes that run here in this domain and namespace ("robot1"); known at once."""
    full = f"/{namespace}" if namespace else ""
    return [name for name in RIG if Claim.held(f"{full}/{name}")]


def in_domain(node: "Node") -> list[str]:
    """The rig's nodes that `node` has discovered in its namespace, also on other machines; complete after a second."""
    here = node.get_namespace()
    known = {name for name, namespace in node.get_node_names_and_namespaces() if namespace == here}
    return [name for name in RIG if name in known]


def refusal(found: list[str]) -> str:
    """What to say of a rig's nodes; "" without any."""
    if not found:
        return ""
    domain = os.environ.get("ROS_DOMAIN_ID") or "0"
    return (
        f"a rig's graph runs in ROS domain {domain} ({', '.join(found)}), and a recording is not played into it: "
        "stop it, or set another ROS_DOMAIN_ID or namespace:= for the replay."
    )


def require_none(namespace: str = "") -> None:
    """Raise DexhotError when a rig's graph runs on this machine in this domain and namespace."""
    if told := refusal(on_this_machine(namespace)):
        raise DexhotError(told)
