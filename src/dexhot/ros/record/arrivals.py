"""What arrives on a topic: how often, and how old."""

import struct

from dexhot.data.bags import typestore

STAMP = struct.Struct("<iI")  # seconds and nanoseconds


class Arrivals:
    """Counts serialized messages of one topic."""

    def __init__(self, msgtype: str, now: float):
        fields = typestore().fielddefs[msgtype][1]
        self.stamped = bool(fields) and fields[0][0] == "header"
        self.count = 0
        self.age: float | None = None  # of the newest when it arrived, s
        self._counted = now, 0
        self.rate = 0.0

    def add(self, now: float, data: bytes) -> None:
        """A serialized message that came at `now`, s of the clock that stamps it."""
        self.count += 1
        if self.stamped:
            self.age = now - first_stamp(data)

    def measure(self, now: float) -> None:
        """Set `rate` (Hz) to that since the last call; `now` is steady time in s."""
        begin, count = self._counted
        self.rate = (self.count - count) / max(now - begin, 1e-3)
        self._counted = now, self.count

    def __str__(self) -> str:
        if not self.rate:
            return "silent" if self.count else "nothing yet"
        return f"{self.rate:.1f} Hz" + ("" if self.age is None else f", {1e3 * self.age:.0f} ms old")


def first_stamp(data: bytes) -> float:
    """The stamp (s) that a serialized message begins with, behind four bytes that tell the encoding."""
    seconds, nanoseconds = STAMP.unpack_from(data, 4)
    found: float = seconds + 1e-9 * nanoseconds
    return found
