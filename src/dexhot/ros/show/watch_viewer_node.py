"""A person's hand and an object in the browser, as they are seen and filtered."""

import time
from collections import deque

import numpy as np
from nav_msgs.msg import Odometry
from sensor_msgs.msg import Image, JointState, PointCloud2

from dexhot.data.topics import FIT_FIELDS, HAND_MODEL, HAND_POINTS, LABELS, OBJECT_STATE
from dexhot.hardware.camera.frames import OPTICAL_FRAME
from dexhot.objects.library import load_object
from dexhot.ros.core import messages
from dexhot.ros.core.base import DexhotNode
from dexhot.ros.core.frames import FrameTree
from dexhot.ros.core.refusals import RefusedError
from dexhot.ros.see.camera_messages import read_cloud, read_image
from dexhot.ros.see.image_pairs import ImagePair, ImagePairs
from dexhot.view.player import new_server
from dexhot.view.watch import POSE, WatchSnapshot, WatchView

SLOP = 0.02  # s between an image and the depth shown with it
KEPT = 16  # images that wait for their labels
SAME = 0.001  # s, largest difference of an image's stamp and its labels'
SILENT = 0.5  # s without labels after which images are shown without


class WatchViewerNode(DexhotNode):
    """Keeps the newest messages; a loop draws them, so that a slow browser delays no other node."""

    def __init__(self) -> None:
        super().__init__("watch_viewer")

    def setup(self) -> None:
        asset = load_object(self.p.object) if self.p.object else None
        frames = FrameTree(self.p.static_transforms, self.p.frame_prefix)
        world_T_camera = frames.world_T(self.p.frame_prefix + OPTICAL_FRAME)
        self.server = new_server(self.p.host, self.p.port)
        self.view = WatchView(self.server, self.p.side, asset, world_T_camera)
        self.pairs = ImagePairs(self, self.p.camera_namespace, self.on_images, True, SLOP)
        self.subscribe(Image, LABELS, self.on_labels)
        self.subscribe(PointCloud2, HAND_POINTS, self.on_hand)
        self.subscribe(JointState, HAND_MODEL, self.on_model, "sensor")
        self.subscribe(Odometry, OBJECT_STATE, self.on_object, "sensor")
        self.age = self.latency("age")
        self.loop(self.p.rate, self.draw, "draw")
        self.values["url"] = f"http://{self.p.host}:{self.server.get_port()}"
        self.get_logger().info(f"the live view is at {self.values['url']}")

    def start(self) -> None:
        self.pairs.restart()
        self.newest = WatchSnapshot()
        self.recent: deque[ImagePair] = deque(maxlen=KEPT)
        self.heard: dict[str, float] = {}  # what -> monotonic time
        self.drawn = 0.0  # of the last news that was drawn

    def teardown(self) -> None:
        if hasattr(self, "server"):
            self.server.stop()
            del self.server

    def on_images(self, pair: ImagePair) -> None:
        """An image waits for its labels, so that what moves fast is not shown beside them."""
        self.recent.append(pair)
        now = time.monotonic()
        if now - self.heard.get("labels", -np.inf) > SILENT:
            self.picture(pair, None)
        self.heard["images"] = now

    def on_labels(self, message: Image) -> None:
        labels, stamp = read_image(message), messages.seconds(message.header.stamp)
        seen = next((pair for pair in self.recent if abs(pair.stamp - stamp) < SAME), None)
        if seen is not None:
            self.picture(seen, labels)
            self.heard["labels"] = time.monotonic()

    def picture(self, pair: ImagePair, labels: np.ndarray | None) -> None:
        new = self.newest
        new.color, new.depth, new.camera, new.labels = pair.color, pair.depth, pair.camera, labels

    def on_hand(self, message: PointCloud2) -> None:
        rows = read_cloud(message, FIT_FIELDS)
        if not np.isfinite(rows).all():
            raise RefusedError("a hand is not finite.")
        self.newest.keypoints = rows
        self.heard["hand"] = time.monotonic()
        self.age.add(self.now() - messages.seconds(message.header.stamp))

    def on_model(self, message: JointState) -> None:
        parameters = np.array(message.position)
        if len(parameters) != POSE + self.view.hand.shape_size or not np.isfinite(parameters).all():
            raise RefusedError(f"a hand of {len(parameters)} parameters, or one that is not finite.")
        self.newest.hand = parameters
        self.heard["hand mesh"] = time.monotonic()

    def on_object(self, message: Odometry) -> None:
        state = messages.read_object_state(message, self.p.frame_prefix)
        if not np.isfinite(state.covariance[:3, :3]).all():
            raise RefusedError("the covariance of the object is not finite.")
        self.newest.object_pose, self.newest.object_covariance = state.pose, state.covariance[:3, :3]
        self.heard["object"] = time.monotonic()

    def draw(self) -> None:
        """Draw what has changed; nothing without a browser."""
        self.newest.problem = self.pairs.problem(self.p.silence)
        self.warnings = {"images": self.newest.problem} if self.newest.problem else {}
        if not self.server.get_clients() or not (self.heard or self.newest.problem):
            return
        now = time.monotonic()
        self.newest.ages = {what: now - at for what, at in self.heard.items()}
        self.view.show(self.newest)
