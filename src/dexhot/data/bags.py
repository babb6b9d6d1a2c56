"""Rosbags (as `ros2 bag` has them) without ROS: written so that a kill loses a second, and read without ever writing.

Topics are read as data/topics.py names them, without the namespace of the robot that was recorded.

A bag that is cut, damaged or still being recorded is read as far as it goes: `Bag.damage` says what was lost,
`Bag.notes` what else is unusual. `dexhot bag repair` alone makes a new bag of one (bag_repair.py).
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backports import zstd
from rosbags.interfaces import Connection, ConnectionExtRosbag2, MessageDefinition, MessageDefinitionFormat, Qos
from rosbags.rosbag2 import Writer
from rosbags.rosbag2.enums import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.serde import SerdeError

from dexhot.data.rosbag.compressed import ZSTD
from dexhot.data.rosbag.folder import COMPRESSED, SUFFIXES, list_files, open_file
from dexhot.data.rosbag.part import Channel, Part
from dexhot.data.rosbag.schemas import store_of, titled, typestore
from dexhot.data.run import RUN_FILE, recorded_namespace
from dexhot.data.topics import namespace_of, without_namespace
from dexhot.errors import FileFormatError

__all__ = [
    "Bag",
    "BagWriter",
    "Contents",
    "because",
    "contents",
    "damage",
    "decode",
    "is_bag_file",
    "locate",
    "messages",
    "open_bag",
    "require_topics",
    "run_folder",
    "serialized",
    "stamp_ns",
    "topics",
    "typestore",
]

UNKNOWN_HASH = "RIHS01_" + 64 * "0"  # of a type that nobody defines
Key = tuple[str, str, str]  # topic, message type and its definition


class BagWriter:
    """Writes serialized messages to a new bag, zstd compressed, in the order given."""

    def __init__(self, path: str | Path):
        """Raises FileFormatError when something is there already."""
        self.path = Path(path)
        if self.path.exists():
            raise FileFormatError(f"{self.path} exists; a bag is never written over: give another folder.")
        self._writer = Writer(self.path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._writer.open()
        self._writer.storage.compressor = _checked  # type: ignore[union-attr]  # rosbags' own leaves damage unnoticed
        self._last = 0
        self.count = 0

    def topic(self, name: str, msgtype: str, qos: tuple[Qos, ...] = ()) -> Connection:
        """A topic to write to; `msgtype` as "sensor_msgs/msg/JointState". Raises FileFormatError for one unknown."""
        if msgtype not in typestore().fielddefs:
            raise FileFormatError(
                f"{name}: the message type {msgtype} is unknown; only standard messages can be recorded."
            )
        return self._writer.add_connection(name, msgtype, typestore=typestore(), offered_qos_profiles=qos)

    def copy_topic(self, source: Connection) -> Connection:
        """A topic as another bag has it: its type with its definition, its hash and its QoS."""
        msgdef, digest = source.msgdef, source.digest
        try:
            store = store_of(source.msgtype, msgdef)
            if msgdef.format is MessageDefinitionFormat.NONE:
                text = store.generate_msgdef(source.msgtype, ros_version=2)[0]
                msgdef = MessageDefinition(MessageDefinitionFormat.MSG, text)
            digest = digest or store.hash_rihs01(source.msgtype)
        except FileFormatError:
            pass  # its bytes are kept as they are
        return self._writer.add_connection(
            source.topic,
            source.msgtype,
            msgdef=titled(source.msgtype, msgdef),
            rihs01=digest or UNKNOWN_HASH,
            offered_qos_profiles=source.ext.offered_qos_profiles,  # type: ignore[union-attr]  # as in Bag._connect
        )

    def write(self, topic: Connection, time_ns: int, data: bytes) -> None:
        """One serialized message at its receive time; a clock that steps back does not disturb the order."""
        self._last = max(self._last, time_ns)
        self.copy(topic, self._last, data)

    def copy(self, topic: Connection, time_ns: int, data: bytes) -> None:
        """One serialized message with the time that another bag has for it."""
        self._writer.write(topic, time_ns, data)
        self.count += 1

    def write_message(self, topic: Connection, time_ns: int, message: Any) -> None:
        """One message of the type store."""
        self.write(topic, time_ns, bytes(typestore().serialize_cdr(message, topic.msgtype)))

    def flush(self) -> None:
        """What was written so far survives a kill and a power cut."""
        storage: Any = self._writer.storage
        if storage.chunk.msgs:
            storage.close_chunk()
        storage.bio.flush()
        os.fdatasync(storage.bio.fileno())

    def close(self) -> None:
        """Write index and metadata.yaml."""
        self._writer.close()

    def __enter__(self) -> "BagWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _checked(data: bytes) -> bytes:
    """zstd with a checksum of the content: chunks have room for one, which rosbags leaves empty."""
    return zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})


class Bag:
    """An open bag. Its parts follow each other in the order of the files, as `ros2 bag play` has them; within each,
    messages are in the order of receive time.

    `connections`: its topics with their counts; `namespace` ("/robot1" or "") is not in their names, nor is it looked
    for where `as_recorded`. `start`, `end`: ns, of the first and the last message. `damage`: what
    is lost, and after `messages` what was found to be; `notes`: what is unusual without a loss.
    """

    def __init__(self, path: Path, as_recorded: bool = False):
        """Raises FileFormatError when nothing of it can be read."""
        self.path = path
        self.parts: list[Part] = []
        listing = list_files(path)
        self._damage, self.notes = listing.damage, listing.notes
        refusals: list[FileFormatError] = []
        try:
            for file in listing.files:
                try:
                    self.parts.append(open_file(file))
                except FileFormatError as e:
                    refusals.append(e)
            if not self.parts:
                raise refusals[0]
        except BaseException:
            self.close()
            raise
        self._damage += map(str, refusals)
        self.notes += (note for part in self.parts for note in part.inventory.notes)
        self.namespace = "" if as_recorded else self._namespace()
        self.connections, self._maps = self._connect(listing.qos)
        self.start = min(part.inventory.start for part in self.parts)
        self.end = max(part.inventory.end for part in self.parts)

    def _namespace(self) -> str:
        """Of the run that the bag belongs to, else what its topics have before the names that a robot's have."""
        folder = run_folder(self.path)
        recorded = recorded_namespace(folder) if folder else None
        channels = (c for part in self.parts for c in part.inventory.channels.values())
        return namespace_of(c.topic for c in channels) if recorded is None else recorded

    def _connect(self, qos: dict[str, list[Qos]]) -> tuple[list[Connection], list[dict[int, Connection]]]:
        """One connection for each topic, type and definition; and which each part's channels belong to."""
        found: dict[Key, Connection] = {}
        keys: list[dict[int, Key]] = []
        for part in self.parts:
            keys.append({})
            for number, channel in part.inventory.channels.items():
                count = part.inventory.counts.get(number, 0)
                if reason := _unreadable(channel):
                    if count:
                        self._damage.append(f"{self.path}: {channel.topic} is not read: {reason}")
                    continue
                key = keys[-1][number] = channel.topic, channel.msgtype, channel.msgdef.data
                known = found.get(key) or _connection(len(found), channel, self)._replace(
                    topic=without_namespace(channel.topic, self.namespace)
                )
                # rosbags types ext as that of a ROS 1 connection too, which has no profiles
                offered = known.ext.offered_qos_profiles or channel.qos or qos.get(channel.topic, [])  # type: ignore[union-attr]
                ext = ConnectionExtRosbag2("cdr", offered)
                found[key] = known._replace(msgcount=known.msgcount + count, ext=ext)
        return list(found.values()), [{n: found[key] for n, key in numbers.items()} for numbers in keys]

    @property
    def damage(self) -> list[str]:
        """What is lost, each loss once."""
        found = (text for part in self.parts for text in part.inventory.damage)
        return list(dict.fromkeys([*self._damage, *found]))

    @property
    def message_count(self) -> int:
        """Of all topics."""
        return sum(c.msgcount for c in self.connections)

    @property
    def duration(self) -> int:
        """ns from the first message to the last."""
        return max(0, self.end - self.start)

    def messages(self, chosen: Iterable[Connection] | None = None) -> Iterator[tuple[Connection, int, bytes]]:
        """(connection, receive time ns, serialized message) of the `chosen` connections, or of all."""
        numbers = None if chosen is None else {c.id for c in chosen}
        for part, channels in zip(self.parts, self._maps):
            wanted = {n: c for n, c in channels.items() if numbers is None or c.id in numbers}
            if not wanted:
                continue
            for connection, time_ns, data in part.messages(wanted):
                if data[:4] == ZSTD:  # `ros2 bag record --compression-mode message`
                    try:
                        data = zstd.decompress(data)
                    except zstd.ZstdError as e:
                        part.inventory.lost(f"{self.path}: a compressed message of {connection.topic} is damaged ({e})")
                        continue
                yield connection, time_ns, data

    def close(self) -> None:
        """Close its files."""
        for part in self.parts:
            part.close()


