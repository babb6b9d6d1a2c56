"""/object/state -> /tracker/target: the tracking controller, driven by arriving states.

Its output is a function of its parameters and of the order of its inputs, which it journals: replays are exact.
"""

import time
from typing import TYPE_CHECKING, cast

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState

from dexhot.control.controllers import HandState, Tracker
from dexhot.data.diagnostics import UNPREPARED
from dexhot.data.files import load
from dexhot.data.topics import FRANKA_STATES, LEAP_STATES, OBJECT_STATE, RESIDUAL, SAFETY_STATE, TARGET
from dexhot.data.types import Reference
from dexhot.errors import UnsafePolicyError
from dexhot.planning.choose import make_controller
from dexhot.robots.arm import FR3_JOINTS
from dexhot.robots.kinematics.arm import ArmKinematics
from dexhot.robots.robot_hand import load_hand
from dexhot.ros.core import messages
from dexhot.ros.core.base import DexhotNode
from dexhot.simulation.setup import physics_of

if TYPE_CHECKING:  # loaded with the controllers that need them
    from dexhot.control.policy import Policy
    from dexhot.planning.planned import Planned
    from dexhot.planning.preparation import Preparation


class ControllerNode(DexhotNode):
    """Stores the latest hand and arm states; publishes one target per object state while tracking."""

    journaled = True

    def __init__(self) -> None:
        super().__init__("controller")
        self.preparation: Preparation | None = None
        self.told: dict[str, object] = {}
        self.begun = False  # whether the present clip's start was accepted
        self.unsafe = ""  # why the policy may not move anything, until the node is activated again

    def setup(self) -> None:
        self.reference = load(self.p.reference, Reference)
        physics = physics_of(self.reference)
        hand = load_hand(self.reference.hand)
        self.kinematics, self.fingers = ArmKinematics(hand), hand.joint_names
        controller = make_controller(self.p.controller, self.reference, self.p.policy, physics, self.p)
        self.preparation = None
        if self.p.controller == "planned":
            from dexhot.planning.preparation import Preparation

            self.preparation = Preparation(cast("Planned", controller))
        self.policy = cast("Policy", controller) if self.p.controller == "policy" else None
        if self.p.controller == "planned":
            self.policy = cast("Planned", controller).feedback
        self.tracker = Tracker(controller, physics, self.p.ramp, self.p.look_ahead)
        self.target = self.advertise(JointState, TARGET, "command")
        if self.policy is not None:
            self.residual = self.advertise(JointState, RESIDUAL, "command")
        self.obey(JointState, LEAP_STATES, self.on_hand, "state")
        self.obey(JointState, FRANKA_STATES, self.on_arm, "state")
        self.obey(DiagnosticArray, SAFETY_STATE, self.on_safety, "latched")
        self.obey(Odometry, OBJECT_STATE, self.on_object, "state")

    def start(self) -> None:
        self.hand: np.ndarray | None = None
        self.arm: np.ndarray | None = None
        self.tracker.stop()
        self.begun, self.unsafe, self.told = False, "", {}
        if self.policy is not None:
            self.withdraw("")
        if self.preparation is not None:
            self.preparation.again()
            self.report()

    def teardown(self) -> None:
        if self.preparation is not None:
            self.preparation.close()

    def on_hand(self, message: JointState) -> None:
        self.hand = messages.measured(message, self.fingers)

    def on_arm(self, message: JointState) -> None:
        self.arm = messages.measured(message, FR3_JOINTS)

    def on_safety(self, message: DiagnosticArray) -> None:
        safety = messages.read_safety_state(message)
        if not safety.moving:
            self.tracker.stop()
        elif safety.t0 != self.tracker.t0 and not self.unsafe:
            self.tracker.begin(safety.t0)
            self.begun = False

    def on_object(self, message: Odometry) -> None:
        if self.unsafe or (self.preparation is not None and not self.prepared(message)):
            return
        if self.tracker.t0 is None or self.hand is None or self.arm is None:
            return
        begin = time.monotonic()
        stamp, first = messages.seconds(message.header.stamp), self.reference.q[0]
        q = self.kinematics.hand_vector(self.arm, self.hand, self.reference.base_quat, first)
        seen = messages.read_object_state(message, self.p.frame_prefix)
        try:
            target = self.tracker.step(stamp, seen, HandState(stamp, q))
        except UnsafePolicyError as e:
            return self.withdraw(str(e))
        if target is not None:
            names, at = self.reference.joint_names, message.header.stamp
            self.target.publish(messages.joint_state(names, at, target))
            if self.policy is not None:
                self.residual.publish(messages.joint_state(names, at, self.policy.residual))
            self.latency("step").add(time.monotonic() - begin)

    def withdraw(self, why: str) -> None:
        """No targets from here on, for which the supervisor holds; "" ends that."""
        self.unsafe = why
        self.values.pop(UNPREPARED, None)
        if why:
            self.tracker.stop()
            self.values[UNPREPARED] = why
            self.get_logger().error(why)
        self.publish_diagnostics()

    def prepared(self, message: Odometry) -> bool:
        """Whether a plan is chosen for the object as observed: only then may targets be published."""
        assert self.preparation is not None
        if self.tracker.t0 is not None and self.begun:
            return True
        seen = messages.read_object_state(message, self.p.frame_prefix)
        if self.tracker.t0 is None:
            self.preparation.observe(seen)
            self.report()
            return False
        if why := self.preparation.begin(seen):
            self.tracker.stop()
            self.report(why)
            return False
        self.begun = True
        return True

    def report(self, why: str = "") -> None:
        """Publish why the clip must not start (the supervisor then holds), or what to expect, when it changes."""
        assert self.preparation is not None
        why = why or self.preparation.problem()
        chosen = self.preparation.controller.chosen
        told: dict[str, object] = {UNPREPARED: why} if why else {"plan": str(chosen)}
        told |= {} if chosen is None else {"expected": chosen.expected, "rollouts": chosen.rollouts}
        if told == self.told:
            return
        self.told = told
        for name in (UNPREPARED, "plan", "expected", "rollouts"):
            self.values.pop(name, None)
        self.values |= told
        self.get_logger().info(why or str(chosen))
        self.publish_diagnostics()
        if self.preparation.refusal and self.p.exit_when_done:
            self.finish(self.preparation.refusal, code=1)
