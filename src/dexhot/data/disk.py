"""Checks the place of an output before the work: a folder that can be made and written to, with disk space left."""

import errno
import os
import shutil
from pathlib import Path

from dexhot.errors import DexhotError

SPARE = 32 * 2**20  # bytes that must be free where something is to be written


def existing(path: str | Path) -> Path:
    """`path`, or what of it exists already."""
    place = Path(os.path.abspath(path))
    while not place.exists() and not place.is_symlink():
        place = place.parent
    return place


def free_gb(path: str | Path) -> float:
    """Space left on the disk of `path`, or of its nearest folder that exists, in GB (1e9 bytes)."""
    return shutil.disk_usage(existing(path)).free * 1e-9


def check_folder(folder: str | Path, flag: str = "--out", min_free: float = 0.0) -> Path:
    """`folder`, when files can be written there or it can be made; nothing is left there.

    Raises DexhotError, also when less than `min_free` GB are left; `flag` is what chooses the place.
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
            f"nothing can be written to {folder} ({(e.strerror or str(e)).lower()}: {there}); name another place with "
            f"{flag}, or make room or rights there."
        ) from e
    if (free := free_gb(there)) < min_free:
        raise DexhotError(
            f"the disk of {folder} has {free:.2f} GB left, less than min_free = {min_free:g} GB; free some, name "
            f"another place with {flag}, or lower min_free."
        )
    return folder
