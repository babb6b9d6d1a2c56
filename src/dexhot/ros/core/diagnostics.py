"""Self-measurement of a node: histograms of durations and loop timing, as diagnostic values.

Values are plain: a number or a text, with the unit in the key.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate

import psutil
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

FLOOR = 1e-6  # s, the first bin's upper edge
GROWTH = 1.05  # relative bin width: percentiles are accurate to 5 %
BINS = 360  # up to 42 s
MOTOR_TEMPERATURE = "temperature_max_c"  # diagnostic value with a driver's highest motor temperature, degrees Celsius
NO_HARDWARE = "none"  # as in diagnostic_updater
EDGES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)  # ms, upper edges of the published counts


class Histogram:
    """Durations in geometric bins: constant memory, no allocation on the hot path."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Drop all samples."""
        self.counts = [0] * BINS
        self.count = 0
        self.total = 0.0
        self.max = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration; a negative one counts as zero, a non-finite one is ignored."""
        if not -math.inf < seconds < math.inf:
            return
        seconds = max(seconds, 0.0)
        k = 0 if seconds <= FLOOR else min(int(math.log(seconds / FLOOR) / math.log(GROWTH)) + 1, BINS - 1)
        self.counts[k] += 1
        self.count += 1
        self.total += seconds
        self.max = max(self.max, seconds)

    def percentile(self, p: float) -> float:
        """The duration (s) that `p` percent of the samples do not exceed; nan without samples."""
        if not self.count:
            return math.nan
        seen, wanted = 0, self.count * p / 100.0
        for k, n in enumerate(self.counts):
            seen += n
            if n and seen >= wanted:
                return min(FLOOR * GROWTH**k, self.max)
        return self.max

    def values(self, name: str) -> dict[str, object]:
        """Diagnostic values: count, percentiles in ms, and cumulative counts at EDGES (to the width of a bin)."""
        sums = list(accumulate(self.counts))
        return {
            f"{name}.count": self.count,
            f"{name}.mean_ms": 1e3 * self.total / self.count if self.count else math.nan,
            f"{name}.p50_ms": 1e3 * self.percentile(50),
            f"{name}.p90_ms": 1e3 * self.percentile(90),
            f"{name}.p99_ms": 1e3 * self.percentile(99),
            f"{name}.max_ms": 1e3 * self.max,
            **{f"{name}.at_most_{edge:g}_ms": sums[k] for edge, k in zip(EDGES, _LAST)},
        }


_UPPER = [1e3 * FLOOR * GROWTH**k for k in range(BINS)]  # ms, of the bins
_LAST = [bisect_right(_UPPER, edge) - 1 for edge in EDGES]


class TickMonitor:
    """Timing of a loop: tick k is due at start + (k + 1) * period.

    A tick within one period of its due time is `ok`; skipped ticks are `missed`. An
    overrun is an iteration that took longer than the period.
    """

    def __init__(self, period: float):
        self.period = period
        self.lateness, self.body = Histogram(), Histogram()
        self.restart(0.0)

    def restart(self, now: float) -> None:
        """Restart counting at monotonic time `now` (s)."""
        self.due = now + self.period
        self.started = now
        self.ticks = self.ok = self.missed = self.overruns = self.reported = 0
        self.lateness.reset()
        self.body.reset()

    def tick(self, now: float) -> None:
        """Count a tick that starts at monotonic time `now`."""
        late = now - self.due
        skipped = max(int(late / self.period), 0)
        self.ticks += 1
        self.ok += late <= self.period
        self.missed += max(skipped - 1, 0)
        self.lateness.add(late)
        self.due += (skipped + 1) * self.period

    def done(self, seconds: float) -> None:
        """Count an iteration that took `seconds`."""
        self.body.add(seconds)
        self.overruns += seconds > self.period

    def judge(self) -> tuple[bytes, str]:
        """Level and message since the last call: missed ticks are a warning."""
        lost, self.reported = self.missed - self.reported, self.missed
        return (DiagnosticStatus.WARN, f"{lost} ticks missed") if lost else (DiagnosticStatus.OK, "on time")

    def values(self, name: str, now: float) -> dict[str, object]:
        """Diagnostic values of the loop called `name`."""
        seen = self.ticks + self.missed
        return {
            f"{name}.rate_hz": self.ticks / max(now - self.started, 1e-9),
            f"{name}.ticks": self.ticks,
            f"{name}.ticks_ok": self.ok,
            f"{name}.ticks_missed": self.missed,
            f"{name}.tick_ok_fraction": self.ok / seen if seen else math.nan,
            f"{name}.overruns": self.overruns,
            **self.lateness.values(f"{name}.lateness"),
            **self.body.values(f"{name}.body"),
        }


class ProcessMonitor:
    """Resource use of this process."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._process.cpu_percent()  # the first call only starts the measurement

    def values(self) -> dict[str, object]:
        """Diagnostic values; the CPU time is that since the last call."""
        return {
            "pid": self._process.pid,
            "process.cpu_percent": self._process.cpu_percent(),
            "process.rss_mib": self._process.memory_info().rss / 2**20,
        }


def status(
    name: str, level: bytes, message: str, values: Mapping[str, object], hardware: str = NO_HARDWARE
) -> DiagnosticStatus:
    """A DiagnosticStatus; numbers with 6 digits."""
    pairs = [KeyValue(key=k, value=f"{v:.6g}" if isinstance(v, float) else str(v)) for k, v in values.items()]
    return DiagnosticStatus(level=level, name=name, message=message, hardware_id=hardware, values=pairs)
