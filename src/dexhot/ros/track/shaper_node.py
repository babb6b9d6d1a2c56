"""/tracker/target -> /leap/command, /franka/command: the command shaper, driven by arriving targets."""

import time
from collections import deque
from pathlib import Path

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import JointState

from dexhot.control.onnx_file import load_card
from dexhot.control.shaper import CommandShaper, measure_lag, shaper_lead
from dexhot.data.files import load
from dexhot.data.topics import FRANKA_COMMAND, FRANKA_STATES, LEAP_COMMAND, LEAP_STATES, SAFETY_STATE, TARGET
from dexhot.data.types import RATE, PolicyCard, Reference
from dexhot.robots.arm import FR3_JOINTS
from dexhot.robots.robot_hand import load_hand
from dexhot.ros.core import messages
from dexhot.ros.core.base import DexhotNode
from dexhot.simulation.setup import physics_of

KEPT = 30  # readings of the hand, of which a target takes the last one before it


class ShaperNode(DexhotNode):
    """Publishes one command for the hand and one for the arm per target."""

    def __init__(self) -> None:
        super().__init__("shaper")

    def setup(self) -> None:
        reference = load(self.p.reference, Reference)
        physics = physics_of(reference)
        hand = load_hand(reference.hand)
        self.names, self.fingers = reference.joint_names, list(hand.joint_names)
        network = Path(self.p.policy)  # its card's world is the reference's, or the controller refuses it
        card = load_card(network, network.with_suffix(".json"), PolicyCard) if network.suffix == ".onnx" else None
        lead = shaper_lead(card, self.p.lead, self.p.feedback)
        leads, arm_path = (lead, self.p.wrist_lead), reference.require_arm_path()
        self.shaper = CommandShaper(hand, reference.base_quat, arm_path, physics, *leads, self.p.free_arm)
        self.values = {
            "lag_ms": 1e3 * measure_lag(hand, physics),
            "lag_with_lead_ms": 1e3 * measure_lag(hand, physics, lead),
        }
        self.hand_command = self.advertise(JointState, LEAP_COMMAND, "command")
        self.arm_command = self.advertise(JointState, FRANKA_COMMAND, "command")
        self.obey(JointState, FRANKA_STATES, self.on_arm, "state")
        if self.p.feedback == "measured":
            self.obey(JointState, LEAP_STATES, self.on_hand, "state")
        self.obey(DiagnosticArray, SAFETY_STATE, self.on_safety, "latched")
        self.obey(JointState, TARGET, self.on_target, "command")

    def start(self) -> None:
        self.t0: float | None = None
        self.arm: np.ndarray | None = None
        self.readings: deque[tuple[float, np.ndarray]] = deque(maxlen=KEPT)  # stamp and finger joints
        self.fresh = False  # whether the next target is the first of a clip
        self.worst = 0.0

    def on_arm(self, message: JointState) -> None:
        if self.fresh or self.arm is None:
            self.arm = messages.measured(message, FR3_JOINTS)

    def on_hand(self, message: JointState) -> None:
        self.readings.append((messages.seconds(message.header.stamp), messages.measured(message, self.fingers)))

    def measured(self, stamp: float) -> np.ndarray | None:
        """The last finger joints (n,) measured before `stamp`, whatever has arrived since; None without one."""
        return next((q for at, q in reversed(self.readings) if at < stamp - 0.5 / RATE), None)

    def on_safety(self, message: DiagnosticArray) -> None:
        safety = messages.read_safety_state(message)
        if safety.moving and safety.t0 != self.t0:
            self.t0, self.fresh = safety.t0, True

    def on_target(self, message: JointState) -> None:
        if self.arm is None or self.t0 is None:
            return
        begin = time.monotonic()
        target = messages.measured(
            message, self.names
        )  # an invalid target gives no command: the drivers hold, and the supervisor checks it too
        if self.fresh:
            self.shaper.reset(target, self.arm)
            self.fresh = False
        stamp = message.header.stamp
        now = messages.seconds(stamp)
        command = self.shaper.step(target, round((now - self.t0) * RATE), self.measured(now))
        self.hand_command.publish(messages.joint_state(self.fingers, stamp, command.hand_q, command.hand_qd))
        self.arm_command.publish(
            messages.joint_state(FR3_JOINTS, stamp, command.arm_q, command.arm_qd, command.arm_torque)
        )
        self.latency("step").add(time.monotonic() - begin)
        self.values["ik_error_max_mm"] = self.worst = max(self.worst, 1e3 * command.ik_error)
