"""Rejected messages: counted by topic, reported in the diagnostics, never a fault of the node.

A parser raises RefusedError for an invalid message; `DexhotNode.subscribe` catches it. If a fresh state or command is
missing as a result, the watchdogs of supervisor and drivers hold.
"""

from dexhot.errors import DexhotError

NEWS = 5.0  # s that a rejection stays in a node's warnings without being logged again
LONGEST = 300  # characters, maximum length of a reason: names in a message are unbounded


class RefusedError(DexhotError):
    """A well-typed message with invalid content; the text names the error and the expected value."""


class Refusals:
    """The messages that a node rejected."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}  # by topic
        self._last: dict[str, tuple[float, str]] = {}  # topic -> monotonic time, reason

    def add(self, topic: str, why: str, now: float) -> bool:
        """Count a message of `topic`, rejected at monotonic time `now` (s). Returns whether to log it: the first in
        NEWS s."""
        why = why if len(why) <= LONGEST else f"{why[:LONGEST]}..."
        news = topic not in self._last or now - self._last[topic][0] > NEWS
        self.counts[topic] = self.counts.get(topic, 0) + 1
        self._last[topic] = now, f"{topic}: rejected: {why}"
        return news

    def warnings(self, now: float) -> list[str]:
        """Rejections within the last NEWS s, one sentence per topic."""
        return [why for at, why in self._last.values() if now - at <= NEWS]

    def why(self, topic: str) -> str:
        """The reason of the last rejection on a topic; "" without one."""
        return self._last.get(topic, (0.0, ""))[1]

    def values(self) -> dict[str, object]:
        """Diagnostic values."""
        return {f"refused.{topic}": count for topic, count in self.counts.items()}
