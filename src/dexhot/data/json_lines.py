"""Files with a JSON object on each line, appended as things end. A kill may cut the last line off: it is left out, and
the next one takes its place."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from dexhot.data.files import jsonable
from dexhot.errors import FileFormatError

T = TypeVar("T")


def read_lines(path: Path, make: Callable[[dict[str, Any]], T], remedy: str) -> list[T]:
    """What `make` makes of each line; [] without the file. Raises FileFormatError, with the number of the line and the
    remedy, where a whole line cannot be read, or `make` raises ValueError or TypeError."""
    rows = []
    for number, line in enumerate(_whole(path.read_bytes()).splitlines() if path.is_file() else (), 1):
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("no object")
            rows.append(make(row))
        except (ValueError, TypeError) as e:
            raise FileFormatError(f"{path}, line {number} is damaged: {remedy}.") from e
    return rows


def add_line(path: Path, row: dict[str, Any]) -> None:
    """Append a row, in the place of what a kill may have cut off; it is on the disk on return."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab+") as stream:
        stream.seek(0)
        found = stream.read()
        kept = _whole(found)
        stream.truncate(min(len(kept), len(found)))
        stream.write(kept[len(found) :] + json.dumps(row, default=jsonable).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def _whole(content: bytes) -> bytes:
    """Without a last line that was cut off, which is the beginning of an object; each line ends with a newline."""
    end = content.rfind(b"\n") + 1
    last = content[end:]
    if not last:
        return content
    try:
        json.loads(last)
    except ValueError:
        if last.startswith(b"{"):
            return content[:end]
    return content + b"\n"
