"""Rejected messages: counted by topic, named in the diagnostics, never a fault of the node.

A parser raises RefusedError for a message that cannot be what its topic says; `DexhotNode.subscribe` catches it. What
lacks in consequence (a fresh state, a command) is what the watchdogs of supervisor and drivers hold for.
"""

from dexhot.errors import DexhotError

NEWS = 5.0  # s for which a refusal stays among a node's warnings, and is not logged again
LONGEST = 300  # characters of a reason: a message may hold names without end


class RefusedError(DexhotError):
    """A message that is well-typed and yet cannot be taken; the sentence says what was wrong and what is expected."""


class Refusals:
    """What a node refused."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}  # by topic
        self._last: dict[str, tuple[float, str]] = {}  # topic -> steady time, why

    def add(self, topic: str, why: str, now: float) -> bool:
        """Count a message of `topic`, refused at steady time `now` (s): whether to log it, as the first for NEWS s."""
        why = why if len(why) <= LONGEST else f"{why[:LONGEST]}..."
        news = topic not in self._last or now - self._last[topic][0] > NEWS
        self.counts[topic] = self.counts.get(topic, 0) + 1
        self._last[topic] = now, f"{topic}: refused: {why}"
        return news

    def warnings(self, now: float) -> list[str]:
        """What was refused within the last NEWS s, one sentence for each topic."""
        return [why for at, why in self._last.values() if now - at <= NEWS]

    def why(self, topic: str) -> str:
        """The last refusal of a topic; "" without one."""
        return self._last.get(topic, (0.0, ""))[1]

    def values(self) -> dict[str, object]:
        """Diagnostic values."""
        return {f"refused.{topic}": count for topic, count in self.counts.items()}
