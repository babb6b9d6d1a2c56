"""With which software a result was made."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version

from dexhot import __version__
from dexhot.paths import share_dir

PACKAGES = ("numpy", "mujoco", "mink", "rosbags", "ros-jazzy-rclpy")


def versions() -> dict[str, str]:
    """Of dexhot, its commit, Python and the packages that decide what a run does."""
    found = {"dexhot": __version__, "commit": commit(), "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not from PyPI"
    return found


def commit() -> str:
    """The checkout's commit, with "+" when it has changes; "installed" outside of a checkout."""
    root = share_dir()
    if not (root / ".git").exists():
        return "installed"
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return found.stdout.strip() or "unknown"
