"""Rosbags (the `ros2 bag` format) without ROS: a killed writer loses at most a second, and reading never writes.

Topics get their names of data/topics.py, without the namespace of the recorded robot.

A truncated or damaged bag, or one still being recorded, is read as far as possible: `Bag.damage` lists what is lost,
`Bag.notes` what else is unusual. Only `dexhot bag repair` makes a new bag from it (bag_repair.py).
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

UNKNOWN_HASH = "RIHS01_" + 64 * "0"  # for a type without a definition
Key = tuple[str, str, str]  # topic, message type and its definition


class BagWriter:
    """Writes serialized messages to a new bag, zstd compressed, in the order given."""

    def __init__(self, path: str | Path):
        """Raises FileFormatError if `path` exists."""
        self.path = Path(path)
        if self.path.exists():
            raise FileFormatError(f"{self.path} exists; a bag is never written over: give another folder.")
        self._writer = Writer(self.path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._writer.open()
        self._writer.storage.compressor = _checked  # type: ignore[union-attr]  # rosbags' own has no checksum
        self._last = 0
        self.count = 0

    def topic(self, name: str, msgtype: str, qos: tuple[Qos, ...] = ()) -> Connection:
        """A topic to write to; `msgtype` as "sensor_msgs/msg/JointState". Raises FileFormatError if it is unknown."""
        if msgtype not in typestore().fielddefs:
            raise FileFormatError(
                f"{name}: the message type {msgtype} is unknown; only standard messages can be recorded."
            )
        return self._writer.add_connection(name, msgtype, typestore=typestore(), offered_qos_profiles=qos)

    def copy_topic(self, source: Connection) -> Connection:
        """A topic with the type, definition, hash and QoS that it has in another bag."""
        msgdef, digest = source.msgdef, source.digest
        try:
            store = store_of(source.msgtype, msgdef)
            if msgdef.format is MessageDefinitionFormat.NONE:
                text = store.generate_msgdef(source.msgtype, ros_version=2)[0]
                msgdef = MessageDefinition(MessageDefinitionFormat.MSG, text)
            digest = digest or store.hash_rihs01(source.msgtype)
        except FileFormatError:
            pass  # its bytes are copied unchanged
        return self._writer.add_connection(
            source.topic,
            source.msgtype,
            msgdef=titled(source.msgtype, msgdef),
            rihs01=digest or UNKNOWN_HASH,
            offered_qos_profiles=source.ext.offered_qos_profiles,  # type: ignore[union-attr]  # as in Bag._connect
        )

    def write(self, topic: Connection, time_ns: int, data: bytes) -> None:
        """Write one serialized message at its receive time; the order survives a clock that steps back."""
        self._last = max(self._last, time_ns)
        self.copy(topic, self._last, data)

    def copy(self, topic: Connection, time_ns: int, data: bytes) -> None:
        """Write one serialized message with its time in another bag."""
        self._writer.write(topic, time_ns, data)
        self.count += 1

    def write_message(self, topic: Connection, time_ns: int, message: Any) -> None:
        """Write one message object of the type store."""
        self.write(topic, time_ns, bytes(typestore().serialize_cdr(message, topic.msgtype)))

    def flush(self) -> None:
        """Sync to disk: what was written so far survives a kill and a power failure."""
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
    """Compress with a zstd content checksum; rosbags leaves the CRC field of chunks empty."""
    return zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})


class Bag:
    """An open bag. Its parts are read in the order of the files, as in `ros2 bag play`; within each part
    messages are in order of receive time.

    `connections`: its topics with their counts; names exclude `namespace` ("/robot1" or ""), which is not looked for
    if `as_recorded`. `start`, `end`: ns, of the first and the last message. `damage`: lost data, including losses
    found while reading `messages`; `notes`: anomalies without loss.
    """

    def __init__(self, path: Path, as_recorded: bool = False):
        """Raises FileFormatError if nothing of it can be read."""
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
        """The namespace recorded in the bag's run, else the common prefix of the robot's topic names."""
        folder = run_folder(self.path)
        recorded = recorded_namespace(folder) if folder else None
        channels = (c for part in self.parts for c in part.inventory.channels.values())
        return namespace_of(c.topic for c in channels) if recorded is None else recorded

    def _connect(self, qos: dict[str, list[Qos]]) -> tuple[list[Connection], list[dict[int, Connection]]]:
        """One connection per topic, type and definition; and per part, channel -> connection."""
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
                # rosbags' type of ext includes that of ROS 1, which has no profiles
                offered = known.ext.offered_qos_profiles or channel.qos or qos.get(channel.topic, [])  # type: ignore[union-attr]
                ext = ConnectionExtRosbag2("cdr", offered)
                found[key] = known._replace(msgcount=known.msgcount + count, ext=ext)
        return list(found.values()), [{n: found[key] for n, key in numbers.items()} for numbers in keys]

    @property
    def damage(self) -> list[str]:
        """The losses, without duplicates."""
        found = (text for part in self.parts for text in part.inventory.damage)
        return list(dict.fromkeys([*self._damage, *found]))

    @property
    def message_count(self) -> int:
        """Number of messages of all topics."""
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
        """Close the files."""
        for part in self.parts:
            part.close()


def _connection(number: int, channel: Channel, owner: Bag) -> Connection:
    ext = ConnectionExtRosbag2("cdr", [])
    return Connection(number, channel.topic, channel.msgtype, channel.msgdef, channel.digest, 0, ext, owner)


def _unreadable(channel: Channel) -> str:
    """Why the messages of a channel are not ROS 2 messages; "" if they are."""
    if channel.encoding != "cdr":
        return f"its message encoding is {channel.encoding or 'unknown'}, and ROS 2's is cdr"
    return "" if channel.msgtype else "the file does not contain its message type"


def locate(path: str | Path) -> Path:
    """The bag that `path` refers to: the one in the folder of a run or a capture, else `path` itself."""
    path = Path(path)
    return path / "bag" if (path / "bag").is_dir() else path


def is_bag_file(path: str | Path) -> bool:
    """Whether a path is a file named like a bag file."""
    return Path(path).is_file() and Path(path).name.removesuffix(COMPRESSED).endswith(SUFFIXES)


def run_folder(path: str | Path, holds: str = RUN_FILE) -> Path | None:
    """The folder of the run that a bag, one of its files, or the folder itself belongs to; None for any other bag.

    `holds`: the file that identifies such a folder.
    """
    bag = locate(path).absolute()
    folder = (bag if bag.is_dir() else bag.parent).parent
    return folder if (folder / holds).is_file() else None


@contextmanager
def open_bag(path: str | Path, as_recorded: bool = False) -> Iterator[Bag]:
    """A reader of the bag: a folder, or one file, of MCAP, sqlite3 or ROS 1; or of the bag in the folder of a run or a
    capture (`locate`). Nothing is written anywhere.

    as_recorded: topics keep their namespace. Raises FileFormatError when nothing of it can be read.
    """
    path = locate(path)
    try:
        bag = Bag(path, as_recorded)
    except OSError as e:
        raise FileFormatError(
            f"{path} cannot be read: {e.strerror or e}; check the path and its read permission."
        ) from e
    try:
        yield bag
    finally:
        bag.close()


def topics(path: str | Path) -> dict[str, str]:
    """topic -> message type of a bag."""
    with open_bag(path) as bag:
        return {c.topic: c.msgtype for c in bag.connections}


def damage(path: str | Path) -> list[str]:
    """Losses of a bag that are found without reading its messages."""
    with open_bag(path) as bag:
        return bag.damage


def because(damage: list[str]) -> str:
    """Suffix of an error about missing data, if the bag is damaged; else ""."""
    return f" The bag is damaged: {'; '.join(damage)}." if damage else ""


@dataclass(frozen=True)
class Contents:
    """Duration and message counts of a bag."""

    duration: float  # s from the first message to the last
    counts: dict[str, int]  # topic -> messages, for those that have any


def contents(path: str | Path) -> Contents:
    """Duration and messages per topic of a bag. Raises FileFormatError."""
    with open_bag(path) as bag:
        counts = {c.topic: c.msgcount for c in bag.connections if c.msgcount}
        return Contents(bag.duration * 1e-9 if counts else 0.0, counts)


def require_topics(path: str | Path, needed: Mapping[str, str | tuple[str, ...]], purpose: str) -> None:
    """Raise FileFormatError naming each topic in `needed` without a message in the bag.

    needed: topic -> its type, or its admissible types.
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

    Messages are decoded by the bag's own definitions. Raises FileFormatError for one that cannot be decoded.
    """
    for connection, time_ns, data in serialized(path, wanted):
        yield connection.topic, time_ns, decode(connection, data)


def decode(connection: Connection, data: bytes) -> Any:
    """Decode a message by the definition of its connection. Raises FileFormatError."""
    try:
        return store_of(connection.msgtype, connection.msgdef).deserialize_cdr(data, connection.msgtype)
    except (SerdeError, ValueError, IndexError, KeyError, AssertionError, UnicodeDecodeError) as e:
        raise FileFormatError(
            f"a message of {connection.topic} is not a {connection.msgtype}, or is damaged ({e or type(e).__name__}); "
            "run `dexhot bag info` on its bag."
        ) from e


def serialized(path: str | Path, wanted: set[str] | None = None) -> Iterator[tuple[Connection, int, bytes]]:
    """(connection, receive time ns, serialized message) in recorded order. A damaged bag is read as far as possible."""
    with open_bag(path) as bag:
        yield from bag.messages(c for c in bag.connections if wanted is None or c.topic in wanted)


def stamp_ns(message: Any) -> int:
    """The stamp (ns) of a message with a header, or of a Header."""
    stamp = getattr(message, "header", message).stamp
    nanoseconds: int = stamp.sec * 1_000_000_000 + stamp.nanosec
    return nanoseconds
