"""Optional real-time scheduling: SCHED_FIFO, and locked memory."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dexhot.errors import DexhotError

PRIORITY = 10  # above every ordinary process, below the kernel's interrupt threads (50)
MCL_CURRENT, MCL_FUTURE = 1, 2


@contextmanager
def real_time() -> Iterator[bool]:
    """Context manager: SCHED_FIFO for this thread and the processes it starts; yields whether it was permitted."""
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


def make_real_time(priority: int) -> None:
    """SCHED_FIFO at `priority` (1 to 99) for all threads of this process, and its memory locked. Raises DexhotError."""
    try:
        for task in Path("/proc/self/task").iterdir():
            os.sched_setscheduler(int(task.name), os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError as e:
        raise DexhotError(
            f"SCHED_FIFO priority {priority} is not permitted: give the user an rtprio of {priority} and an unlimited "
            "memlock in /etc/security/limits.d, log in again (`dexhot doctor` shows both), or use fifo_priority:=0."
        ) from e
    if ctypes.CDLL(None, use_errno=True).mlockall(MCL_CURRENT | MCL_FUTURE):
        raise DexhotError(
            f"memory cannot be locked: {os.strerror(ctypes.get_errno())}; raise memlock, or use fifo_priority:=0."
        )
