"""Feeds a controller the recorded inputs in the recorded order and compares its commands with the recorded ones.

Messages of different topics may overtake each other between processes. So the next input is published only when the
controller's journal has confirmed the previous one: order and commands are exact under any load.
"""

import json
import time
from pathlib import Path

import numpy as np
from builtin_interfaces.msg import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState, TimeReference
from std_msgs.msg import Header

from dexhot.data.bags import stamp_ns
from dexhot.data.files import write_text
from dexhot.data.topics import CLOCK, HEARTBEAT, JOURNAL, TARGET
from dexhot.ros.core import live_rig
from dexhot.ros.core.base import DexhotNode
from dexhot.ros.core.message_class import message_class
from dexhot.ros.record.playback import compare, journal_entry, read_tape

LAST_COMMANDS = 1.0  # s, wait for commands after the last input
ENDING = 2.0  # s that a rig may still be listed: one that has just ended is for a while


class PlayerNode(DexhotNode):
    """One input in flight at a time."""

    def __init__(self) -> None:
        super().__init__("player")

    def setup(self) -> None:
        self.tape = read_tape(Path(self.p.source))
        if self.tape.damage:
            self.warnings["damage"] = "; ".join(self.tape.damage)
            self.get_logger().warning(self.warnings["damage"])
        if self.tape.missing:
            self.warnings["missing"] = f"the bag lacks inputs that the controller received: {self.tape.missing}"
            self.get_logger().warning(self.warnings["missing"])
        self.inputs = {
            topic: self.advertise(message_class(kind), topic, "latched" if latched else "state")
            for topic, (kind, latched) in self.tape.topics.items()
        }
        self.clock = self.advertise(Clock, CLOCK, "state")
        self.subscribe(TimeReference, JOURNAL, self.on_journal, "state")
        self.subscribe(JointState, TARGET, self.on_command, "command")
        self.subscribe(Header, HEARTBEAT, self.on_heartbeat, "state")
        self.loop(100.0, self.watch)
        self.next = -1  # index of the input in flight; -1 before the controller is ready
        self.replayed: dict[int, np.ndarray] = {}
        self.progress = time.monotonic()
        self.rig_seen = 0.0  # steady time at which a rig was first listed, 0 for never

    def on_heartbeat(self, message: Header) -> None:
        """Start when the controller is active and everything is connected."""
        heard = all(self.count_publishers(self.full(topic)) for topic in (JOURNAL, TARGET))
        if self.next >= 0 or message.frame_id != "controller" or not heard:
            return
        if why := live_rig.refusal(live_rig.in_domain(self)):
            self.rig_seen = self.rig_seen or time.monotonic()
            return self.give_up(why) if time.monotonic() - self.rig_seen > ENDING else None
        if all(p.get_subscription_count() for p in self.inputs.values()):
            self.send(0)

    def on_journal(self, message: TimeReference) -> None:
        """The controller processed the input in flight: send the next."""
        if not 0 <= self.next < len(self.tape.inputs):
            return
        expected = self.tape.inputs[self.next]
        if journal_entry(message) != (expected.topic, expected.stamp):
            return self.give_up(
                f"the controller received {message.source} from another publisher; stop the other graph"
            )
        self.send(self.next + 1)

    def on_command(self, message: JointState) -> None:
        self.replayed[stamp_ns(message)] = np.asarray(message.position)

    def send(self, index: int) -> None:
        """Publish input `index` at the playback rate, with its receive time on /clock."""
        self.progress = time.monotonic()
        if index < len(self.tape.inputs):
            item = self.tape.inputs[index]
            if self.p.rate and index:
                time.sleep(max(item.received - self.tape.inputs[index - 1].received, 0) * 1e-9 / self.p.rate)
            self.clock.publish(Clock(clock=Time(sec=item.received // 10**9, nanosec=item.received % 10**9)))
            self.inputs[item.topic].publish(item.data)
        self.next = index

    def watch(self) -> None:
        """End when all commands have arrived; give up if the controller does not process its inputs."""
        waited = time.monotonic() - self.progress
        if self.next == len(self.tape.inputs):
            if self.tape.commands.keys() <= self.replayed.keys() or waited > LAST_COMMANDS:
                self.end()
        elif waited > self.p.patience:
            item = self.tape.inputs[max(self.next, 0)]
            self.give_up(f"the controller has not processed {item.topic} for {waited:.0f} s")

    def end(self) -> None:
        """Write the comparison and finish."""
        found = compare(self.tape, self.replayed, self.p.tolerance)
        write_text(self.p.report, json.dumps(found) + "\n")
        how = "equal" if found["equal"] else "NOT equal"
        self.finish(
            f"{found['commands_compared']} commands are {how} (largest difference {found['max_difference']:.3g}, "
            f"{found['commands_lost']} lost, {found['commands_extra']} extra)",
            code=1 if self.tape.damage else 0,
        )

    def give_up(self, reason: str) -> None:
        """Finish with exit code 1."""
        self.finish(reason, code=1)