def _connection(number: int, channel: Channel, owner: Bag) -> Connection:
    ext = ConnectionExtRosbag2("cdr", [])
    return Connection(number, channel.topic, channel.msgtype, channel.msgdef, channel.digest, 0, ext, owner)


def _unreadable(channel: Channel) -> str:
    """Why the messages of a channel are none of ROS 2, or ""."""
    if channel.encoding != "cdr":
        return f"its messages are {channel.encoding or 'of an unnamed encoding'}, and ROS 2's are cdr"
    return "" if channel.msgtype else "the file does not say its message type"


def locate(path: str | Path) -> Path:
    """The bag that `path` means: that in the folder of a run or of a capture, or itself."""
    path = Path(path)
    return path / "bag" if (path / "bag").is_dir() else path


def is_bag_file(path: str | Path) -> bool:
    """Whether a path is a file that is called as the files of bags are."""
    return Path(path).is_file() and Path(path).name.removesuffix(COMPRESSED).endswith(SUFFIXES)


def run_folder(path: str | Path, holds: str = RUN_FILE) -> Path | None:
    """The folder of the run that a bag, one of its files, or the folder itself belongs to; None for any other bag.

    `holds`: the file by which it is known.
    """
    bag = locate(path).absolute()
    folder = (bag if bag.is_dir() else bag.parent).parent
    return folder if (folder / holds).is_file() else None


