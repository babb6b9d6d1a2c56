"""The safety supervisor: the only node that enables motion. It publishes /safety/state on every change.

Inputs: heartbeats and diagnostics of the required nodes, the stamps of object and joint states, commands and
measurements of arm and hand, /rig/episode, the services /safety/start, /safety/stop, /safety/reset, /safety/estop
(std_srvs/Trigger), and for buttons (std_msgs/Bool) the topics /safety/estop_input, which stops every robot of the ROS
domain, and safety/estop_input in our namespace: true stops, and while one is true, or silent for longer than its
timeout, no reset is accepted. A reset activates the nodes with a fault; when all faults are cleared, the state `fault`
is left.

Stop requests (stop, estop, estop_input) are accepted in every state of the lifecycle and of the safety machine, from
any node; start and reset only while the node is active. An error in one of our own callbacks leads to the state
`fault`; monitoring continues. The last published state remains valid when the node is deactivated, and a fault outlasts
that.

/safety/state is its heartbeat: drivers hold when it is silent for `supervisor_timeout`, and so does a supervisor that
detects that it was silent for that long.
"""

import math
import re
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import Odometry
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.publisher import Publisher
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Header
from std_srvs.srv import Trigger

from dexhot.data.diagnostics import UNPREPARED, by_node
from dexhot.data.topics import (
    CLOCK,
    DIAGNOSTICS,
    EPISODE,
    ESTOP,
    ESTOP_INPUT,
    FIRST_LOOK,
    FRANKA_COMMAND,
    FRANKA_STATES,
    HEARTBEAT,
    LEAP_COMMAND,
    LEAP_STATES,
    OBJECT_STATE,
    RESET,
    SAFETY_STATE,
    START,
    STOP,
    TARGET,
    relative,
)
from dexhot.data.types import RATE
from dexhot.ros.core import messages
from dexhot.ros.core.base import DexhotNode
from dexhot.ros.core.claim import Claim
from dexhot.ros.core.diagnostics import MOTOR_TEMPERATURE
from dexhot.ros.core.qos import publish_profile, subscribe_profile
from dexhot.ros.core.refusals import RefusedError
from dexhot.ros.core.speakers import SPEAKERS
from dexhot.ros.supervise.buttons import Buttons
from dexhot.ros.supervise.recovery import Recovery
from dexhot.safety.inputs import InputMonitor
from dexhot.safety.joint_watch import JointBounds, JointWatch
from dexhot.safety.machine import FAULT_EVENTS, Event, SafetyMachine, State

ERROR = DiagnosticStatus.ERROR[0]
CHECK_RATE = 20.0  # Hz
NEWS = 1.0  # s between log lines on missing inputs
JOINT_TOPICS = (LEAP_STATES, FRANKA_STATES)
COMMAND_TOPICS = (LEAP_COMMAND, FRANKA_COMMAND)


