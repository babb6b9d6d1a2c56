"""Messages between the task and a simulator in another interpreter: a JSON header, then raw arrays, over pipes.

Python 3.8 and NumPy are enough for this file, and nothing of dexhot is imported: a worker for an old simulator uses it
alone (src/dexhot_isaacgym). A message is 4 bytes of header length (big endian), the header {"operation", "values",
"arrays": [[name, dtype, shape], ...]}, and each array's bytes in C order.

The task sends open, reset, step, reading, snapshot, restore, close; the worker answers each with one message whose
operation is the same, or "error" with values {"text"}. docs/learning.md lists their contents.
"""

from __future__ import annotations  # Python 3.8 reads no dict[str, ...] otherwise

import json
import struct
from typing import IO, Any

import numpy as np

VERSION = 2
OPERATIONS = ("reset", "step", "reading", "snapshot", "restore")  # besides open and close


def send(
    stream: IO[bytes],
    operation: str,
    values: dict[str, Any] | None = None,
    arrays: dict[str, np.ndarray] | None = None,
) -> None:
    """Write a message to a binary stream."""
    arrays = {name: np.ascontiguousarray(array) for name, array in (arrays or {}).items()}
    listed = [[name, array.dtype.str, list(array.shape)] for name, array in arrays.items()]
    header = json.dumps({"operation": operation, "values": values or {}, "arrays": listed}).encode()
    stream.write(struct.pack(">I", len(header)))
    stream.write(header)
    for array in arrays.values():
        stream.write(array.tobytes())
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[str, dict[str, Any], dict[str, np.ndarray]]:
    """Read a message: operation, values, arrays. Raises EOFError where the stream ends."""
    (length,) = struct.unpack(">I", _exactly(stream, 4))
    header = json.loads(_exactly(stream, length).decode())
    arrays = {}
    for name, dtype, shape in header["arrays"]:
        kind = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        arrays[name] = np.frombuffer(_exactly(stream, size), kind).reshape(shape).copy()
    return header["operation"], header["values"], arrays


def serve(read: IO[bytes], write: IO[bytes], worker: Any) -> None:
    """Answer messages until "close" or the end of the stream.

    `worker` has a method per operation: open(values, **arrays) -> values, arrays; the others take the message's arrays
    by name and return arrays, or None. An exception is answered as "error".
    """
    opened = False
    while True:
        try:
            operation, values, arrays = receive(read)
        except EOFError:
            return
        told: dict[str, Any] = {}
        found: dict[str, np.ndarray] = {}
        try:
            if operation == "open":
                told, found = worker.open(values, **arrays)
                opened = True
            elif operation in OPERATIONS:
                if not opened:
                    raise ValueError("send open first")
                found = getattr(worker, operation)(**arrays) or {}
            elif operation != "close":
                raise ValueError(f"no operation {operation!r}")
        except Exception as e:  # the task shows it
            operation, told, found = "error", {"text": f"{type(e).__name__}: {e}"}, {}
        send(write, operation, told, found)
        if operation == "close":
            return


def _exactly(stream: IO[bytes], size: int) -> bytes:
    parts: list[bytes] = []
    left = size
    while left:
        part = stream.read(left)
        if not part:
            raise EOFError("the other side has closed the stream")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
