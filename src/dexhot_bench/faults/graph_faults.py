"""Faults of the graph: dead or starved nodes, invalid messages, a full disk."""

import math
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import psutil
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseWithCovarianceStamped
from lifecycle_msgs.msg import Transition
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool

from dexhot.bringup.launcher import command
from dexhot.data import bags
from dexhot.data.topics import (
    CLOCK,
    DIAGNOSTICS,
    ESTOP_INPUT,
    FRANKA_COMMAND,
    FRANKA_STATES,
    LEAP_COMMAND,
    LEAP_STATES,
    OBJECT_POSE,
    SAFETY_STATE,
    TARGET,
)
from dexhot.data.types import WRIST_JOINTS
from dexhot.errors import DexhotError
from dexhot.robots.arm import FR3_JOINTS
from dexhot.robots.joint_table import joint_table
from dexhot.ros.core import messages
from dexhot.ros.core.diagnostics import MOTOR_TEMPERATURE
from dexhot.ros.core.qos import publish_profile, subscribe_profile
from dexhot.safety.machine import State
from dexhot_bench.faults.faulty_nodes import FAR_COMMAND, NAN_COMMAND, NAN_TARGET
from dexhot_bench.faults.faulty_rig import GAP
from dexhot_bench.faults.graph import RECOVERY, RunningGraph, still
from dexhot_bench.faults.table import FaultTable, Outcome

FAULTS = FaultTable("graph")
LONGEST = 8.0  # s, detection timeout
LOST = 1.0  # s before a recorder's death within which messages may be lost
NAMES = [j.name for j in joint_table("leap_right")]
DEACTIVATE, ACTIVATE = Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE
JOINTS = [*FR3_JOINTS, *NAMES]  # of the plant
ARM, HAND = slice(0, len(FR3_JOINTS)), slice(len(FR3_JOINTS), None)
DRIVERS = ("leap_driver", "franka_driver")
FOREIGN = 0.3  # rad, offset of a foreign command from a joint's position
TRACKING = messages.Safety(State.TRACKING, "a foreign node says so", 1.0)
WATCHED = 1.0  # s, observation of the plant while a foreign node publishes
STOPPED = (State.HOLDING, State.FAULT)


def watched(graph: RunningGraph, cause: Callable[[], object], expects: str = "") -> Outcome:
    """Inject the fault in motion; wait until the supervisor reports it, with `expects` in its reason, and all holds."""
    graph.ready()
    before = len(graph.changes)
    begin = time.monotonic()
    cause()

    def noticed() -> bool:
        return any(expects in reason for _, state, reason in graph.changes[before:] if state in STOPPED)

    graph.spin_until(lambda: noticed() and math.isfinite(graph.stopped_at), LONGEST)
    safe = 1e3 * (graph.stopped_at - begin) if begin < graph.stopped_at < math.inf else None
    told = [(t, s, r) for t, s, r in graph.changes[before:] if s in STOPPED]
    fitting = [change for change in told if expects in change[2]]
    if not fitting:
        words = told[0][2] if told else ""
        return Outcome(words, None, safe, str(graph.state), "")
    first = min(told[0][0], graph.stopped_at)  # a driver that holds by itself has detected it before the supervisor
    return Outcome(fitting[0][2], 1e3 * (first - begin), safe, str(fitting[-1][1]), "")


def watched_words(graph: RunningGraph, expects: str, cause: Callable[[], object]) -> Outcome:
    """As `watched`, for a supervisor that is ending: its last message, in any state."""
    graph.ready()
    changes, begin = len(graph.changes), time.monotonic()
    cause()

    def said() -> list[float]:
        return [t for t, _, reason in graph.changes[changes:] if expects in reason]

    graph.spin_until(lambda: bool(said()) and math.isfinite(graph.stopped_at), LONGEST)
    safe = 1e3 * (graph.stopped_at - begin) if begin < graph.stopped_at < math.inf else None
    return Outcome(graph.reason, 1e3 * (said()[0] - begin) if said() else None, safe, str(graph.state), "")


def back(graph: RunningGraph, outcome: Outcome, how: str) -> Outcome:
    """Add whether the graph tracks again; a hold needs no reset."""
    try:
        graph.ready(RECOVERY)
    except DexhotError:
        return outcome
    reset = "reset, " if outcome.state == State.FAULT else ""
    return Outcome(**{**outcome.__dict__, "recovered": f"{how}{reset}started"})


