"""Makes a camera from its description: realsense, realsense:SERIAL, webcam, webcam:DEVICE, bag:PATH, dir:PATH,
video:PATH or sim."""

from collections.abc import Callable, Sequence
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
from dexhot.hardware.camera.recording import video_frames
from dexhot.hardware.camera.webcam import WEBCAM, open_webcam

RGBD = ("realsense", "realsense:SERIAL", "bag:PATH", "dir:PATH")
COLOR_ONLY = ("webcam", "webcam:DEVICE", "video:PATH")
KINDS = (*RGBD, "sim", *COLOR_ONLY)
RUNNING = "running"  # a camera that already publishes; graphs know it, `camera_source` does not
RIG = "rig"  # a rendered person, of the layer above (synthesis/rendered_camera.py)


@dataclass(frozen=True)
class Mode:
    """Requested image format of a device, and whether a recording repeats."""

    width: int = 640
    height: int = 480
    fps: int = 30
    loop: bool = False
    namespace: str = ""  # of the topics in a bag; by default realsense-ros's, ours, or the first found


def camera_source(text: str, mode: Mode, valid: Sequence[str] = KINDS) -> Callable[[], Camera]:
    """A function that opens the camera `text`; `valid`: the choices, which an error lists.

    Checks what it can beforehand: raises NotFoundError, FileFormatError, MissingExtraError or CameraError.
    """
    kind, _, rest = text.partition(":")
    if kind == "realsense":
        serial = choose(rest)  # chosen once: a lost camera must not be replaced by another, with other extrinsics
        return partial(open_realsense, serial, mode.width, mode.height, mode.fps)
    if text == "sim" and text in valid:
        return partial(SimCamera, mode.width, mode.height, mode.fps)
    if kind == "webcam":
        return partial(open_webcam, rest or WEBCAM, mode.width, mode.height, mode.fps)
    if kind == "video" and rest:
        next(video_frames(Path(rest)))  # the first image
        return lambda: FileCamera(text, partial(video_frames, Path(rest)), mode.loop)
    if kind == "bag" and rest:
        source = find_frames(locate(rest), mode.namespace)
        name = f"{text} ({source.names})"
        return lambda: FileCamera(name, source.__iter__, mode.loop, notice=source.left_out, lost=source.lost)
    if kind == "dir" and rest:
        next(directory_frames(Path(rest)))  # camera.yaml and the first pair
        return lambda: FileCamera(text, partial(directory_frames, Path(rest)), mode.loop)
    raise NotFoundError("camera", text, valid)


def has_depth(text: str, namespace: str = "") -> bool:
    """Whether the camera `text` gives depth; `namespace`: of the topics in a bag. Raises as `camera_source`."""
    kind, _, rest = text.partition(":")
    if kind == "bag":
        return find_frames(locate(rest), namespace).depth is not None
    if kind == "dir":
        return next(directory_frames(Path(rest))).depth is not None
    return kind not in ("webcam", "video")
