"""Software versions of a result."""

import hashlib
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dexhot import __version__
from dexhot.paths import physics_file, share_dir

# Packages whose versions affect mining results (those that it imports), unlike drivers, nodes and views.
DECISIVE = (
    *("control", "data", "evaluation", "geometry", "metrics", "objects", "planning", "retargeting", "rigs", "robots"),
    *("rollouts", "safety", "simulation", "tracking"),
)
PACKAGES = ("numpy", "mujoco", "scipy", "rosbags", "ros-jazzy-rclpy")


def versions() -> dict[str, str]:
    """Versions of dexhot, its commit, Python and the packages that affect a run."""
    found = {"dexhot": __version__, "commit": commit(), "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not from PyPI"
    return found


def commit() -> str:
    """The checkout's commit, with "+" if it has changes; "installed" outside of a checkout."""
    root = share_dir()
    if not (root / ".git").exists():
        return "installed"
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return found.stdout.strip() or "unknown"


@cache
def source_hash() -> str:
    """Hash of the code and the physics file that affect simulated results: distinguishes states of one version."""
    here, digest = Path(__file__).parent, hashlib.sha256()
    files = [path for package in DECISIVE for path in (here / package).rglob("*.py")]
    files += [
        *(here.parent / "dexhot_train" / "mining").rglob("*.py"),
        physics_file(),
        share_dir() / "config" / "servos.yaml",
    ]
    for path in sorted(files):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]
