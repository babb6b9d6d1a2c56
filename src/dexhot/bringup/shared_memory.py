"""Shared memory that killed ROS processes left behind.

Fast DDS, the middleware, maps about 34 MiB per participant in /dev/shm. A process that ends removes its own; one that
was killed cannot, and many of them fill the memory. Each segment has a lock, held while its process lives: a free one
is nobody's.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SEGMENTS = Path("/dev/shm")
SETTLED = 10.0  # s: a segment is younger than its lock


def left_behind(since: float = 0.0) -> list[Path]:
    """Files of segments and ports whose process is gone, locks included; of those, the ones made after `since`, s of
    the system clock. Empty where there is no /dev/shm."""
    found = []
    for lock in _locks(since):
        with _held(lock) as ours:
            found += _files(lock) if ours else []
    return found


def free(since: float = 0.0) -> int:
    """Remove such files; bytes freed. Their locks are held meanwhile: a process that starts may want the same port."""
    freed = 0
    for lock in _locks(since):
        with _held(lock) as ours:
            for file in _files(lock) if ours else []:
                with suppress(OSError):  # another user's, whose file we may read
                    size = file.stat().st_size
                    file.unlink()
                    freed += size
    return freed


def _locks(since: float) -> list[Path]:
    """Of segments that were made between `since` and a moment ago."""
    until = time.time() - SETTLED
    return [lock for lock in SEGMENTS.glob("*fastrtps_*_el") if since <= _made(lock) < until]


def _made(lock: Path) -> float:
    """System clock, s; infinite for a file that is gone."""
    try:
        return lock.stat().st_mtime
    except OSError:
        return float("inf")


def _files(lock: Path) -> list[Path]:
    """The segment, if there is one, and last its lock."""
    return [*(f for f in [lock.with_name(lock.name.removesuffix("_el"))] if f.exists()), lock]


@contextmanager
def _held(lock: Path) -> Iterator[bool]:
    """Whether nobody else held the lock, which we do then until the end. Another user's counts as held."""
    try:
        stream = open(lock)  # noqa: SIM115  # closed below, which lets go of the lock
    except OSError:
        yield False
        return
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
