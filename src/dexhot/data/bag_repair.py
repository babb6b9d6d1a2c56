"""A new, whole bag of one that is cut, damaged, split, compressed or of another storage. What it is made of stays as it is."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from dexhot.data.bags import BagWriter, open_bag
from dexhot.errors import DexhotError, FileFormatError


def repair(
    source: str | Path, target: str | Path, progress: Callable[[int, int], None] = lambda done, of: None
) -> tuple[int, list[str]]:
    """Write all that can be read of `source` to a new bag `target` (MCAP): topics, types, definitions, QoS, messages.

    It is made under a temporary name beside `target`; when it fails or is interrupted, nothing is left. Returns the number
    of messages and what was lost. Raises FileFormatError when `target` exists, or nothing of `source` can be read.
    """
    source, target = Path(source), Path(target)
    if target.exists() or target.is_symlink():
        raise FileFormatError(f"{target} exists; a bag is never written over: give another folder.")
    with open_bag(source) as bag:
        if not bag.message_count:
            lost = "".join(f" {text}." for text in bag.damage)
            raise FileFormatError(f"{source} holds no message that can be read: there is nothing to repair.{lost}")
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with BagWriter(temporary / target.name) as writer:
                copies = {c.id: writer.copy_topic(c) for c in bag.connections}
                for number, (connection, time_ns, data) in enumerate(bag.messages()):
                    writer.write(copies[connection.id], time_ns, data)
                    if number % 1000 == 0:
                        progress(number, bag.message_count)
            _move(temporary / target.name, target)
        except OSError as e:
            raise DexhotError(f"{target} cannot be written: {e.strerror or e}; give --out a place with room to write.") from e
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return writer.count, bag.damage


def _move(made: Path, target: Path) -> None:
    """A rename; onto an empty folder that came up meanwhile it would succeed, so that is refused."""
    if target.exists():
        raise FileFormatError(f"{target} came up meanwhile; a bag is never written over: give another folder.")
    made.rename(target)
