"""The filter of hand and object together, where a camera sees the object: -> /object/state, with a covariance.

It takes the object filter's place and name. Poses arrive late, at the camera's rate and in its frame; each is applied
at its own stamp. A hidden object that was held moves with the hand (tracking/hand_object_filter.py).

hand: robot    its points follow from its joint states; a state is published for each, from /object/pose. With
               `object_mask`, images whose labels have the object without its pose correct its place by its mask.
hand: person   a fit of every image (/hand/fit, /object/fit) is filtered, and published for its stamp, with
               /hand/points and the wrist's pose. With `hand_mask`, images without a fit of the hand correct its place
               by its mask.
"""

import time
from dataclasses import replace

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CameraInfo, Image, JointState, PointCloud2
from std_msgs.msg import Header

from dexhot.data.camera_topics import ALIGNED, OURS
from dexhot.data.diagnostics import by_node
from dexhot.data.files import load
from dexhot.data.keypoints import OTHER_SIDE
from dexhot.data.labels import LABELS as LABEL
from dexhot.data.topics import (
    DIAGNOSTICS,
    EPISODE,
    FIT_FIELDS,
    FRANKA_STATES,
    HAND_FIT,
    HAND_POINTS,
    HAND_POSE,
    LABELS,
    LEAP_STATES,
    OBJECT_FIT,
    OBJECT_POSE,
    OBJECT_STATE,
)
from dexhot.data.types import RATE, Reference
from dexhot.errors import NotFoundError
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.poses import inverse, transform
from dexhot.objects.asset import Symmetry
from dexhot.objects.library import load_object, load_symmetry
from dexhot.robots.arm import FR3_JOINTS
from dexhot.robots.kinematics.points import HandPoints
from dexhot.robots.robot_hand import load_hand
from dexhot.ros.core import messages
from dexhot.ros.core.base import DexhotNode
from dexhot.ros.core.frames import FrameTree
from dexhot.ros.core.names import WORLD_FRAME
from dexhot.ros.core.refusals import RefusedError
from dexhot.ros.see.camera_messages import keypoint_cloud, read_camera_info, read_cloud, read_image
from dexhot.ros.see.stamped import StampedHistory
from dexhot.tracking import kernels
from dexhot.tracking.hand_object_filter import HandObjectEstimate, HandObjectFilter
from dexhot.tracking.object_state import ObjectState
from dexhot.tracking.observations import Observation, SeenJoints, SeenKeypoints, SeenPose
from dexhot.tracking.silhouettes import OfHand, OfObject, hull_of, seen_mask

TICK = 1.0 / RATE  # s
TOGETHER = 0.2 * TICK  # s between states of arm and hand of one moment
FUTURE = 0.5  # s ahead of the newest state: implausible
NOTED = 0.3  # s without an accepted pose before it is reported
JUMP = 0.05  # m between the state and poses that contradict it above which the object is lost, not measured badly
POINT_SIGMA = 0.001  # m, of a robot's point by itself: links that are not as modelled
ARM_SIGMA, FINGER_SIGMA = 0.001, 0.02  # rad, of joints: encoders and calibration; fingers have play, too
TABLE = "mediapipe"  # convention of fitted keypoints
SMALLEST = 50  # px of a mask that is looked at
SAME = 1e-4  # s between stamps of one image
LEAST = 0.001  # m, smallest sigma that a fit is believed
DEFAULT = np.diag([0.005**2] * 3 + [0.05**2] * 3)  # of a pose without covariance
PERCEPTION = "perception"  # the node that knows why nothing is seen


