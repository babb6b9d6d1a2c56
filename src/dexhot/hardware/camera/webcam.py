"""A webcam through ffmpeg's video4linux2 (extra `video`): colour alone."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dexhot.errors import MissingExtraError
from dexhot.geometry.cameras import pinhole
from dexhot.hardware.camera.frames import CameraError, CameraLostError, Frames

WEBCAM = "/dev/video0"
FOVY = 43.0  # degrees, vertical: of common webcams; the hand's distance depends on it, its motion little
DIRECT = ["-fflags", "nobuffer", "-flags", "low_delay"]  # the newest image, not a smooth stream


class Webcam:
    """Images as they come, stamped when they arrive: `read` waits for the next one, whatever its timeout."""

    recorded, notice = False, ""

    def __init__(self, name: str, images: Iterator[bytes], size: tuple[int, int]):
        self.name, self.images, self.size, self.number = name, images, size, -1

    def read(self, timeout: float) -> Frames | None:
        data, stamp = next(self.images, None), time.time()
        if data is None:
            raise CameraLostError(f"{self.name} gives no more images; is it unplugged?")
        width, height = self.size
        self.number += 1
        color = np.frombuffer(data, np.uint8).reshape(height, width, 3)
        return Frames(stamp, self.number, color, None, pinhole(width, height, FOVY))

    def close(self) -> None:
        self.images.close()  # type: ignore[attr-defined]


def open_webcam(device: str, width: int, height: int, fps: float, options: Sequence[str] | None = None) -> Webcam:
    """Open `device`, a path as /dev/video0; `options`: ffmpeg's, in place of video4linux2's for this mode. Raises
    CameraError, or MissingExtraError without the `video` extra."""
    try:
        from imageio_ffmpeg import read_frames
    except ImportError as e:
        raise MissingExtraError("a webcam", "video") from e
    mode = ["-f", "video4linux2", "-framerate", f"{fps:g}", "-video_size", f"{width}x{height}"]
    try:
        images: Any = read_frames(device, input_params=[*DIRECT, *(mode if options is None else options)])
        about = next(images)
    except (OSError, RuntimeError, StopIteration) as e:
        said = str(e).strip().splitlines()
        raise CameraError(
            f"webcam {device} cannot be opened at {width}x{height} and {fps:g} Hz: {said[-1] if said else e}. "
            "`ls /dev/video*` lists the devices; width:=, height:= and fps:= choose the mode."
        ) from e
    return Webcam(f"webcam {device}", images, tuple(about["size"]))
