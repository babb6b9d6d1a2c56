"""Writes a whole bag from one that is cut, damaged, split, compressed or of another storage, which is not touched."""

import os
from collections.abc import Callable
from pathlib import Path

from rosbags.interfaces import Connection

from dexhot.data.bags import Bag, BagWriter, open_bag
from dexhot.data.rosbag.part import NO_DEFINITION
from dexhot.errors import DexhotError, FileFormatError
from dexhot.scratch import make_scratch, remove_scratch


def repair(
    source: str | Path, target: str | Path, progress: Callable[[int, int], None] = lambda done, of: None
) -> tuple[int, list[str]]:
    """Write all that can be read of `source` to a new bag `target` (MCAP): topics, types, definitions, QoS, messages.

    It is made in a scratch folder beside `target`; when it fails or is interrupted, nothing is left. Returns the
    number of messages and what was lost. Raises FileFormatError when `target` exists, or nothing of `source` can be
    read, and DexhotError when it cannot be written.
    """
    source, target = Path(source), Path(target)
    if target.exists() or target.is_symlink():
        raise FileFormatError(f"{target} exists; a bag is never written over: give another folder.")
    if not target.parent.is_dir():
        raise FileFormatError(f"{target} cannot be made: {target.parent} is no folder; make it first.")
    if source.resolve() in target.resolve().parents:
        raise FileFormatError(f"{target} is within {source}, which stays as it is; give a place beside it.")
    with open_bag(source, as_recorded=True) as bag:
        if not bag.message_count:
            lost = "".join(f" {text}." for text in bag.damage)
            raise FileFormatError(f"{source} holds no message that can be read: there is nothing to repair.{lost}")
        _one_definition_each(bag)
        temporary: Path | None = None
        try:
            temporary = make_scratch(target.parent)
            with BagWriter(temporary / target.name) as writer:
                copies: dict[tuple[str, str], Connection] = {}
                for c in sorted(bag.connections, key=lambda c: c.msgdef.format is NO_DEFINITION.format):
                    if (c.topic, c.msgtype) not in copies:
                        copies[c.topic, c.msgtype] = writer.copy_topic(c)
                for number, (c, time_ns, data) in enumerate(bag.messages()):
                    writer.copy(copies[c.topic, c.msgtype], time_ns, data)
                    if number % 1000 == 0:
                        progress(number, bag.message_count)
            _move(temporary / target.name, target)
        except OSError as e:
            why = e.strerror or str(e)
            raise DexhotError(f"{target} cannot be written: {why}; give --out a place with room to write.") from e
        finally:
            if temporary is not None:
                remove_scratch(temporary)
        return writer.count, bag.damage


def _move(made: Path, target: Path) -> None:
    """To the disk, then a rename; onto an empty folder that came up meanwhile it would succeed, so that is refused."""
    for path in (*made.iterdir(), made):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    if target.exists():
        raise FileFormatError(f"{target} came up meanwhile; a bag is never written over: give another folder.")
    made.rename(target)


def _one_definition_each(bag: Bag) -> None:
    """A bag has one definition of a message type. Raises FileFormatError when the parts have several."""
    definitions: dict[str, str] = {}
    for c in bag.connections:
        if c.msgdef.data and definitions.setdefault(c.msgtype, c.msgdef.data) != c.msgdef.data:
            raise FileFormatError(f"{bag.path} has two definitions of {c.msgtype}; repair its files one by one.")
