"""Work on the newest item, in a thread of the node's own: one that comes before the last was begun replaces it.

Only the first item is never replaced: a prompt is of the first image.
"""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
PARTING = 1.0  # s that a stop waits for the thread: compiling may take longer


class Newest(Generic[T]):
    """The thread, one for each activation of its node.

    `failure` is what the work raised, which ended it: the node raises it again, as a node is deactivated from its
    executor only.
    """

    def __init__(self, name: str, worker: Callable[[threading.Event], Callable[[T], None]]):
        """worker(stopped) is called in the thread, for what works on an item. The thread may outlive `stop`: once
        `stopped` is set, nothing may be published."""
        self.waiting: T | None = None
        self.begun = False
        self.skipped = 0  # items that a newer one replaced
        self.failure: Exception | None = None
        self._wake, self._stopped = threading.Condition(), threading.Event()
        self._thread = threading.Thread(target=self._run, args=[worker], name=name, daemon=True)
        self._thread.start()

    def give(self, item: T) -> None:
        """The newest item."""
        with self._wake:
            self.skipped += self.waiting is not None
            if self.begun or self.waiting is None:
                self.waiting = item
            self._wake.notify()

    def stop(self) -> None:
        """End the thread, after the item in work."""
        self._stopped.set()
        with self._wake:
            self._wake.notify()
        self._thread.join(PARTING)

    def check(self) -> None:
        """Raise what the work raised."""
        if self.failure is not None:
            raise self.failure

    def _run(self, worker: Callable[[threading.Event], Callable[[T], None]]) -> None:
        try:
            work = worker(self._stopped)
            while True:
                with self._wake:
                    self._wake.wait_for(lambda: self._stopped.is_set() or self.waiting is not None)
                    item, self.waiting, self.begun = self.waiting, None, True
                if self._stopped.is_set() or item is None:
                    return
                work(item)
        except Exception as e:
            self.failure = e
