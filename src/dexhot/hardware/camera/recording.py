"""Reads a Recording: a bag with camera topics, a folder of images (file.py), or a video without depth."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data import bags
from dexhot.data.files import kind_of
from dexhot.data.recording import DEPTH_OMITTED, Recording, check_intrinsics
from dexhot.data.types import Evidence
from dexhot.errors import DexhotError, FileFormatError, MissingExtraError
from dexhot.geometry.cameras import pinhole
from dexhot.hardware.camera.bag import find_frames
from dexhot.hardware.camera.extrinsics import static_transform
from dexhot.hardware.camera.file import camera_entries, directory_frames
from dexhot.hardware.camera.frames import Frames

VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm")
FOVY = 45.0  # degrees, vertical; of a video whose camera is unknown
ASSUMED = "assumed_fovy_deg"  # in the provenance of a video, and of what was seen in it
WORLD = "world"  # the frame that world_T_camera is looked up from, in a bag's /tf_static
MOST = 6e9  # bytes of images that are read into memory


def recording_place(text: str | Path) -> Path:
    """The file or folder that a recording's argument names."""
    return Path(str(text).removeprefix("bag:").removeprefix("dir:"))


def recording_name(text: str | Path) -> str:
    """A recording's name: that of its file or folder, also where the argument is "."; of a bag, its folder's."""
    path = Path(os.path.abspath(recording_place(text)))
    return path.parent.name if path.name == "bag" else path.stem


def open_recording(
    path: str | Path, start: int = 0, count: int | None = None, namespace: str = "", fovy: float | None = None
) -> Recording:
    """Frames `start` to `start + count` (default: all) of a bag, of a run or capture folder, of a `dir:` folder or of
    a video; the prefixes bag: and dir: are optional.

    namespace: of the camera's topics in a bag (camera_topics.py). fovy: vertical field of view of a video, degrees;
    default: FOVY, which `provenance` notes. Frames whose stamp does not increase are left out; `provenance` lists them
    and a damaged bag's losses. Raises FileFormatError, DexhotError for a field of view of what is no video.
    """
    if fovy is not None and not 0.0 < fovy < 180.0:
        raise DexhotError(f"--fovy must be between 0 and 180 degrees, not {fovy:g}.")
    place = recording_place(path)
    if not place.exists():
        raise FileFormatError(f"{path} does not exist; give a bag, a capture, a folder with camera.yaml, or a video.")
    if str(path).startswith("dir:") and not (place / "camera.yaml").is_file():
        raise FileFormatError(f"{path} has no camera.yaml, so it is not a folder of images (docs/capture.md).")
    if place.is_file() and (kind := kind_of(place)):
        raise FileFormatError(
            f"{path} is a {kind} file; give a recording: a bag, a capture, a folder with camera.yaml, or a video."
        )
    made: dict[str, Any] = {"recording": place.name}
    world_T_camera, bag = None, None
    source: Iterator[Frames]
    video = place.suffix.lower() in VIDEOS
    if fovy is not None and not video:
        raise DexhotError(f"{path} is not a video and has the intrinsics of its camera: leave out --fovy.")
    if video:
        made[ASSUMED] = FOVY if fovy is None else fovy
        source = video_frames(place, made[ASSUMED])
    elif (place / "camera.yaml").is_file() or (place / "color").is_dir():
        source, world_T_camera = directory_frames(place), _placed(place / "camera.yaml")
    else:
        bag = find_frames(bags.locate(place), namespace)
        source, world_T_camera = iter(bag), static_transform(bag.path, WORLD, bag.color)
        made["topics"] = bag.names
        if bag.left_out:
            made[DEPTH_OMITTED] = bag.left_out
    recording = _collect(recording_name(place), source, start, count, made)
    recording.world_T_camera = world_T_camera
    notes = [] if bag is None else [*filter(None, (bag.left_out,)), *bag.lost]
    if video and fovy is None:
        notes.append(f"the video's camera is unknown: a vertical field of view of {FOVY:g} degrees is assumed (--fovy)")
    if notes:
        recording.provenance["notes"] = recording.provenance.get("notes", []) + notes
    recording.validate()
    return recording


