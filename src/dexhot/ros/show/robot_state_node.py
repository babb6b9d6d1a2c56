"""The robot for RViz, Foxglove and MoveIt: /robot_description, one /joint_states of arm and hand, /tf and /tf_static.

The frames are those of the URDF: world, the arm's links, hand_palm and the fingers; below world also the object, and
the frames of `static_transforms`, e.g. a calibrated camera. tf2_msgs comes with a ROS distribution, not with PyPI's
wheels; without it there is no /tf, but robot_state_publisher can compute it from the other two topics.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from rclpy.lifecycle import LifecyclePublisher
from rclpy.subscription import Subscription
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from dexhot.data.topics import (
    FRANKA_STATES,
    JOINT_STATES,
    LEAP_STATES,
    OBJECT_STATE,
    ROBOT_DESCRIPTION,
    TF,
    TF_STATIC,
)
from dexhot.errors import FileFormatError
from dexhot.robots.urdf_tree import HAND_PREFIX, WORLD, locate_meshes, read_tree
from dexhot.ros.core import messages
from dexhot.ros.core.base import DexhotNode
from dexhot.ros.core.frames import parse
from dexhot.ros.core.intake import make_intake, take
from dexhot.ros.core.message_class import optional_class
from dexhot.ros.core.names import OBJECT_FRAME, ROBOT_STATE
from dexhot.ros.core.qos import subscribe_profile

NO_TF = "tf2_msgs is not installed: no /tf (it comes with a ROS distribution)"
Steps = Mapping[str, tuple[str, np.ndarray]]  # frame -> its parent, parent_T_frame


class RobotStateNode(DexhotNode):
    """A loop takes the newest messages and publishes what is new: fast drivers cost no more than slow ones."""

    def __init__(self) -> None:
        super().__init__("robot_state")

    def setup(self) -> None:
        path = Path(self.p.urdf)
        if not path.is_file():
            raise FileFormatError(f"{path} does not exist; `dexhot urdf` writes the URDF of the arm with a hand.")
        text = path.read_text()
        self.tree, self.text = read_tree(text), locate_meshes(text, path.parent)
        self.hand_names = [n.removeprefix(HAND_PREFIX) for n in self.tree.driven if n.startswith(HAND_PREFIX)]
        self.arm_names = [n for n in self.tree.driven if not n.startswith(HAND_PREFIX)]
        given = {
            child: (parent, parent_T_child) for parent, child, parent_T_child in map(parse, self.p.static_transforms)
        }
        self.static = self.tree.fixed | given
        self.description = self.advertise(String, ROBOT_DESCRIPTION, "latched")
        self.joints = self.advertise(JointState, JOINT_STATES, "state")
        self.tf = self.tf_static = None
        if (kind := optional_class("tf2_msgs/msg/TFMessage")) is not None:
            self.make_tf: Any = kind
            self.tf, self.tf_static = self.advertise(kind, TF, "state"), self.advertise(kind, TF_STATIC, "latched")
        else:
            self.values["tf"] = NO_TF
            self.get_logger().info(NO_TF)
        self.intake = make_intake(ROBOT_STATE, self.get_namespace())
        self.heard: list[tuple[str, Subscription, Callable[[Any], None]]] = []
        self.follow(JointState, FRANKA_STATES, self.on_arm)
        self.follow(JointState, LEAP_STATES, self.on_hand)
        if self.tf is not None:
            self.follow(Odometry, OBJECT_STATE, self.on_object)
        self.loop(self.p.rate, self.publish_new, "publish")

    def teardown(self) -> None:
        if hasattr(self, "intake"):
            self.intake.destroy_node()
            del self.intake

    def follow(self, msg_type: type, topic: str, callback: Callable[[Any], None]) -> None:
        """Give `callback` the newest message of `topic` each time that we publish."""
        profile = subscribe_profile("newest")
        subscription = self.intake.create_subscription(msg_type, self.full(topic), lambda _: None, profile)
        self.heard.append((topic, subscription, callback))

    def start(self) -> None:
        self.arm: JointState | None = None
        self.hand: JointState | None = None
        self.object: tuple[Time, np.ndarray] | None = None  # stamp, world_T_mesh
        self.published_stamp = 0.0  # stamp of the last joint states
        self.description.publish(String(data=self.text))
        self.send(self.tf_static, self.stamp(), self.static)

    def on_arm(self, message: JointState) -> None:
        messages.measured(message, self.arm_names)
        self.arm = message

    def on_hand(self, message: JointState) -> None:
        messages.measured(message, self.hand_names)
        self.hand = message

    def on_object(self, message: Odometry) -> None:
        self.object = message.header.stamp, messages.check_object_state(message)

    def publish_new(self) -> None:
        """Publish joint states and frames with the newer stamp of the two; nothing without new ones."""
        for topic, subscription, callback in self.heard:
            for message, _ in take(subscription):
                self.hear(topic, callback, message)
        if self.object is not None:
            stamp, pose = self.object
            self.send(self.tf, stamp, {OBJECT_FRAME: (WORLD, pose)})
            self.object = None
        if self.arm is None or self.hand is None:
            return
        newest = max(self.arm, self.hand, key=lambda m: messages.seconds(m.header.stamp))
        stamp = newest.header.stamp
        if messages.seconds(stamp) == self.published_stamp:
            return
        self.published_stamp = messages.seconds(stamp)
        state = joined(stamp, [(self.arm, ""), (self.hand, HAND_PREFIX)])
        self.joints.publish(state)
        if self.tf is not None:
            self.send(self.tf, stamp, self.tree.transforms(dict(zip(state.name, state.position))))

    def send(self, publisher: LifecyclePublisher | None, stamp: Time, steps: Steps) -> None:
        """Publish transforms, with prefixed frame names; nothing without tf2_msgs."""
        if publisher is None:
            return
        prefix = self.p.frame_prefix
        found = [transform(stamp, prefix + parent, prefix + child, T) for child, (parent, T) in steps.items()]
        publisher.publish(self.make_tf(transforms=found))


def joined(stamp: Time, parts: list[tuple[JointState, str]]) -> JointState:
    """Join JointStates, each with its prefix; velocities and efforts only if all have them."""
    state = JointState()
    state.header.stamp = stamp
    state.name = [prefix + name for part, prefix in parts for name in part.name]
    for field in ("position", "velocity", "effort"):
        each = [getattr(part, field) for part, _ in parts]
        if all(len(values) == len(part.name) for values, (part, _) in zip(each, parts)):
            setattr(state, field, messages.doubles(np.concatenate(each)))
    return state


def transform(stamp: Time, parent: str, child: str, parent_T_child: np.ndarray) -> TransformStamped:
    """A pose (7,) as a message of /tf."""
    made = TransformStamped(child_frame_id=child)
    made.header.stamp, made.header.frame_id = stamp, parent
    t, r = made.transform.translation, made.transform.rotation
    t.x, t.y, t.z, r.w, r.x, r.y, r.z = map(float, parent_T_child)
    return made
