"""Depth and colour images -> /segmentation/labels, /hand/keypoints, /object/pose: what is seen, image by image.

Keypoints, masks and the object's pose need each other's results on one image, so one node has all three. A separate
thread works on the newest image; those that arrive meanwhile are skipped and counted. With `robot`, the hand is the
robot's own: drawn from its joint states, it gets the hand's label. Every message has its image's stamp and frame.
`keypoints`, `masks` and `poses` name a lab's estimators in the place of the embedded ones (perception/estimators.py).

Its diagnostics report the latency of each stage and, in `unseen`, why no pose of the object is published.
"""

import threading
import time
from collections.abc import Callable

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import Image, JointState, PointCloud2

from dexhot.data.files import load
from dexhot.data.topics import FRANKA_STATES, HAND_KEYPOINTS, LABELS, LEAP_STATES, OBJECT_POSE, OBJECT_STATE
from dexhot.data.types import RATE, Reference
from dexhot.errors import DexhotError
from dexhot.fitting.sized_hand import SizedHand
from dexhot.geometry.poses import compose, matrix_to_pose
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.library import load_object
from dexhot.perception.estimators import EMBEDDED, LIVE, check_live, live_hands_of, poses_maker, segmenter_of
from dexhot.perception.live import LiveEyes, LiveImage
from dexhot.perception.prompts import object_prompt
from dexhot.perception.protocols import HandKeypoints
from dexhot.perception.robot_mask import RobotMask
from dexhot.robots.arm import FR3_JOINTS
from dexhot.robots.robot_hand import load_hand
from dexhot.ros.core import messages
from dexhot.ros.core.base import DexhotNode
from dexhot.ros.core.frames import FrameTree
from dexhot.ros.core.refusals import RefusedError
from dexhot.ros.core.repeated import RepeatedWarning
from dexhot.ros.see.camera_messages import image, keypoint_cloud
from dexhot.ros.see.image_pairs import ImagePair, ImagePairs
from dexhot.ros.see.newest import Newest
from dexhot.ros.see.stamped import StampedHistory

NEAR = 1.2 / RATE  # s between an image and the joint states that it is drawn with
SIDES = {"none": (), "right": ("right",), "left": ("left",), "both": ("right", "left")}
AGAIN = 10.0  # s between log entries about a camera that stays silent
REPEATED = 5.0  # s between those about an object that is seen and lost by turns
NOTHING = "no image has been looked at yet"


