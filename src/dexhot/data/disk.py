"""Checks a recording's destination before it starts: a folder that can be made and written to, with disk space left."""

import os
import shutil
from pathlib import Path

from dexhot.errors import DexhotError


def existing(path: str | Path) -> Path:
    """`path`, or what of it exists already."""
    place = Path(path).resolve()
    while not place.exists():
        place = place.parent
    return place


def free_gb(path: str | Path) -> float:
    """Space left on the disk of `path`, or of its nearest folder that exists, in GB (1e9 bytes)."""
    return shutil.disk_usage(existing(path)).free * 1e-9


def require_free(path: str | Path, wanted: float, argument: str = "out") -> None:
    """Raise DexhotError when less than `wanted` GB are left; `argument` of the graph chooses the place."""
    if (free := free_gb(path)) < wanted:
        how = f"free some, choose another disk with {argument}:=, or lower min_free"
        raise DexhotError(f"the disk of {path} has {free:.2f} GB left, less than min_free = {wanted:g} GB; {how}.")


def require_place(path: str | Path, wanted: float, argument: str = "out") -> None:
    """`require_free`, and also that a folder can be made there. Nothing is made. Raises DexhotError."""
    place = existing(path)
    how = f"choose another place with {argument}:=FOLDER"
    if not place.is_dir():
        raise DexhotError(f"{path} cannot be made: {place} is a file; {how}.")
    if not os.access(place, os.W_OK | os.X_OK):
        raise DexhotError(f"{path} cannot be written: {place} is read-only for this user; {how}.")
    require_free(path, wanted, argument)
