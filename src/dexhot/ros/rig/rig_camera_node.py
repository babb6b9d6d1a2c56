"""The simulated rig's depth camera, in a process of its own: colour and depth under realsense2_camera's topic names.

It draws the world from what the rig and the drivers publish (/rig/object, the object's true pose of each tick, and the
joint states), at `camera_rate`, with a stereo camera's noise and holes, and delivers each image `camera_latency` after
its stamp. Its pose is that of its frame in `static_transforms`.
"""

import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from sensor_msgs.msg import JointState

from dexhot.data.files import load
from dexhot.data.topics import FRANKA_STATES, LEAP_STATES, RIG_OBJECT
from dexhot.data.types import RATE, Reference
from dexhot.errors import DexhotError
from dexhot.hardware.camera.frames import OPTICAL_FRAME, Frames
from dexhot.robots.arm import FR3_JOINTS
from dexhot.ros.core import messages
from dexhot.ros.core.base import DexhotNode
from dexhot.ros.core.frames import FrameTree
from dexhot.ros.core.refusals import RefusedError
from dexhot.ros.see.camera_messages import PUBLISHED, FramesPublisher
from dexhot.ros.see.stamped import StampedHistory
from dexhot.simulation.scene import arm_scene
from dexhot.simulation.setup import load_setup
from dexhot.synthesis.rig_pictures import RigPictures, rig_camera

NEAR = 0.6 / RATE  # s between an object pose and the joint states drawn with it


class RigCameraNode(DexhotNode):
    """A thread draws, as OpenGL belongs to one; an image that is due while another is drawn is left out."""

    def __init__(self) -> None:
        super().__init__("rig_camera")

    def setup(self) -> None:
        reference = load(self.p.reference, Reference)
        setup = load_setup(reference)
        frames = FrameTree(self.p.static_transforms, self.p.frame_prefix)
        try:
            world_T_camera = frames.world_T(self.p.frame_prefix + OPTICAL_FRAME)
        except RefusedError as e:
            raise DexhotError(f"the rig's camera has no place: {e}") from e
        self.intrinsics = rig_camera(self.p.camera_width, self.p.camera_height)
        self.fingers = setup.hand.joint_names
        self.painter = ThreadPoolExecutor(1, "camera")
        scene = arm_scene(setup.hand, setup.asset, setup.physics, reference.table_height)
        self.pictures = self.painter.submit(
            RigPictures, scene, self.intrinsics, world_T_camera, self.p.camera_noise, self.p.seed
        ).result()
        first = np.concatenate([reference.arm_q[0], reference.q[0, 6:]]), reference.object_pose[0]
        self.painter.submit(self.pictures.draw, *first).result()  # takes a second: not once others wait for it
        self.publisher = FramesPublisher(self)
        self.drawing = self.latency("draw")
        self.subscribe(JointState, FRANKA_STATES, self.on_arm, "state")
        self.subscribe(JointState, LEAP_STATES, self.on_hand, "state")
        self.subscribe(PoseWithCovarianceStamped, RIG_OBJECT, self.on_object, "state")

    def start(self) -> None:
        self.values = {"images": 0, "left_out": 0}
        self.number = 0
        self.failure: Exception | None = None
        self.drawn = threading.Lock()  # of what the thread changes
        self.job: Future[None] | None = None
        self.restart()

    def restart(self) -> None:
        """Begin anew, at whatever time the world has."""
        self.arm: StampedHistory[np.ndarray] = StampedHistory()
        self.hand: StampedHistory[np.ndarray] = StampedHistory()
        self.due = self.tick = 0.0
        self.wanted: tuple[float, np.ndarray] | None = None  # stamp and object pose of the image to draw
        self.ready: deque[Frames] = deque()  # drawn, and waiting for the latency to pass

    def stop(self) -> None:
        if self.job is not None:
            wait([self.job])

    def teardown(self) -> None:
        if hasattr(self, "painter"):
            if hasattr(self, "pictures"):
                self.painter.submit(self.pictures.close)
                del self.pictures
            self.painter.shutdown()
            del self.painter

    def on_arm(self, message: JointState) -> None:
        self.arm.add(messages.seconds(message.header.stamp), messages.measured(message, FR3_JOINTS))
        self.begin()

    def on_hand(self, message: JointState) -> None:
        self.hand.add(messages.seconds(message.header.stamp), messages.measured(message, self.fingers))
        self.begin()

    def on_object(self, message: PoseWithCovarianceStamped) -> None:
        stamp, (pose, _) = messages.seconds(message.header.stamp), messages.read_object_pose(message)
        if self.failure is not None:
            raise self.failure
        period = 1.0 / self.p.camera_rate
        if stamp < self.due - 2 * period:  # another world's time
            self.restart()
        if stamp >= self.due - 1e-4:
            self.due = (self.due if stamp < self.due + period else stamp) + period
            self.values["left_out"] += self.wanted is not None  # type: ignore[operator]
            self.wanted = stamp, pose
            self.begin()
        with self.drawn:
            self.tick = stamp
            self.deliver()

    def begin(self) -> None:
        """Have the wanted image drawn, once the joint states of its moment are here and the last one is done."""
        if self.wanted is None or (self.job is not None and not self.job.done()):
            return
        stamp, pose = self.wanted
        arm, hand = self.arm.nearest(stamp, NEAR), self.hand.nearest(stamp, NEAR)
        if arm is None or hand is None:
            return
        self.wanted = None
        self.job = self.painter.submit(self.draw, stamp, np.concatenate([arm, hand]), pose)

    def draw(self, stamp: float, q: np.ndarray, pose: np.ndarray) -> None:
        """In the thread: one image, published if the world is past its latency already."""
        try:
            begin = time.monotonic()
            color, depth = self.pictures.draw(q, pose)
            self.drawing.add(time.monotonic() - begin)
            with self.drawn:
                self.ready.append(Frames(stamp, self.number, color, depth, self.intrinsics))
                self.number += 1
                self.values["images"] = self.number
                self.deliver()
        except Exception as e:
            self.failure = e  # raised in the executor: a node is deactivated from there only

    def deliver(self) -> None:
        """Publish the images whose latency is over, in the world's time."""
        while self.ready and self.tick >= self.ready[0].stamp + self.p.camera_latency - 1e-4:
            self.publisher.publish(self.ready.popleft())
            self.values |= {PUBLISHED + topic: n for topic, n in self.publisher.published.items()}
