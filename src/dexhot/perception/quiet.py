"""Standard error without the lines that a C++ library writes at each start, for which it has no setting."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

LAST_LINES = 1.0  # s for the filter to pass on what is still in the pipe, which a child of the library may keep open


@contextmanager
def without_lines(beginning: str) -> Iterator[None]:
    """Leave out the lines that begin so. All others pass through a process of their own, so that the last words of a
    library that ends this one are read."""
    sys.stderr.flush()
    pattern = "^" + re.sub(r"[][\\.^$*+?(){}|]", r"\\\g<0>", beginning)
    command = ["grep", "--line-buffered", "--text", "-vE", pattern]
    # in a session of its own: Ctrl-C ends the library first, then what it says is passed on
    grep = None
    with suppress(OSError):
        grep = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=2, start_new_session=True)
    if grep is None:  # not on this system: then all lines are shown
        yield
        return
    assert grep.stdin is not None
    kept = os.dup(2)
    os.dup2(grep.stdin.fileno(), 2)
    grep.stdin.close()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        with suppress(subprocess.TimeoutExpired):
            grep.wait(LAST_LINES)
