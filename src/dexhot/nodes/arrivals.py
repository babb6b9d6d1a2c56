"""What arrives on a topic: how often, and how old."""

import struct

from dexhot.data.bags import typestore

STAMP = struct.Struct("<iI")  # seconds and nanoseconds behind the four bytes that open a serialized message


class Arrivals:
    """Counts serialized messages of one topic."""

    def __init__(self, msgtype: str, now: float):
        fields = typestore().fielddefs[msgtype][1]
        self.stamped = bool(fields) and fields[0][0] == "header"
        self.count = 0
        self.last: float | None = None  # receive time of the newest, s
        self.age: float | None = None  # of the newest when it arrived, s
        self._counted = now, 0
        self.rate = 0.0

    def add(self, received_ns: int, data: bytes) -> None:
        self.count += 1
        self.last = received_ns * 1e-9
        if self.stamped:
            seconds, nanoseconds = STAMP.unpack_from(data, 4)
            self.age = self.last - seconds - 1e-9 * nanoseconds

    def measure(self, now: float) -> None:
        """Set `rate` (Hz) to that since the last call; `now` is steady time in s."""
        begin, count = self._counted
        self.rate = (self.count - count) / max(now - begin, 1e-3)
        self._counted = now, self.count

    def __str__(self) -> str:
        if not self.rate:
            return "silent" if self.count else "nothing yet"
        return f"{self.rate:.1f} Hz" + ("" if self.age is None else f", {1e3 * self.age:.0f} ms old")
