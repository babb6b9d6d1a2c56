"""A bag that a recorder in another process is writing."""

import time
from pathlib import Path
from statistics import median

from dexhot.data import bags


def grown(bag: Path, size: int | None = None, seconds: float = 60.0) -> None:
    """Wait until the bag's file holds more than `size` bytes, by default than now."""
    size, deadline = written(bag) if size is None else size, time.monotonic() + seconds
    while written(bag) <= size:
        assert time.monotonic() < deadline, "nothing is recorded"
        time.sleep(0.05)


def written(bag: Path) -> int:
    """Bytes in the bag's file."""
    return sum(p.stat().st_size for p in bag.glob("*.mcap"))


def newest(bag: Path, topics: set[str]) -> int:
    """The earliest of the topics' last receive times, ns."""
    last = {topic: received for topic, received, _ in bags.messages(bag, topics)}
    return min(last[topic] for topic in topics)


def loses_at_most(bag: Path, topics: set[str], seconds: float) -> bool:
    """Whether the file of a bag that is being recorded falls no further behind than so in most of five intervals
    between two writes: in some, a busy machine may starve the recorder, or a new topic is written at once."""

    def lost() -> float:
        size = -1
        while size != (size := written(bag)):  # a write may be under way
            time.sleep(0.05)
        last = newest(bag, topics)
        grown(bag)
        return (time.time_ns() - last) * 1e-9

    return median(lost() for _ in range(5)) < seconds
