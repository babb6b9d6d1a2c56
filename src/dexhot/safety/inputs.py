"""Checks that the input streams of tracking are fresh and finite, and that a command is fresh enough to be executed."""

from dataclasses import dataclass, field

from dexhot.errors import NotFoundError
from dexhot.safety.machine import Event


@dataclass
class InputMonitor:
    """Monitors the input streams of tracking: each must have finite values with a stamp younger than `max_age` s.

    Between two messages of a stream the stamps must not advance by more than the monotonic clock plus `max_step` s.
    """

    streams: tuple[str, ...]
    max_age: float = 0.1
    max_step: float = 0.25
    stamps: dict[str, float] = field(default_factory=dict)
    finite: dict[str, bool] = field(default_factory=dict)
    arrived: dict[str, float] = field(default_factory=dict)  # monotonic times
    step: str = ""  # a step of the clock since the last check

    def see(self, stream: str, stamp: float, finite: bool = True, steady: float | None = None) -> None:
        """Process a message of `stream` with this stamp (s), at this monotonic time. Raises NotFoundError for an
        unknown stream."""
        if stream not in self.streams:
            raise NotFoundError("input stream", stream, self.streams)
        if steady is not None and stream in self.arrived:
            ahead = stamp - self.stamps[stream]
            if not -self.max_step < ahead < steady - self.arrived[stream] + self.max_step:
                self.step = f"the stamps of {stream} have jumped by {ahead:.2f} s: was a clock set?"
        if steady is not None:
            self.arrived[stream] = steady
        self.stamps[stream], self.finite[stream] = stamp, finite

    def check(self, now: float) -> tuple[Event, str]:
        """INPUTS_READY, or the first fault of a stream with its reason."""
        step, self.step = self.step, ""
        if step:
            return Event.CLOCK_STEP, step
        for stream in self.streams:
            if not self.finite.get(stream, True):
                return Event.NON_FINITE, f"{stream} is not finite"
        if now == 0.0:  # so rclpy reads a simulated clock that it has not heard
            return Event.STALE, "the simulated clock has not started: no /clock has arrived"
        for stream in self.streams:
            if stream not in self.stamps:
                return Event.STALE, f"{stream} has not arrived"
            age = now - self.stamps[stream]
            if age > self.max_age:
                return Event.STALE, f"{stream} is {late(age, self.max_age)}"
            if age < -self.max_age:
                return (
                    Event.STALE,
                    f"{stream} is stamped {-1e3 * age:.0f} ms in the future: are the clocks synchronised?",
                )
        return Event.INPUTS_READY, "all inputs are fresh"


def late(age: float, limit: float) -> str:
    """ "133 ms old, the limit is 100 ms", of s; with as many digits as show that it is older than the limit."""
    digits = next((n for n in range(3) if f"{1e3 * age:.{n}f}" != f"{1e3 * limit:.{n}f}"), 3)
    return f"{1e3 * age:.{digits}f} ms old, the limit is {1e3 * limit:.0f} ms"


def freshness(age: float, max_age: float) -> str:
    """Why a command whose stamp is `age` s old must not be executed; "" if it may."""
    if age > max_age:
        return f"the command is {late(age, max_age)}"
    if age < -max_age:
        return f"the command's stamp lies {-1e3 * age:.0f} ms in the future: are the clocks synchronised?"
    return ""