def injected(graph: RunningGraph, kind: str, expects: str) -> Outcome:
    """Inject the rig's fault `kind`, and end it when detected."""
    outcome = watched(graph, lambda: graph.inject(kind), expects)
    graph.inject("none")
    return back(graph, outcome, "")


def killed(graph: RunningGraph, name: str, expects: str = "") -> Outcome:
    """Kill a process and restart it."""
    outcome = watched(graph, lambda: graph.kill(name), expects)
    graph.start(name)
    return back(graph, outcome, "process restarted, ")


FAULTS.case("object lost (no poses)", injected, "silent", "not been seen", quick=True)


@FAULTS.add("object not seen for 80 ms")
def object_gap(graph: RunningGraph) -> Outcome:
    """Too short for a fault: the filter predicts the state, and counts the predictions."""
    graph.ready()
    before, changes = graph.value("object_filter", "bridged"), len(graph.changes)
    begin = graph.inject("gap")
    seen = graph.spin_until(lambda: graph.value("object_filter", "bridged") >= before + GAP - 1, LONGEST)
    ms = 1e3 * (time.monotonic() - begin)
    stops = [reason for _, state, reason in graph.changes[changes:] if state in STOPPED]
    words = f"{graph.value('object_filter', 'bridged') - before:.0f} states predicted" if seen else ""
    if stops:
        return back(graph, Outcome(stops[0], ms if seen else None, None, str(graph.state), ""), "")
    return Outcome(words, ms if seen else None, 0.0, str(graph.state), "automatic" if graph.moving else "")


@FAULTS.add("object pose flips between symmetric poses")
def object_flips(graph: RunningGraph) -> Outcome:
    """Five flips per second by 180 degrees: the filter keeps one pose, and counts the flips."""
    graph.ready()
    before, changes = graph.value("object_filter", "flipped"), len(graph.changes)
    begin = graph.inject("flip")
    seen = graph.spin_until(lambda: graph.value("object_filter", "flipped") > before, LONGEST)
    ms = 1e3 * (time.monotonic() - begin)
    graph.inject("none")
    stops = [reason for _, state, reason in graph.changes[changes:] if state in STOPPED]
    words = f"{graph.value('object_filter', 'flipped') - before:.0f} poses replaced by equivalents" if seen else ""
    if stops:
        return back(graph, Outcome(stops[0], ms if seen else None, None, str(graph.state), ""), "")
    return Outcome(words, ms if seen else None, 0.0, str(graph.state), "automatic" if graph.moving else "")


FAULTS.case("object slipped: its pose jumps 20 cm", injected, "jump", "jumped by 20 cm")
FAULTS.case("object pose NaN", injected, "nan", "not finite")
FAULTS.case("object pose stamps jump back", injected, "back", "stamps")
FAULTS.case("object pose in an unknown frame", injected, "frame", "object", quick=True)
FAULTS.case("object pose with a zero quaternion", injected, "quaternion", "object")


@FAULTS.add("object pose stamps 3 ms off the tick", moves=False)
def off_the_tick(graph: RunningGraph) -> Outcome:
    """Valid stamps: the object's states keep them, and the clip continues."""
    graph.ready()
    changes = len(graph.changes)
    begin = graph.inject("off")
    stops = graph.spin_until(lambda: any(s in STOPPED for _, s, _ in graph.changes[changes:]), 1.0)
    ms = 1e3 * (time.monotonic() - begin)
    graph.inject("none")
    words = graph.changes[-1][2] if stops else "accepted for 1 s"
    return back(graph, Outcome(words, None if stops else ms, None if stops else 0.0, str(graph.state), ""), "")


def refused(graph: RunningGraph, topic: str, message: object, node: str = "supervisor", counted: str = "") -> Outcome:
    """An invalid message from a foreign node: it is rejected, and no node dies."""
    graph.ready()
    name = f"refused.{counted or topic}"
    before, changes = graph.value(node, name), len(graph.changes)
    publisher = graph.node.create_publisher(type(message), topic, publish_profile("state"))
    graph.spin_until(lambda: publisher.get_subscription_count() > 0, 5.0)
    begin = time.monotonic()

    def told() -> str:
        if graph.value(node, name) > before:
            return graph.statuses[node][1]
        return next((r for _, s, r in graph.changes[changes:] if s in STOPPED), "")

    for _ in range(3):
        publisher.publish(message)
    graph.spin_until(lambda: bool(told()), LONGEST)
    ms, words, state = 1e3 * (time.monotonic() - begin), told(), str(graph.state)
    graph.node.destroy_publisher(publisher)
    outcome = Outcome(words, ms if words else None, 0.0, f"{state}, rejected" if state == "tracking" else state, "")
    return back(graph, outcome, "")


