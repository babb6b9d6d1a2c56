"""Ensures unique node names per ROS domain and machine: two graphs in one domain would command one robot.

A claim is a socket in Linux's abstract namespace. Its scope is that of discovery on this machine, and the kernel
releases it whenever the process ends.
"""

import os
import socket

from dexhot.errors import DexhotError


class Claim:
    """Held until `release`. Raises DexhotError if another process holds it."""

    def __init__(self, node: str):
        domain = os.environ.get("ROS_DOMAIN_ID") or "0"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.bind(f"\0dexhot/{domain}/{node}")
        except OSError as e:
            self._socket.close()
            raise DexhotError(
                f"another {node} runs in ROS domain {domain} on this machine: stop its graph, or use another domain "
                "for this one (ROS_DOMAIN_ID)."
            ) from e

    @staticmethod
    def held(node: str) -> bool:
        """Whether a live process on this machine holds the claim."""
        domain = os.environ.get("ROS_DOMAIN_ID") or "0"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking:
            try:
                asking.connect(f"\0dexhot/{domain}/{node}")
            except OSError:
                return False
        return True

    def release(self) -> None:
        """Release the claim; may be called twice."""
        self._socket.close()


def own_domain() -> None:
    """Select an unused ROS domain (for a demo or a benchmark), unless the user has set one."""
    import secrets  # not for every node

    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + secrets.randbelow(100)))
