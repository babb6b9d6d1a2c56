"""Who may publish what motion depends on: for each topic one node, known by its name in the ROS graph.

Another publisher is a mistake: a second graph in the domain, `ros2 topic pub`, a bag that is played into it. Then
nobody is obeyed until one of them is gone. Stops (/safety/estop, /safety/stop, /safety/estop_input) are heard from
everybody.

The middleware lists a publisher before it hands over its first message, so each message is judged by the present list;
one list per topic is kept for LOOK s unless the number of publishers changes. Names come up to 0.1 s later.
The publisher of a process that was killed stays listed for up to 20 s (the middleware's lease). Fast DDS writes host
and process into a publisher's id: one whose process has ended is no second publisher of a node that was started again.
/safety/state carries the bring-up's token too: a stranger that has come, published and gone while we were busy is not
in the list any more, nor is a bag's player that took the supervisor's name.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticArray

from dexhot.data.topics import (
    EPISODE,
    FRANKA_COMMAND,
    FRANKA_STATES,
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

ANYBODY = ""  # whoever it is, but one
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
}
LOOK = 0.1  # s for which a list is kept
LINGER = 0.2  # s for which a bad one counts after a good one was seen: messages of who has gone may still be queued
UNNAMED = "_NODE_NAME_UNKNOWN_"  # of a publisher that is listed before its node
FAST_DDS = b"\x01\x0f"  # its publishers' ids: vendor 2 bytes, host 2, process id 2 (little-endian), the rest


@dataclass(frozen=True)
class Publisher:
    """One as the ROS graph lists it: the node's full name, the endpoint's id (16 bytes)."""

    node: str
    gid: bytes


@dataclass(frozen=True)
class SpeakerVerdict:
    """What was found of a topic's `count` publishers; good until `until` (steady time)."""

    count: int
    why: str
    until: float
    parting: bool = False  # a good list was seen, and the reason lingers


class Speakers:
    """The topics that a node obeys, and what stands against each."""

    def __init__(self, node: "DexhotNode"):
        self.node = node
        self.topics: list[str] = []
        self._verdicts: dict[str, SpeakerVerdict] = {}
        self._host = b""  # ours, in the middleware's ids

    def watch(self, *topics: str) -> None:
        """Judge these topics too."""
        self.topics += [topic for topic in topics if topic not in self.topics]

    def forget(self) -> None:
        """No topic is judged any more."""
        self.topics.clear()
        self._verdicts.clear()

    def against(self, topic: str, message: Any = None) -> str:
        """Why a message of `topic` is not to be obeyed now; "" when it is. Microseconds while nothing changes."""
        name, now = self.node.full(topic), time.monotonic()
        count = self.node.count_publishers(name)
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
            return f"{name} was published by another bring-up's supervisor, or by none; nobody obeys it."
        return known.why

    def first(self) -> str:
        """The first topic's of all that has something against it; "" when everybody may be obeyed."""
        return next((why for topic in self.topics if (why := self.against(topic))), "")

    def _allowed(self, topic: str) -> tuple[str, ...]:
        """Full names of the nodes that may publish; none for anybody."""
        name = SPEAKERS.get(topic, ANYBODY)
        return tuple(self.node.absolute(n) for n in (name, *self.node.p.speakers)) if name else ()

    def _ours(self, message: DiagnosticArray) -> bool:
        """Whether a safety state carries this bring-up's token; without a token everybody's does."""
        token = self.node.p.token
        return not token or any(status.hardware_id == token for status in message.status)

    def _listed(self, topic: str, allowed: tuple[str, ...]) -> list[Publisher]:
        """The publishers of `topic` but for what a rightful node's former process has left.

        Only of rightful nodes: what looks ended may live in a container. There Claim knows of a second one.
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
        """This machine in the middleware's ids; b"" while it is not known."""
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
    """What stands against obeying `topic` with these publishers; "" when nothing does. `allowed`: empty for anybody."""
    names = sorted("one not named yet" if UNNAMED in p.node else p.node for p in listed)
    foreign = [p.node for p in listed if allowed and p.node not in allowed and UNNAMED not in p.node]
    rightful = allowed[0] if allowed else "one"
    if len(listed) > 1:
        said = f"{topic} has {len(listed)} publishers ({', '.join(names)})"
        if len(set(names)) == 1:
            return f"{said}: does another graph run in this ROS domain? Stop one, or set its ROS_DOMAIN_ID."
        return f"{said}: stop all but {rightful}."
    if foreign:
        return f"{topic} is published by {foreign[0]}; here only {' or '.join(allowed)} may (parameter speakers)."
    return ""


def publishers(node: "DexhotNode", topic: str) -> list[Publisher]:
    """Those of `topic`, as the ROS graph lists them."""
    found = node.get_publishers_info_by_topic(topic)
    return [Publisher(f"{i.node_namespace.rstrip('/')}/{i.node_name}", bytes(i.endpoint_gid)) for i in found]


def process_bytes(pid: int) -> bytes:
    """The process id as Fast DDS writes it: its lower half."""
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
    return stat.rpartition(")")[2].split()[0] not in "ZX"  # a zombie publishes nothing any more