def foreign_joints(graph: RunningGraph, topic: str) -> Outcome:
    """Seven joints of another arm."""
    names = [f"joint{k}" for k in range(7)]
    return refused(graph, topic, messages.joint_state(names, messages.to_stamp(graph.heard[-1][1]), [0.5] * 7))


def foreign_temperature(graph: RunningGraph) -> Outcome:
    """A foreign driver's unreadable motor temperature."""
    values = [KeyValue(key=MOTOR_TEMPERATURE, value="n/a")]
    return refused(
        graph, DIAGNOSTICS, DiagnosticArray(status=[DiagnosticStatus(name="leap_driver: state", values=values)])
    )


FAULTS.case("non-numeric diagnostics", foreign_temperature, moves=False)
for joint_topic in (LEAP_STATES, FRANKA_STATES, LEAP_COMMAND, FRANKA_COMMAND):
    FAULTS.case(f"unknown joints on {joint_topic}", foreign_joints, joint_topic, moves=False)
FAULTS.case("negative time on /clock", refused, CLOCK, Clock(clock=Time(sec=-5)), "supervisor", "rclpy", moves=False)


@FAULTS.add("supervisor deactivated")
def deactivated(graph: RunningGraph) -> Outcome:
    """Its last state stays valid, and while inactive it starts nothing."""
    outcome = watched_words(graph, "supervisor was deactivated", lambda: graph.transition("supervisor", DEACTIVATE))
    refused = not graph.call("start") and not graph.call("reset")
    graph.transition("supervisor", ACTIVATE)
    outcome = back(graph, outcome, "activated, ")
    return outcome if refused else Outcome(**{**outcome.__dict__, "state": "inactive, but started"})


@FAULTS.add("emergency stop while the supervisor is inactive", moves=False)
def estop_inactive(graph: RunningGraph) -> Outcome:
    """It is accepted, and persists after activation."""
    graph.ready()
    graph.transition("supervisor", DEACTIVATE)
    begin, asked = time.monotonic(), graph.call("estop")
    seen = asked and graph.spin_until(lambda: graph.state is State.FAULT, LONGEST)
    ms = 1e3 * (time.monotonic() - begin)
    graph.transition("supervisor", ACTIVATE)
    latched = not graph.spin_until(lambda: graph.state is not State.FAULT, 0.5)
    state = str(State.FAULT) if latched else f"{graph.state}: the stop was lost"
    return back(graph, Outcome(graph.reason, ms if seen else None, 0.0, state, ""), "activated, ")


@FAULTS.add("node stopped by SIGINT")
def asked_to_end(graph: RunningGraph) -> Outcome:
    """Arm and hand hold, with the reason; not a fault."""
    outcome = watched(graph, lambda: graph.signal("shaper", signal.SIGINT), "shaper ends")
    graph.running["shaper"].popen.wait()
    graph.start("shaper")
    return back(graph, outcome, "process restarted, ")


FAULTS.case("controller process killed", killed, "controller", "controller")
FAULTS.case("shaper process killed", killed, "shaper", "shaper")
FAULTS.case("object filter process killed", killed, "object_filter")


@FAULTS.add("supervisor killed", quick=True)
def supervisor_killed(graph: RunningGraph) -> Outcome:
    """No supervisor is left to report: the drivers detect it and hold."""
    graph.ready()
    begin = time.monotonic()
    graph.kill("supervisor")
    graph.spin_until(lambda: math.isfinite(graph.stopped_at), LONGEST)
    ms = 1e3 * (graph.stopped_at - begin) if math.isfinite(graph.stopped_at) else None
    graph.spin_until(lambda: False, 0.5)
    held = graph.stopped_at < math.inf  # and does not resume by itself
    graph.state = State.INACTIVE
    graph.start("supervisor")
    told = "the drivers hold: the supervisor is silent" if ms is not None and held else ""
    return back(graph, Outcome(told, ms, ms if held else None, "holding", ""), "process restarted, ")


