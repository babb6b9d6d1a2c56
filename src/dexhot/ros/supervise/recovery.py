"""Recovery during a reset: reactivates the nodes that reported an ERROR.

A node with a fault deactivates itself and reports ERROR until it is activated; activating a driver recovers its
device. Only /safety/reset requests that, so nothing recovers automatically.
"""

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.task import Future

from dexhot.ros.core.base import DexhotNode

PATIENCE = 20.0  # s, for a driver to find its device, clear its errors and set it up
NEWS = 2.0  # s for the reason of a failed activation to arrive: diagnostics are published at 1 Hz


class Recovery:
    """Recovery of the nodes `names`. `failed`: node -> error, of those with a fault."""

    def __init__(self, node: DexhotNode, names: list[str]):
        self.clients = {name: node.client(ChangeState, f"{node.absolute(name)}/change_state") for name in names}
        self.failed: dict[str, str] = {}
        self._asked: dict[str, Future | None] = {}  # None: no node to ask
        self._old: dict[str, str] = {}  # their previous errors
        self._end: float | None = None  # monotonic time; None without a reset in progress

    def see(self, name: str, error: str) -> None:
        """Process a node's diagnostics; `error` is "" for none."""
        if error:
            self.failed[name] = error
        else:
            self.failed.pop(name, None)

    def begin(self, now: float) -> None:
        """Request activation of every failed node; `now` is monotonic time, s."""
        request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_ACTIVATE))
        clients = {name: self.clients[name] for name in self.failed}
        self._asked = {n: c.call_async(request) if c.service_is_ready() else None for n, c in clients.items()}
        self._old, self._end = dict(self.failed), now + PATIENCE

    def cancel(self) -> None:
        """Cancel the reset, regardless of the nodes' activation."""
        self._end = None

    @property
    def under_way(self) -> bool:
        return self._end is not None

    def outcome(self, now: float) -> str | None:
        """None while nodes are being activated; "" if all faults are cleared, else the reason why the reset failed."""
        assert self._end is not None
        refused = [name for name in self.failed if self._refused(name, now > self._end - PATIENCE + NEWS)]
        if self.failed and not refused and now < self._end:
            return None
        return "; ".join(f"{name}: {self.failed[name]}" for name in refused or self.failed)

    def _refused(self, name: str, long_ago: bool) -> bool:
        """Whether its activation failed and its reason is known; the reply may arrive before its diagnostics."""
        answer = self._asked.get(name)
        if answer is None:
            return True
        reported = long_ago or self.failed[name] != self._old.get(name)
        return reported and answer.done() and not answer.result().success
