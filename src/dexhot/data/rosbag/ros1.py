"""ROS 1 bags (.bag), with messages converted to ROS 2: to the standard type of the same name, or the bag's own."""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path

from rosbags.convert.converter import LATCH, STATIC_MSGTYPE_RENAMES, is_same_wireformat, migrate_bytes
from rosbags.interfaces import Connection, MessageDefinition, MessageDefinitionFormat
from rosbags.rosbag1 import Reader, ReaderError
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore

from dexhot.data.rosbag.part import Channel, Inventory
from dexhot.data.rosbag.schemas import typestore
from dexhot.errors import FileFormatError

MAGIC = b"#ROSBAG V"
HEADER = "std_msgs/msg/Header"  # has one field less in ROS 2; the conversion handles it


class Ros1File:
    """One .bag file. Raises FileFormatError, OSError."""

    def __init__(self, path: Path):
        self.path, self.inventory = path, Inventory()
        self.reader = Reader(path)
        try:
            self.reader.open()
        except (ReaderError, ValueError, AssertionError) as e:
            raise FileFormatError(
                f"{path} is a ROS 1 bag that cannot be read ({e}); repair a copy with ROS 1: "
                f"`rosbag reindex {path.name}`."
            ) from e
        found, self.convert = self.inventory, dict[int, Callable[[bytes], memoryview]]()
        self.sources = {}
        for connection in self.reader.connections:
            try:
                msgtype, msgdef, convert = conversion(connection.msgtype, connection.msgdef.data)
            except (TypesysError, KeyError, AssertionError) as e:
                if connection.msgcount:
                    why = f"{connection.msgtype} has no ROS 2 equivalent ({e})"
                    found.lost(f"{path}: {connection.topic} is not read: {why}")
                continue
            qos = LATCH if getattr(connection.ext, "latching", 0) else []
            found.channels[connection.id] = Channel(connection.topic, msgtype, msgdef, "", "cdr", qos)
            found.counts[connection.id] = connection.msgcount
            self.convert[connection.id], self.sources[connection.id] = convert, connection
        if self.reader.message_count:
            found.start, found.end = self.reader.start_time, self.reader.end_time - 1

    def close(self) -> None:
        self.reader.close()

    def messages(self, wanted: Mapping[int, Connection]) -> Iterator[tuple[Connection, int, bytes]]:
        """In the order of receive time."""
        try:
            for connection, time, data in self.reader.messages([self.sources[number] for number in wanted]):
                yield wanted[connection.id], time, bytes(self.convert[connection.id](data))
        except (ReaderError, ValueError, RuntimeError, EOFError, AssertionError) as e:
            self.inventory.lost(f"{self.path} is damaged: it is read as far as possible ({e})")


@lru_cache(maxsize=256)
def conversion(name: str, definition: str) -> tuple[str, MessageDefinition, Callable[[bytes], memoryview]]:
    """(type in ROS 2, its definition, converter of a message's bytes) of a ROS 1 type. Raises TypesysError."""
    source, target, standard = get_typestore(Stores.EMPTY), get_typestore(Stores.EMPTY), typestore()
    own = get_types_from_msg(definition, name)
    source.register({HEADER: get_typestore(Stores.ROS1_NOETIC).fielddefs[HEADER]} | own)
    msgtype = STATIC_MSGTYPE_RENAMES.get(name, name)
    if msgtype in standard.fielddefs:
        target = standard
    else:
        target.register({HEADER: standard.fielddefs[HEADER]} | {k: v for k, v in own.items() if k != HEADER})
    msgdef = MessageDefinition(MessageDefinitionFormat.MSG, target.generate_msgdef(msgtype, ros_version=2)[0])
    if is_same_wireformat(source, target, name, msgtype):
        return msgtype, msgdef, partial(target.ros1_to_cdr, typename=msgtype)
    migrate = partial(migrate_bytes, source, target, name, msgtype, {}, src_is2=False, dst_is2=True)
    return msgtype, msgdef, migrate
