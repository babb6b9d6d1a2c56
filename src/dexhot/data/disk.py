"""Checks an output location before the work: a folder that is writable or can be made, with free disk space."""

import errno
import os
import shutil
from pathlib import Path

from dexhot.errors import DexhotError

SPARE = 32 * 2**20  # bytes, minimum free space for an output


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
