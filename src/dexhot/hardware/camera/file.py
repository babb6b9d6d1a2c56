"""Recorded frames as a camera, at the recorded rate; and frames from a directory of images.

A directory holds color/*.jpg or .png and, with the same names, depth/*.png (16-bit, mm, aligned to colour), in the
order of their names, and camera.yaml: {fx, fy, cx, cy} in pixels, and optionally d: [k1, k2, p1, p2, k3] and fps: 30.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from dexhot.errors import FileFormatError
from dexhot.geometry.cameras import Intrinsics
from dexhot.hardware.camera.codec import decode_color, decode_depth
from dexhot.hardware.camera.frames import EndOfFrames, Frames

IMAGES = (".jpg", ".jpeg", ".png")
CAMERA_YAML = "fx, fy, cx, cy in pixels, and optionally d (5 coefficients) and fps"
LATE = 0.5  # s of lag above which playback slips instead of catching up


class FileCamera:
    """Returns the frames of `source()` at the rate of their stamps, stamped with the current time."""

    recorded = True

    def __init__(
        self,
        name: str,
        source: Callable[[], Iterator[Frames]],
        loop: bool = False,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        notice: str = "",
        lost: Sequence[str] = (),
    ):
        """`lost`: losses of the recording; may grow while `source` is read."""
        self.notice, self.lost = notice, lost
        self.name, self.source, self.loop, self.clock, self.sleep = name, source, loop, clock, sleep
        self.frames = source()
        self.next: Frames | None = None
        self.offset: float | None = None  # from the recording's time to ours, s
        self.number = 0

    def read(self, timeout: float) -> Frames | None:
        frames = self.next = self.next or self._take()
        now = self.clock()
        if self.offset is None or now - frames.stamp - self.offset > LATE:
            self.offset = now - frames.stamp
        wait = frames.stamp + self.offset - now
        self.sleep(min(max(wait, 0.0), timeout))
        if wait > timeout:
            return None
        self.next = None
        self.number += 1
        return replace(frames, stamp=self.clock(), number=self.number)

    def _take(self) -> Frames:
        frames = next(self.frames, None)
        if frames is None and self.loop:
            self.frames, self.offset = self.source(), None
            frames = next(self.frames, None)
        if frames is None:
            raise EndOfFrames(self.name, self.lost)
        return frames

    def close(self) -> None:
        self.frames = iter(())


def check_directory(path: Path) -> list[Path]:
    """The colour images in order. Raises FileFormatError naming what the directory lacks."""
    found = sorted(p for p in (path / "color").glob("*") if p.suffix.lower() in IMAGES)
    if not found:
        raise FileFormatError(f"{path} lacks color/*.jpg or color/*.png; see docs/capture.md.")
    if not (path / "camera.yaml").is_file():
        raise FileFormatError(f"{path} lacks camera.yaml with fx, fy, cx, cy in pixels; see docs/capture.md.")
    if (path / "depth").is_dir():
        lacking = [p.stem for p in found if not (path / "depth" / f"{p.stem}.png").is_file()]
        if lacking:
            more = f" and {len(lacking) - 1} more are" if lacking[1:] else " is"
            raise FileFormatError(f"{path}: depth/{lacking[0]}.png{more} missing.")
    return found


def directory_frames(path: Path) -> Iterator[Frames]:
    """The frames of a directory. Raises FileFormatError."""
    fps, entries = _camera_yaml(path / "camera.yaml")
    for k, name in enumerate(check_directory(path)):
        color = _decoded(name, decode_color)
        depth = _decoded(path / "depth" / f"{name.stem}.png", decode_depth) if (path / "depth").is_dir() else None
        if depth is not None and depth.shape != color.shape[:2]:
            raise FileFormatError(
                f"{path}: depth/{name.stem}.png differs in size from its colour image; align it first."
            )
        intrinsics = Intrinsics(color.shape[1], color.shape[0], *entries)
        yield Frames(k / fps, k, color, depth, intrinsics)


def _decoded(file: Path, decode: Callable[[bytes], np.ndarray]) -> np.ndarray:
    try:
        return decode(file.read_bytes())
    except FileFormatError as e:
        raise FileFormatError(f"{file}: {e}") from e


def camera_entries(path: Path) -> dict[str, Any]:
    """The entries of a folder's camera.yaml. Raises FileFormatError."""
    if not path.is_file():
        raise FileFormatError(f"{path} does not exist; a folder of images needs it (docs/capture.md).")
    try:
        entries = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as e:
        mark = getattr(e, "problem_mark", None)
        where = f" in line {mark.line + 1} ({e.problem})" if isinstance(e, yaml.MarkedYAMLError) and mark else ""
        raise FileFormatError(f"{path} is not YAML{where}; write {CAMERA_YAML}, each as `name: value`.") from e
    if not isinstance(entries, dict):
        raise FileFormatError(f"{path} has no `name: value` entries; write {CAMERA_YAML}.")
    return entries


def _camera_yaml(path: Path) -> tuple[float, tuple[float, float, float, float, tuple[float, ...]]]:
    """Frames per second, and Intrinsics' fx, fy, cx, cy, d. Raises FileFormatError."""
    entries = camera_entries(path)
    if lacking := [name for name in ("fx", "fy", "cx", "cy") if name not in entries]:
        raise FileFormatError(f"{path} lacks {', '.join(lacking)}; write {CAMERA_YAML}.")
    try:
        d = tuple(float(x) for x in entries.get("d", (0.0,) * 5))
        fps = float(entries.get("fps", 30.0))
        fx, fy, cx, cy = (float(entries[name]) for name in ("fx", "fy", "cx", "cy"))
    except (TypeError, ValueError) as e:
        raise FileFormatError(f"{path}: {e}; write {CAMERA_YAML}.") from e
    if len(d) != 5 or fps <= 0:
        raise FileFormatError(f"{path}: d must have 5 coefficients and fps must be positive, not {d} and {fps}.")
    return fps, (fx, fy, cx, cy, d)
