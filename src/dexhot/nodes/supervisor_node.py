"""The safety supervisor: the only one that lets a controller drive. It publishes /safety/state on every change.

Inputs: heartbeats and diagnostics of the required nodes, the stamps of object and joint states, what arm and hand are
told and measured, /rig/episode, the services /safety/start, /safety/stop, /safety/reset, /safety/estop
(std_srvs/Trigger), and the topic /safety/estop_input (std_msgs/Bool) for buttons: true stops, and while it is true, or
silent for longer than `estop_timeout`, no reset is accepted. A reset activates the nodes that have a fault; when none
has one any more, the state `fault` is left.

/safety/state is its sign of life: drivers hold when it stops coming for `supervisor_timeout`, and so does a supervisor
that finds that it was silent for so long.
"""

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Header
from std_srvs.srv import Trigger

from dexhot.control.safety import Event, InputMonitor, SafetyMachine, State
from dexhot.control.watch import JointBounds, JointWatch
from dexhot.data.types import RATE
from dexhot.nodes import messages
from dexhot.nodes.base import DexhotNode
from dexhot.nodes.claim import Claim
from dexhot.nodes.recovery import Recovery
from dexhot.nodes.speakers import SPEAKERS

CHECK_RATE = 20.0  # Hz
JOINT_TOPICS = ("/leap/joint_states", "/franka/joint_states")
COMMAND_TOPICS = ("/leap/command", "/franka/command")


