"""What a camera is here: whatever gives pairs of a colour image and the depth aligned to it.

A RealSense (realsense.py), a recording (bag.py), a directory of images (file.py) and a drawn scene
(drawn.py) are cameras; `source.py` makes one of what a user writes. All are read alike:

    camera = open_camera()                 # CameraError: it cannot be opened, and why
    frames = camera.read(timeout=0.2)      # None: nothing came; CameraLostError: it is gone; EndOfFrames: all was read
    camera.close()
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dexhot.errors import DexhotError
from dexhot.geometry.cameras import Intrinsics

OPTICAL_FRAME = "camera_color_optical_frame"  # x right, y down, z forward (REP 103); depth is aligned, so it is its too


class CameraError(DexhotError):
    """A camera cannot be opened; the message says why and what to do."""


class CameraLostError(CameraError):
    """A camera that was open is gone."""


class EndOfFrames(Exception):
    """A recording was read to its end; `lost`: what of it could not be read."""

    def __init__(self, name: str, lost: Sequence[str] = ()):
        super().__init__(name)
        self.lost = list(lost)


@dataclass(frozen=True)
class Frames:
    """One colour image and the depth of its pixels."""

    stamp: float  # s since 1970 at which the colour image was taken
    number: int  # the camera's count; a gap is a drop
    color: np.ndarray  # (H, W, 3) uint8, red green blue
    depth: np.ndarray | None  # (H, W) uint16, mm along the optical axis, 0: unknown; None: no depth came with it
    intrinsics: Intrinsics


class Camera(Protocol):
    """See the module."""

    name: str
    recorded: bool  # its frames wait until somebody subscribes; those of a device pass
    notice: str  # what its user must know beforehand, as depth that is left out; mostly ""

    def read(self, timeout: float) -> Frames | None:
        """The next frames; None when `timeout` s passed without. Raises CameraLostError or EndOfFrames."""

    def close(self) -> None:
        """Give the device back; never raises."""
