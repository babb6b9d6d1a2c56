"""Ctrl-C that is not lost.

Python raises KeyboardInterrupt wherever the main thread is. During an import it may be swallowed: some packages
(trimesh is one) catch everything while they look for optional ones, and callbacks of the import system ignore what is
raised in them. Then the command would run on to its end. So an interrupt during an import waits for the end of it, and
one that Python reports as ignored is raised again.
"""

import signal
import sys
from types import FrameType
from typing import Any

AGAIN = 0.05  # s until the next attempt
IMPORTING = "<frozen importlib"  # file names of the import system's own frames


def keep_interrupts() -> None:
    """Install the handlers; no others are replaced, such as those of nohup. In the main thread."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGALRM, _interrupt)
    ignored = sys.unraisablehook

    def raised_again(unraisable: Any) -> None:
        if isinstance(unraisable.exc_value, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, AGAIN)
        else:
            ignored(unraisable)

    sys.unraisablehook = raised_again


def _interrupt(_number: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code.co_filename.startswith(IMPORTING):
            signal.setitimer(signal.ITIMER_REAL, AGAIN)
            return
        frame = frame.f_back
    raise KeyboardInterrupt
