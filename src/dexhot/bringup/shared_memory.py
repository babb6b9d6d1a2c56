"""Shared memory that killed ROS processes left behind.

Fast DDS, the middleware, maps about 34 MiB per participant in /dev/shm. A process that ends removes its own; one that
was killed cannot, and many of them fill the memory. Each segment has a lock, held while its process lives: a free one
is nobody's.
"""

import fcntl
import time
from pathlib import Path

SEGMENTS = Path("/dev/shm")
SETTLED = 10.0  # s: a segment is younger than its lock


def left_behind(since: float = 0.0) -> list[Path]:
    """Files of segments and ports whose process is gone, locks included; of those, the ones made after `since`, s of
    the system clock. Empty where there is no /dev/shm."""
    found: list[Path] = []
    for lock in SEGMENTS.glob("*fastrtps_*_el"):
        try:
            made = lock.stat().st_mtime
            if since <= made < time.time() - SETTLED and _is_free(lock):
                found += [lock, *(f for f in [lock.with_name(lock.name.removesuffix("_el"))] if f.exists())]
        except OSError:  # another user's, or gone meanwhile
            continue
    return found


def free(files: list[Path]) -> int:
    """Remove such files; bytes freed."""
    freed = 0
    for file in files:
        try:
            size = file.stat().st_size
            file.unlink()
            freed += size
        except OSError:
            continue
    return freed


def _is_free(lock: Path) -> bool:
    with open(lock) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
