"""All tests, for `make test`: those that run in real time one by one; on what they leave idle, those that only compute.

The latter have the scheduling policy of idle tasks (sched(7), SCHED_IDLE): they give way at once to whatever else wants
a core. Their output follows that of the former.
"""

import os
import subprocess
import sys
import tempfile
import time
from typing import IO

PYTEST = [sys.executable, "-m", "pytest"]
COMPUTING = [*PYTEST, "-m", "not alone", "--numprocesses", "auto", "--maxprocesses", "4", "--dist", "loadfile"]
REAL_TIME = [*PYTEST, "-m", "alone"]


def main() -> int:
    """Exit code 0 where both pass."""
    with tempfile.NamedTemporaryFile("w", prefix="dexhot-tests-") as output, open(output.name) as said:
        computing = subprocess.Popen([*COMPUTING, *sys.argv[1:]], stdout=output, stderr=output, preexec_fn=_idle)
        try:
            code = subprocess.call([*REAL_TIME, *sys.argv[1:]])
            print("\nThe tests that only compute:", flush=True)
            _follow(computing, said)
        except KeyboardInterrupt:  # which they got too
            computing.wait()
            return 130
    return code or computing.returncode


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
        time.sleep(0.0 if ended else 0.5)


if __name__ == "__main__":
    sys.exit(main())
