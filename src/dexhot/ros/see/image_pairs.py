"""Subscribes to a camera: depth aligned to colour, with the colour image of the same stamp where it is needed; or
colour alone."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from dexhot.data.camera_topics import ALIGNED, OURS
from dexhot.data.topics import COLOR, COLOR_INFO
from dexhot.geometry.cameras import Intrinsics
from dexhot.ros.core import messages
from dexhot.ros.core.base import DexhotNode
from dexhot.ros.core.refusals import RefusedError
from dexhot.ros.see.camera_messages import read_camera_info, read_image
from dexhot.ros.see.stamped import StampedHistory

KEPT = 8  # images that wait for their counterpart
UNPAIRED = 5  # images in a row without a counterpart before it is reported
START_UP = 10.0  # s in which a camera's node that nobody has heard of yet may still be coming up
NO_DRIVER = ": no node publishes it, the camera's driver is not running"


@dataclass(frozen=True)
class ImagePair:
    """One moment of a camera."""

    stamp: float  # s
    header: Header
    color: np.ndarray | None  # (H, W, 3) uint8; None where it is not asked for
    depth: np.ndarray  # (H, W) uint16 mm; zeros of a camera without depth
    camera: Intrinsics
    arrived: float  # monotonic time
    age: float  # s, ROS time at arrival minus stamp


class ImagePairs:
    """Calls `found` with each pair; `slop`: largest difference of the two stamps, s."""

    def __init__(
        self,
        node: DexhotNode,
        namespace: str,
        found: Callable[[ImagePair], None],
        with_color: bool,
        slop: float,
        with_depth: bool = True,
    ):
        place = f"/{namespace.strip('/')}" if namespace else OURS
        self.node, self.found, self.with_color, self.slop = node, found, with_color, slop
        self.with_depth = with_depth
        self.topics = {
            "colour": place + COLOR.removeprefix(OURS),
            "depth": place + ALIGNED,
            "camera info": place
            + (ALIGNED.replace("image_raw", "camera_info") if with_depth else COLOR_INFO.removeprefix(OURS)),
        }
        node.subscribe(CameraInfo, self.topics["camera info"], self.on_info)
        if with_depth:
            node.subscribe(Image, self.topics["depth"], self.on_depth)
        if with_color:
            node.subscribe(Image, self.topics["colour"], self.on_color)
        if with_color and with_depth:
            node.subscribe(CameraInfo, place + COLOR_INFO.removeprefix(OURS), self.on_color_info)
        self.restart()

    def restart(self) -> None:
        """Forget all images."""
        self.camera: Intrinsics | None = None
        self.color_camera: Intrinsics | None = None  # where colour is asked for; the same, as depth is aligned to it
        self.began = time.monotonic()
        self.offered: dict[str, float] = {}  # kind -> monotonic time at which it was first seen to have a publisher
        self.arrived: dict[str, float] = {}  # kind -> monotonic time of the last message
        self.early: tuple[Header, np.ndarray, np.ndarray | None] | None = None  # the first pair, before any camera info
        self.colors: StampedHistory[np.ndarray] = StampedHistory(KEPT)
        self.depths: StampedHistory[tuple[Header, np.ndarray]] = StampedHistory(KEPT)
        self.unpaired, self.gap = 0, 0.0

    def on_info(self, message: CameraInfo) -> None:
        self.arrived["camera info"] = time.monotonic()
        early, self.early = self.early, None
        self.camera = None  # until it is known to be right
        self.camera = read_camera_info(message)
        if early is not None:
            self.pair(*early)

    def on_color_info(self, message: CameraInfo) -> None:
        self.color_camera = read_camera_info(message)

    def on_color(self, message: Image) -> None:
        self.arrived["colour"] = time.monotonic()
        image = read_image(message)
        if image.ndim == 2 and image.itemsize == 1:
            image = np.repeat(image[..., None], 3, axis=2)
        if image.ndim != 3:
            raise RefusedError(f"a colour image has the encoding {message.encoding[:20]!r}.")
        stamp = messages.seconds(message.header.stamp)
        self.colors.add(stamp, image)
        if not self.with_depth:
            return self.pair(message.header, np.zeros(image.shape[:2], np.uint16), image)
        waiting = self.depths.take(stamp, self.slop)
        if waiting is not None:
            return self.pair(*waiting, image)
        return None

    def on_depth(self, message: Image) -> None:
        self.arrived["depth"] = time.monotonic()
        depth = read_image(message)
        if depth.ndim != 2 or depth.itemsize != 2:
            raise RefusedError(f"depth has the encoding {message.encoding[:20]!r}; expected 16UC1, in mm.")
        stamp = messages.seconds(message.header.stamp)
        if not self.with_color:
            return self.pair(message.header, depth, None)
        color = self.colors.take(stamp, self.slop)
        if color is not None:
            return self.pair(message.header, depth, color)
        self.depths.add(stamp, (message.header, depth))
        self.unpaired += 1
        self.gap = min((abs(at - stamp) for at, _ in self.colors.entries), default=self.gap)
        return None

    def pair(self, header: Header, depth: np.ndarray, color: np.ndarray | None) -> None:
        """Pass a pair on, once the camera is known to be of its size. The first one waits for the camera info, which
        drivers publish after the image: a prompt is of that image."""
        self.unpaired = 0
        if self.camera is None:
            if "camera info" not in self.arrived and self.early is None:
                self.early = header, depth, color
            return
        if self.color_camera not in (None, self.camera):
            raise RefusedError("the camera infos of colour and depth differ: depth must be aligned to colour.")
        size = f"{self.camera.width}x{self.camera.height}"
        for image, name in ((depth, "depth"), (color, "colour")):
            if image is not None and image.shape[:2] != (self.camera.height, self.camera.width):
                raise RefusedError(
                    f"{name} images have {image.shape[1]}x{image.shape[0]} pixels, but the camera info is of {size}: "
                    "align depth to colour, and scale the intrinsics with the images."
                )
        stamp = messages.seconds(header.stamp)
        age = self.node.now() - stamp
        self.found(ImagePair(stamp, header, color, depth, self.camera, time.monotonic(), age))

    def published(self, topic: str) -> bool:
        """Whether some node publishes it."""
        return bool(self.node.count_publishers(self.node.full(topic)))

    def missing(self, kind: str, silence: float, now: float) -> str:
        """What to say of a topic of which nothing has arrived yet: a camera that is coming up is no problem."""
        topic = self.topics[kind]
        if self.published(topic):
            late = now - self.offered.setdefault(kind, now) > silence
            return f"no {kind} has arrived on {topic}" if late else ""
        late = now - self.began > max(silence, START_UP)
        return f"no {kind} has arrived on {topic}{NO_DRIVER}" if late else ""

    def problem(self, silence: float) -> str:
        """Why there are no pairs; "" if there are. `silence`: timeout of each topic, s."""
        now = time.monotonic()
        wanted = ["depth"] * self.with_depth + ["camera info"] + ["colour"] * self.with_color
        for kind in wanted:
            topic = self.topics[kind]
            last = self.arrived.get(kind)
            if last is None:
                if missing := self.missing(kind, silence, now):
                    return missing
            elif now - last > silence:
                return f"no {kind} on {topic} for {now - last:.1f} s{'' if self.published(topic) else NO_DRIVER}"
        if "camera info" in self.arrived and self.camera is None:
            return self.node.refusals.why(self.topics["camera info"]) or "the camera info is invalid"
        if self.unpaired > UNPAIRED:
            return (
                f"colour and depth are not synchronised: the nearest stamps are {1e3 * self.gap:.0f} ms apart, at most "
                f"{1e3 * self.slop:.0f} ms are taken for one moment"
            )
        return ""