class SupervisorNode(DexhotNode):
    """Monitors its inputs, runs the safety machine, and publishes its state; see the module's docstring."""

    def __init__(self) -> None:
        super().__init__("supervisor")
        self.machine = SafetyMachine(reason="the supervisor is not configured")
        self.watching = False  # whether this node is configured, as the one supervisor of the graph
        self.wants_start = self.armed = False
        self.t0 = 0.0
        self.buttons = Buttons(self.resolve_topic_name(ESTOP_INPUT.removeprefix("/")), self.steady())
        self.watches: dict[str, JointWatch] = {}
        self.recovery: Recovery | None = None
        self.error = ""  # the last error in one of our callbacks
        self.publisher: Publisher | None = None  # from the first configure to the end: its latched state stays valid
        quiet = SubscriptionEventCallbacks(use_default_callbacks=False)
        qualities = "latched", "sensor"  # what was latched before our start; best-effort publishers
        for topic, qos in product(self.buttons.topics, qualities):
            heard = partial(self.hear, topic, partial(self.on_estop, topic=topic))
            self.create_subscription(Bool, topic, heard, subscribe_profile(qos), event_callbacks=quiet)
        for name, decide in (
            (START, self.begin_tracking),
            (STOP, self.ask_to_stop),
            (ESTOP, self.stop_all),
            (RESET, self.reset),
        ):
            self.create_service(Trigger, relative(name), partial(self.answer, decide))

    def setup(self) -> None:
        if self.publisher is None:
            self.publisher = self.create_publisher(DiagnosticArray, relative(SAFETY_STATE), publish_profile("latched"))
        self.subscribe(Header, HEARTBEAT, self.on_heartbeat, "state")
        self.subscribe(DiagnosticArray, DIAGNOSTICS, self.on_diagnostics, "state")
        self.subscribe(DiagnosticArray, EPISODE, self.on_episode, "latched")
        if self.p.view_wait:
            self.subscribe(Header, FIRST_LOOK, self.on_look, "latched")
        self.subscribe(Odometry, OBJECT_STATE, self.on_object, "state")
        for topic, command in zip(JOINT_TOPICS, COMMAND_TOPICS):
            self.subscribe(JointState, topic, lambda m, topic=topic: self.on_joints(topic, m), "state")
            self.subscribe(JointState, command, lambda m, topic=topic: self.on_command(topic, m), "command")
        self.subscribe(JointState, TARGET, self.on_target, "command")
        self.speakers.watch(*SPEAKERS, *((CLOCK,) if self.get_parameter("use_sim_time").value else ()))
        self.recovery = Recovery(self, self.p.required_nodes)
        self.loop(CHECK_RATE, self.check, "check")
        self.watching = True
        self.rest("the supervisor is configured, but not activated")

    def start(self) -> None:
        self.inputs = InputMonitor((OBJECT_STATE, *JOINT_TOPICS), self.p.max_age)
        self.beats: dict[str, float] = {}  # node -> monotonic time of its last heartbeat
        self.leaving: dict[str, float] = {}  # required node that is ending -> stamp of its last diagnostics
        self.watches = {
            topic: JointWatch(robot, JointBounds(divergence, self.p.limit_margin, strain))
            for topic, robot, divergence, strain in (
                (JOINT_TOPICS[0], self.p.hand, self.p.hand_divergence, self.p.hand_strain_time),
                (JOINT_TOPICS[1], "fr3", self.p.arm_divergence, self.p.arm_strain_time),
            )
        }
        self.wrong: dict[str, tuple[Event, str]] = {}  # present problems of joints and motors, by source
        self.alive_at = self.steady()
        self.buttons.restart(self.alive_at)
        self.here: set[str] = set()  # required nodes that run on this machine
        self.armed = self.wants_start = self.p.auto_start  # armed: may start automatically, until a stop
        self.looked = not self.p.view_wait  # whether the wait for a browser is over: one has connected, or it timed out
        self.look_until: float | None = None  # monotonic time, set once all else is ready
        self.sigma = 0.0
        self.unseen = ""  # the object filter's reason for missing poses
        self.cause: Event | None = None  # of the present state
        self.suspect = ""  # a bad input at the last check; two in a row count, so that queues can drain first
        self.missing, self.missing_text = "", -np.inf  # missing inputs in `inactive`, time of their last log
        if self.machine.state is not State.FAULT:
            self.machine.reason = "no input has arrived yet"
        self.announce()

    def stop(self) -> None:
        """On deactivation: publish that monitoring ends."""
        self.rest(f"the supervisor ends: {self.ending}" if self.ending else "the supervisor was deactivated")

    def teardown(self) -> None:
        if self.watching and not self.ending:
            self.rest("the supervisor is not configured")
        self.watching, self.recovery = False, None

    def rest(self, reason: str) -> None:
        """Without monitoring nothing may move; a fault persists."""
        self.armed = self.wants_start = False
        if self.recovery is not None and self.recovery.under_way:
            self.recovery.cancel()
            self.machine.reason = f"not reset: {reason}"
        self.machine.handle(Event.UNWATCHED)
        if self.machine.state is State.INACTIVE:
            self.machine.reason = reason
        self.announce()

    # Errors of our own

    def failed(self, callback: Callable[..., Any], error: Exception) -> None:
        """Report a repeated error only once."""
        if (said := f"{type(error).__name__}: {error}") != self.error:
            self.error = said
            return super().failed(callback, error)
        self.fault(said)

    def fault(self, reason: str) -> None:
        """An error in one of our callbacks stops motion, but monitoring continues: a reset clears it."""
        self.armed = self.wants_start = False
        if self.machine.handle(Event.INTERNAL, f"supervisor: {reason}"):
            self.announce()

    # Inputs

    def on_heartbeat(self, header: Header) -> None:
        name = header.frame_id
        if name in self.p.required_nodes:
            self.beats[name] = self.steady()
            if messages.seconds(header.stamp) > self.leaving.get(name, np.inf):
                del self.leaving[name]

    def on_diagnostics(self, message: DiagnosticArray) -> None:
        for name, status in by_node(message).items():
            if name not in self.p.required_nodes:
                continue
            error = status.message if status.level == ERROR else ""
            assert self.recovery is not None
            self.recovery.see(name, error)
            if error:
                self.apply(Event.DRIVER_FAULT, f"{name}: {error}")
            elif "ending" in status.values:
                self.leaving[name] = messages.seconds(message.header.stamp)
                self.apply(Event.ENDING, f"{name} ends: {status.values['ending']}")
            if name == "object_filter":
                self.unseen = status.values.get("missing", "")
            if name == "controller":
                why = status.values.get(UNPREPARED, "")
                self.judge(UNPREPARED, (Event.UNPREPARED, f"controller: {why}") if why else None)
            if MOTOR_TEMPERATURE in status.values:
                self.on_temperature(name, status.values[MOTOR_TEMPERATURE])

    def on_temperature(self, node: str, text: str) -> None:
        try:
            celsius = messages.number(text)
        except RefusedError as e:  # the rest of the message is still valid
            return self.refuse_message(DIAGNOSTICS, f"{MOTOR_TEMPERATURE} of {node}: {e}")
        self.judge(f"{node} motors", self.too_hot(node, celsius))

    def too_hot(self, node: str, celsius: float) -> tuple[Event, str] | None:
        limit = self.p.max_temperature
        found = Event.HOT, f"{node} reports a motor temperature of {celsius:.0f} C, the limit is {limit:g} C"
        return found if celsius > limit else None

    def judge(self, where: str, found: tuple[Event, str] | None) -> None:
        """Keep a problem of a source while it lasts: it prevents the state `ready`."""
        before = self.wrong.pop(where, None)
        if found is not None:
            self.wrong[where] = found
            self.apply(*found)
            if before and before != found and self.machine.reason == before[1]:
                self.machine.reason = found[1]  # updated

    def on_episode(self, message: DiagnosticArray) -> None:
        kind, *_ = messages.read_episode(message)
        if kind == "end":
            self.apply(Event.FINISH, "the clip has ended")
        else:
            self.wants_start = self.armed

    def on_look(self, _header: Header) -> None:
        self.looked = True

    def watched(self) -> bool:
        """Whether an automatic start need not wait for a browser any longer; /safety/start never waits."""
        if self.looked:
            return True
        if self.look_until is None:
            self.look_until = self.steady() + self.p.view_wait
            self.get_logger().info(
                f"ready: the clip starts when a browser shows the live scene, or in {self.p.view_wait:g} s; "
                "to start at once: `dexhot safety start`, or view_wait:=0"
            )
        self.looked = self.steady() > self.look_until
        return self.looked

    def on_object(self, message: Odometry) -> None:
        p, q, t = message.pose.pose.position, message.pose.pose.orientation, message.twist.twist
        v, w, covariance = t.linear, t.angular, message.pose.covariance
        variance = float(covariance[0]), float(covariance[7]), float(covariance[14])
        numbers = (p.x, p.y, p.z, q.w, q.x, q.y, q.z, v.x, v.y, v.z, w.x, w.y, w.z, *variance)
        finite = all(map(math.isfinite, numbers)) and min(variance) >= 0.0
        if finite:
            messages.check_object_state(message, self.p.frame_prefix)  # if it raises, the object does not count as seen
            self.sigma = math.sqrt(max(variance))
        self.inputs.see(OBJECT_STATE, messages.seconds(message.header.stamp), finite, self.steady())
        if self.sigma > self.p.lost_sigma:
            self.apply(*self.lost())

    def lost(self) -> tuple[Event, str]:
        why = f"{self.unseen}; " if self.unseen else ""
        return Event.OBJECT_LOST, f"the object is lost: {why}its position sigma is {100 * self.sigma:.1f} cm"

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
            watch.commanded(q if self.machine.moving else None)
        else:
            self.apply(Event.NON_FINITE, f"a command to {topic.split('/')[1]} is not finite")

    def on_target(self, message: JointState) -> None:
        if not np.isfinite(message.position).all():
            self.apply(Event.NON_FINITE, "the controller's target is not finite")

    def on_estop(self, message: Bool, topic: str = ESTOP_INPUT) -> None:
        self.buttons.hear(topic, message.data, self.steady())
        if message.data:
            self.apply(Event.ESTOP, f"{self.buttons.named(topic)} is pressed")

    # Decisions

    def ask_to_stop(self) -> str:
        """Hold, and disable automatic starts; always succeeds."""
        self.armed = self.wants_start = False
        if not self.apply(Event.STOP, "stop requested"):
            self.publish_state()
        return ""

    def stop_all(self) -> str:
        """Emergency stop; always succeeds. An earlier fault's reason is kept."""
        if not self.apply(Event.ESTOP, "emergency stop"):
            self.publish_state()
        return ""

    def check(self) -> None:
        """Check everything at CHECK_RATE, and publish the state."""
        self.watch_ourselves()
        self.publish_state()
        if button := self.button_silent:
            self.apply(Event.ESTOP, f"{self.buttons.named(button)} is silent")
        if self.recovery is not None and self.recovery.under_way:
            self.go_on_resetting()
        silent = [n for n in self.p.required_nodes if self.silent(n) > self.p.heartbeat_timeout]
        dead = [n for n in silent if n not in self.leaving]
        if dead and self.machine.state not in (State.INACTIVE, State.FAULT):
            self.apply(Event.DEAD_NODE, f"no heartbeat from {', '.join(dead)} for {self.p.heartbeat_timeout:g} s")
            return
        self.judge("speakers", (Event.FOREIGN, why) if (why := self.speakers.first()) else None)
        if gone := self.ended():
            self.apply(Event.DEAD_NODE, f"the process of {', '.join(gone)} has ended")
            return
        event, reason = self.judge_inputs()
        absent = sorted({*silent, *self.leaving})
        if self.machine.state is State.INACTIVE:
            self.explain(absent, "" if event is Event.INPUTS_READY else reason)
        if event is Event.INPUTS_READY:
            self.suspect = ""
            if not absent:
                self.apply(event, f"the object is seen again; {reason}" if self.cause is Event.OBJECT_LOST else reason)
                if self.wants_start and self.watched():
                    self.begin_tracking()
        elif event is Event.STALE and not self.suspect:
            self.suspect = reason
        else:
            self.apply(event, reason)

    def judge_inputs(self) -> tuple[Event, str]:
        """INPUTS_READY, or the first problem of the required inputs."""
        event, reason = self.inputs.check(self.now())
        if event is Event.INPUTS_READY and self.sigma > self.p.lost_sigma:
            return self.lost()
        if event is Event.INPUTS_READY and self.wrong:
            return next(iter(self.wrong.values()))
        return event, reason

    def explain(self, absent: list[str], reason: str) -> None:
        """Add missing inputs to the reason of `inactive`: published at each check, logged when it changes."""
        lacking = [f"no heartbeat from {', '.join(absent)}"] * bool(absent) + [reason] * bool(reason)
        if not lacking:
            return
        self.machine.reason = f"waiting: {'; '.join(lacking)}"
        kind = re.sub(r"[0-9.]+", "", self.machine.reason)
        if kind != self.missing and self.steady() - self.missing_text > NEWS:
            self.missing, self.missing_text = kind, self.steady()
            self.get_logger().info(f"{self.machine.state}: {self.machine.reason}")

    def ended(self) -> list[str]:
        """Required nodes of this machine whose process has ended, which is detected long before a heartbeat timeout.

        Only while moving: at shutdown nodes end in any order.
        """
        held = {node for node in self.p.required_nodes if Claim.held(self.absolute(node))}
        self.here |= held
        gone = sorted(self.here - held)
        if not self.machine.moving:
            self.here = held
            return []
        return gone

    def begin_tracking(self) -> str:
        """Start tracking, or return why not. Frame 0 is `lead_in` s after the last state, so that all nodes know it
        before.

        By a whole number of ticks, so that no later state is between two frames.
        """
        if self.state != "active":
            return f"the supervisor is {self.state}: it must be active for a start"
        if self.machine.state is not State.READY:
            return "tracking starts only from the state ready"
        event, reason = self.judge_inputs()
        if event is not Event.INPUTS_READY:
            if event is not Event.STALE:
                self.apply(event, reason)
            return reason
        self.t0 = self.inputs.stamps[OBJECT_STATE] + round(self.p.lead_in * RATE) / RATE
        self.armed, self.wants_start = self.p.auto_start, False
        self.apply(Event.START, "started")
        return ""

    @property
    def button_silent(self) -> str:
        """The topic of a button that has not published for its timeout; "" without one."""
        return self.buttons.silent(self.steady(), self.p.estop_timeout, self.p.robot_estop_timeout)

    def reset(self) -> str:
        """Start to clear the fault by reactivating the nodes with one, or return why not.

        Rejected while the button that caused it is pressed or silent.
        """
        if self.state != "active" or self.recovery is None:
            return f"the supervisor is {self.state}: it must be active for a reset"
        if self.machine.state is not State.FAULT:
            return "there is no fault to reset"
        if pressed := next(iter(self.buttons.pressed), ""):
            return f"{self.buttons.named(pressed)} is pressed"
        if silent := self.button_silent:
            return f"{self.buttons.named(silent)} is silent"
        self.error = ""
        self.recovery.begin(self.steady())
        if failed := ", ".join(self.recovery.failed):
            self.machine.reason = f"resetting: activating {failed}"
            self.announce()
        self.go_on_resetting()
        return ""

    def go_on_resetting(self) -> None:
        """Leave the fault once all nodes are clear of faults; otherwise it stays, with the reason."""
        assert self.recovery is not None
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
        """Apply an event; returns whether the state changed. After a fault nothing starts automatically."""
        if event in FAULT_EVENTS:
            self.armed = self.wants_start = False
        if event is Event.ESTOP and self.recovery is not None and self.recovery.under_way:
            self.recovery.cancel()  # already a fault, which this event keeps
            self.machine.reason = reason
            self.announce()
        if not self.machine.handle(event, reason):
            return False
        self.cause = event
        if not self.machine.moving:
            for watch in self.watches.values():
                watch.commanded(None)
        self.announce(asked=event is Event.ENDING)
        return True

    def announce(self, asked: bool = False) -> None:
        """Log and publish a change of state, as a warning unless it was requested."""
        text = f"{self.machine.state}: {self.machine.reason}"
        if self.machine.state in (State.HOLDING, State.FAULT) and not asked:
            self.get_logger().warning(text)
        else:
            self.get_logger().info(text)
        self.publish_state()

    def watch_ourselves(self) -> None:
        """The state is our heartbeat: drivers hold when it stops, and so do we after a gap."""
        silent, self.alive_at = self.steady() - self.alive_at, self.steady()
        if silent > self.p.supervisor_timeout:
            late = f"the supervisor was delayed by {1e3 * silent:.0f} ms: is the machine overloaded?"
            self.apply(Event.LATE, late)

    def publish_state(self) -> None:
        """Publish the current state, in every state of the lifecycle."""
        m = self.machine
        t0 = self.t0 if m.moving else 0.0
        if self.publisher is not None:
            said = messages.Safety(m.state, m.reason, t0)
            self.publisher.publish(messages.safety_state(said, self.stamp(), self.p.token))
        self.values = {"safety": str(m.state), "reason": m.reason} | {f"events.{k}": v for k, v in m.counts.items()}

    def answer(
        self, decide: Callable[[], str], request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        """Execute a request; the reply contains the resulting state, and the reason if it was rejected."""
        refused = self.guarded(decide)
        response.success = refused == ""
        why = "" if response.success else f" (rejected: {refused or self.error})"
        response.message = f"{self.machine.state}: {self.machine.reason}{why}"
        return response

    def steady(self) -> float:
        return self._steady.now().nanoseconds * 1e-9

    def silent(self, node: str) -> float:
        """s since the node's last heartbeat; infinite without one."""
        return self.steady() - self.beats.get(node, -np.inf)
