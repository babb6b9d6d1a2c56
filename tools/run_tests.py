"""All tests, for `make test`: those that run in real time one by one; on what they leave idle, the linters and the
tests that only compute.

The latter have the scheduling policy of idle tasks (sched(7), SCHED_IDLE): they give way at once to whatever else wants
a core. Their output follows that of the former, but what a linter finds ends all.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

PYTEST = [sys.executable, "-m", "pytest"]
LINTERS = ["make", "lint"]
COMPUTING = [*PYTEST, "-m", "not alone", "--numprocesses", "auto", "--maxprocesses", "4", "--dist", "worksteal"]
REAL_TIME = [*PYTEST, "-m", "alone"]
POLL = 0.5  # s


def main() -> int:
    """Exit code 0 where all pass."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the tests start some hundred processes, each would compile anew
    with _beside(LINTERS) as (linters, found), _beside([*COMPUTING, *sys.argv[1:]]) as (computing, said):
        real_time = subprocess.Popen([*REAL_TIME, *sys.argv[1:]])
        running = (linters, computing, real_time)
        try:
            while real_time.poll() is None and not linters.poll():
                time.sleep(POLL)
            if linters.wait():
                for process in running:
                    process.send_signal(signal.SIGINT)
            print(f"\nThe linters:\n{found.read()}", flush=True)
            print("\nThe tests that only compute:", flush=True)
            _follow(computing, said)
        except KeyboardInterrupt:  # which they got too
            for process in running:
                process.wait()
            return 130
    return next(filter(None, [process.wait() for process in running]), 0)


@contextmanager
def _beside(command: list[str]) -> Iterator[tuple[subprocess.Popen[bytes], IO[str]]]:
    """A process of idle policy, and what it writes."""
    with tempfile.NamedTemporaryFile("w", prefix="dexhot-tests-") as output, open(output.name) as said:
        yield subprocess.Popen(command, stdout=output, stderr=output, preexec_fn=_idle), said


def _idle() -> None:
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except OSError:  # a sandbox without that policy
        os.nice(19)


def _follow(process: subprocess.Popen[bytes], said: IO[str]) -> None:
    """Print what it has said, and what it says until it ends."""
    ended = False
    while not ended:
        ended = process.poll() is not None
        print(said.read(), end="", flush=True)
        time.sleep(0.0 if ended else POLL)


if __name__ == "__main__":
    sys.exit(main())