@contextmanager
def open_bag(path: str | Path, as_recorded: bool = False) -> Iterator[Bag]:
    """A reader of the bag: a folder, or one file, of MCAP, sqlite3 or ROS 1. Nothing is written anywhere.

    as_recorded: topics keep their namespace. Raises FileFormatError when nothing of it can be read.
    """
    path = Path(path)
    try:
        bag = Bag(path, as_recorded)
    except OSError as e:
        raise FileFormatError(f"{path} cannot be read: {e.strerror or e}; see that it is there and may be read.") from e
    try:
        yield bag
    finally:
        bag.close()


def topics(path: str | Path) -> dict[str, str]:
    """topic -> message type of a bag."""
    with open_bag(path) as bag:
        return {c.topic: c.msgtype for c in bag.connections}


def damage(path: str | Path) -> list[str]:
    """What is lost of a bag, as far as it shows without reading its messages."""
    with open_bag(path) as bag:
        return bag.damage


def because(damage: list[str]) -> str:
    """What to add to a refusal for something that a damaged bag lacks; "" for a whole one."""
    return f" The bag is damaged: {'; '.join(damage)}." if damage else ""


@dataclass(frozen=True)
class Contents:
    """How much of what a bag holds."""

    duration: float  # s from the first message to the last
    counts: dict[str, int]  # topic -> messages, for those that have any


def contents(path: str | Path) -> Contents:
    """Duration and messages per topic of a bag. Raises FileFormatError."""
    with open_bag(path) as bag:
        counts = {c.topic: c.msgcount for c in bag.connections if c.msgcount}
        return Contents(bag.duration * 1e-9 if counts else 0.0, counts)


def require_topics(path: str | Path, needed: Mapping[str, str | tuple[str, ...]], purpose: str) -> None:
    """Raise FileFormatError naming each topic of `needed` of which the bag has no message.

    needed: topic -> its type, or the types of which any will do.
    """
    with open_bag(path) as bag:
        found = {c.topic: c.msgtype for c in bag.connections if c.msgcount}
        lost = because(bag.damage)
    kinds = {topic: (kind,) if isinstance(kind, str) else kind for topic, kind in needed.items()}
    lacking = [f"{t} ({' or '.join(known)})" for t, known in kinds.items() if found.get(t) not in known]
    if lacking:
        there = ", ".join(sorted(found)) or "none"
        raise FileFormatError(
            f"{path} lacks what {purpose} needs: {', '.join(lacking)}; its topics with messages: {there}.{lost}"
        )


def messages(path: str | Path, wanted: set[str] | None = None) -> Iterator[tuple[str, int, Any]]:
    """(topic, receive time ns, message) in recorded order; of the topics `wanted`, or of all.

    Messages are decoded by the bag's own definitions. Raises FileFormatError for one that cannot be.
    """
    for connection, time_ns, data in serialized(path, wanted):
        yield connection.topic, time_ns, decode(connection, data)


def decode(connection: Connection, data: bytes) -> Any:
    """A message by the definition of its connection. Raises FileFormatError."""
    try:
        return store_of(connection.msgtype, connection.msgdef).deserialize_cdr(data, connection.msgtype)
    except (SerdeError, ValueError, IndexError, KeyError, AssertionError, UnicodeDecodeError) as e:
        raise FileFormatError(
            f"a message of {connection.topic} is no {connection.msgtype}, or damaged ({e or type(e).__name__}); "
            "`dexhot bag info` tells what is wrong with its bag."
        ) from e


def serialized(path: str | Path, wanted: set[str] | None = None) -> Iterator[tuple[Connection, int, bytes]]:
    """(connection, receive time ns, serialized message) in recorded order. A damaged bag is read as far as it goes."""
    with open_bag(path) as bag:
        yield from bag.messages(c for c in bag.connections if wanted is None or c.topic in wanted)


def stamp_ns(message: Any) -> int:
    """The stamp (ns) of a message with a header, or of a Header."""
    stamp = getattr(message, "header", message).stamp
    nanoseconds: int = stamp.sec * 1_000_000_000 + stamp.nanosec
    return nanoseconds
