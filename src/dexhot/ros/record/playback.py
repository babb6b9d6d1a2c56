"""Data of a bag for a replay: the controller's inputs in their order of processing, and its commands."""

from collections import defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.interfaces import Connection, QosDurability

from dexhot.data import bags
from dexhot.data.rosbag.folder import bag_files
from dexhot.data.topics import JOURNAL, TARGET
from dexhot.errors import FileFormatError

CUT = 0.1  # s: a killed recorder may have recorded an input but not yet the resulting command
JOURNALS = ("sensor_msgs/msg/TimeReference", "std_msgs/msg/Header")  # the second: of version 0.1.0
NEEDED: dict[str, str | tuple[str, ...]] = {JOURNAL: JOURNALS, TARGET: "sensor_msgs/msg/JointState"}


@dataclass(frozen=True)
class Input:
    """One input message of the controller."""

    topic: str
    msgtype: str
    stamp: int  # ns
    received: int  # ns
    data: bytes
    latched: bool  # offered as transient local


@dataclass
class Tape:
    """A recorded run of the controller.

    `early`: inputs in the journal from before the recording of their topic began; `missing`: those lost later.
    `damage`: losses of the bag.
    """

    inputs: list[Input]
    commands: dict[int, np.ndarray]  # stamp ns -> positions
    early: dict[str, int] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    damage: list[str] = field(default_factory=list)

    @property
    def topics(self) -> dict[str, tuple[str, bool]]:
        """topic -> (message type, latched) of the inputs."""
        return {i.topic: (i.msgtype, i.latched) for i in self.inputs}


def find_bag(path: str | Path) -> tuple[Path, Path | None]:
    """(bag, run folder or None) of a run's folder or of a bag. Raises FileFormatError."""
    bag = bags.locate(path)
    if bag.is_dir() and not bag_files(bag):
        raise FileFormatError(f"{path} is neither a run's folder nor a rosbag: no .mcap, .db3 or .bag file in {bag}.")
    return bag, bags.run_folder(bag)


def check_bag(bag: Path) -> None:
    """Raise FileFormatError naming the missing topics if the bag cannot be replayed."""
    bags.require_topics(bag, NEEDED, "a replay of the controller")


def read_tape(bag: Path) -> Tape:
    """The controller's inputs, in the order of its journal, and its commands. Raises FileFormatError."""
    check_bag(bag)
    journal = [journal_entry(m) for _, _, m in bags.messages(bag, {JOURNAL})]
    named = {topic for topic, _ in journal}
    waiting: dict[tuple[str, int], deque[Input]] = defaultdict(deque)
    with bags.open_bag(bag) as reader:
        for connection, received, data in reader.messages(c for c in reader.connections if c.topic in named):
            stamp = bags.stamp_ns(bags.decode(connection, data))
            item = Input(connection.topic, connection.msgtype, stamp, received, bytes(data), latched(connection))
            waiting[connection.topic, stamp].append(item)
        damage = reader.damage
    commands = {bags.stamp_ns(m): np.asarray(m.position) for _, _, m in bags.messages(bag, {TARGET})}
    tape = Tape([], commands, damage=damage)
    begun = set()
    for topic, stamp in journal:
        if waiting[topic, stamp]:
            tape.inputs.append(waiting[topic, stamp].popleft())
            begun.add(topic)
        else:
            lacking = tape.missing if topic in begun else tape.early
            lacking[topic] = lacking.get(topic, 0) + 1
    if not tape.inputs:
        raise FileFormatError(f"{bag} has none of the messages listed in {JOURNAL}; it was recorded without them.")
    return tape


def journal_entry(message: Any) -> tuple[str, int]:
    """(topic, stamp ns) of a journal entry; in version 0.1.0 a Header whose frame_id is the topic."""
    return (message.source if hasattr(message, "source") else message.frame_id), bags.stamp_ns(message)


def latched(connection: Connection) -> bool:
    """Whether a recorded topic was offered as transient local."""
    offered = connection.ext.offered_qos_profiles  # type: ignore[union-attr]
    return any(q.durability == QosDurability.TRANSIENT_LOCAL for q in offered)


def compare(tape: Tape, replayed: dict[int, np.ndarray], tolerance: float) -> dict[str, Any]:
    """Differences of the replayed and the recorded commands, by stamp.

    Commands from before the first recorded input, or for a missing input, cannot be reproduced. Those within CUT after
    the last recorded one belong to recorded inputs whose commands were cut off: they do not count as extra.
    """
    first = tape.inputs[0].stamp
    expected = {stamp: command for stamp, command in tape.commands.items() if stamp >= first}
    common = sorted(expected.keys() & replayed.keys())
    differences = np.array(
        [np.abs(expected[s] - replayed[s]).max() for s in common if len(expected[s]) == len(replayed[s])]
    )
    lost, more = len(expected.keys() - replayed.keys()), replayed.keys() - expected.keys()
    end = max(expected, default=0)
    past_end = sum(end < stamp <= end + CUT * 1e9 for stamp in more)
    extra = len(more) - past_end
    largest = float(differences.max()) if len(differences) else float("nan")
    equal = len(differences) == len(common) > 0 and largest <= tolerance and lost == 0 and extra == 0
    return {
        "equal": equal,
        "max_difference": largest,
        "commands_compared": len(common),
        "commands_lost": lost,
        "commands_extra": extra,
        "commands_past_end": past_end,
        "inputs": len(tape.inputs),
        "inputs_early": tape.early,
        "inputs_missing": tape.missing,
        "bag_damage": tape.damage,
        "tolerance": tolerance,
    }
