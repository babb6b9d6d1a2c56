"""/hand/keypoints, /object/state -> /tracker/target: teleoperation, in the controller's place and with its name.

The object's states are the ticks, as for the controller, and the inputs are journaled in order: replays are exact. The
clutch and the assistance are switched by buttons (sensor_msgs/Joy, as of joy_node): a press engages, the
release releases.
"""

import time
from dataclasses import fields

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState, Joy, PointCloud2

from dexhot.control.assist_agents import agent_of
from dexhot.control.assistance import Agent, AssistState
from dexhot.control.teleop import Teleop, TeleopOptions
from dexhot.control.teleop_input import HandLimits
from dexhot.data.files import load
from dexhot.data.keypoints import OTHER_SIDE
from dexhot.data.topics import (
    FRANKA_STATES,
    HAND_KEYPOINTS,
    LEAP_STATES,
    OBJECT_STATE,
    SAFETY_STATE,
    TARGET,
    TELEOP_ASSIST,
    TELEOP_CLUTCH,
    TELEOP_CORRECTION,
    TELEOP_STATE,
)
from dexhot.data.types import Reference
from dexhot.robots.arm import FR3_JOINTS
from dexhot.robots.kinematics.arm import ArmKinematics
from dexhot.robots.robot_hand import load_hand
from dexhot.ros.core import messages
from dexhot.ros.core.base import DexhotNode
from dexhot.ros.core.refusals import RefusedError
from dexhot.ros.see.camera_messages import read_keypoints

BOTH = 0.5  # s that the other hand counts as seen
LEAD = 0.3  # s before t0 of the first target: by then every node knows t0, so a replay starts at the same tick
OF_NOW = 5.0  # s: older stamps are not of this machine's clock