class PerceptionNode(DexhotNode):
    """See the module's docstring."""

    def __init__(self) -> None:
        super().__init__("perception")

    def setup(self) -> None:
        reference = load(self.p.reference, Reference) if self.p.reference else None
        name = reference.object_name if reference is not None else self.p.object
        self.asset: ObjectAsset | None = load_object(name) if name else None
        self.frames = FrameTree(self.p.static_transforms, self.p.frame_prefix)
        if self.p.tf != "none":
            self.frames.listen(self, moving=self.p.tf == "all")
        self.start_pose: np.ndarray | None = None  # (7,) world_T_mesh where the object should be at first
        self.robot = self.table = None
        if self.p.robot:
            if reference is None:
                raise DexhotError("robot:=true needs a reference, which names the hand: set the parameter reference.")
            self.robot, self.table = load_hand(reference.hand), reference.table_height
            self.start_pose = reference.object_pose[0]
            self.subscribe(JointState, FRANKA_STATES, self.on_arm, "state")
            self.subscribe(JointState, LEAP_STATES, self.on_hand, "state")
            self.subscribe(Odometry, OBJECT_STATE, self.on_state, "state")
        self.sides = SIDES[self.p.hands]
        if self.asset is None and not self.sides:
            raise DexhotError("there is nothing to look for: give an object, or hands:=right, left or both.")
        self.prompt = object_prompt(self.p.prompt) if self.p.prompt else None
        if self.prompt is not None and self.asset is None:
            raise DexhotError("prompt says where an object is: give the object, too.")
        if not self.p.depth and (self.asset is not None or self.robot is not None):
            raise DexhotError("an object or the robot is seen by depth only: set depth:=true, with a depth camera.")
        if self.p.fit != "none" and not (self.p.depth and self.p.fit in self.sides):
            raise DexhotError(f"fit:={self.p.fit} needs a camera with depth, and that hand among hands:=.")
        self.check_estimators()
        self.find_hands = self.hand_finder()
        self.make_poses = poses_maker(self.p.poses, self.asset, "poses:=") if self.asset is not None else None
        self.segmenter = segmenter_of(self.p.masks, "masks:=")
        self.labels = self.advertise(Image, LABELS)
        self.keypoints = {side: self.advertise(PointCloud2, HAND_KEYPOINTS[side]) for side in self.sides}
        self.pose = self.advertise(PoseWithCovarianceStamped, OBJECT_POSE, "state") if self.asset else None
        self.pairs = ImagePairs(
            self,
            self.p.camera_namespace,
            self.on_images,
            self.p.color or bool(self.sides),
            self.p.slop,
            self.p.depth,
        )
        self.age = self.latency("age")
        self.loop(10.0, self.watch, "watch")

    def check_estimators(self) -> None:
        """Raise DexhotError for a wrong name, and for an estimator that has nothing to look for."""
        named = {word: getattr(self.p, word) for word in LIVE if getattr(self.p, word) != EMBEDDED}
        check_live(self.p.hands, **named)
        for word, name in named.items():
            if not (self.p.color or self.sides):
                raise DexhotError(f"{word}:={name} needs colour images: set color:=true, with a camera that has them.")
        if "keypoints" in named and not self.sides:
            raise DexhotError(f"keypoints:={self.p.keypoints} finds people's hands: set hands to right, left or both.")
        if "poses" in named and self.asset is None:
            raise DexhotError(f"poses:={self.p.poses} estimates the pose of a known object: give the object.")
        if "masks" in named and not self.sides and self.prompt is None:
            raise DexhotError(
                f"masks:={self.p.masks} follows what is marked in an image: give a prompt on the object, or hands."
            )

    def hand_finder(self) -> Callable[[], HandKeypoints] | None:
        """Makes the finder of people's hands; None where none are looked for. Raises DexhotError without its models."""
        if not self.sides:
            return None
        made = [live_hands_of(self.p.keypoints, self.p.hands)]  # its models are here
        return lambda: made.pop() if made else live_hands_of(self.p.keypoints, self.p.hands)

    def start(self) -> None:
        self.pairs.restart()
        self.arm: StampedHistory[np.ndarray] = StampedHistory()
        self.hand: StampedHistory[np.ndarray] = StampedHistory()
        self.states: StampedHistory[np.ndarray] = StampedHistory()  # world_T_mesh as filtered
        self.values = {"images": 0, "skipped": 0, "lost": 0, "confidence": 0.0, "unseen": NOTHING}
        self.unseen = self.beside = ""
        named = [self.asset.name] if self.asset is not None else []
        self.found = dict.fromkeys([*(f"{side} hand" for side in self.sides), *named], 0)  # images that show each
        self.unseen_again = RepeatedWarning(lambda text: self.get_logger().warning(text), REPEATED)
        self.newest: Newest[ImagePair] = Newest("perception", self.worker)

    def stop(self) -> None:
        self.newest.stop()
        self.get_logger().info(self.total())

    def total(self) -> str:
        """What was seen, in numbers of images."""
        count = self.values["images"]
        seen = [f"{name} in {number}" for name, number in self.found.items()]
        return f"{', '.join(seen)} of {count} images; {self.newest.skipped} were skipped"

    # Inputs

    def on_arm(self, message: JointState) -> None:
        self.arm.add(messages.seconds(message.header.stamp), messages.measured(message, FR3_JOINTS))

    def on_hand(self, message: JointState) -> None:
        assert self.robot is not None
        self.hand.add(messages.seconds(message.header.stamp), messages.measured(message, self.robot.joint_names))

    def on_state(self, message: Odometry) -> None:
        pose = messages.check_object_state(message, self.p.frame_prefix)
        self.states.add(messages.seconds(message.header.stamp), pose)

    def on_images(self, pair: ImagePair) -> None:
        """Hand the newest image to the thread."""
        self.newest.give(pair)
        self.values["skipped"] = self.newest.skipped

    # The thread

    def worker(self, stopped: threading.Event) -> Callable[[ImagePair], None]:
        """Sees one image after another with eyes of its own."""
        eyes: LiveEyes | None = None
        fitted: SizedHand | None = None

        def see(pair: ImagePair) -> None:
            nonlocal eyes, fitted
            try:
                if eyes is None or eyes.camera != pair.camera:
                    eyes = self.make_eyes(pair)
                    sized = self.p.fit != "none"
                    fitted = SizedHand(pair.camera, self.p.fit, self.p.palm_length) if sized else None
                self.see(eyes, fitted, pair, stopped)
            except RefusedError as e:
                self.unseen = str(e)

        return see

    def make_eyes(self, pair: ImagePair) -> LiveEyes:
        """For the camera of `pair`. Raises RefusedError where a robot's camera has no known place, or for a prompt that
        is not inside the image."""
        robot = None
        if self.robot is not None:
            robot = RobotMask(self.robot, pair.camera, self.world_T_camera(pair))
        hands = self.find_hands() if self.find_hands is not None else None
        palm = self.p.palm_length if self.p.fill else 0.0
        try:
            poses = self.make_poses(pair.camera) if self.make_poses is not None else None
            eyes = LiveEyes(pair.camera, self.asset, hands, self.sides, robot, palm, self.prompt, poses, self.segmenter)
        except DexhotError as e:
            raise RefusedError(str(e)) from e
        if robot is not None and self.table is not None and eyes.track is not None:
            eyes.track.know_table(robot.camera_T_world, self.table)
        return eyes

    def world_T_camera(self, pair: ImagePair) -> np.ndarray:
        """(7,). Raises RefusedError."""
        return self.frames.world_T(pair.header.frame_id, pair.stamp)

    def see(self, eyes: LiveEyes, fitted: SizedHand | None, pair: ImagePair, stopped: threading.Event) -> None:
        """Look at one image, and publish what is seen. Raises RefusedError where the robot's joints are unknown."""
        joints, guesses = None, []
        if self.robot is not None:
            arm, hand = self.arm.nearest(pair.stamp, NEAR), self.hand.nearest(pair.stamp, NEAR)
            if arm is None or hand is None:
                raise RefusedError("no joint states of arm and hand are stamped as the images")
            joints = np.concatenate([arm, hand])
            assert eyes.robot is not None
            expected = [self.states.nearest(pair.stamp, NEAR), self.start_pose]
            guesses = [compose(eyes.robot.camera_T_world, pose) for pose in expected if pose is not None]
        seen = eyes.look(pair.color, pair.depth, pair.stamp, joints, guesses)
        if fitted is not None and (rows := seen.keypoints.get(self.p.fit)) is not None:
            begin = time.monotonic()
            relative_depth = seen.relative_depth.get(self.p.fit)
            seen.keypoints[self.p.fit] = fitted(pair.stamp, pair.depth, seen.labels, rows, relative_depth)
            seen.seconds["fit"] = time.monotonic() - begin
        if stopped.is_set():
            return
        self.publish(pair, seen)
        self.report(pair, seen)

    def publish(self, pair: ImagePair, seen: LiveImage) -> None:
        """The labels last: who has them has the rest."""
        for side, points in seen.keypoints.items():
            cloud = keypoint_cloud(pair.header, points, relative_depth=seen.relative_depth.get(side))
            self.keypoints[side].publish(cloud)
        if seen.sighting is not None and self.pose is not None:
            assert seen.covariance is not None
            pose = matrix_to_pose(seen.sighting.pose)
            self.pose.publish(messages.stamped_pose(pair.header, pose, seen.covariance))
        self.labels.publish(image(pair.header, seen.labels))

    def report(self, pair: ImagePair, seen: LiveImage) -> None:
        """Count, and keep the reason for an object that is not seen."""
        for stage, seconds in seen.seconds.items():
            self.latency(stage).add(seconds)
        self.age.add(pair.age + time.monotonic() - pair.arrived)
        alike = "" if seen.ambiguous == "" else f"; several things look like it, at {seen.ambiguous}"
        name = self.asset.name if self.asset is not None else ""
        lost = bool(name) and seen.sighting is None
        self.values["images"] += 1  # type: ignore[operator]
        self.values["lost"] += lost  # type: ignore[operator]
        for side in seen.keypoints:
            self.found[f"{side} hand"] += 1
        if name and not lost:
            self.found[name] += 1
        self.values["confidence"] = round(seen.confidence, 3)
        beside = f"; in the first image {seen.prompt_note}" if seen.prompt_note else ""
        if beside and beside != self.beside:
            self.get_logger().warning(beside.removeprefix("; "))
        self.beside = beside
        doubt = f"(confidence {seen.confidence:.2f}){alike}{beside}"
        self.unseen = f"the camera does not see {name} {doubt}" if lost else ""

    # Watching

    def watch(self) -> None:
        """Report why nothing is seen, at once when it begins."""
        self.newest.check()
        silent = self.pairs.problem(self.p.silence)
        why = silent or self.unseen
        if not self.values["images"] and not why:
            why = NOTHING
        before = self.values["unseen"]
        self.values["unseen"] = why
        self.warnings.pop("unseen", None)
        if why:
            self.warnings["unseen"] = why
        changed = bool(why) != bool(before) or (before == NOTHING and why != before)
        if why and (changed or (silent and time.monotonic() - self.unseen_again.last > AGAIN)):
            self.unseen_again(why)
        self.unseen_again.catch_up()
        if changed:
            self.publish_diagnostics()
