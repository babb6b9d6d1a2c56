"""Space on the disk that a recording goes to."""

import shutil
from pathlib import Path

from dexhot.errors import DexhotError


def free_gb(path: str | Path) -> float:
    """Space left on the disk of `path`, or of its nearest folder that exists, in GB (1e9 bytes)."""
    folder = Path(path).resolve()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free * 1e-9


def require_free(path: str | Path, wanted: float) -> None:
    """Raise DexhotError when less than `wanted` GB are left."""
    if (free := free_gb(path)) < wanted:
        how = "free some, choose another disk with out:=, or lower min_free"
        raise DexhotError(f"the disk of {path} has {free:.2f} GB left, less than min_free = {wanted:g} GB; {how}.")
