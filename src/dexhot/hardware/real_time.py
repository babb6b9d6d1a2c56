"""Real-time priority for what talks to hardware, where this user may have it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

PRIORITY = 10  # above every ordinary process, below the kernel's interrupt threads (50)


@contextmanager
def real_time() -> Iterator[bool]:
    """Within, this thread and the processes it starts go first (SCHED_FIFO); yields whether that was allowed."""
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except PermissionError:
        yield False
        return
    try:
        yield True
    finally:
        os.sched_setscheduler(0, policy, parameters)
