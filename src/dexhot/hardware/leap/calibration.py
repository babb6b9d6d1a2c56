"""Horn calibration: offsets between motor angles and the joint table's zero, stored per hand in a file."""

import datetime
from pathlib import Path

import numpy as np
import yaml

from dexhot.data.files import write_text
from dexhot.errors import DexhotError, FileFormatError
from dexhot.paths import config_dir
from dexhot.robots.joint_table import joint_table
from dexhot.robots.joints import Joint

STILL = np.deg2rad(1.0)  # rad, largest motion of the hand during the measurement
CREDIBLE = 0.6  # rad: a larger offset means a finger not laid flat, or a horn to remount


def offsets_file(robot: str) -> Path:
    """File of the offsets of the user's hand `robot`."""
    return config_dir() / "calibration" / f"{robot}.yaml"


def load_offsets(robot: str) -> np.ndarray:
    """Offsets (n,) rad; zeros for an uncalibrated hand. Raises FileFormatError."""
    file, names = offsets_file(robot), [j.name for j in joint_table(robot)]
    if not file.exists():
        return np.zeros(len(names))
    try:
        offsets = yaml.safe_load(file.read_text())["offsets"]
        found = np.array([float(offsets[name]) for name in names])
    except (KeyError, TypeError, ValueError, yaml.YAMLError) as e:
        raise FileFormatError(
            f"{file} is not a calibration file ({e}); write it again with `dexhot leap calibrate`."
        ) from e
    if not (np.abs(found) <= CREDIBLE).all():
        raise FileFormatError(f"{file} has offsets beyond {CREDIBLE} rad; write it again with `dexhot leap calibrate`.")
    return found


def save_offsets(robot: str, offsets: np.ndarray) -> Path:
    """Write the offsets under a temporary name and rename. Returns the path."""
    rows = {j.name: round(float(value), 5) for j, value in zip(joint_table(robot), offsets)}
    day = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    content = {"robot": robot, "measured": day, "unit": "rad", "offsets": rows}
    return write_text(offsets_file(robot), yaml.safe_dump(content, sort_keys=False))


def find_offsets(joints: tuple[Joint, ...], angles: np.ndarray, q: np.ndarray | None = None) -> np.ndarray:
    """Offsets (n,) rad from motor angles (k, n) measured with the hand at rest at joint angles q (n,) (default 0: flat,
    open).

    Raises DexhotError if it moved, or if an offset is implausible.
    """
    q = np.zeros(len(joints)) if q is None else q
    moved = np.ptp(angles, axis=0)
    if (moved > STILL).any():
        who = ", ".join(j.name for j, m in zip(joints, moved) if m > STILL)
        raise DexhotError(f"the hand moved during the measurement ({who}); lay it down and try again.")
    offsets: np.ndarray = angles.mean(axis=0) - np.array([j.to_motor(value) for j, value in zip(joints, q)])
    if (np.abs(offsets) > CREDIBLE).any():
        who = ", ".join(f"{j.name} {np.rad2deg(o):+.0f} deg" for j, o in zip(joints, offsets) if abs(o) > CREDIBLE)
        raise DexhotError(f"implausible offsets (the hand not flat and open, or a horn mounted teeth off): {who}.")
    return offsets
