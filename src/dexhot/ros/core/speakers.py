"""Authorized publishers of the topics that control motion: one node per topic, known by its name in the ROS graph.

Another publisher is an error: a second graph in the domain, `ros2 topic pub`, a bag played into it. Then no publisher
of the topic is accepted until one of them is gone. Stops (/safety/estop, /safety/stop, /safety/estop_input) are
accepted from any node.

The middleware lists a publisher before it delivers its first message, so each message is checked against the current
list; it is cached per topic for LOOK s unless the number of publishers changes. Names arrive up to 0.1 s later.
The publisher of a killed process stays listed for up to 20 s (the middleware's lease). Fast DDS encodes host and
process in a publisher's id: one whose process has ended does not count as a second publisher of a restarted node.
/safety/state also carries the bring-up's token: a foreign publisher that has left before the check is no longer
listed, nor is a bag player with the supervisor's name.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.impl.implementation_singleton import rclpy_implementation

from dexhot.data.topics import (
    EPISODE,
    FRANKA_COMMAND,
    FRANKA_STATES,
    HAND_KEYPOINTS,
    HEARTBEAT,
    LEAP_COMMAND,
    LEAP_STATES,
    OBJECT_POSE,
    OBJECT_STATE,
    SAFETY_STATE,
    TARGET,
)

if TYPE_CHECKING:
    from dexhot.ros.core.base import DexhotNode

ANYBODY = ""  # any node, but only one
SPEAKERS = {
    SAFETY_STATE: "supervisor",
    TARGET: "controller",
    LEAP_COMMAND: "shaper",
    FRANKA_COMMAND: "shaper",
    LEAP_STATES: "leap_driver",
    FRANKA_STATES: "franka_driver",
    OBJECT_STATE: "object_filter",
    OBJECT_POSE: ANYBODY,  # the rig, a motion capture system, a pose estimator
    EPISODE: "rig",
    **dict.fromkeys(HAND_KEYPOINTS.values(), ANYBODY),
}
LOOK = 0.1  # s that a list is cached
LINGER = 0.2  # s that a conflict persists after it is resolved: messages of the departed publisher may still be queued
UNNAMED = "_NODE_NAME_UNKNOWN_"  # name of a publisher that is listed before its node
FAST_DDS = b"\x01\x0f"  # its publishers' ids: vendor 2 bytes, host 2, process id 2 (little-endian), the rest


@dataclass(frozen=True)
class Publisher:
    """A publisher in the ROS graph: the node's full name, the endpoint's id (16 bytes)."""

    node: str
    gid: bytes


@dataclass(frozen=True)
class SpeakerVerdict:
    """Verdict on a topic's `count` publishers; valid until `until` (monotonic time)."""

    count: int
    why: str
    until: float
    parting: bool = False  # the conflict is resolved, and its reason persists


