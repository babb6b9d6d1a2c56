"""Checks an output location before the work: a folder that is writable or can be made, with free disk space, and that
no other process works in."""

import errno
import fcntl
import os
import shutil
from pathlib import Path
from typing import IO

from dexhot.errors import DexhotError

SPARE = 32 * 2**20  # bytes, minimum free space for an output
LOCK = ".lock"
_held: dict[Path, IO[str]] = {}  # the folders that this process works in, until it ends


def existing(path: str | Path) -> Path:
    """`path`, or its nearest parent that exists."""
    place = Path(os.path.abspath(path))
    while not place.exists() and not place.is_symlink():
        place = place.parent
    return place


def free_gb(path: str | Path) -> float:
    """Free disk space at `path`, or at its nearest existing parent, GB (1e9 bytes)."""
    return shutil.disk_usage(existing(path)).free * 1e-9


def check_folder(folder: str | Path, flag: str = "--out", min_free: float = 0.0) -> Path:
    """`folder`, if it is writable or can be made; the check leaves no files.

    Raises DexhotError, also if less than `min_free` GB are free; `flag` is the option that sets the folder.
    """
    import tempfile  # not for every node

    folder, there = Path(folder), existing(folder)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
        if shutil.disk_usage(there).free < SPARE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(there))
    except OSError as e:
        raise DexhotError(
            f"cannot write to {folder} ({(e.strerror or str(e)).lower()}: {there}); choose another folder with "
            f"{flag}, free disk space or change the permissions."
        ) from e
    if (free := free_gb(there)) < min_free:
        raise DexhotError(
            f"the disk of {folder} has {free:.2f} GB free, less than min_free = {min_free:g} GB; free some, choose "
            f"another folder with {flag}, or lower min_free."
        )
    return folder


def hold_folder(folder: Path, option: str) -> None:
    """Lock a folder until this process ends; the lock of a killed one is gone with it. Raises DexhotError, naming the
    command's option, where another process holds it."""
    if (place := folder.resolve()) in _held:
        return
    stream = open(folder / LOCK, "w")  # noqa: SIM115  # open as long as the process
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as e:
        stream.close()
        raise DexhotError(
            f"another process is at work in {folder}: wait for its end, or choose another folder with {option}."
        ) from e
    except OSError:
        pass  # a network file system without locks
    _held[place] = stream