def driver_fault(graph: RunningGraph, kind: str, node: str) -> Outcome:
    """A driver fails, and the other stops too; a reset reactivates it."""
    return back(graph, watched(graph, lambda: graph.inject(kind), node), "")


FAULTS.case("arm driver fault (reflex): the hand stops too", driver_fault, "arm", "franka_driver")
FAULTS.case("hand driver fault (bus lost): the arm stops too", driver_fault, "hand", "leap_driver")


@FAULTS.add("emergency stop pressed", quick=True)
def estop(graph: RunningGraph) -> Outcome:
    """The button must be released before a reset is accepted."""
    button = graph.node.create_publisher(Bool, ESTOP_INPUT, publish_profile("latched"))
    graph.spin_until(lambda: button.get_subscription_count() > 0, 5.0)
    outcome = watched(graph, lambda: button.publish(Bool(data=True)), "emergency stop")
    refused = not graph.call("reset")
    button.publish(Bool(data=False))
    graph.spin_until(lambda: False, 0.3)
    graph.call("reset")
    # the rig has been reset in the meantime, which must not start anything
    by_itself = graph.spin_until(lambda: graph.moving, 2.0)
    outcome = back(graph, outcome, "button released, ")
    graph.node.destroy_publisher(button)
    wrong = "fault, but moved without a start" if by_itself else "" if refused else "fault, but left while pressed"
    return Outcome(**{**outcome.__dict__, "state": wrong or outcome.state})


@FAULTS.add("controller starved of CPU for 2 s")
def starved(graph: RunningGraph) -> Outcome:
    """A stopped process publishes no heartbeat."""
    outcome = watched(graph, lambda: graph.signal("controller", signal.SIGSTOP), "controller")
    graph.spin_until(lambda: False, 1.0)
    graph.signal("controller", signal.SIGCONT)
    return back(graph, outcome, "")


@FAULTS.add("clock steps 10 s ahead")
def clock_step(graph: RunningGraph) -> Outcome:
    """With all stamps, as when a clock is set: nothing is stale, but the clip's frame index is wrong."""
    return back(graph, watched(graph, lambda: graph.inject("step"), "jumped"), "")


@FAULTS.add("policy output NaN", quick=True)
def nan_target(graph: RunningGraph) -> Outcome:
    """NaN targets for 0.1 s."""
    return back(graph, watched(graph, lambda: graph.inject(NAN_TARGET), "not finite"), "")


def hand_command(graph: RunningGraph, kind: str, expects: str, counter: str) -> Outcome:
    """One invalid command of the shaper to the hand."""
    graph.ready()
    before, changes = graph.value("leap_driver", counter), len(graph.changes)
    begin = graph.inject(kind)

    def noticed() -> bool:
        told = any(expects in r for _, s, r in graph.changes[changes:] if s in STOPPED) if expects else False
        return told or graph.value("leap_driver", counter) > before

    seen = graph.spin_until(noticed, LONGEST)
    told = next((r for _, s, r in graph.changes[changes:] if s in STOPPED), "")
    times = [t for t, s, _ in graph.changes[changes:] if s in STOPPED]
    ms = 1e3 * ((times[0] if times else time.monotonic()) - begin)
    words = told or f"the driver counts {graph.value('leap_driver', counter) - before:.0f} values {counter}"
    state = str(State.HOLDING) if told else f"tracking, {counter}"
    # the driver rejects or clamps it before execution
    return back(graph, Outcome(words if seen else "", ms if seen else None, 0.0 if seen else None, state, ""), "")


FAULTS.case("NaN command to the hand", hand_command, NAN_COMMAND, "not finite", "refused")
FAULTS.case("hand command out of limits and discontinuous", hand_command, FAR_COMMAND, "", "clamped")


class ForeignNode:
    """A foreign node, named `stranger`: publishes one message at each tick of the rig."""

    def __init__(self, graph: RunningGraph, *says: tuple[type, str, str, Callable[[float], Any]]):
        """`says`: type, topic, quality of service, and the message as a function of the last stamp (s)."""
        self.graph, self.node = graph, rclpy.create_node("stranger", start_parameter_services=False)
        self.said = [
            (self.node.create_publisher(kind, topic, publish_profile(qos)), make) for kind, topic, qos, make in says
        ]
        self.ticks = self.node.create_subscription(Clock, CLOCK, self.speak, subscribe_profile("state"))
        graph.executor.add_node(self.node)

    def speak(self, clock: Clock) -> None:
        for publisher, make in self.said:
            publisher.publish(make(messages.seconds(clock.clock)))

    def go(self) -> None:
        self.graph.executor.remove_node(self.node)
        self.node.destroy_node()


