"""Frames from rosbags: our captures, those of realsense2_camera, and the .db3 files of librealsense's own recorder.

librealsense's topics are /device_0/sensor_N/Color_0/... with metadata as text, times from the start of the recording,
and depth as the depth sensor saw it: it is aligned to colour here, so that neither camera nor librealsense is needed.
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
from dexhot.errors import FileFormatError
from dexhot.hardware.camera.align import Aligner
from dexhot.hardware.camera.codec import decode_color, decode_depth, pixels
from dexhot.hardware.camera.frames import COLOR, DEPTH, Frames, Intrinsics

COLOR_PATH, DEPTH_PATH = COLOR.removeprefix("/camera"), DEPTH.removeprefix("/camera")  # behind any namespace
TOGETHER = 0.012  # s by which colour and depth of one pair may differ
RECORDED = re.compile(r"/device_0/sensor_\d+/(Color|Depth)_0/image/data(/compressed|/compressedDepth)?")


@dataclass(frozen=True)
class BagFrames:
    """What of a bag is frames: the topics of colour and depth, and of the colour camera's info.

    `lost`: what of a damaged bag could not be read, as far as it showed until now.
    """

    path: Path
    color: str
    info: str
    depth: str | None
    librealsense: bool
    lost: list[str] = field(default_factory=list, compare=False)

    def __iter__(self) -> Iterator[Frames]:
        """Colour images in order, each with the depth nearest in time. Raises FileFormatError."""
        waiting: tuple[deque, deque] = deque(), deque()
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
        """Of the colour camera."""
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
        rgb, mm = _pixels(color, depth=False), None if depth is None else _pixels(depth, depth=True)
        if rgb.ndim == 2:
            rgb = np.repeat(rgb[..., None], 3, axis=2)
        if mm is not None and self._aligner is not None:
            mm = self._aligner(mm)
        return Frames(stamp, number, rgb, mm, self.intrinsics)

    @cached_property
    def _aligner(self) -> Aligner | None:
        """None where depth is aligned already."""
        if not self.librealsense or self.depth is None:
            return None
        (turn_d, shift_d), (turn_c, shift_c) = (self._extrinsics(topic) for topic in (self.depth, self.color))
        info = f"{_stream(self.depth)}/image/camera_info"
        turn = turn_c @ turn_d.T  # each maps one common reference into its sensor
        return Aligner(self._intrinsics(info), self.intrinsics, turn, shift_c - turn @ shift_d)

    def _intrinsics(self, topic: str) -> Intrinsics:
        message = next((m for _, _, m in bags.messages(self.path, {topic})), None)
        if message is None:
            raise FileFormatError(f"{self.path} has no message of {topic}, which holds the camera's intrinsics.")
        d = tuple(map(float, message.d[:5])) if len(message.d) >= 5 else (0.0,) * 5
        fx, _, cx, _, fy, cy = map(float, message.k[:6])
        return Intrinsics(message.width, message.height, fx, fy, cx, cy, d)

    def _extrinsics(self, topic: str) -> tuple[np.ndarray, np.ndarray]:
        """Rotation (3, 3), column by column as librealsense has it, and translation (3,) m."""
        prefix = f"{_stream(topic)}/tf/"
        names = {name for name in bags.topics(self.path) if name.startswith(prefix)}
        for _, _, message in bags.messages(self.path, names) if names else ():
            entries = _entries(message.data)
            rotation, translation = (
                np.array([float(x) for x in entries[n].split(",")]) for n in ("rotation", "translation")
            )
            return rotation.reshape(3, 3).T, translation
        raise FileFormatError(f"{self.path} has no {prefix}..., so its depth cannot be aligned to colour.")

    def _recorded_stamps(self, topic: str) -> dict[int, float]:
        """time in the recording, ns -> the frame's own timestamp, s."""
        metadata = f"{_stream(topic)}/image/metadata"
        found = {}
        for _, received, message in bags.messages(self.path, {metadata}):
            found[received] = float(_entries(message.data)["timestamp"]) * 1e-3
        return found


def find_frames(path: str | Path) -> BagFrames:
    """The camera of a bag. Raises FileFormatError naming what the bag lacks."""
    path = Path(path)
    with bags.open_bag(path) as reader:
        found = {c.topic for c in reader.connections if c.msgcount}
        lost = reader.damage
    recorded = {m[1]: topic for topic in sorted(found) if (m := RECORDED.fullmatch(topic))}
    if "Color" in recorded:
        color = recorded["Color"]
        source = BagFrames(path, color, f"{_stream(color)}/image/camera_info", recorded.get("Depth"), True, lost)
    else:
        color = next((t for t in sorted(found) if re.fullmatch(rf".*{COLOR_PATH}(/compressed)?", t)), "")
        prefix = color.split(COLOR_PATH)[0] if color else "/camera"
        depth = next((t for t in (prefix + DEPTH_PATH + s for s in ("", "/compressedDepth")) if t in found), None)
        source = BagFrames(path, color, f"{prefix}/color/camera_info", depth, False, lost)
    lacking = [] if color else [f"{COLOR} (or {COLOR}/compressed, or librealsense's Color_0)"]
    lacking += [source.info] if source.info not in found else []
    if lacking:
        there = ", ".join(sorted(found)) or "none"
        what = f"{path} lacks what a camera gives: {', '.join(lacking)}; its topics: {there}."
        raise FileFormatError(what + bags.because(lost))
    return source


def is_librealsense(path: str | Path) -> bool:
    """Whether a bag was written by librealsense's recorder; its older .bag files have their camera info elsewhere."""
    found = bags.topics(path)
    return any(RECORDED.fullmatch(topic) and f"{_stream(topic)}/image/camera_info" in found for topic in found)


def _pair(color: deque, depth: deque, has_depth: bool) -> Iterator[tuple[float, Any, Any]]:
    """Take from both queues what can be decided: (stamp, colour, depth or None)."""
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
        return (decode_depth if depth else decode_color)(bytes(message.data))
    return pixels(message.encoding, message.height, message.width, message.step, message.data)


def _stream(topic: str) -> str:
    """/device_0/sensor_1/Color_0 of one of its topics."""
    return topic.split("/image/")[0]


def _entries(text: str) -> dict[str, str]:
    """librealsense's "name=value;name=value"."""
    return dict(entry.split("=", 1) for entry in text.split(";") if "=" in entry)
