"""Depth, labels, keypoints and object pose of one image -> hand and object, fitted together (fitting/tracker.py).

Per image, with its stamp and frame: /hand/fit, 21 points with their standard deviations; /hand/model, the parameters
of the open hand; /object/fit, with covariance. A separate thread fits the newest image; others are skipped and counted.
"""

import threading
import time
from collections.abc import Callable

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from sensor_msgs.msg import Image, JointState, PointCloud2
from std_msgs.msg import Header

from dexhot.data.topics import FIT_FIELDS, HAND_FIT, HAND_KEYPOINTS, HAND_MODEL, LABELS, OBJECT_FIT, OBJECT_POSE
from dexhot.fitting.frames import Frame
from dexhot.fitting.recipe import live_recipe
from dexhot.fitting.result import keypoint_covariance, object_covariance
from dexhot.fitting.scene import object_model
from dexhot.fitting.tracker import HandObjectTracker, Tracked
from dexhot.geometry.cameras import Intrinsics
from dexhot.humans.open_hand import open_hand
from dexhot.objects.library import load_object
from dexhot.ros.core import messages
from dexhot.ros.core.base import DexhotNode
from dexhot.ros.core.refusals import RefusedError
from dexhot.ros.see.camera_messages import keypoint_cloud, read_image, read_keypoints
from dexhot.ros.see.image_pairs import ImagePair, ImagePairs
from dexhot.ros.see.newest import Newest
from dexhot.ros.see.stamped import StampedHistory

SAME = 1e-4  # s between stamps of one image
KEPT = 45  # images: perception may be that many behind


class FittingNode(DexhotNode):
    """See the module's docstring."""

    def __init__(self) -> None:
        super().__init__("fitting")

    def setup(self) -> None:
        self.recipe, self.person = live_recipe(self.p.recipe), open_hand(self.p.side)
        self.model = object_model(load_object(self.p.object)) if self.p.object else None
        self.pairs = ImagePairs(self, self.p.camera_namespace, self.on_depth, False, 0.0)
        self.subscribe(PointCloud2, HAND_KEYPOINTS[self.p.side], self.on_keypoints)
        self.subscribe(PoseWithCovarianceStamped, OBJECT_POSE, self.on_pose, "state")
        self.subscribe(Image, LABELS, self.on_labels)
        self.hand_fit = self.advertise(PointCloud2, HAND_FIT, "state")
        self.hand_model = self.advertise(JointState, HAND_MODEL, "state")
        self.object_fit = self.advertise(PoseWithCovarianceStamped, OBJECT_FIT, "state")
        self.age, self.fit = self.latency("age"), self.latency("fit")
        self.loop(10.0, self.watch, "watch")

    def start(self) -> None:
        self.pairs.restart()
        self.depths: StampedHistory[ImagePair] = StampedHistory(KEPT)
        self.keypoints: StampedHistory[tuple[np.ndarray, np.ndarray | None]] = StampedHistory(KEPT)
        self.poses: StampedHistory[np.ndarray] = StampedHistory(KEPT)
        self.values = {"frames": 0, "skipped": 0, "hand_lost": 0, "object_lost": 0, "hand_score": 0.0}
        self.newest: Newest[tuple[ImagePair, Frame]] = Newest("fitting", self.worker)

    def stop(self) -> None:
        self.newest.stop()

    # Inputs

    def on_depth(self, pair: ImagePair) -> None:
        self.depths.add(pair.stamp, pair)

    def on_keypoints(self, message: PointCloud2) -> None:
        self.keypoints.add(messages.seconds(message.header.stamp), read_keypoints(message))

    def on_pose(self, message: PoseWithCovarianceStamped) -> None:
        self.poses.add(messages.seconds(message.header.stamp), messages.read_object_pose(message)[0])

    def on_labels(self, message: Image) -> None:
        """Labels come last of an image's evidence: hand it to the thread."""
        stamp, labels = messages.seconds(message.header.stamp), read_image(message)
        pair = self.depths.take(stamp, SAME)
        if pair is None:
            return  # an image that was not received here, or a camera without intrinsics
        if labels.shape != pair.depth.shape or labels.itemsize != 1:
            size = f"{labels.shape[1]}x{labels.shape[0]}"
            raise RefusedError(f"labels of {size} pixels are not those of the depth image.")
        rows, relative_depth = self.keypoints.take(stamp, SAME) or (np.full((21, 6), np.nan), None)
        pixels, confidence = rows[:, 3:5], np.nan_to_num(rows[:, 5])
        pose = self.poses.take(stamp, SAME)
        frame = Frame(stamp, pair.depth, labels, pixels, confidence, pose, relative_depth)
        self.newest.give((pair, frame))
        self.values["skipped"] = self.newest.skipped

    # The thread

    def worker(self, stopped: threading.Event) -> Callable[[tuple[ImagePair, Frame]], None]:
        """Fits one image after another with a tracker of its own."""
        tracker: HandObjectTracker | None = None
        camera: Intrinsics | None = None

        def fit(work: tuple[ImagePair, Frame]) -> None:
            nonlocal tracker, camera
            pair, frame = work
            if tracker is None or camera != pair.camera:
                camera = pair.camera
                tracker = HandObjectTracker(self.person, self.model, camera, self.recipe)
            begin = time.monotonic()
            found = tracker.step(frame)
            self.fit.add(time.monotonic() - begin)
            if found is not None and not stopped.is_set():
                self.publish(tracker, pair.header, found)
            self.age.add(pair.age + time.monotonic() - pair.arrived)

        return fit

    def publish(self, tracker: HandObjectTracker, header: Header, found: Tracked) -> None:
        """The object first: who has the hand has both. What is lost, or not seen in this image, is not published."""
        self.values["frames"] += 1  # type: ignore[operator]
        self.values["hand_lost"] += found.hand_lost  # type: ignore[operator]
        self.values["object_lost"] += found.object_lost  # type: ignore[operator]
        self.values["hand_score"] = round(found.hand_score, 3)
        if self.model is not None and found.object_seen and not found.object_lost:
            pose, covariance = found.state.object_pose(), object_covariance(np.eye(3), found)
            self.object_fit.publish(messages.stamped_pose(header, pose, covariance))
        if not found.hand_seen or found.hand_lost:
            return
        hand = tracker.person.posed(found.state.hand)
        variance = keypoint_covariance(hand, tracker.table, found).diagonal(axis1=1, axis2=2).max(axis=1)
        rows = np.hstack([found.keypoints, np.sqrt(variance)[:, None]])
        self.hand_fit.publish(keypoint_cloud(header, rows, FIT_FIELDS))
        parameters = np.concatenate([found.state.hand.vector(), tracker.person.shape])
        names = [*(f"pose_{k}" for k in range(51)), *(f"shape_{k}" for k in range(len(tracker.person.shape)))]
        self.hand_model.publish(JointState(header=header, name=names, position=messages.doubles(parameters)))

    def watch(self) -> None:
        """Report a fault of the thread, and missing images."""
        self.newest.check()
        self.warnings.pop("images", None)
        if why := self.pairs.problem(self.p.silence):
            self.warnings["images"] = why
