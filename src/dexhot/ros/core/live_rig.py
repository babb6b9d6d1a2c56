"""Whether a rig's graph runs in this ROS domain: a recording must not be played into it.

Its joint states would be those of another day, its commands and safety states too.
"""

import os
from typing import TYPE_CHECKING

from dexhot.errors import DexhotError
from dexhot.ros.core.claim import Claim

if TYPE_CHECKING:
    from rclpy.node import Node

RIG = ("supervisor", "leap_driver", "franka_driver", "rig")  # nodes that a rig's graph alone has


def on_this_machine() -> list[str]:
    """The rig's nodes that run here in this domain; known at once."""
    return [name for name in RIG if Claim.held(f"/{name}")]


def in_domain(node: "Node") -> list[str]:
    """The rig's nodes that `node` has discovered, also on other machines; complete a second after it came."""
    known = set(node.get_node_names())
    return [name for name in RIG if name in known]


def refusal(found: list[str]) -> str:
    """What to say of a rig's nodes; "" without any."""
    if not found:
        return ""
    domain = os.environ.get("ROS_DOMAIN_ID") or "0"
    return (
        f"a rig's graph runs in ROS domain {domain} ({', '.join(found)}), and a recording is not played into it: "
        "stop it, or set another ROS_DOMAIN_ID for the replay."
    )


def require_none() -> None:
    """Raise DexhotError when a rig's graph runs on this machine in this domain."""
    if told := refusal(on_this_machine()):
        raise DexhotError(told)