class Speakers:
    """The topics that a node obeys, and objections to each."""

    def __init__(self, node: "DexhotNode"):
        self.node = node
        self.topics: list[str] = []
        self._verdicts: dict[str, SpeakerVerdict] = {}
        self._host = b""  # ours, in the middleware's ids

    def watch(self, *topics: str) -> None:
        """Check these topics too."""
        self.topics += [topic for topic in topics if topic not in self.topics]

    def forget(self) -> None:
        """Stop checking all topics."""
        self.topics.clear()
        self._verdicts.clear()

    def against(self, topic: str, message: Any = None) -> str:
        """Why a message of `topic` must not be obeyed now; "" if it may. Takes microseconds while nothing changes."""
        name, now = self.node.full(topic), time.monotonic()
        with self.node.handle:
            count = self.node.handle.get_count_publishers(
                name
            )  # rclpy's count_publishers validates the name first, in Python
        known = self._verdicts.get(topic)
        if known is None or now > known.until or (not known.why and count != known.count):
            allowed = self._allowed(topic)
            why = judge(name, self._listed(name, allowed), allowed)
            if known is not None and known.why and not why and not known.parting:
                known = SpeakerVerdict(count, known.why, now + LINGER, parting=True)
            else:
                known = SpeakerVerdict(count, why, now + LOOK)
            self._verdicts[topic] = known
        if not known.why and topic == SAFETY_STATE and message is not None and not self._ours(message):
            return f"{name} was not published by this bring-up's supervisor; it is ignored."
        return known.why

    def first(self) -> str:
        """The first objection to any topic; "" if there is none."""
        return next((why for topic in self.topics if (why := self.against(topic))), "")

    def _allowed(self, topic: str) -> tuple[str, ...]:
        """Full names of the nodes that may publish; empty for any node."""
        name = SPEAKERS.get(topic, ANYBODY)
        return tuple(self.node.absolute(n) for n in (name, *self.node.p.speakers)) if name else ()

    def _ours(self, message: DiagnosticArray) -> bool:
        """Whether a safety state carries this bring-up's token; always true without a token."""
        token = self.node.p.token
        return not token or any(status.hardware_id == token for status in message.status)

    def _listed(self, topic: str, allowed: tuple[str, ...]) -> list[Publisher]:
        """The publishers of `topic`, without those left over from an authorized node's previous process.

        Only for authorized nodes: a process that seems to have ended may run in a container. There Claim detects a
        second one.
        """
        listed = publishers(self.node, topic)
        if len(listed) < 2:
            return listed
        nodes = [p.node for p in listed]
        return [p for p in listed if not ((p.node in allowed or nodes.count(p.node) > 1) and self._ended(p))]

    def _ended(self, publisher: Publisher) -> bool:
        """Whether it belonged to a process of this machine that has ended."""
        gid = publisher.gid
        return gid[:2] == FAST_DDS and gid[2:4] == self._our_host() and not process_lives(gid[4:6])

    def _our_host(self) -> bytes:
        """This machine in the middleware's ids; b"" while unknown."""
        if not self._host:
            me, process = self.node.get_fully_qualified_name(), process_bytes(os.getpid())
            own = (
                p.gid
                for p in publishers(self.node, self.node.full(HEARTBEAT))
                if p.node == me and p.gid[4:6] == process
            )
            self._host = next((gid[2:4] for gid in own), b"")
        return self._host


def judge(topic: str, listed: Sequence[Publisher], allowed: Sequence[str]) -> str:
    """The objection to obeying `topic` with these publishers; "" for none. `allowed`: empty for any node."""
    names = sorted("one without a name yet" if UNNAMED in p.node else p.node for p in listed)
    foreign = [p.node for p in listed if allowed and p.node not in allowed and UNNAMED not in p.node]
    rightful = allowed[0] if allowed else "one"
    if len(listed) > 1:
        said = f"{topic} has {len(listed)} publishers ({', '.join(names)})"
        if len(set(names)) == 1:
            return f"{said}: does another graph run in this ROS domain? Stop one, or set its ROS_DOMAIN_ID."
        return f"{said}: stop all but {rightful}."
    if foreign:
        return f"{topic} is published by {foreign[0]}; only {' or '.join(allowed)} is authorized (parameter speakers)."
    return ""


def publishers(node: "DexhotNode", topic: str) -> list[Publisher]:
    """The publishers of `topic`, a full name, in the ROS graph.

    rclpy's get_publishers_info_by_topic also makes objects of their QoS, in Python: 4 times the time.
    """
    with node.handle:
        found = rclpy_implementation.rclpy_get_publishers_info_by_topic(node.handle, topic, False)
    return [Publisher(f"{i['node_namespace'].rstrip('/')}/{i['node_name']}", bytes(i["endpoint_gid"])) for i in found]


def process_bytes(pid: int) -> bytes:
    """The process id in Fast DDS's encoding: its lower half."""
    return (pid & 0xFFFF).to_bytes(2, "little")


def process_lives(low: bytes) -> bool:
    """Whether a process of this machine, whose id ends with these two bytes, lives (or may: several share them)."""
    largest = int(Path("/proc/sys/kernel/pid_max").read_text())
    return any(_lives(pid) for pid in range(int.from_bytes(low, "little"), largest + 1, 1 << 16))


def _lives(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"  # a zombie no longer publishes
