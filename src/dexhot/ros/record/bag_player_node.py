"""Plays a bag's topics as recorded, with the recording's time on /clock.

Messages are published as recorded bytes. Compressed images (<topic>/compressed, <topic>/compressedDepth) are also
published decompressed, on <topic>, while it has subscribers. A librealsense recording is played as our camera's topics.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.lifecycle import LifecyclePublisher
from rosbags.interfaces import Connection
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from dexhot.data import bags
from dexhot.data.camera_topics import find_camera
from dexhot.data.topics import CLOCK
from dexhot.errors import DexhotError, FileFormatError
from dexhot.hardware.camera.bag import BagFrames, find_frames, is_librealsense
from dexhot.hardware.camera.codec import unpacked
from dexhot.ros.core import live_rig
from dexhot.ros.core.base import DexhotNode
from dexhot.ros.core.message_class import message_class
from dexhot.ros.record.bag_contents import IMAGE, PACKED, raw_topic
from dexhot.ros.record.playback import latched
from dexhot.ros.see.camera_messages import FramesPublisher, image

RATE = 100.0  # Hz of /clock, and of the check for due messages
SETTLE = 1.0  # s for subscribers to discover us before the first message
LATE = 0.1  # s of lag above which playback slips
LOOK = 1.0  # s between checks for a rig's graph in the domain
Item = tuple[int, Callable[[], None]]  # receive time ns, what publishes the message


class BagPlayerNode(DexhotNode):
    """A loop advances the bag's time and publishes due messages."""

    def __init__(self) -> None:
        super().__init__("bag_player")

    def setup(self) -> None:
        self.source = Path(self.p.source)
        self.clock = self.advertise(Clock, CLOCK, "state")
        self.items: Callable[[], Iterator[Item]] = self.message_items
        if is_librealsense(self.source):
            self.frames = FramesPublisher(self)
            self.items = partial(self.frame_items, find_frames(self.source))
        else:
            self.outputs: dict[str, LifecyclePublisher] = {}
            self.unpacked: dict[str, LifecyclePublisher] = {}
            self.advertise_topics()
        self.loop(RATE, self.advance)
        self.loop(1.0 / LOOK, self.look, "look")

    def start(self) -> None:
        self.rounds = self.played = 0
        self.slipped = 0.0
        self.rewind()
        self.begun += SETTLE

    def stop(self) -> None:
        """A fault ends the graph, as playback has stopped."""
        if self.fault_reason:
            self.finish(f"{self.source} ended after {self.played} messages: {self.fault_reason}", code=1)

    def rewind(self) -> None:
        """Go to the first message. Raises FileFormatError for a bag without messages."""
        self.lost: dict[str, str] = {}  # losses of the bag
        self.queue = self.items()
        self.next: Item | None = next(self.queue, None)
        self.begun = time.monotonic()
        if self.next is None:
            raise FileFormatError(f"{self.source} has no message of the topics to play.")
        self.first = self.next[0]

    def look(self) -> None:
        """End if a rig's graph runs in this domain, on any machine."""
        if why := live_rig.refusal(live_rig.in_domain(self)):
            self.finish(why, code=1)

    def advance(self) -> None:
        """Publish the time, then all due messages; nothing into a rig's graph."""
        begin = time.monotonic()
        now = self.first + int((begin - self.begun) * self.p.pace * 1e9)
        if now < self.first:
            return
        if not self.played:
            self.look()
        if self.finished:
            return
        self.clock.publish(Clock(clock=Time(sec=now // 10**9, nanosec=now % 10**9)))
        while self.next is not None and self.next[0] <= now:
            self.next[1]()
            self.played += 1
            self.next = next(self.queue, None)
            if (
                late := time.monotonic() - begin
            ) > LATE:  # decompression cannot keep up: play slower instead of in bursts
                self.begun += late
                self.slipped += late
                break
        self.values = {"messages": self.played, "rounds": self.rounds, "slipped_s": self.slipped}
        if self.next is None:
            self.rounds += 1
            if not self.p.loop:
                return self.end()
            self.rewind()

    def end(self) -> None:
        """Report what was played; exit code 1 if the bag is damaged."""
        slower = f", {self.slipped:.1f} s slower than requested" if self.slipped else ""
        lost = f"; it is damaged: {'; '.join(self.lost.values())}" if self.lost else ""
        self.finish(f"end of {self.source}: {self.played} messages{slower}{lost}", code=1 if self.lost else 0)

    def advertise_topics(self) -> None:
        """Make a publisher for every played topic; topics with a type that is not installed are omitted with a
        warning."""
        with bags.open_bag(self.source) as reader:
            found = {c.topic: c for c in reader.connections if c.msgcount}
            for text in [*reader.notes, *reader.damage]:
                self.get_logger().warning(text)
        if (camera := find_camera(found)) is not None:
            self.get_logger().info(f"camera: {camera}")
        for topic, connection in found.items():
            if not self.wanted(topic):
                continue
            try:
                kind = message_class(connection.msgtype)
            except ImportError:
                self.warnings[topic] = f"{topic} is not played: {connection.msgtype} is not installed"
                self.get_logger().warning(self.warnings[topic])
                continue
            raw = raw_topic(topic, connection.msgtype)
            self.outputs[topic] = self.advertise(kind, topic, quality(connection))
            if raw is not None and raw not in found:
                self.unpacked[topic] = self.advertise(Image, raw, "sensor")

    def wanted(self, topic: str) -> bool:
        """Whether to play `topic`: it or its image was requested; by default all except `leave_out`."""
        chosen: list[str] = self.p.play
        packed = (f"{name}{suffix}" for name in chosen for suffix in ("/compressed", "/compressedDepth"))
        if chosen:
            return topic in chosen or topic in packed
        return topic not in self.p.leave_out and not topic.endswith("/transition_event")

    def message_items(self) -> Iterator[Item]:
        """Receive time and publishing action of each recorded message."""
        with bags.open_bag(self.source) as reader:
            for connection, received, data in reader.messages(c for c in reader.connections if c.topic in self.outputs):
                yield received, partial(self.publish, connection, bytes(data))
            self.lost |= {text: text for text in reader.damage}

    def publish(self, connection: Connection, data: bytes) -> None:
        """Publish the message as recorded, and its decompressed image."""
        topic = connection.topic
        self.outputs[topic].publish(data)
        publisher = self.unpacked.get(topic)
        if publisher is None or not publisher.get_subscription_count():
            return
        try:
            message: Any = bags.decode(connection, data)
            pixels = unpacked(message.format, bytes(message.data), topic.endswith("Depth"))
        except DexhotError as e:
            self.lost.setdefault(topic, f"images of {topic} cannot be decompressed ({e})")
            return
        stamp = Time(sec=message.header.stamp.sec, nanosec=message.header.stamp.nanosec)
        publisher.publish(image(Header(stamp=stamp, frame_id=message.header.frame_id), pixels))

    def frame_items(self, recorded: BagFrames) -> Iterator[Item]:
        """Time and publishing action of each librealsense frame."""
        for frames in recorded:
            yield round(frames.stamp * 1e9), partial(self.frames.publish, frames)
        self.lost |= {text: text for text in recorded.lost}


def quality(connection: Connection) -> str:
    """Name in ros/core/qos.py of the QoS that a recorded topic was offered with."""
    if latched(connection):
        return "latched"
    return "sensor" if connection.msgtype in (IMAGE, PACKED) else "state"
