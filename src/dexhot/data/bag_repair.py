"""Writes an intact bag from a truncated, damaged, split or compressed one, or one in another storage format."""

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
    """Write all that is readable in `source`, which is not changed, to a new MCAP bag `target`, with types and QoS.

    The bag is made in a scratch folder beside `target`; a failure or interruption leaves no files. Returns the
    number of messages and what was lost. Raises FileFormatError if `target` exists or nothing in `source` is
    readable, and DexhotError if `target` cannot be written.
    """
    source, target = Path(source), Path(target)
    if target.exists() or target.is_symlink():
        raise FileFormatError(f"{target} exists, and a bag is never overwritten: give another folder.")
    if not target.parent.is_dir():
        raise FileFormatError(f"{target} cannot be made: {target.parent} is not a folder; create it first.")
    if source.resolve() in target.resolve().parents:
        raise FileFormatError(f"{target} is inside {source}, which must not be modified; give a folder outside it.")
    with open_bag(source, as_recorded=True) as bag:
        if not bag.message_count:
            lost = "".join(f" {text}." for text in bag.damage)
            raise FileFormatError(f"{source} has no readable message: there is nothing to repair.{lost}")
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
            raise DexhotError(
                f"{target} cannot be written: {why}; give an --out with free space and write permission."
            ) from e
        finally:
            if temporary is not None:
                remove_scratch(temporary)
        return writer.count, bag.damage


def _move(made: Path, target: Path) -> None:
    """Sync to disk, then rename. A rename onto an empty folder made meanwhile would succeed, so that is refused."""
    for path in (*made.iterdir(), made):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    if target.exists():
        raise FileFormatError(f"{target} was created meanwhile, and a bag is never overwritten: give another folder.")
    made.rename(target)


def _one_definition_each(bag: Bag) -> None:
    """Raise FileFormatError if the parts define a message type differently: a bag has one definition per type."""
    definitions: dict[str, str] = {}
    for c in bag.connections:
        if c.msgdef.data and definitions.setdefault(c.msgtype, c.msgdef.data) != c.msgdef.data:
            raise FileFormatError(f"{bag.path} has two definitions of {c.msgtype}; repair its files one by one.")
