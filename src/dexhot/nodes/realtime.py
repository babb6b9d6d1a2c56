"""Real-time scheduling of a process, for those who ask for it: SCHED_FIFO for all its threads, and no page faults."""

import ctypes
import os
from pathlib import Path

from dexhot.errors import DexhotError

MCL_CURRENT, MCL_FUTURE = 1, 2


def make_realtime(priority: int) -> None:
    """SCHED_FIFO at `priority` (1 to 99) and locked memory. Raises DexhotError that says how to be allowed to."""
    try:
        for task in Path("/proc/self/task").iterdir():
            os.sched_setscheduler(int(task.name), os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError as e:
        raise DexhotError(
            f"SCHED_FIFO priority {priority} is not allowed: give the user an rtprio of {priority} and an unlimited "
            "memlock in /etc/security/limits.d, log in again (`dexhot doctor` shows both), or leave fifo_priority:=0."
        ) from e
    if ctypes.CDLL(None, use_errno=True).mlockall(MCL_CURRENT | MCL_FUTURE):
        raise DexhotError(
            f"memory cannot be locked: {os.strerror(ctypes.get_errno())}; raise memlock, or fifo_priority:=0."
        )