def moved_joints(graph: RunningGraph, part: slice, stamp: float, by: float = FOREIGN) -> JointState:
    """Joint states of arm or hand, offset by `by` rad from the plant."""
    return messages.joint_state(JOINTS[part], messages.to_stamp(stamp), graph.plant[-1][1][part] + by)


def says(graph: RunningGraph, topic: str) -> tuple[type, str, str, Callable[[float], Any]]:
    """A foreign node's valid and fresh messages on `topic`."""
    part = ARM if "franka" in topic else HAND
    pose = np.array([0.5, 0.0, 0.3, 1.0, 0.0, 0.0, 0.0])
    made: dict[str, tuple[type, str, Callable[[float], Any]]] = {
        SAFETY_STATE: (DiagnosticArray, "latched", lambda t: messages.safety_state(TRACKING, messages.to_stamp(t))),
        OBJECT_POSE: (
            PoseWithCovarianceStamped,
            "state",
            lambda t: messages.object_pose(messages.to_stamp(t), pose, 1e-6 * np.eye(6)),
        ),
        TARGET: (
            JointState,
            "command",
            lambda t: messages.joint_state([*WRIST_JOINTS, *NAMES], messages.to_stamp(t), np.full(22, FOREIGN)),
        ),
    }
    kind, qos, make = made.get(topic, (JointState, "command", lambda t: moved_joints(graph, part, t)))
    return kind, topic, qos, make


def second(graph: RunningGraph, topic: str) -> Outcome:
    """A second publisher in motion: reported, and a hold in which the plant follows neither publisher."""
    strangers: list[ForeignNode] = []
    outcome = watched(graph, lambda: strangers.append(ForeignNode(graph, says(graph, topic))), "/stranger")
    outcome = unmoved(graph, outcome, graph.stopped_at)
    strangers[0].go()
    return back(graph, outcome, "foreign node stopped, ")


def unmoved(graph: RunningGraph, outcome: Outcome, since: float) -> Outcome:
    """Not safe, regardless of the drivers' reports, if the plant moves while a foreign node publishes."""
    graph.spin_until(lambda: False, WATCHED)
    return outcome if still(graph.plant, since) else replace(outcome, safe_ms=None)


for _topic in (LEAP_COMMAND, FRANKA_COMMAND, TARGET, LEAP_STATES, OBJECT_POSE):
    FAULTS.case(f"a second publisher on {_topic}", second, _topic, quick=_topic == LEAP_COMMAND)


@FAULTS.add("foreign safety state and commands after an emergency stop")
def foreign_supervisor(graph: RunningGraph) -> Outcome:
    """The drivers report it; the plant does not move."""
    graph.ready()
    graph.call("estop")
    graph.spin_until(lambda: graph.state is State.FAULT and math.isfinite(graph.stopped_at), LONGEST)
    graph.spin_until(lambda: False, 1.0)  # at rest
    begin = time.monotonic()
    stranger = ForeignNode(graph, *(says(graph, topic) for topic in (SAFETY_STATE, LEAP_COMMAND, FRANKA_COMMAND)))

    def told() -> str:
        return next((s[1] for n, s in graph.statuses.items() if n in DRIVERS and "/stranger" in s[1]), "")

    graph.spin_until(lambda: bool(told()), LONGEST)
    words, ms = told(), 1e3 * (time.monotonic() - begin)
    outcome = unmoved(graph, Outcome(words, ms if words else None, 0.0, "", ""), begin)
    stranger.go()
    graph.spin_until(lambda: graph.state is not State.TRACKING, 1.0)  # its state was received here too
    outcome = replace(outcome, state=str(graph.state))
    return back(graph, outcome, "foreign node stopped, ")