def assume_as_seen(recording: Recording, evidence: Evidence) -> None:
    """Give a video the field of view that was assumed when its evidence was made."""
    if ASSUMED in recording.provenance and ASSUMED in evidence.provenance:
        fovy = float(evidence.provenance[ASSUMED])
        recording.intrinsics = pinhole(recording.intrinsics.width, recording.intrinsics.height, fovy)
        recording.provenance[ASSUMED] = fovy


def _collect(name: str, source: Iterator[Frames], start: int, count: int | None, made: dict[str, Any]) -> Recording:
    """Stack the frames from `start` on; what is left out goes into made["notes"]."""
    kept: list[Frames] = []
    back = without_depth = size = 0
    last = -np.inf
    for number, frames in enumerate(source):
        if number < start:
            continue
        if count is not None and len(kept) >= count:
            break
        if number == start:
            check_intrinsics(frames.intrinsics, name)
        if frames.stamp <= last:
            back += 1
            continue
        if kept and frames.color.shape != kept[0].color.shape:
            raise FileFormatError(f"{name}: image {number} has another size than the first; a recording has one size.")
        last = frames.stamp
        kept.append(frames)
        without_depth += frames.depth is None
        size += frames.color.nbytes + 2 * frames.color[..., 0].size
        if size > MOST:
            raise FileFormatError(
                f"{name} is longer than what is read into memory at once ({MOST * 1e-9:.0f} GB, {len(kept)} frames); "
                "choose a part of it by its first frame and their number."
            )
    if not kept:
        raise FileFormatError(f"{name} has no complete image from frame {start} on.")
    first = kept[0]
    nothing = np.zeros(first.color.shape[:2], np.uint16)
    notes = [f"{back} frames whose stamp did not increase are left out"] if back else []
    notes += [f"{without_depth} of {len(kept)} frames have no depth"] if without_depth else []
    if notes:
        made["notes"] = notes
    return Recording(
        name,
        np.array([frames.stamp for frames in kept]),
        np.stack([frames.color for frames in kept]),
        np.stack([nothing if frames.depth is None else frames.depth for frames in kept]),
        first.intrinsics,
        provenance=made | {"first_frame": start},
    )


def _placed(camera_yaml: Path) -> np.ndarray | None:
    """world_T_camera of a folder's camera.yaml, if it has one. Raises FileFormatError."""
    entry = camera_entries(camera_yaml).get("world_T_camera")
    try:
        return None if entry is None else np.array(entry, float).reshape(7)
    except (ValueError, TypeError) as e:
        raise FileFormatError(f"{camera_yaml}: world_T_camera is not [x, y, z, qw, qx, qy, qz]: {e}.") from e


def video_frames(path: Path, fovy: float = FOVY) -> Iterator[Frames]:
    """Colour images of a video, without depth, of a pinhole camera with the vertical field of view `fovy` (degrees).

    Raises FileFormatError, or MissingExtraError without the `video` extra.
    """
    try:
        from imageio_ffmpeg import read_frames
    except ImportError as e:
        raise MissingExtraError(f"reading {path.name}", "video") from e
    try:
        reader = read_frames(str(path))
        about = next(reader)
        width, height = about["size"]
        for number, data in enumerate(reader):
            color = np.frombuffer(data, np.uint8).reshape(height, width, 3)
            yield Frames(number / about["fps"], number, color, None, pinhole(width, height, fovy))
    except (OSError, RuntimeError, KeyError, StopIteration) as e:
        raise FileFormatError(
            f"{path} is not a video that can be read: {str(e).splitlines()[-1] if str(e) else e}."
        ) from e
