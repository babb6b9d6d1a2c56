"""What a reset does about the cause of a fault: the nodes that reported an ERROR are activated again.

A node that finds a fault deactivates itself and says ERROR until it is activated; to activate a driver is to recover
its device. Nobody but /safety/reset asks for that, so nothing recovers by itself.
"""

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.task import Future

from dexhot.ros.core.base import DexhotNode

PATIENCE = 20.0  # s: a driver finds its device, clears its errors and sets it up
NEWS = 2.0  # s within which a node that could not be activated has told why: diagnostics come once a second


class Recovery:
    """Of the nodes `names`. `failed`: what those say that have a fault."""

    def __init__(self, node: DexhotNode, names: list[str]):
        self.clients = {name: node.client(ChangeState, f"{node.absolute(name)}/change_state") for name in names}
        self.failed: dict[str, str] = {}
        self._asked: dict[str, Future | None] = {}  # None: nobody is there to be asked
        self._old: dict[str, str] = {}  # what they said before
        self._end: float | None = None  # steady time; None when no reset is under way

    def see(self, name: str, error: str) -> None:
        """What a node's diagnostics say; "" for no error."""
        if error:
            self.failed[name] = error
        else:
            self.failed.pop(name, None)

    def begin(self, now: float) -> None:
        """Ask every failed node to activate; `now` is steady time in s."""
        request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_ACTIVATE))
        clients = {name: self.clients[name] for name in self.failed}
        self._asked = {n: c.call_async(request) if c.service_is_ready() else None for n, c in clients.items()}
        self._old, self._end = dict(self.failed), now + PATIENCE

    def cancel(self) -> None:
        """Whatever becomes of the nodes, there is no reset."""
        self._end = None

    @property
    def under_way(self) -> bool:
        return self._end is not None

    def outcome(self, now: float) -> str | None:
        """None while nodes are being activated; "" when none has a fault any more, else why there is no reset."""
        assert self._end is not None
        refused = [name for name in self.failed if self._refused(name, now > self._end - PATIENCE + NEWS)]
        if self.failed and not refused and now < self._end:
            return None
        return "; ".join(f"{name}: {self.failed[name]}" for name in refused or self.failed)

    def _refused(self, name: str, long_ago: bool) -> bool:
        """Whether it could not be activated, and has told why; the answer may come before its diagnostics."""
        answer = self._asked.get(name)
        if answer is None:
            return True
        told = long_ago or self.failed[name] != self._old.get(name)
        return told and answer.done() and not answer.result().success