class HandObjectFilterNode(DexhotNode):
    """See the module's docstring."""

    def __init__(self) -> None:
        super().__init__("object_filter", "hand_object_filter")

    def setup(self) -> None:
        kernels.prepare()
        self.frames = FrameTree(self.p.static_transforms, self.p.frame_prefix)
        if self.p.tf != "none":
            self.frames.listen(self, moving=self.p.tf == "all")
        reference = load(self.p.reference, Reference) if self.p.reference else None
        self.symmetry = self.symmetry_of(reference.object_name if reference is not None else self.p.object)
        self.points: HandPoints | None = None
        self.publisher = self.advertise(Odometry, OBJECT_STATE, "state")
        self.step = self.latency("step")
        self.delay = self.latency("pose_age")
        self.obey(DiagnosticArray, EPISODE, self.on_episode, "latched")
        self.subscribe(DiagnosticArray, DIAGNOSTICS, self.on_diagnostics, "state")
        if reference is not None:
            hand = load_hand(reference.hand)
            self.points, self.fingers = HandPoints(hand), hand.joint_names
            self.obey(PoseWithCovarianceStamped, OBJECT_POSE, self.on_pose, "state")
            self.obey(JointState, FRANKA_STATES, self.on_arm, "state")
            self.obey(JointState, LEAP_STATES, self.on_hand, "state")
            self.joint_sigma = np.array([ARM_SIGMA] * len(FR3_JOINTS) + [FINGER_SIGMA] * len(self.fingers))
            if self.p.object_mask:
                self.look_at_masks(OfObject(hull_of(load_object(reference.object_name).vertices)))
        else:
            if self.p.hand_mask:
                from dexhot.humans.flesh import flesh  # with the hand's model, 0.2 s of a start
                from dexhot.humans.open_hand import open_hand

                self.look_at_masks(OfHand(*flesh(open_hand(self.p.side), TABLE)))
            self.cloud = self.advertise(PointCloud2, HAND_POINTS)
            self.wrist = self.advertise(PoseWithCovarianceStamped, HAND_POSE, "state")
            self.subscribe(PointCloud2, HAND_FIT, self.on_fit, "state")
            self.subscribe(PoseWithCovarianceStamped, OBJECT_FIT, self.on_fitted_object, "state")
            self.loop(10.0, self.look, "look")

    def look_at_masks(self, shape: OfObject | OfHand) -> None:
        """Subscribe to the labels of what has this shape."""
        self.shape = shape
        place = f"/{self.p.camera_namespace.strip('/')}" if self.p.camera_namespace else OURS
        self.subscribe(CameraInfo, place + ALIGNED.replace("image_raw", "camera_info"), self.on_camera)
        self.subscribe(Image, LABELS, self.on_labels if self.points is not None else self.on_labels_of_a_person)

    def symmetry_of(self, name: str) -> Symmetry:
        """The object's symmetry; none, with a warning, if this machine lacks the object."""
        try:
            return load_symmetry(name) if name else Symmetry()
        except NotFoundError as e:
            self.get_logger().warning(f"measurements that flip between symmetric poses will be rejected: {e}")
            return Symmetry()

    def start(self) -> None:
        self.values = {"rejected": 0, "late": 0, "reacquired": 0, "masks": 0, "missing": "", "motion": ""}
        self.unseen = ""  # perception's reason
        self.clip_begin = -np.inf  # stamp from which poses belong to the present clip
        self.tick = 0.0  # stamp of the hand's newest state
        self.arm: StampedHistory[np.ndarray] = StampedHistory()
        self.hand: tuple[float, np.ndarray] | None = None  # stamp and joints that wait for the arm's
        self.camera: Intrinsics | None = None  # of the labels
        self.forget()

    def forget(self) -> None:
        """Start anew: the next pose is the object's."""
        count = 21 if self.points is None else len(self.points.weight)
        weight = None if self.points is None else self.points.weight
        self.filter = HandObjectFilter(symmetry=self.symmetry, keypoints=count, weight=weight)
        self.refused = ""  # why the last pose was refused
        self.rejected, self.jumped = 0, 0.0  # poses in a row, and how far the last one is from the state, m
        self.lost = True  # until it is seen
        self.reported = True  # the loss
        self.published = -np.inf  # stamp of the last state
        self.posed = -np.inf  # stamp of the last pose
        self.fitted = -np.inf  # and of a person's last fitted hand
        self.waiting: Image | None = None  # labels, whose fit may come

    # What others report

    def on_episode(self, message: DiagnosticArray) -> None:
        """After a rig reset the object has been displaced; poses of images before it are of the old clip."""
        kind, _, stamp = messages.read_episode(message)
        if kind == "start":
            self.clip_begin = stamp
            self.forget()

    def on_diagnostics(self, message: DiagnosticArray) -> None:
        if (status := by_node(message).get(PERCEPTION)) is not None:
            self.unseen = status.values.get("unseen", "")

    # A robot's hand

    def on_arm(self, message: JointState) -> None:
        self.arm.add(messages.seconds(message.header.stamp), messages.measured(message, FR3_JOINTS))
        self.advance()

    def on_hand(self, message: JointState) -> None:
        q = messages.measured(message, self.fingers)
        if self.hand is not None:
            self.advance(within=TICK)  # the arm's state of that moment will not come
        self.hand = messages.seconds(message.header.stamp), q
        self.advance()

    def advance(self, within: float = TOGETHER) -> None:
        """Take the hand's newest state into the filter and publish the object's, once the arm's of its moment is
        here."""
        if self.hand is None:
            return
        stamp, fingers = self.hand
        arm = self.arm.nearest(stamp, within)
        if arm is None:
            return
        self.hand = None
        if stamp < self.tick - FUTURE:  # a clock was set
            self.forget()
        elif stamp < self.tick + 0.9 * TICK and self.tick:
            return  # drivers may publish more often than we need
        begin, self.tick = time.monotonic(), stamp
        assert self.points is not None
        joints = np.concatenate([arm, fingers])
        self.filter.observe(stamp, SeenJoints(joints, self.points.linearised, self.joint_sigma, POINT_SIGMA))
        self.publish(stamp)
        self.step.add(time.monotonic() - begin)

    def on_pose(self, message: PoseWithCovarianceStamped) -> None:
        stamp = messages.seconds(message.header.stamp)
        if stamp < self.clip_begin < stamp + self.p.lost_after:
            return
        pose = self.measured(message)
        if not self.tick:
            return  # without the hand's clock its age is unknown
        self.delay.add(self.tick - stamp)
        self.posed = stamp
        self.take(stamp, pose)

    def on_camera(self, message: CameraInfo) -> None:
        self.camera = read_camera_info(message)

    def on_labels(self, message: Image) -> None:
        """Labels come after the pose of their image; without one, the object's mask corrects its place."""
        stamp = messages.seconds(message.header.stamp)
        known = self.clip_begin < stamp < self.tick + FUTURE and self.filter.object_accepted > -np.inf
        if known and stamp - self.posed >= SAME:
            self.take_mask(message, ("object",), ("right", "left"))

    def take_mask(self, message: Image, names: tuple[str, ...], before: tuple[str, ...]) -> bool:
        """Apply the mask of the labels `names`, of which those of `before` may hide a part; whether it was accepted."""
        if self.camera is None:
            return False
        labels = read_image(message)
        if labels.shape != (self.camera.height, self.camera.width):
            size = f"{labels.shape[1]}x{labels.shape[0]}"
            raise RefusedError(f"labels of {size} pixels are not of the camera's size.")
        mask, hidden = (np.isin(labels, [LABEL[name] for name in some]) for some in (names, before))
        if np.count_nonzero(mask) < SMALLEST:
            return False
        stamp = messages.seconds(message.header.stamp)
        camera_T_world = inverse(self.frames.world_T(message.header.frame_id, stamp))
        seen = seen_mask(mask, hidden, self.shape, self.camera, camera_T_world)
        accepted = seen is not None and self.observe(stamp, seen)
        self.values["masks"] += accepted  # type: ignore[operator]
        return accepted

    # A person's hand

    def on_fit(self, message: PointCloud2) -> None:
        """The hand's fit; that of the object, with the same stamp, follows."""
        stamp, frame = messages.seconds(message.header.stamp), message.header.frame_id
        rows = read_cloud(message, FIT_FIELDS)
        if not np.isfinite(rows).all() or (rows[:, 3] < 0).any():
            raise RefusedError("a fitted hand is not finite.")
        points = transform(self.frames.world_T(frame, stamp), rows[:, :3])
        self.observe(stamp, SeenKeypoints(points, np.maximum(rows[:, 3], LEAST)))
        self.fitted = stamp
        self.tick = max(self.tick, stamp)
        self.publish(stamp)

    def on_labels_of_a_person(self, message: Image) -> None:
        """Labels come before the fit of their image. Where none has come until the next ones, the hand's mask corrects
        its place."""
        waiting, self.waiting = self.waiting, message
        if waiting is None or not self.filter.hand_started:
            return
        stamp = messages.seconds(waiting.header.stamp)
        if stamp - self.fitted < SAME:
            return
        side: str = self.p.side
        if self.take_mask(waiting, (side,), ("object", OTHER_SIDE[side])):
            self.tick = max(self.tick, stamp)
            self.publish(stamp)

    def on_fitted_object(self, message: PoseWithCovarianceStamped) -> None:
        stamp = messages.seconds(message.header.stamp)
        self.take(stamp, self.measured(message))
        self.tick = max(self.tick, stamp)
        self.publish(stamp)

    def look(self) -> None:
        """Report a person or an object that is no longer seen: no image has it."""
        now = self.now()
        if not self.lost and now - self.filter.object_accepted > self.p.lost_after:
            self.publish(now)

    # Both

    def measured(self, message: PoseWithCovarianceStamped) -> SeenPose:
        """The pose in the world. Raises RefusedError, and keeps it as the reason."""
        stamp = messages.seconds(message.header.stamp)
        try:
            # a robot's states keep the time; a person may be away while the object moves on
            newest, whose = (self.now(), "this clock") if self.points is None else (self.tick, "the hand's states")
            if newest and stamp - newest > FUTURE:
                raise RefusedError(f"a pose is stamped {stamp - newest:.3g} s ahead of {whose}.")
            pose, covariance = self.frames.to_world(message.header.frame_id, *messages.read_object_pose(message), stamp)
            self.refused = ""
            return SeenPose(messages.near(pose), covariance if covariance.any() else DEFAULT)
        except RefusedError as e:
            self.refused = f"its measured poses are rejected: {str(e).rstrip('.')}"
            raise

    def take(self, stamp: float, seen: SeenPose) -> None:
        """Apply a pose at its stamp, and count what becomes of it."""
        if self.observe(stamp, seen):
            self.rejected = 0
            return
        late = stamp < self.tick - self.filter.options.memory
        if late:
            self.refused = f"its measured poses are {self.tick - stamp:.1f} s old when they arrive"
        else:
            self.rejected += 1
            self.jumped = float(np.linalg.norm(seen.pose[:3] - self.filter.estimate().object_pose[:3]))
        self.values["late" if late else "rejected"] += 1  # type: ignore[operator]

    def observe(self, stamp: float, seen: Observation) -> bool:
        """Apply an observation; whether it was accepted."""
        accepted = self.filter.observe(stamp, seen)
        self.values["reacquired"] = self.filter.restarts[1]
        return accepted

    def publish(self, stamp: float) -> None:
        """Publish the state at `stamp`. Of a lost object one more state, with a sigma by which the supervisor holds;
        its reason, in the diagnostics, goes first."""
        accepted = self.filter.object_accepted
        if self.points is None and self.filter.hand_started:
            self.publish_hand(self.filter.estimate(stamp))
        if accepted == -np.inf:
            return self.note(self.why(stamp, accepted) if self.points is not None or self.p.object else "")
        estimate = self.filter.estimate(stamp)
        confused = self.rejected >= self.filter.options.confused_after  # it restarts at the next pose
        unknown = self.jumped > JUMP if confused else estimate.object == "lost"
        was_lost, self.lost = self.lost, unknown or stamp - accepted > self.p.lost_after
        hidden = stamp - accepted > NOTED
        self.note(self.why(stamp, accepted) if self.lost or hidden else "")
        self.values["motion"] = estimate.motion
        if self.lost and was_lost:
            return None
        known = object_part(estimate)
        if self.lost:
            known = replace(known, covariance=known.covariance + np.diag([self.p.lost_sigma**2] * 3 + [0.0] * 9))
        self.publisher.publish(messages.object_state(messages.to_stamp(stamp), known, self.p.frame_prefix))
        return None

    def why(self, stamp: float, accepted: float) -> str:
        """Why there is no accepted pose."""
        if self.refused:
            return self.refused
        said = f": {self.unseen}" if self.unseen else ""
        if accepted == -np.inf:
            return f"it has not been seen yet{said}"
        if self.rejected >= self.filter.options.confused_after:
            return f"it jumped by {100 * self.jumped:.0f} cm: {self.rejected} poses in a row contradict its motion"
        if stamp - accepted < NOTED:
            return ""  # seen, but uncertain
        return f"it has not been seen for {stamp - accepted:.1f} s{said}"

    def note(self, missing: str) -> None:
        """Report a missing object, at once when it begins and when it is lost."""
        self.warnings.pop("pose", None)
        if self.lost and missing:
            self.warnings["pose"] = f"the object is lost: {missing}"
        changed = (bool(missing), self.lost) != (bool(self.values["missing"]), self.reported)
        self.values["missing"], self.reported = missing, self.lost
        if changed:
            self.publish_diagnostics()

    def publish_hand(self, estimate: HandObjectEstimate) -> None:
        """Keypoints with their sigma, and the wrist's pose."""
        if estimate.hand == "lost":
            return
        header = Header(stamp=messages.to_stamp(estimate.stamp), frame_id=self.p.frame_prefix + WORLD_FRAME)
        variance = estimate.keypoint_covariance().diagonal().reshape(-1, 3)
        rows = np.hstack([estimate.keypoints, np.sqrt(variance.max(axis=1, keepdims=True))])
        self.cloud.publish(keypoint_cloud(header, rows, FIT_FIELDS))
        self.wrist.publish(messages.stamped_pose(header, *estimate.wrist(self.p.side)))


def object_part(estimate: HandObjectEstimate) -> ObjectState:
    """The object alone."""
    at = 2 * estimate.keypoints.size
    covariance = estimate.covariance[at : at + 12, at : at + 12]
    return ObjectState(estimate.stamp, estimate.object_pose, estimate.object_twist, covariance)
