"""Messages of several topics brought together by their stamps."""

from typing import Generic, TypeVar

T = TypeVar("T")
KEPT = 100


class StampedHistory(Generic[T]):
    """The last values of one topic."""

    def __init__(self, kept: int = KEPT):
        self.kept = kept
        self.entries: list[tuple[float, T]] = []

    def add(self, stamp: float, value: T) -> None:
        """Keep `value` of `stamp` (s). A stamp far behind the others is of another clock, and they are forgotten."""
        if self.entries and stamp < self.entries[0][0]:
            self.entries.clear()
        self.entries.append((stamp, value))
        del self.entries[: -self.kept]

    def nearest(self, stamp: float, within: float) -> T | None:
        """The value nearest to `stamp`, at most `within` s away."""
        if not self.entries:
            return None
        found, value = min(self.entries, key=lambda entry: abs(entry[0] - stamp))
        return value if abs(found - stamp) <= within else None

    def take(self, stamp: float, within: float) -> T | None:
        """As `nearest`; what is found and all before it are forgotten."""
        if not self.entries:
            return None
        k = min(range(len(self.entries)), key=lambda k: abs(self.entries[k][0] - stamp))
        found, value = self.entries[k]
        if abs(found - stamp) > within:
            return None
        del self.entries[: k + 1]
        return value
