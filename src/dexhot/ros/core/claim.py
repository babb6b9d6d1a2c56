"""One node of a name per ROS domain and machine: two graphs in one domain would command one robot.

A claim is a socket in Linux's abstract namespace. Its scope is that of discovery on this machine, and the kernel gives
it back whenever and however the process ends.
"""

import os
import socket

from dexhot.errors import DexhotError


class Claim:
    """Held until `release`. Raises DexhotError when someone else holds it."""

    def __init__(self, node: str):
        domain = os.environ.get("ROS_DOMAIN_ID") or "0"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.bind(f"\0dexhot/{domain}/{node}")
        except OSError as e:
            self._socket.close()
            raise DexhotError(
                f"another {node} runs in ROS domain {domain} on this machine: stop its graph, or give this one a "
                "domain of its own (ROS_DOMAIN_ID)."
            ) from e

    @staticmethod
    def held(node: str) -> bool:
        """Whether a process of this machine holds the claim: it ends with the process, however that ends."""
        domain = os.environ.get("ROS_DOMAIN_ID") or "0"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking:
            try:
                asking.connect(f"\0dexhot/{domain}/{node}")
            except OSError:
                return False
        return True

    def release(self) -> None:
        """Give it back; also twice."""
        self._socket.close()


def own_domain() -> None:
    """A ROS domain for what must meet nobody else's robot (a demo, a benchmark), unless the user chose one."""
    import secrets  # not for every node

    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + secrets.randbelow(100)))