@FAULTS.add("graph started twice in one domain", moves=False)
def doubled(graph: RunningGraph) -> Outcome:
    """A second shaper, which must fail to start."""
    graph.ready()
    process = next(p for p in graph.plan.processes if p.name == "shaper")
    begin = time.monotonic()
    second = subprocess.Popen(
        command(process, graph.plan),
        env=os.environ | graph.plan.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    graph.spin_until(lambda: second.poll() is not None, 20.0)
    ms = 1e3 * (time.monotonic() - begin)
    second.kill()
    words = [line for line in second.communicate()[0].splitlines() if "another" in line]
    refused = second.returncode not in (None, 0, -signal.SIGKILL) and bool(words)
    goes_on = graph.moving or graph.spin_until(lambda: graph.moving, 5.0)
    told = words[0].partition("]: ")[2] or words[0] if words else ""
    state = "the first continues, the second is rejected" if refused and goes_on else str(graph.state)
    return Outcome(told, ms if refused else None, 0.0 if goes_on else None, state, "automatic" if goes_on else "")


def lost_messages(graph: RunningGraph, bag: str, died: float) -> tuple[str, int]:
    """Hand states missing in the bag of a recorder that died at `died` (monotonic); number of those over LOST s old."""
    kept = {round(messages.seconds(m.header.stamp) * 1e3) for _, _, m in bags.messages(bag, {LEAP_STATES})}
    first = min(kept, default=0)
    heard = [(t, round(stamp * 1e3)) for t, stamp in graph.heard if t <= died and round(stamp * 1e3) >= first]
    missing = [t for t, stamp in heard if stamp not in kept]
    old = sum(died - t > LOST for t in missing)
    return f"the last {died - min(missing):.2f} s" if missing else "nothing", old


@FAULTS.add("recorder killed")
def recorder_killed(graph: RunningGraph) -> Outcome:
    """The bag has everything except its last moments."""
    bag = str(graph.folder / "run" / "bag")
    outcome = watched(graph, lambda: graph.kill("recorder"), "recorder")
    died = graph.changes[-1][0] - outcome.detected_ms / 1e3 if outcome.detected_ms is not None else time.monotonic()
    lost, old = lost_messages(graph, bag, died)
    graph.start("recorder", bag=str(graph.folder / "run" / "bag-2"))
    outcome = Outcome(**{**outcome.__dict__, "lost": lost, "messages_lost": old})
    return back(graph, outcome, "process restarted with another bag, ")


@FAULTS.add("disk full")
def disk_full(graph: RunningGraph) -> Outcome:
    """The kernel prevents the recorder's file from growing, like a full disk."""
    graph.ready()
    [bag] = sorted(graph.folder.glob("run/bag-2")) or [graph.folder / "run" / "bag"]
    died = []

    def fill() -> None:
        size = sum(p.stat().st_size for p in bag.glob("*.mcap"))
        psutil.Process(graph.pid("recorder")).rlimit(resource.RLIMIT_FSIZE, (size, size))
        died.append(time.monotonic())

    outcome = watched(graph, fill, "recorder")
    graph.kill("recorder")
    lost, old = lost_messages(graph, str(bag), died[0])
    graph.start("recorder", bag=str(graph.folder / "run" / "bag-3"))
    outcome = Outcome(**{**outcome.__dict__, "lost": lost, "messages_lost": old})
    return back(graph, outcome, "process restarted with another disk, ")


def clean_run(graph: RunningGraph, seconds: float) -> dict[str, object]:
    """A fault-free run with repeated clips: its holds and faults (`false_stops`) with their reasons, the memory growth
    of each node's process after the first fifth, and the fraction of ticks on time."""
    graph.inject("patient")  # on a busy machine a world ahead of its commands would drop the object
    graph.ready()
    before = len(graph.changes)
    graph.spin_until(lambda: False, 0.2 * seconds)
    warm = {node: graph.value(node, "process.rss_mib") for node in graph.statuses}
    graph.spin_until(lambda: False, 0.8 * seconds)
    grown = {n: 100 * (graph.value(n, "process.rss_mib") / mib - 1) for n, mib in warm.items() if mib}
    graph.inject("impatient")
    stops = [reason for _, state, reason in graph.changes[before:] if state in STOPPED]
    return {
        "false_stops": len(stops),
        "false_stop_reasons": stops,
        "memory_growth_percent": {node: round(percent, 2) for node, percent in grown.items()},
        "tick_ok_fraction": graph.value("rig", "tick_ok_fraction"),
    }
