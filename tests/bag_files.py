"""Bags of every kind, built byte by byte where no writer makes them, and a snapshot of what lies in a folder."""

import struct
from collections.abc import Callable
from pathlib import Path

import lz4.frame
from backports import zstd
from rosbags.rosbag2 import Writer
from rosbags.rosbag2.enums import CompressionFormat, CompressionMode, StoragePlugin

from dexhot.data import bags

HEADER = "std_msgs/msg/Header"
PACK: dict[str, Callable[[bytes], bytes]] = {"": bytes, "zstd": zstd.compress, "lz4": lz4.frame.compress}
MAGIC = b"\x89MCAP0\r\n"
Row = tuple[str, int, str]  # topic, receive time, frame_id


def header(text: str, sec: int = 1) -> bytes:
    """A serialized Header."""
    types = bags.typestore().types
    message = types[HEADER](stamp=types["builtin_interfaces/msg/Time"](sec=sec, nanosec=5), frame_id=text)
    return bytes(bags.typestore().serialize_cdr(message, HEADER))


def rows(count: int, first: int = 0) -> list[Row]:
    """Messages on /a and /b in turn."""
    return [("/b" if k % 2 else "/a", 1000 + k, f"frame {k} {'x' * (k % 40)}") for k in range(first, first + count)]


def read(path: Path) -> list[Row]:
    """What is read of a bag."""
    return [(topic, time, message.frame_id) for topic, time, message in bags.messages(path)]


def damage_of(path: Path) -> list[str]:
    """What is lost, after reading all."""
    with bags.open_bag(path) as bag:
        for _ in bag.messages():
            pass
        return bag.damage


def snapshot(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Bytes, time of change and inode of everything in a folder, and of itself."""
    found = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        stat = path.stat()
        found[str(path)] = path.read_bytes() if path.is_file() else b"", stat.st_mtime_ns, stat.st_ino
    return found


def write(
    folder: Path, messages: list[Row], plugin: StoragePlugin = StoragePlugin.MCAP, mode: str = "", chunk: int = 20
) -> Path:
    """A bag as rosbags writes it, with a chunk for every `chunk` messages. Returns its storage file."""
    writer = Writer(folder, version=9, storage_plugin=plugin)
    if mode:
        writer.set_compression(CompressionMode[mode.upper()], CompressionFormat.ZSTD)
    writer.open()
    topics = {t: writer.add_connection(t, HEADER, typestore=bags.typestore()) for t in sorted({m[0] for m in messages})}
    for number, (topic, time, text) in enumerate(messages, start=1):
        writer.write(topics[topic], time, header(text))
        if plugin is StoragePlugin.MCAP and number % chunk == 0:
            writer.storage.close_chunk()
    writer.close()
    [file] = [p for p in folder.iterdir() if p.name != "metadata.yaml"]
    return file


# MCAP, record by record


def record(kind: int, content: bytes) -> bytes:
    return struct.pack("<BQ", kind, len(content)) + content


def text(value: str | bytes) -> bytes:
    value = value.encode() if isinstance(value, str) else value
    return struct.pack("<I", len(value)) + value


def begin() -> bytes:
    return MAGIC + record(1, text("ros2") + text("by hand"))


def schema(number: int = 1, name: str = HEADER, definition: str | None = None) -> bytes:
    if definition is None:
        definition = bags.typestore().generate_msgdef(name, ros_version=2)[0]
    return record(3, struct.pack("<H", number) + text(name) + text("ros2msg") + text(definition))


def channel(number: int, topic: str, of: int = 1, encoding: str = "cdr") -> bytes:
    return record(4, struct.pack("<HH", number, of) + text(topic) + text(encoding) + struct.pack("<I", 0))


def message(number: int, time: int, content: bytes) -> bytes:
    return record(5, struct.pack("<HIQQ", number, 0, time, time) + content)


def chunk(records: bytes, start: int, end: int, compression: str = "", checksum: int = 0) -> bytes:
    packed = PACK[compression](records)
    head = struct.pack("<QQQI", start, end, len(records), checksum)
    return record(6, head + text(compression) + struct.pack("<Q", len(packed)) + packed)


def message_index(number: int, count: int) -> bytes:
    return record(7, struct.pack("<HI", number, 16 * count) + bytes(16 * count))


def end() -> bytes:
    """Of the data, without a summary."""
    return record(15, bytes(4)) + record(2, bytes(20)) + MAGIC


def definitions() -> bytes:
    return schema() + channel(1, "/a") + channel(2, "/b")


def body(messages: list[Row]) -> bytes:
    """The records of messages on /a and /b."""
    return b"".join(message(1 if topic == "/a" else 2, time, header(frame)) for topic, time, frame in messages)
