"""The camera interface: a source of pairs of a colour image and its aligned depth.

A RealSense (realsense.py), a recording (bag.py), a directory of images (file.py) and a synthetic scene
(drawn.py) are cameras; `source.py` makes one from its textual description. All are read in the same way:

    camera = open_camera()                 # CameraError: it cannot be opened, and why
    frames = camera.read(timeout=0.2)      # None: timeout; CameraLostError: disconnected; EndOfFrames: end of a
    recording camera.close()
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dexhot.errors import DexhotError
from dexhot.geometry.cameras import Intrinsics

OPTICAL_FRAME = "camera_color_optical_frame"  # x right, y down, z forward (REP 103); also of the aligned depth


class CameraError(DexhotError):
    """A camera cannot be opened; the message says why and what to do."""


class CameraLostError(CameraError):
    """An open camera was disconnected."""


class EndOfFrames(Exception):
    """The end of a recording; `lost`: its unreadable parts."""

    def __init__(self, name: str, lost: Sequence[str] = ()):
        super().__init__(name)
        self.lost = list(lost)


@dataclass(frozen=True)
class Frames:
    """One colour image and the depth of its pixels."""

    stamp: float  # Unix time at which the colour image was taken, s
    number: int  # the camera's frame counter; a gap means dropped frames
    color: np.ndarray  # (H, W, 3) uint8, red green blue
    depth: np.ndarray | None  # (H, W) uint16, mm along the optical axis, 0: unknown; None: no depth arrived with it
    intrinsics: Intrinsics


class Camera(Protocol):
    """The interface; see the module's docstring."""

    name: str
    recorded: bool  # frames of a recording wait for a subscriber, those of a device do not
    notice: str  # warning for the user, e.g. about omitted depth; usually ""

    def read(self, timeout: float) -> Frames | None:
        """The next frames; None after `timeout` s without one. Raises CameraLostError or EndOfFrames."""

    def close(self) -> None:
        """Release the device; never raises."""