class SupervisorNode(DexhotNode):
    """Watches its inputs, decides by the safety machine, and tells everybody; see the module."""

    def __init__(self) -> None:
        super().__init__("supervisor")

    def setup(self) -> None:
        self.publisher = self.advertise(DiagnosticArray, "/safety/state", "latched")
        self.subscribe(Header, "/heartbeat", self.on_heartbeat, "state")
        self.subscribe(DiagnosticArray, "/diagnostics", self.on_diagnostics, "state")
        self.subscribe(Header, "/rig/episode", self.on_episode, "latched")
        self.subscribe(Odometry, "/object/state", self.on_object, "state")
        for topic, command in zip(JOINT_TOPICS, COMMAND_TOPICS):
            self.subscribe(JointState, topic, lambda m, topic=topic: self.on_joints(topic, m), "state")
            self.subscribe(JointState, command, lambda m, topic=topic: self.on_command(topic, m), "command")
        self.subscribe(JointState, "/tracker/target", self.on_target, "command")
        self.speakers.watch(*SPEAKERS, *(("/clock",) if self.get_parameter("use_sim_time").value else ()))
        for qos in ("latched", "sensor"):  # a button that was pressed before us, and one that offers less
            self.subscribe(Bool, "/safety/estop_input", self.on_estop, qos, quiet=True)
        self.serve(Trigger, "/safety/start", lambda q, r: self.answer(r, self.begin_tracking()))
        self.serve(Trigger, "/safety/stop", lambda q, r: self.answer(r, self.apply(Event.STOP, "asked to stop")))
        self.serve(Trigger, "/safety/estop", lambda q, r: self.answer(r, self.stop_all()))
        self.serve(Trigger, "/safety/reset", lambda q, r: self.answer(r, self.reset()))
        self.recovery = Recovery(self, self.p.required_nodes)
        self.loop(CHECK_RATE, self.check, "check")

    def start(self) -> None:
        self.machine = SafetyMachine()
        self.inputs = InputMonitor(("/object/state", *JOINT_TOPICS), self.p.max_age)
        self.beats: dict[str, float] = {}  # node -> steady time of its last heartbeat
        self.watches = {
            topic: JointWatch(robot, JointBounds(divergence, self.p.limit_margin, strain))
            for topic, robot, divergence, strain in (
                (JOINT_TOPICS[0], self.p.hand, self.p.hand_divergence, self.p.hand_strain_time),
                (JOINT_TOPICS[1], "fr3", self.p.arm_divergence, self.p.arm_strain_time),
            )
        }
        self.wrong: dict[str, tuple[Event, str]] = {}  # what is wrong now with joints and motors, by where it was seen
        self.pressed = False
        self.button_heard = self.alive_at = self.steady()
        self.here: set[str] = set()  # required nodes that run on this machine
        self.wants_start = self.p.auto_start
        self.sigma = self.t0 = 0.0
        self.missing = ""  # why there is no measured pose of the object, as its filter says
        self.suspect = ""  # a bad input seen at the last check; two in a row count, so that a queue can drain first
        self.announce()

    # Inputs

    def on_heartbeat(self, header: Header) -> None:
        self.beats[header.frame_id] = self.steady()

    def on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name in self.p.required_nodes:
                error = status.message if status.level == DiagnosticStatus.ERROR else ""
                self.recovery.see(status.name, error)
                if error:
                    self.apply(Event.DRIVER_FAULT, f"{status.name}: {error}")
            for value in status.values:
                if value.key == "missing" and status.name == "object_filter":
                    self.missing = value.value
                if value.key == "temperature_max":
                    self.judge(f"{status.name} motors", self.too_hot(status.name, float(value.value)))

    def too_hot(self, node: str, celsius: float) -> tuple[Event, str] | None:
        limit = self.p.max_temperature
        found = Event.HOT, f"{node} reports a motor of {celsius:.0f} C, the limit is {limit:g} C"
        return found if celsius > limit else None

    def judge(self, where: str, found: tuple[Event, str] | None) -> None:
        """Keep what is wrong there for as long as it is: nothing gets ready meanwhile."""
        before = self.wrong.pop(where, None)
        if found is not None:
            self.wrong[where] = found
            self.apply(*found)
            if before and before != found and self.machine.reason == before[1]:
                self.machine.reason = found[1]  # more is known of it now

    def on_episode(self, header: Header) -> None:
        if header.frame_id.startswith("end"):
            self.apply(Event.FINISH, "the clip is over")
        elif self.p.auto_start:
            self.wants_start = True

    def on_object(self, message: Odometry) -> None:
        variance = np.asarray(message.pose.covariance)[[0, 7, 14]]
        self.sigma = float(np.sqrt(variance.max()))
        p, q = message.pose.pose.position, message.pose.pose.orientation
        finite = bool(np.isfinite([p.x, p.y, p.z, q.w, q.x, q.y, q.z, self.sigma]).all())
        self.inputs.see("/object/state", messages.seconds(message.header.stamp), finite, self.steady())
        if self.sigma > self.p.lost_sigma:
            self.apply(*self.lost())

    def lost(self) -> tuple[Event, str]:
        why = f"{self.missing}; " if self.missing else ""
        return Event.OBJECT_LOST, f"the object is lost: {why}the sigma of its position is {100 * self.sigma:.1f} cm"

    def on_joints(self, topic: str, message: JointState) -> None:
        stamp, watch = messages.seconds(message.header.stamp), self.watches[topic]
        q, effort = messages.positions(message, watch.names), messages.efforts(message, watch.names)
        finite = bool(np.isfinite(q).all() and np.isfinite(effort).all())
        self.inputs.see(topic, stamp, finite, self.steady())
        if finite:
            self.judge(topic, watch.see(stamp, q, effort))

    def on_command(self, topic: str, message: JointState) -> None:
        watch = self.watches[topic]
        q = messages.positions(message, watch.names)
        if np.isfinite(q).all():
            watch.told(q if self.machine.moving else None)
        else:
            self.apply(Event.NON_FINITE, f"a command to {topic.split('/')[1]} is not finite")

    def on_target(self, message: JointState) -> None:
        if not np.isfinite(message.position).all():
            self.apply(Event.NON_FINITE, "the controller's target is not finite")

    def on_estop(self, message: Bool) -> None:
        self.pressed, self.button_heard = message.data, self.steady()
        if self.pressed:
            self.apply(Event.ESTOP, "the emergency stop is pressed")

    # Decisions

    def stop_all(self) -> bool:
        """The emergency stop: whether all is stopped, as it also is by another fault before."""
        self.apply(Event.ESTOP, "emergency stop")
        return self.machine.state is State.FAULT

    def check(self) -> None:
        """Watch everything at CHECK_RATE, and say so."""
        self.publish_state()
        if self.button_silent:
            self.apply(Event.ESTOP, f"the emergency stop button is silent for {self.p.estop_timeout:g} s")
        if self.recovery.under_way:
            self.go_on_resetting()
        dead = [n for n in self.p.required_nodes if self.silent(n) > self.p.heartbeat_timeout]
        unseen = [n for n in dead if n not in self.beats]
        if dead and self.machine.state not in (State.INACTIVE, State.FAULT):
            self.apply(Event.DEAD_NODE, f"no heartbeat of {', '.join(dead)} for {self.p.heartbeat_timeout:g} s")
            return
        self.judge("speakers", (Event.FOREIGN, why) if (why := self.speakers.first()) else None)
        if gone := self.ended():
            self.apply(Event.DEAD_NODE, f"the process of {', '.join(gone)} has ended")
            return
        event, reason = self.inputs.check(self.now())
        if event is Event.INPUTS_READY and self.sigma > self.p.lost_sigma:
            event, reason = self.lost()
        if event is Event.INPUTS_READY and self.wrong:
            event, reason = next(iter(self.wrong.values()))
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

    def ended(self) -> list[str]:
        """Required nodes of this machine whose process has ended, which is known long before a heartbeat lacks.

        Only while something moves: at the end of a clip the graph goes down in no order.
        """
        held = {node for node in self.p.required_nodes if Claim.held(self.absolute(node))}
        self.here |= held
        gone = sorted(self.here - held)
        if not self.machine.moving:
            self.here = held
            return []
        return gone

    def begin_tracking(self) -> bool:
        """Frame 0 comes `lead_in` s after the last state, so that everyone knows before the ramp begins.

        A whole number of ticks after it: no later state then lies between two frames.
        """
        if self.machine.state is not State.READY:
            return False
        self.wants_start = False
        self.t0 = self.inputs.stamps["/object/state"] + round(self.p.lead_in * RATE) / RATE
        return self.apply(Event.START, "started")

    @property
    def button_silent(self) -> bool:
        """Whether a button that should tell of itself does not."""
        return bool(self.p.estop_timeout) and self.steady() - self.button_heard > self.p.estop_timeout

    def reset(self) -> bool:
        """Begin to leave the fault: the nodes that have one are activated again. Whether that may be.

        Not while the button that caused it is pressed or silent.
        """
        if self.machine.state is not State.FAULT or self.pressed or self.button_silent:
            return False
        self.recovery.begin(self.steady())
        if failed := ", ".join(self.recovery.failed):
            self.machine.reason = f"resetting: {failed} is activated again"
            self.announce()
        self.go_on_resetting()
        return True

    def go_on_resetting(self) -> None:
        """Out of the fault once nobody has one any more; else it stays, with what stands against it."""
        why = self.recovery.outcome(self.steady())
        if why is None:
            return
        self.recovery.cancel()
        if why:
            self.machine.reason = f"not reset: {why}"
            self.announce()
        else:
            self.apply(Event.RESET, "reset")

    def apply(self, event: Event, reason: str) -> bool:
        if event is Event.ESTOP and self.recovery.under_way:  # a fault already, but no longer to be left
            self.recovery.cancel()
            self.machine.reason = reason
            self.announce()
        if not self.machine.handle(event, reason):
            return False
        if not self.machine.moving:
            for watch in self.watches.values():
                watch.told(None)
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
        """The state, also as a sign of life: drivers hold when it stops coming, and so do we when it did."""
        silent, self.alive_at = self.steady() - self.alive_at, self.steady()
        if silent > self.p.supervisor_timeout and self.machine.handle(
            Event.LATE, f"the supervisor was silent for {1e3 * silent:.0f} ms: is the machine overloaded?"
        ):
            self.get_logger().warning(f"{self.machine.state}: {self.machine.reason}")
        m = self.machine
        t0 = self.t0 if m.moving else 0.0
        self.publisher.publish(
            messages.safety_state(messages.Safety(m.state, m.reason, t0), self.stamp(), self.p.token)
        )
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
