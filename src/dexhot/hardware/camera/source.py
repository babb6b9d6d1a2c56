"""A camera by what a user writes: realsense, realsense:SERIAL, bag:PATH, dir:PATH or sim."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dexhot.data.bags import locate
from dexhot.errors import NotFoundError
from dexhot.hardware.camera.bag import find_frames
from dexhot.hardware.camera.drawn import SimCamera
from dexhot.hardware.camera.file import FileCamera, directory_frames
from dexhot.hardware.camera.frames import Camera
from dexhot.hardware.camera.realsense import choose, open_realsense

KINDS = ("realsense", "realsense:SERIAL", "bag:PATH", "dir:PATH", "sim")


@dataclass(frozen=True)
class Mode:
    """What is asked of a device, and whether a recording starts again when it ends."""

    width: int = 640
    height: int = 480
    fps: int = 30
    loop: bool = False
    namespace: str = ""  # of the topics in a bag; by default realsense-ros's, ours, or the first that there is


def camera_source(text: str, mode: Mode) -> Callable[[], Camera]:
    """A function that opens the camera `text`.

    What can be checked before is: raises NotFoundError, FileFormatError, MissingExtraError or CameraError.
    """
    kind, _, rest = text.partition(":")
    if kind == "realsense":
        serial = choose(rest)  # once: one that is lost is not replaced by another, which looks from elsewhere
        return partial(open_realsense, serial, mode.width, mode.height, mode.fps)
    if text == "sim":
        return partial(SimCamera, mode.width, mode.height, mode.fps)
    if kind == "bag" and rest:
        source = find_frames(locate(rest), mode.namespace)
        name = f"{text} ({source.names})"
        return lambda: FileCamera(name, source.__iter__, mode.loop, notice=source.left_out, lost=source.lost)
    if kind == "dir" and rest:
        next(directory_frames(Path(rest)))  # camera.yaml and the first pair
        return lambda: FileCamera(text, partial(directory_frames, Path(rest)), mode.loop)
    raise NotFoundError("camera", text, KINDS)
