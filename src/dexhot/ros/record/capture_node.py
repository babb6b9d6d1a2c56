"""Records cameras and robot state: compresses images, reports incoming topics, and stops before the disk is full.

Images of any publisher are compressed as by image_transport: colour as <topic>/compressed (JPEG), depth as
<topic>/compressedDepth (PNG, lossless). Two threads compress; the bag waits for them, to keep the order.
"""

import itertools
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.serialization import deserialize_message
from rosbags.interfaces import Connection, Qos

from dexhot.data.bags import typestore
from dexhot.data.camera_topics import color_images, find_camera
from dexhot.data.diagnostics import by_node
from dexhot.data.disk import free_gb
from dexhot.data.topics import CLOCK, DIAGNOSTICS, HEARTBEAT, ROSOUT, without_namespace
from dexhot.hardware.camera.codec import COLOR_ENCODINGS, DEPTH_ENCODINGS, encode_color, encode_depth, pixels
from dexhot.progress import duration
from dexhot.ros.record.arrivals import Arrivals, first_stamp
from dexhot.ros.record.bag_contents import IMAGE, PACKED
from dexhot.ros.record.recorder_node import Keep, RecorderNode
from dexhot.ros.see.camera_messages import PUBLISHED

CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
CLOCK_TYPE = "rosgraph_msgs/msg/Clock"
PACKED_TOPICS = ("/compressed", "/compressedDepth", "/theora", "/zstd", "/ffmpeg")  # of image_transport's plugins
UNREPORTED = (CLOCK, DIAGNOSTICS, HEARTBEAT, ROSOUT)  # common topics are omitted from the live report
CAMERA = b"camera"  # name of the camera node in its diagnostics
BACKLOG = 30  # images that may wait for compression


