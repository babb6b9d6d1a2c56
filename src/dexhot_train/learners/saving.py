"""When a training saves its checkpoint: every so many iterations, twice a minute, at the end, and at Ctrl-C.

A state that was saved between two iterations resumes to the same curve, so how often that happens changes nothing.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from dexhot_train.learners.checkpoint import save_checkpoint

SECONDS = 30.0  # s of work that a kill may lose, and one iteration


class TrainingStopped(KeyboardInterrupt):
    """Ctrl-C, after the checkpoint was saved; the text says what was kept."""


class Saving:
    """A context for the loop of a training: the first Ctrl-C in it lets the iteration end, the second one does not."""

    def __init__(self, path: Path, state: Callable[[], dict[str, Any]], every: int = 1):
        """path: of the checkpoint; state: what it gets; every: iterations."""
        self.path, self.state, self.every = path, state, every
        self.asked, self.saved = False, time.monotonic()
        self.before: Any = None

    def __enter__(self) -> "Saving":
        ours = threading.current_thread() is threading.main_thread()
        if ours and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as in the background of a script
            self.before = signal.signal(signal.SIGINT, self._stop)
        return self

    def __exit__(self, *error: object) -> None:
        if self.before is not None:
            signal.signal(signal.SIGINT, self.before)

    def after(self, iteration: int, of: int) -> None:
        """Save if it is time. Raises TrainingStopped where Ctrl-C was pressed."""
        late = time.monotonic() - self.saved > SECONDS
        if self.asked or late or iteration % self.every == 0 or iteration == of:
            save_checkpoint(self.state(), self.path)
            self.saved = time.monotonic()
        if self.asked:
            raise TrainingStopped(f"stopped after {iteration} of {of} iterations, which are kept in {self.path}.")

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        print("stopping at the end of this iteration; Ctrl-C again: at once", file=sys.stderr, flush=True)
