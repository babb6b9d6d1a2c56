"""Frames from rosbags: our captures, those of realsense2_camera, and librealsense's own .db3 recordings.

librealsense's topics are /device_0/sensor_N/Color_0/... with metadata as text, times from the start of the recording.
Unaligned depth (librealsense's, or realsense2_camera's without align_depth) is aligned to colour here, so that neither
camera nor librealsense is needed; if the recording lacks the extrinsics, `left_out` says so.
"""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data import bags
from dexhot.data.camera_topics import NAMESPACES, PACKED_DEPTH, CameraTopics, color_images, find_camera
from dexhot.data.topics import COLOR, TF_STATIC
from dexhot.errors import FileFormatError
from dexhot.geometry.cameras import Intrinsics
from dexhot.hardware.camera import extrinsics
from dexhot.hardware.camera.align import Aligner
from dexhot.hardware.camera.codec import pixels, unpacked
from dexhot.hardware.camera.frames import Frames

UNALIGNED = ("/depth/image_rect_raw", "/depth/image_raw")  # topics of unaligned depth
TOGETHER = 0.012  # s, maximum time difference of colour and depth in one pair
RECORDED = re.compile(r"/device_0/sensor_\d+/(Color|Depth)_0/image/data(/compressed|/compressedDepth)?")

Queue = deque[tuple[float, Any]]  # stamp, message


@dataclass(frozen=True)
class BagFrames:
    """The image frames in a bag: topics of colour and depth, and of the colour camera's info.

    `depth_info`: camera info of the depth sensor, if depth must be aligned, by `color_T_depth`.
    `lost`: losses of a damaged bag found so far.
    """

    path: Path
    color: str
    info: str
    depth: str | None
    librealsense: bool = False
    depth_info: str = ""
    color_T_depth: extrinsics.Extrinsics | None = None
    left_out: str = ""  # depth in the bag that cannot be used, and why
    lost: list[str] = field(default_factory=list, compare=False)

    @property
    def names(self) -> str:
        """The topics used, for a log."""
        return f"{self.color}, {self.info}, {self.depth or 'no depth'}"

    def __iter__(self) -> Iterator[Frames]:
        """Colour images in order, each with the depth nearest in time. Raises FileFormatError."""
        waiting: tuple[Queue, Queue] = deque(), deque()
        number = 0
        for stamp, is_depth, image in self._images():
            waiting[is_depth].append((stamp, image))
            for paired in _pair(*waiting, has_depth=self.depth is not None):
                yield self._frames(number, *paired)
                number += 1
        for stamp, image in waiting[0]:
            yield self._frames(number, stamp, image, None)
            number += 1

    @cached_property
    def intrinsics(self) -> Intrinsics:
        """Intrinsics of the colour camera."""
        return self._intrinsics(self.info)

    def _images(self) -> Iterator[tuple[float, bool, Any]]:
        """(stamp s, whether it is depth, message) in recorded order."""
        wanted = {self.color} | ({self.depth} if self.depth else set())
        stamps = {topic: self._recorded_stamps(topic) for topic in wanted} if self.librealsense else {}
        with bags.open_bag(self.path) as reader:
            for connection, _, data in reader.messages(c for c in reader.connections if c.topic in wanted):
                topic, message = connection.topic, bags.decode(connection, data)
                ns = bags.stamp_ns(message)
                yield (stamps[topic].get(ns, ns * 1e-9) if stamps else ns * 1e-9), topic == self.depth, message
            self.lost[:] = reader.damage

    def _frames(self, number: int, stamp: float, color: Any, depth: Any) -> Frames:
        rgb, mm = self._decoded(color, False), None if depth is None else self._decoded(depth, True)
        if rgb.ndim == 2:
            rgb = np.repeat(rgb[..., None], 3, axis=2)
        if mm is not None and self._aligner is not None:
            mm = self._aligner(mm)
        return Frames(stamp, number, rgb, mm, self.intrinsics)

    def _decoded(self, message: Any, depth: bool) -> np.ndarray:
        try:
            return _pixels(message, depth)
        except FileFormatError as e:
            raise FileFormatError(f"{self.path}, {self.depth if depth else self.color}: {e}") from e

    @cached_property
    def _aligner(self) -> Aligner | None:
        """None if depth is aligned already."""
        if self.color_T_depth is None:
            return None
        return Aligner(self._intrinsics(self.depth_info), self.intrinsics, *self.color_T_depth)

    def _intrinsics(self, topic: str) -> Intrinsics:
        message = next((m for _, _, m in bags.messages(self.path, {topic})), None)
        if message is None:
            raise FileFormatError(f"{self.path} has no message of {topic}, which contains the camera's intrinsics.")
        return Intrinsics.from_matrix(message.width, message.height, message.k, message.d)

    def _recorded_stamps(self, topic: str) -> dict[int, float]:
        """time in the recording, ns -> the frame's own timestamp, s."""
        metadata = f"{_stream(topic)}/image/metadata"
        found = {}
        for _, received, message in bags.messages(self.path, {metadata}):
            found[received] = float(extrinsics.entries(message.data)["timestamp"]) * 1e-3
        return found