class CaptureNode(RecorderNode):
    """See the module's docstring."""

    def __init__(self) -> None:
        super().__init__("capture")

    def setup(self) -> None:
        super().setup()
        self.arrivals: dict[str, Arrivals] = {}
        self.channels: dict[str, Connection] = {}  # of compressed images
        self.pool = ThreadPoolExecutor(2, thread_name_prefix="pack")
        self.jobs: dict[int, tuple[int, Future[Any]]] = {}  # number -> receive time ns, (topic, type, qos, data)
        self.numbers = itertools.count()
        self.dropped = self.values["images_dropped"] = 0
        self.published: dict[str, int] = {}  # topic -> images that the camera node has published
        self.images: set[str] = set()  # topics with a publisher of images, also compressed ones
        self.camera = ""  # the topics of the captured camera
        self.clock = 0.0  # the newest /clock, s, reference for the age of stamps if there is one
        self.begun = 0.0  # monotonic time, s
        self.first_image: float | None = None
        self.loop(1.0 / self.p.report_period, self.report, "report")
        self.loop(10.0, self.watch, "watch")

    def start(self) -> None:
        self.begun = time.monotonic()

    def teardown(self) -> None:
        if hasattr(self, "bag"):
            super().teardown()
            self.pool.shutdown()
            self.account()

    def follow_camera(self, data: bytes) -> None:
        """Read the camera's image counts from a serialized DiagnosticArray; a failed camera ends the capture."""
        if CAMERA not in data:
            return
        status = by_node(deserialize_message(data, DiagnosticArray)).get(CAMERA.decode())
        if status is None:
            return
        values = {k: v for k, v in status.values.items() if k.startswith(PUBLISHED) and v.isdecimal()}
        self.published |= {k.removeprefix(PUBLISHED): int(v) for k, v in values.items()}
        if status.level == DiagnosticStatus.ERROR[0]:
            self.end(f"the camera has failed: {status.message}", code=1)

    def account(self) -> None:
        """Report images that the camera published and the bag lacks; the exit code is then 1."""
        taken = {without_namespace(t, self.namespace): a.count for t, a in self.arrivals.items()}
        lacking = {t: n - taken.get(t, 0) for t, n in self.published.items() if n > taken.get(t, 0)}
        losses = [f"{n} images of {topic} did not arrive" for topic, n in lacking.items()]
        losses += (
            [f"{self.dropped} images were dropped: they arrived faster than they were compressed"]
            if self.dropped
            else []
        )
        if losses:
            self.get_logger().error(f"the capture is not complete: {'; '.join(losses)}.")
            self.exit_code = self.exit_code or 1

    def keeper(self, topic: str, msgtype: str, qos: tuple[Qos, ...]) -> Keep:
        """Count messages, and compress images for the bag."""
        arrivals = self.arrivals[topic] = Arrivals(msgtype, time.monotonic())
        keep = partial(self.pack, topic, qos) if msgtype == IMAGE else super().keeper(topic, msgtype, qos)

        def counted(received: int, data: bytes) -> None:
            if msgtype == CLOCK_TYPE:
                self.clock = first_stamp(data)
            if topic == self.full(DIAGNOSTICS):
                self.follow_camera(data)
            arrivals.add(self.clock or received * 1e-9, data)
            keep(received, data)
            self.end_in_time()  # a busy executor calls its timers late

        return counted

    def record(self, topic: str, msgtype: str) -> None:
        if msgtype in (IMAGE, CAMERA_INFO):
            self.images.add(topic)
            self.name_camera()
        if not (msgtype == PACKED and topic.endswith(PACKED_TOPICS)):  # compressed here from the image itself
            super().record(topic, msgtype)

    def name_camera(self) -> None:
        """Log the camera's topics, again when more have appeared."""
        found = find_camera(self.images, self.camera_namespace)
        if found is not None and found.info in self.images and str(found) != self.camera:
            self.camera = self.values["camera"] = str(found)
            self.get_logger().info(f"camera: {self.camera}")

    def no_image(self) -> str:
        """Why there is no image of the camera."""
        where = f" in {self.camera_namespace}" if self.camera_namespace else ""
        others = ", ".join(color_images(self.images)) or "none"
        return f"no image{where} arrived within {self.p.patience:g} s; advertised colour images: {others}"

    def pack(self, topic: str, qos: tuple[Qos, ...], received: int, data: bytes) -> None:
        """Queue an image for compression. If the queue is full, the new image is dropped."""
        if self.first_image is None and (not self.camera_namespace or self.of_camera(topic)):
            self.first_image = time.monotonic()
        if sum(not job.done() for _, job in self.jobs.values()) >= BACKLOG:
            self.dropped += 1
            self.values["images_dropped"] = self.dropped
            self.warnings["slow"] = f"images arrive faster than they are compressed: {self.dropped} dropped"
            return
        self.jobs[next(self.numbers)] = received, self.pool.submit(packed, topic, qos, data)

    def of_camera(self, topic: str) -> bool:
        return topic.startswith(f"/{self.camera_namespace.strip('/')}/")

    @property
    def camera_namespace(self) -> str:
        """Where the camera's topics are: one without a leading slash lies in the node's own namespace."""
        name: str = self.p.camera_namespace
        return name if not name or name.startswith("/") else f"{self.get_namespace().rstrip('/')}/{name}"

    def write(self) -> None:
        """As in a recorder, but messages after an image in compression wait for it; at the end wait for all."""
        if not self.active:
            wait([job for _, job in self.jobs.values()])
        for number in [number for number, (_, job) in self.jobs.items() if job.done()]:
            received, job = self.jobs.pop(number)
            name, kind, qos, data = job.result()
            if name not in self.channels:
                self.channels[name] = self.bag.topic(name, kind, qos)
            self.pending.append((received, self.channels[name], data))
        oldest = min((received for received, _ in self.jobs.values()), default=None)
        early = [item for item in self.pending if oldest is None or item[0] < oldest]
        late = [item for item in self.pending if oldest is not None and item[0] >= oldest]
        self.pending = early
        super().write()
        self.pending += late

    def watch(self) -> None:
        """End the capture after its duration, without images, or at a full disk."""
        now = time.monotonic()
        self.values["disk_free_gb"] = free = free_gb(self.bag.path)
        if free < self.p.min_free:
            self.end(f"the disk has {free:.2f} GB free, less than min_free = {self.p.min_free:g}", code=1)
        elif self.first_image is None and now - self.begun > self.p.patience:
            self.end(self.no_image(), code=1)
        self.end_in_time()

    def end_in_time(self) -> None:
        """End the capture after its duration."""
        since = 0.0 if self.first_image is None else time.monotonic() - self.first_image
        if self.p.duration and since > self.p.duration:
            self.end(f"{self.p.duration:g} s have passed")

    def end(self, reason: str, code: int = 0) -> None:
        if code and not self.finished:
            self.get_logger().error(reason)
        self.finish(reason, code)

    def report(self) -> None:
        """Log one line on incoming topics, and report all of them in the diagnostics."""
        now = time.monotonic()
        for topic, arrivals in self.arrivals.items():
            arrivals.measure(now)
            self.values[f"{topic}.rate_hz"] = arrivals.rate
            if arrivals.age is not None:
                self.values[f"{topic}.age_ms"] = 1e3 * arrivals.age
        reported = {
            t: a for t, a in self.arrivals.items() if a.stamped and not t.startswith(tuple(map(self.full, UNREPORTED)))
        }
        silent = [topic for topic, arrivals in reported.items() if arrivals.count and not arrivals.rate]
        self.warnings.pop("silent", None)
        if silent:
            self.warnings["silent"] = f"no more messages on {', '.join(silent)}"
        lines = [f"{topic} {arrivals}" for topic, arrivals in sorted(reported.items())]
        self.get_logger().info(f"{self.elapsed(now)}, arriving: " + ("; ".join(lines) or "nothing"))

    def elapsed(self, now: float) -> str:
        """ "12 s recorded, 48 s left", from the first image on."""
        seconds = 0.0 if self.first_image is None else now - self.first_image
        left = f", {duration(max(0.0, self.p.duration - seconds))} left" if self.p.duration else ""
        return f"{duration(seconds)} recorded{left}"


def packed(topic: str, qos: tuple[Qos, ...], data: bytes) -> tuple[str, str, tuple[Qos, ...], bytes]:
    """(topic, type, QoS, serialized message) of a serialized image; one that cannot be compressed is kept unchanged."""
    try:
        return (topic, IMAGE, qos, data) if (made := pack(data)) is None else (topic + made[0], PACKED, qos, made[1])
    except Exception:  # inconsistent or zero sizes: codecs raise many types
        return topic, IMAGE, qos, data


def pack(data: bytes) -> tuple[str, bytes] | None:
    """(suffix of the topic, serialized message) of a serialized image; None for another encoding."""
    types = typestore()
    image: Any = types.deserialize_cdr(data, IMAGE)
    if image.encoding not in (*COLOR_ENCODINGS, *DEPTH_ENCODINGS):
        return None
    plain = pixels(image.encoding, image.height, image.width, image.step, image.data)
    if image.encoding in DEPTH_ENCODINGS:
        suffix, form, content = "/compressedDepth", f"{image.encoding}; compressedDepth png", encode_depth(plain)
    else:
        suffix, form, content = "/compressed", f"{image.encoding}; jpeg compressed bgr8", encode_color(plain)
    message = types.types[PACKED](header=image.header, format=form, data=np.frombuffer(content, np.uint8))
    return suffix, bytes(types.serialize_cdr(message, PACKED))
