"""What a replay needs of a bag: the controller's inputs in the order it took them, and the commands it gave."""

from collections import defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.interfaces import QosDurability

from dexhot.data import bags
from dexhot.errors import FileFormatError

JOURNAL = "/controller/inputs"
COMMANDS = "/tracker/target"
CUT = 0.1  # s: a recorder that was killed may have had an input and not yet the answer to it
NEEDED = {JOURNAL: "std_msgs/msg/Header", COMMANDS: "sensor_msgs/msg/JointState"}


@dataclass(frozen=True)
class Input:
    """One message that the controller was given."""

    topic: str
    msgtype: str
    stamp: int  # ns
    received: int  # ns
    data: bytes
    latched: bool  # offered as transient local


@dataclass
class Tape:
    """A recorded run of the controller.

    `early`: inputs that the journal names from before the recording of their topic began; `missing`: those lost later.
    """

    inputs: list[Input]
    commands: dict[int, np.ndarray]  # stamp ns -> positions
    early: dict[str, int] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)

    @property
    def topics(self) -> dict[str, tuple[str, bool]]:
        """topic -> (message type, latched) of the inputs."""
        return {i.topic: (i.msgtype, i.latched) for i in self.inputs}


def find_bag(path: str | Path) -> tuple[Path, Path | None]:
    """(bag, run folder or None) of a run's folder or of a bag. Raises FileFormatError."""
    path = Path(path)
    bag = path / "bag" if (path / "bag").is_dir() else path
    if bag.is_file():
        return bag, None
    if not any(bag.glob("*.mcap")) and not any(bag.glob("*.db3")):
        raise FileFormatError(f"{path} is neither a run's folder nor a rosbag: no .mcap or .db3 file in {bag}.")
    return bag, bag.parent if (bag.parent / "run.json").is_file() else None


def check_bag(bag: Path) -> None:
    """Raise FileFormatError when the bag cannot be replayed, naming what it lacks."""
    bags.require_topics(bag, NEEDED, "a replay of the controller")


def read_tape(bag: Path) -> Tape:
    """The controller's inputs, as its journal orders them, and its commands. Raises FileFormatError."""
    check_bag(bag)
    journal = [(m.frame_id, bags.stamp_ns(m)) for _, _, m in bags.messages(bag, {JOURNAL})]
    waiting: dict[tuple[str, int], deque[Input]] = defaultdict(deque)
    for connection, received, data in bags.serialized(bag, {topic for topic, _ in journal}):
        stamp = bags.stamp_ns(bags.typestore().deserialize_cdr(data, connection.msgtype))
        offered = connection.ext.offered_qos_profiles  # type: ignore[union-attr]
        latched = any(q.durability == QosDurability.TRANSIENT_LOCAL for q in offered)
        item = Input(connection.topic, connection.msgtype, stamp, received, bytes(data), latched)
        waiting[connection.topic, stamp].append(item)
    tape = Tape([], {bags.stamp_ns(m): np.asarray(m.position) for _, _, m in bags.messages(bag, {COMMANDS})})
    begun = set()
    for topic, stamp in journal:
        if waiting[topic, stamp]:
            tape.inputs.append(waiting[topic, stamp].popleft())
            begun.add(topic)
        else:
            lacking = tape.missing if topic in begun else tape.early
            lacking[topic] = lacking.get(topic, 0) + 1
    if not tape.inputs:
        raise FileFormatError(f"{bag} holds none of the messages that {JOURNAL} names; it was recorded without them.")
    return tape


def compare(tape: Tape, replayed: dict[int, np.ndarray], tolerance: float) -> dict[str, Any]:
    """How the replayed commands differ from the recorded ones, stamp by stamp.

    Commands that were recorded before the first recorded input or that answer a missing one cannot be given again.
    Those given within CUT after the last recorded one answer inputs that the recording still has: they are past its
    end.
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
        "tolerance": tolerance,
    }
