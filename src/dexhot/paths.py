"""Locations of the files shipped with the package, and of the user's cache and runs."""

import os
import sys
from functools import cache
from pathlib import Path

from dexhot.errors import DexhotError

PHYSICS = "2"  # version of the benchmark physics, which every score uses


@cache
def share_dir() -> Path:
    """The folder of urdf/, config/, launch/ and policies/: the checkout, or share/dexhot of the install prefix."""
    here = Path(__file__).resolve()
    checkout = here.parents[2]
    if (checkout / "package.xml").is_file() and (checkout / "urdf").is_dir():
        return checkout
    for prefix in (*here.parents, Path(sys.prefix)):
        if (prefix / "share" / "dexhot" / "urdf").is_dir():
            return prefix / "share" / "dexhot"
    raise DexhotError(f"dexhot's data files were not found near {here}; reinstall the package (pip install dexhot).")


def physics_file(version: str = PHYSICS) -> Path:
    """Path of a physics version; the file need not exist."""
    return share_dir() / "config" / "physics" / f"{version}.yaml"


def cache_dir() -> Path:
    """Downloads and derived assets; $DEXHOT_CACHE, else $XDG_CACHE_HOME/dexhot, else ~/.cache/dexhot."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("DEXHOT_CACHE") or Path(base) / "dexhot")


def config_dir() -> Path:
    """Data of this user's hardware, such as a hand's calibration; $DEXHOT_CONFIG, else ~/.config/dexhot (XDG)."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(os.environ.get("DEXHOT_CONFIG") or Path(base) / "dexhot")


def runs_dir() -> Path:
    """Default folder of recorded runs; $DEXHOT_RUNS, else ./runs."""
    return Path(os.environ.get("DEXHOT_RUNS") or "runs")
