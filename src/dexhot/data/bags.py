"""Rosbags (MCAP, as `ros2 bag` has them) without ROS: written so that a kill loses a second, read, and recovered.

A writer that was killed leaves whole chunks without index or metadata.yaml; `open_bag` repairs such a bag in place.
"""

import os
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rosbags.interfaces import Connection, Qos
from rosbags.rosbag2 import Reader, ReaderError, Writer
from rosbags.rosbag2.enums import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from dexhot.errors import FileFormatError

MAGIC = b"\x89MCAP0\r\n"
FOOTER = b"\x02" + struct.pack("<Q", 20) + bytes(20) + MAGIC  # no summary: the reader scans the file
HEADER_LENGTH = 9  # of a record: opcode and length


@cache
def typestore() -> Typestore:
    """The message definitions of Jazzy's standard packages."""
    return get_typestore(Stores.ROS2_JAZZY)


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
        self._last = 0
        self.count = 0

    def topic(self, name: str, msgtype: str, qos: tuple[Qos, ...] = ()) -> Connection:
        """A topic to write to; `msgtype` as "sensor_msgs/msg/JointState". Raises FileFormatError for one unknown."""
        if msgtype not in typestore().fielddefs:
            raise FileFormatError(
                f"{name}: the message type {msgtype} is unknown; only standard messages can be recorded."
            )
        return self._writer.add_connection(name, msgtype, typestore=typestore(), offered_qos_profiles=qos)

    def write(self, topic: Connection, time_ns: int, data: bytes) -> None:
        """One serialized message at its receive time; a clock that steps back does not disturb the order."""
        self._last = max(self._last, time_ns)
        self._writer.write(topic, self._last, data)
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


@contextmanager
def open_bag(path: str | Path) -> Iterator[Reader]:
    """A reader of the bag, which is repaired first when its writer was killed. Raises FileFormatError."""
    path = Path(path)
    if path.is_dir() and not (path / "metadata.yaml").is_file() and any(path.glob("*.mcap")):
        recover(path)
    try:
        reader = Reader(path)
        reader.open()
    except (OSError, ReaderError, ValueError, KeyError) as e:
        raise FileFormatError(f"{path} cannot be read as a rosbag: {e}") from e
    try:
        yield reader
    finally:
        reader.close()


def topics(path: str | Path) -> dict[str, str]:
    """topic -> message type of a bag."""
    with open_bag(path) as reader:
        return {c.topic: c.msgtype for c in reader.connections}


@dataclass(frozen=True)
class Contents:
    """How much of what a bag holds."""

    duration: float  # s from the first message to the last
    counts: dict[str, int]  # topic -> messages, for those that have any


def contents(path: str | Path) -> Contents:
    """Duration and messages per topic of a bag. Raises FileFormatError."""
    with open_bag(path) as reader:
        counts = {c.topic: c.msgcount for c in reader.connections if c.msgcount}
        return Contents(reader.duration * 1e-9 if counts else 0.0, counts)


def require_topics(path: str | Path, needed: dict[str, str], purpose: str) -> None:
    """Raise FileFormatError naming each topic of `needed` (topic -> type) of which the bag has no message."""
    with open_bag(path) as reader:
        found = {c.topic: c.msgtype for c in reader.connections if c.msgcount}
    lacking = [f"{t} ({kind})" for t, kind in needed.items() if found.get(t) != kind]
    if lacking:
        there = ", ".join(sorted(found)) or "none"
        raise FileFormatError(
            f"{path} lacks what {purpose} needs: {', '.join(lacking)}; its topics with messages: {there}."
        )


def messages(path: str | Path, wanted: set[str] | None = None) -> Iterator[tuple[str, int, Any]]:
    """(topic, receive time ns, message) in recorded order; of the topics `wanted`, or of all."""
    for connection, time_ns, data in serialized(path, wanted):
        yield connection.topic, time_ns, typestore().deserialize_cdr(data, connection.msgtype)


def serialized(path: str | Path, wanted: set[str] | None = None) -> Iterator[tuple[Connection, int, bytes]]:
    """(connection, receive time ns, serialized message) in recorded order. Raises FileFormatError for a damaged bag."""
    with open_bag(path) as reader:
        chosen = [c for c in reader.connections if wanted is None or c.topic in wanted]
        if not chosen:
            return
        try:
            yield from reader.messages(chosen)
        except (ReaderError, ValueError, EOFError) as e:
            raise FileFormatError(f"{path} is damaged: {e}") from e


def stamp_ns(message: Any) -> int:
    """The stamp (ns) of a message with a header, or of a Header."""
    stamp = getattr(message, "header", message).stamp
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def recover(path: str | Path) -> int:
    """Make the bag of a killed writer whole again, in place. Returns its number of messages. Raises FileFormatError."""
    path = Path(path)
    source = next(iter(sorted(path.glob("*.mcap"))), None)
    if source is None:
        raise FileFormatError(f"{path} holds no .mcap file; it is not the bag of a recorder.")
    prefix, fixed = _whole_records(source), path.with_name(f".{path.name}.recovering")
    shutil.rmtree(fixed, ignore_errors=True)
    shutil.rmtree(path.with_name(f".{path.name}.unfinished"), ignore_errors=True)
    readable = path / ".readable.mcap"
    try:
        readable.write_bytes(prefix + FOOTER)
        with BagWriter(fixed) as writer, Reader(readable) as reader:
            written = {
                c.id: writer.topic(c.topic, c.msgtype, tuple(c.ext.offered_qos_profiles))  # type: ignore[union-attr]
                for c in reader.connections
            }
            for connection, time_ns, data in reader.messages():
                writer.write(written[connection.id], time_ns, data)
    except ReaderError as e:
        raise FileFormatError(f"{source} cannot be recovered: {e}") from e
    finally:
        readable.unlink(missing_ok=True)
    (fixed / f"{fixed.name}.mcap").rename(fixed / source.name)
    metadata = (fixed / "metadata.yaml").read_text().replace(f"{fixed.name}.mcap", source.name)
    (fixed / "metadata.yaml").write_text(metadata)
    path.rename(path.with_name(f".{path.name}.unfinished"))
    fixed.rename(path)
    shutil.rmtree(path.with_name(f".{path.name}.unfinished"))
    return writer.count


def _whole_records(source: Path) -> bytes:
    """The file up to its last whole record, and before any summary."""
    data = source.read_bytes()
    if data[: len(MAGIC)] != MAGIC:
        raise FileFormatError(f"{source} is not an MCAP file, or was killed before anything was written.")
    end = len(MAGIC)
    while end + HEADER_LENGTH <= len(data):
        opcode, length = data[end], struct.unpack_from("<Q", data, end + 1)[0]
        if opcode in (0x0F, 0x02) or end + HEADER_LENGTH + length > len(data):
            break
        end += HEADER_LENGTH + length
    return data[:end]