class TeleopNode(DexhotNode):
    """Stores the latest hand and arm states; publishes one target per object state while tracking."""

    journaled = True
    agent: Agent | None = None  # a test's, instead of the policy's

    def __init__(self) -> None:
        super().__init__("controller", "teleop")

    def setup(self) -> None:
        self.reference = load(self.p.reference, Reference)
        hand = load_hand(self.reference.hand)
        self.kinematics, self.fingers = ArmKinematics(hand), hand.joint_names
        limits = HandLimits(**{f.name: getattr(self.p, f.name) for f in fields(HandLimits)})
        own = {f.name: getattr(self.p, f.name) for f in fields(TeleopOptions) if f.name != "limits"}
        options = TeleopOptions(**own, limits=limits)
        motion = load(self.p.motion, Reference) if self.p.motion else None
        agent = self.agent or agent_of(self.p.policy, self.reference, motion)
        view = self.p.camera_rotation
        self.teleop = Teleop(hand, self.reference.base_quat, self.palms(), options, agent, view)
        self.target = self.advertise(JointState, TARGET, "command")
        self.correction = self.advertise(JointState, TELEOP_CORRECTION, "command")
        self.told = self.advertise(DiagnosticArray, TELEOP_STATE, "latched")
        other = OTHER_SIDE[self.p.side]
        self.obey(JointState, LEAP_STATES, self.on_hand, "state")
        self.obey(JointState, FRANKA_STATES, self.on_arm, "state")
        self.obey(DiagnosticArray, SAFETY_STATE, self.on_safety, "latched")
        self.obey(PointCloud2, HAND_KEYPOINTS[self.p.side], self.on_keypoints)
        self.subscribe(PointCloud2, HAND_KEYPOINTS[other], self.on_other)
        self.subscribe(Joy, TELEOP_CLUTCH, self.on_clutch, "state")
        self.subscribe(Joy, TELEOP_ASSIST, self.on_assist, "state")
        self.obey(Odometry, OBJECT_STATE, self.on_object, "state")

    def palms(self) -> np.ndarray:
        """(N, 3) where the palm has been in the motion that the scene was made of."""
        scene = self.reference.provenance.get("teleop", {})
        return np.array(scene.get("palms", self.reference.q[:, :3]), float)

    def start(self) -> None:
        self.hand: np.ndarray | None = None
        self.arm: np.ndarray | None = None
        self.t0: float | None = None
        self.begun = False  # whether the robot is held, or moved, since t0
        self.pressed = self.fresh = False  # the switch; whether a hand came since the last target
        self.other_seen = self.image = -np.inf  # s, stamps
        self.values = {"engaged": 0, "rejected": 0, "clutch": "", "assist": 0.0}
        self.teleop.stop()
        self.say("the robot does not track yet")

    # Inputs

    def on_hand(self, message: JointState) -> None:
        self.hand = messages.measured(message, self.fingers)

    def on_arm(self, message: JointState) -> None:
        self.arm = messages.measured(message, FR3_JOINTS)

    def on_safety(self, message: DiagnosticArray) -> None:
        safety = messages.read_safety_state(message)
        if not safety.moving:
            if self.t0 is not None:
                self.t0, self.begun = None, False
                self.teleop.stop()
                self.say(f"the robot is {safety.state}: {safety.reason}")
        elif safety.t0 != self.t0:
            self.t0, self.begun = safety.t0, False

    def on_keypoints(self, message: PointCloud2) -> None:
        (rows, _), begin = read_keypoints(message), time.monotonic()
        self.image = messages.seconds(message.header.stamp)
        if self.image - self.other_seen < BOTH:
            self.warnings["hands"] = f"both hands are seen: the {self.p.side} one drives the robot"
        else:
            self.warnings.pop("hands", None)
        if self.teleop.see(self.image, rows):
            self.fresh = True
            self.latency("retarget").add(time.monotonic() - begin)
        else:
            self.values["rejected"] += 1  # type: ignore[operator]

    def on_other(self, message: PointCloud2) -> None:
        self.other_seen = messages.seconds(message.header.stamp)

    def on_clutch(self, message: Joy) -> None:
        """Only a change of the button counts: joy_node repeats it."""
        pressed = self.button(message, self.p.clutch_button)
        before, self.pressed = self.pressed, pressed
        if pressed != before and (why := self.teleop.switch(pressed)):
            self.get_logger().warning(why)
            self.say(why)

    def on_assist(self, message: Joy) -> None:
        if why := self.teleop.assistance.switch(self.button(message, self.p.assist_button)):
            self.get_logger().warning(why)
            self.warnings["assist"] = why
        else:
            self.warnings.pop("assist", None)

    def button(self, message: Joy, index: int) -> bool:
        """Whether a button is pressed. Raises RefusedError for a message without it."""
        if index >= len(message.buttons):
            raise RefusedError(f"a Joy message of {len(message.buttons)} buttons has no button {index}.")
        return bool(message.buttons[index])

    # Ticks

    def on_object(self, message: Odometry) -> None:
        if self.t0 is None or self.hand is None or self.arm is None:
            return
        if messages.seconds(message.header.stamp) < self.t0 - LEAD:
            return
        begin = time.monotonic()
        seen = messages.read_object_state(message, self.p.frame_prefix)
        near = self.teleop.target if self.begun else self.reference.q[0]
        q = self.kinematics.hand_vector(self.arm, self.hand, self.reference.base_quat, near)
        if not self.begun:
            self.begun = True
            self.teleop.begin(q)
            if self.p.assist:
                self.teleop.assistance.switch(True)
        target = self.teleop.step(AssistState(q, seen.pose, seen.twist))
        names, at = self.reference.joint_names, message.header.stamp
        self.target.publish(messages.joint_state(names, at, target))
        self.correction.publish(messages.joint_state(names, at, self.teleop.assistance.correction))
        self.latency("step").add(time.monotonic() - begin)
        self.report()

    def report(self) -> None:
        """Publish what drives the robot when it changes."""
        age = time.time() - self.image
        if self.fresh and self.teleop.clutch.engaged and 0.0 <= age < OF_NOW:
            self.latency("image_to_target").add(age)
        self.fresh = False
        self.values["engaged"] = self.teleop.clutch.count
        self.values["keypoint_rate_hz"] = self.teleop.hand.rate
        self.values["assist"] = self.teleop.assistance.size
        if failure := self.teleop.assistance.failure:
            self.warnings["assist"] = failure
        self.say(self.teleop.status)

    def say(self, status: str) -> None:
        """Publish and log a change; numbers in a reason are no change."""
        kind = status.partition(":")[0].translate(str.maketrans("", "", "0123456789."))
        if kind == str(self.values["clutch"]).partition(":")[0].translate(str.maketrans("", "", "0123456789.")):
            return
        self.values["clutch"] = status
        engaged = self.teleop.clutch.engaged
        self.get_logger().info(f"clutch: {status}")
        values = [KeyValue(key="engaged", value=str(int(engaged)))]
        told = DiagnosticArray(status=[DiagnosticStatus(name="teleop: clutch", message=status, values=values)])
        told.header.stamp = self.stamp()
        self.told.publish(told)