def find_frames(path: str | Path, namespace: str = "") -> BagFrames:
    """The camera of a bag, in `namespace` if given. Raises FileFormatError naming the missing topics."""
    path = Path(path)
    with bags.open_bag(path) as reader:
        found = {c.topic for c in reader.connections if c.msgcount}
        lost = reader.damage
    recorded = {m[1]: topic for topic in sorted(found) if (m := RECORDED.fullmatch(topic))}
    source = _of_librealsense(path, recorded, found) if "Color" in recorded else _of_driver(path, found, namespace)
    source.lost[:] = lost
    if namespace and not source.color and (cameras := color_images(found)):
        raise FileFormatError(f"{path} has no camera in {namespace}; its colour images: {', '.join(cameras)}.")
    lacking = [] if source.color else [f"{COLOR} (or {COLOR}/compressed, or librealsense's Color_0)"]
    lacking += [source.info] if source.info not in found else []
    if lacking:
        there = ", ".join(sorted(found)) or "none"
        what = f"{path} lacks camera topics: {', '.join(lacking)}; its topics: {there}."
        raise FileFormatError(what + bags.because(lost))
    return source


def _of_librealsense(path: Path, recorded: dict[str, str], found: set[str]) -> BagFrames:
    color, depth = recorded["Color"], recorded.get("Depth")
    info = f"{_stream(color)}/image/camera_info"
    if depth is None or info not in found:  # older .bag files store info and transforms elsewhere
        return BagFrames(path, color, info, None, librealsense=True)
    color_T_depth = extrinsics.of_librealsense(path, _stream(depth), _stream(color))
    return BagFrames(path, color, info, depth, True, f"{_stream(depth)}/image/camera_info", color_T_depth)


def _of_driver(path: Path, found: set[str], namespace: str) -> BagFrames:
    """Aligned depth if there is any; else unaligned depth, if the bag has the depth-to-colour extrinsics."""
    none = CameraTopics("", "", f"{NAMESPACES[-1]}/color/camera_info", "")
    camera = find_camera(found, namespace) or none
    color, info, prefix = camera.color, camera.info, camera.namespace
    if camera.depth or not color:
        return BagFrames(path, color, info, camera.depth or None)
    raw = next((t for name in UNALIGNED for t in (prefix + name, prefix + name + PACKED_DEPTH) if t in found), None)
    if raw is None:
        return BagFrames(path, color, info, None)
    depth_info = f"{prefix}/depth/camera_info"
    color_T_depth = extrinsics.of_driver(path, prefix, _frame_id(path, raw), _frame_id(path, color))
    lacking = [] if color_T_depth else [f"{prefix}/extrinsics/depth_to_color", TF_STATIC]
    lacking += [] if depth_info in found else [depth_info]
    if lacking:
        why = (
            f"the depth of {raw} is omitted: it is not aligned to colour, and {path} lacks the topics to align it "
            f"({' or '.join(lacking)}); record with align_depth.enable:=true, or record these topics too."
        )
        return BagFrames(path, color, info, None, left_out=why)
    return BagFrames(path, color, info, raw, False, depth_info, color_T_depth)


def _frame_id(path: Path, topic: str) -> str:
    return str(next(m.header.frame_id for _, _, m in bags.messages(path, {topic})))


def is_librealsense(path: str | Path) -> bool:
    """Whether a bag was written by librealsense's recorder; older .bag files store camera info elsewhere."""
    found = bags.topics(path)
    return any(RECORDED.fullmatch(topic) and f"{_stream(topic)}/image/camera_info" in found for topic in found)


def _pair(color: Queue, depth: Queue, has_depth: bool) -> Iterator[tuple[float, Any, Any]]:
    """Take the decidable pairs from both queues: (stamp, colour, depth or None)."""
    while color and (depth or not has_depth):
        stamp, image = color[0]
        ahead = depth[0][0] - stamp if has_depth else np.inf
        if ahead < -TOGETHER:  # depth without colour
            depth.popleft()
            continue
        color.popleft()
        yield stamp, image, depth.popleft()[1] if ahead <= TOGETHER else None


def _pixels(message: Any, depth: bool) -> np.ndarray:
    if hasattr(message, "format"):
        return unpacked(message.format, bytes(message.data), depth)
    return pixels(message.encoding, message.height, message.width, message.step, message.data)


def _stream(topic: str) -> str:
    """The stream of a topic, /device_0/sensor_1/Color_0."""
    return topic.split("/image/")[0]
