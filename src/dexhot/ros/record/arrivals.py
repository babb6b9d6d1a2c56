"""Arrival rate and age of messages on a topic."""

import struct

from dexhot.data.bags import typestore

STAMP = struct.Struct("<iI")  # seconds and nanoseconds


class Arrivals:
    """Counts serialized messages of one topic."""

    def __init__(self, msgtype: str, now: float):
        fields = typestore().fielddefs[msgtype][1]
        self.stamped = bool(fields) and fields[0][0] == "header"
        self.count = 0
        self.age: float | None = None  # of the newest at its arrival, s
        self._counted = now, 0
        self.rate = 0.0

    def add(self, now: float, data: bytes) -> None:
        """Add a serialized message that arrived at `now`, s, on the clock of its stamp."""
        self.count += 1
        if self.stamped:
            self.age = now - first_stamp(data)

    def measure(self, now: float) -> None:
        """Set `rate` (Hz) to that since the last call; `now` is monotonic time, s."""
        begin, count = self._counted
        self.rate = (self.count - count) / max(now - begin, 1e-3)
        self._counted = now, self.count

    def __str__(self) -> str:
        if not self.rate:
            return "silent" if self.count else "nothing yet"
        return f"{self.rate:.1f} Hz" + ("" if self.age is None else f", {1e3 * self.age:.0f} ms old")


def first_stamp(data: bytes) -> float:
    """The stamp (s) at the start of a serialized message, after four bytes for the encoding."""
    seconds, nanoseconds = STAMP.unpack_from(data, 4)
    found: float = seconds + 1e-9 * nanoseconds
    return found
