"""The safety supervisor: the only one that lets a controller drive. It publishes /safety/state on every change.

Inputs: heartbeats and diagnostics of the required nodes, the stamps of object and joint states, /rig/episode, and the
services /safety/start, /safety/stop, /safety/reset, /safety/estop (std_srvs/Trigger).
"""

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from dexhot.control.controllers import RATE
from dexhot.control.safety import Event, InputMonitor, SafetyMachine, State
from dexhot.nodes import messages
from dexhot.nodes.base import DexhotNode

CHECK_RATE = 20.0  # Hz
SIGN_OF_LIFE_RATE = 4.0  # Hz
JOINT_TOPICS = ("/leap/joint_states", "/franka/joint_states")


class SupervisorNode(DexhotNode):
    def __init__(self) -> None:
        super().__init__("supervisor")

    def setup(self) -> None:
        self.publisher = self.advertise(DiagnosticArray, "/safety/state", "latched")
        self.subscribe(Header, "/heartbeat", self.on_heartbeat, "state")
        self.subscribe(DiagnosticArray, "/diagnostics", self.on_diagnostics, "state")
        self.subscribe(Header, "/rig/episode", self.on_episode, "latched")
        self.subscribe(Odometry, "/object/state", self.on_object, "state")
        for topic in JOINT_TOPICS:
            self.subscribe(JointState, topic, lambda m, topic=topic: self.on_joints(topic, m), "state")
        self.serve(Trigger, "/safety/start", lambda q, r: self.answer(r, self.begin_tracking()))
        self.serve(Trigger, "/safety/stop", lambda q, r: self.answer(r, self.apply(Event.STOP, "asked to stop")))
        self.serve(Trigger, "/safety/estop", lambda q, r: self.answer(r, self.apply(Event.ESTOP, "emergency stop")))
        self.serve(Trigger, "/safety/reset", lambda q, r: self.answer(r, self.apply(Event.RESET, "reset")))
        self.loop(CHECK_RATE, self.check, "check")
        self.loop(SIGN_OF_LIFE_RATE, self.publish_state, "sign_of_life")

    def start(self) -> None:
        self.machine = SafetyMachine()
        self.inputs = InputMonitor(("/object/state", *JOINT_TOPICS), self.p.max_age)
        self.beats: dict[str, float] = {}  # node -> steady time of its last heartbeat
        self.wants_start = self.p.auto_start
        self.sigma = self.t0 = 0.0
        self.suspect = ""  # a bad input seen at the last check; two in a row count, so that a queue can drain first
        self.announce()

    # Inputs

    def on_heartbeat(self, header: Header) -> None:
        self.beats[header.frame_id] = self.steady()

    def on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.level == DiagnosticStatus.ERROR and status.name in self.p.required_nodes:
                self.apply(Event.DRIVER_FAULT, f"{status.name}: {status.message}")

    def on_episode(self, header: Header) -> None:
        if header.frame_id.startswith("end"):
            self.apply(Event.FINISH, "the clip is over")
        elif self.p.auto_start:
            self.wants_start = True

    def on_object(self, message: Odometry) -> None:
        variance = np.asarray(message.pose.covariance)[[0, 7, 14]]
        self.sigma = float(np.sqrt(variance.max()))
        p = message.pose.pose.position
        self.inputs.see("/object/state", messages.seconds(message.header.stamp), bool(np.isfinite(p.x + p.y + p.z)))

    def on_joints(self, topic: str, message: JointState) -> None:
        finite = bool(np.isfinite(message.position).all())
        self.inputs.see(topic, messages.seconds(message.header.stamp), finite)

    # Decisions

    def check(self) -> None:
        """Watch everything at CHECK_RATE."""
        dead = [n for n in self.p.required_nodes if self.silent(n) > self.p.heartbeat_timeout]
        unseen = [n for n in dead if n not in self.beats]
        if dead and self.machine.state not in (State.INACTIVE, State.FAULT):
            self.apply(Event.DEAD_NODE, f"no heartbeat of {', '.join(dead)} for {self.p.heartbeat_timeout:g} s")
            return
        event, reason = self.inputs.check(self.now())
        if event is Event.INPUTS_READY and self.sigma > self.p.lost_sigma:
            event, reason = Event.OBJECT_LOST, f"the object's position sigma is {100 * self.sigma:.1f} cm"
        if event is Event.INPUTS_READY:
            self.suspect = ""
            if not dead and not unseen:
                self.apply(event, reason)
                if self.wants_start:
                    self.begin_tracking()
        elif event is Event.STALE and not self.suspect:
            self.suspect = reason
        else:
            self.apply(event, reason)

    def begin_tracking(self) -> bool:
        """Frame 0 comes `lead_in` s after the last state, so that everyone knows before the ramp begins.

        A whole number of ticks after it: no later state then lies between two frames.
        """
        if self.machine.state is not State.READY:
            return False
        self.wants_start = False
        self.t0 = self.inputs.stamps["/object/state"] + round(self.p.lead_in * RATE) / RATE
        return self.apply(Event.START, "started")

    def apply(self, event: Event, reason: str) -> bool:
        if not self.machine.handle(event, reason):
            return False
        self.announce()
        return True

    def announce(self) -> None:
        """Log and publish a change of state."""
        told = f"{self.machine.state}: {self.machine.reason}"
        if self.machine.state in (State.HOLDING, State.FAULT):
            self.get_logger().warning(told)
        else:
            self.get_logger().info(told)
        self.publish_state()

    def publish_state(self) -> None:
        """The state, also as a sign of life: drivers hold when it stops coming."""
        m = self.machine
        t0 = self.t0 if m.moving else 0.0
        self.publisher.publish(messages.safety_state(messages.Safety(m.state, m.reason, t0), self.stamp()))
        self.values = {"safety": str(m.state), "reason": m.reason} | {f"events.{k}": v for k, v in m.counts.items()}

    def answer(self, response: Trigger.Response, changed: bool) -> Trigger.Response:
        response.success = changed
        response.message = f"{self.machine.state}: {self.machine.reason}"
        return response

    def steady(self) -> float:
        return self._steady.now().nanoseconds * 1e-9

    def silent(self, node: str) -> float:
        """s since the node's last heartbeat; infinite when there was none."""
        return self.steady() - self.beats.get(node, -np.inf)
