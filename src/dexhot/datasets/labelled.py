"""One camera's recording of a published dataset with its truth, in the same form as a rendered clip."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dexhot.data.recording import Recording
from dexhot.data.types import Evidence, HandObjectTrajectory
from dexhot.errors import FileFormatError
from dexhot.geometry.cameras import Intrinsics
from dexhot.hardware.camera.codec import decode_color, decode_depth


@dataclass
class LabelledClip:
    """Pictures, what an errorless detector would see in them, and the motion."""

    recording: Recording
    evidence: Evidence  # labels, boxes, keypoints and object poses of the truth, NaN where it has none
    truth: HandObjectTrajectory | None  # in the recording's world; None where the truth is withheld
    frames: list[str]  # (T,) name of each frame in the dataset
    root: np.ndarray | None = None  # (T, 3) m, camera frame: the wrist, where nothing else of the hand is given

    def part(self, chosen: slice) -> "LabelledClip":
        """Only these frames."""
        first, stop, _ = chosen.indices(len(self.frames))
        return LabelledClip(
            self.recording.frames(first, stop),
            self.evidence.cut(first, stop),
            None if self.truth is None else self.truth.cut(first, stop),
            self.frames[chosen],
            None if self.root is None else self.root[chosen],
        )


def read_color(path: Path) -> np.ndarray:
    """(H, W, 3) RGB. Raises FileFormatError naming the file."""
    return _read(path, decode_color)


def read_depth(path: Path) -> np.ndarray:
    """(H, W) uint16 mm of a 16-bit PNG. Raises FileFormatError naming the file."""
    return _read(path, decode_depth)


def _read(path: Path, decode: Callable[[bytes], np.ndarray]) -> np.ndarray:
    if not path.is_file():
        raise FileFormatError(f"{path} is missing; the dataset was not downloaded or unpacked completely.")
    try:
        return decode(path.read_bytes())
    except FileFormatError as e:
        raise FileFormatError(f"{path}: {e} Download it again.") from e


def keypoint_rows(points: np.ndarray, camera: Intrinsics, known: np.ndarray) -> np.ndarray:
    """Keypoints (T, 21, 3) m of the camera frame -> Evidence's rows (T, 21, 6); NaN and confidence 0 where unknown."""
    rows = np.full((*points.shape[:2], 6), np.nan)
    rows[known, :, :3] = points[known]
    rows[known, :, 3:5] = camera.project(points[known])
    rows[..., 5] = known[:, None]
    return rows
