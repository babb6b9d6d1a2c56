"""A one-shot timer on the monotonic clock, for a loop whose next tick depends on later events.

rclpy's timers are unsuitable: the events executor of rclpy 7.1.5 occasionally loses a timer's event and notices it only
when its wait times out (measured: up to 0.1 s late, a few times a minute).
"""

import threading
import time
from collections.abc import Callable

from rclpy.node import Node


class Alarm:
    """Calls `callback` in the node's executor at the time last set."""

    def __init__(self, node: Node, callback: Callable[[], None]):
        self.node, self.callback = node, callback
        self._changed, self._wake, self._closed = threading.Condition(), float("inf"), False
        self._thread = threading.Thread(target=self._run, name="alarm", daemon=True)
        self._thread.start()

    def set(self, wake: float) -> None:
        """Fire at time.monotonic() == wake; never for infinity. Replaces the previous setting."""
        with self._changed:
            self._wake = wake
            self._changed.notify()

    def close(self) -> None:
        """Never fire again."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        with self._changed:
            while not self._closed:
                left = self._wake - time.monotonic()
                if left <= 0:
                    self._wake = float("inf")
                    if self.node.executor is not None:
                        self.node.executor.create_task(self.callback)
                else:
                    self._changed.wait(None if left == float("inf") else left)
