"""The simulated rig's depth camera, in a process of its own: colour and depth under realsense2_camera's topic names.

It draws the world from what the rig and the drivers publish (/rig/object, the object's true pose of each tick, and the
joint states), at `camera_rate`, with a stereo camera's noise and holes, and delivers each image `camera_latency` after
its stamp. Its pose is that of its frame in `static_transforms`.
"""

import time
from collections import deque

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
    """See the module's docstring."""

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
        scene = arm_scene(setup.hand, setup.asset, setup.physics, reference.table_height)
        self.pictures = RigPictures(scene, self.intrinsics, world_T_camera, self.p.camera_noise, self.p.seed)
        q = np.concatenate([reference.arm_q[0], reference.q[0, 6:]])
        self.pictures.draw(q, reference.object_pose[0])  # the first picture takes a second: not once others wait for it
        self.fingers = setup.hand.joint_names
        self.publisher = FramesPublisher(self)
        self.drawing = self.latency("draw")
        self.subscribe(JointState, FRANKA_STATES, self.on_arm, "state")
        self.subscribe(JointState, LEAP_STATES, self.on_hand, "state")
        self.subscribe(PoseWithCovarianceStamped, RIG_OBJECT, self.on_object, "state")

    def start(self) -> None:
        self.arm: StampedHistory[np.ndarray] = StampedHistory()
        self.hand: StampedHistory[np.ndarray] = StampedHistory()
        self.due, self.number = 0.0, 0
        self.wanted: tuple[float, np.ndarray] | None = None  # stamp and object pose of the image to draw
        self.ready: deque[Frames] = deque()  # drawn, and waiting for the latency to pass

    def teardown(self) -> None:
        if hasattr(self, "pictures"):
            self.pictures.close()
            del self.pictures

    def on_arm(self, message: JointState) -> None:
        self.arm.add(messages.seconds(message.header.stamp), messages.measured(message, FR3_JOINTS))
        self.draw()

    def on_hand(self, message: JointState) -> None:
        self.hand.add(messages.seconds(message.header.stamp), messages.measured(message, self.fingers))
        self.draw()

    def on_object(self, message: PoseWithCovarianceStamped) -> None:
        stamp, (pose, _) = messages.seconds(message.header.stamp), messages.read_object_pose(message)
        period = 1.0 / self.p.camera_rate
        if stamp < self.due - 2 * period:  # another world's time
            self.start()
        if stamp >= self.due - 1e-4:
            self.due = (self.due if stamp < self.due + period else stamp) + period
            self.wanted = stamp, pose
            self.draw()
        self.deliver(stamp)

    def draw(self) -> None:
        """Draw the image that is due, once the joint states of its moment are here."""
        if self.wanted is None:
            return
        stamp, pose = self.wanted
        arm, hand = self.arm.nearest(stamp, NEAR), self.hand.nearest(stamp, NEAR)
        if arm is None or hand is None:
            return
        self.wanted = None
        begin = time.monotonic()
        color, depth = self.pictures.draw(np.concatenate([arm, hand]), pose)
        self.drawing.add(time.monotonic() - begin)
        self.ready.append(Frames(stamp, self.number, color, depth, self.intrinsics))
        self.number += 1

    def deliver(self, now: float) -> None:
        """Publish the images whose latency is over at `now`, in the world's time."""
        while self.ready and now >= self.ready[0].stamp + self.p.camera_latency - 1e-4:
            self.publisher.publish(self.ready.popleft())
            self.values |= {PUBLISHED + topic: n for topic, n in self.publisher.published.items()}
