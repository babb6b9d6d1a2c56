"""Progress of long jobs, on stderr: a bar with the time left on a terminal; elsewhere, as in a log, a plain line every
few seconds, without control characters. A job shorter than that writes no line."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from rich import progress as rich_progress
from rich.console import Console

INTERVAL = 5.0  # s between lines without a terminal
Item = TypeVar("Item")
Report = Callable[[int, int | None, str], object]  # done, of how many (None: not countable), the stage


def unreported(done: int, total: int | None, what: str) -> None:
    """The Report of a job that nobody watches."""


class Progress:
    """Reports the progress of a job. Call it with the amount done, `advance` it, or let it follow the clock
    (`by_clock`)."""

    def __init__(self, what: str, total: float | None = None, by_clock: bool = False, counted: bool = False):
        """total: in the unit of the calls (None: unknown; s with `by_clock`). counted: it is a number of items."""
        self.what, self.total, self.by_clock, self.counted = what, total, by_clock, counted
        self.done, self.began = 0.0, time.monotonic()
        self.measured: tuple[float, float] | None = None  # amount done and time since which the rate is measured
        self.of: str | None = None

    def __call__(self, done: float, total: float | None = None, what: str | None = None, of: str | None = None) -> None:
        """`done` of `total`; a new `what` starts a new stage with its own time estimate. of: what the percentage is of,
        where it is not of the time, as in a search that may rewind or end early: then no time left is shown."""
        total = self.total if total is None else total
        if what is not None and what != self.what:
            self.stage(what)
        self.done, self.total, self.of = done, total, of

    def stage(self, what: str) -> None:
        """Start a stage of unknown total."""
        self.what, self.began, self.done, self.total = what, time.monotonic(), 0.0, None
        self.of = self.measured = None

    def stages(self) -> Report:
        """A Report that shows each stage behind the job's present name."""
        title = self.what
        return lambda done, total, what: self(done, total, f"{title}, {what}")

    def says(self, before: str = "") -> Report:
        """A function (done, total, line) that shows `before` and the line. What was done before its first call may be
        a run's that was stopped, so the rate is measured from that call on."""

        def show(done: int, total: int | None, line: str) -> None:
            self.what = before + line
            self(done, total)
            self.measured = self.measured or (done, time.monotonic())

        return show

    def advance(self, by: float = 1.0) -> None:
        """Add `by` to the amount done."""
        self.done += by

    @property
    def fraction(self) -> float | None:
        """Fraction done in [0, 1]; None if the total is unknown."""
        if not self.total:
            return None
        done = time.monotonic() - self.began if self.by_clock else self.done
        return min(1.0, done / self.total)

    def line(self) -> str:
        """ "clips: 4 of 10, 12 s, 18 s left", or "40 %" where nothing is counted; the time left assumes a constant
        rate, and is left out where there is none (`of`)."""
        elapsed, fraction = time.monotonic() - self.began, self.fraction
        parts = [duration(elapsed)]
        if self.counted and self.total:
            parts.insert(0, f"{self.done:.0f} of {self.total:.0f}")
        elif self.of is not None and fraction is not None:
            parts.insert(0, f"{100 * fraction:.0f} % {self.of}")
        elif fraction:
            parts.insert(0, f"{100 * fraction:.0f} %")
        if self.of is None and (left := self._left(fraction)) is not None:
            parts.append(f"{duration(left)} left")
        return f"{self.what}: {', '.join(parts)}"

    def _left(self, fraction: float | None) -> float | None:
        """Time left, s; None while there is no rate."""
        now = time.monotonic()
        if self.measured is None:
            return (now - self.began) * (1.0 / fraction - 1.0) if fraction else None
        done, since = self.measured
        if self.total is None or self.done <= done:
            return None
        return (now - since) * max(0.0, self.total - self.done) / (self.done - done)


@contextmanager
def progress(
    what: str, total: float | None = None, by_clock: bool = False, counted: bool = False
) -> Iterator[Progress]:
    """Context manager: show a job's Progress."""
    job, ended = Progress(what, total, by_clock, counted), threading.Event()
    show = _draw_bar if on_terminal() else _write_lines
    thread = threading.Thread(target=show, args=(job, ended), daemon=True)
    thread.start()
    try:
        yield job
    finally:
        ended.set()
        thread.join()


def track(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """Iterate over the items and show the progress. total: by default their number, if known."""
    with progress(what, len(items) if total is None and isinstance(items, Sized) else total, counted=True) as job:
        for item in items:
            yield item
            job.advance()


def on_terminal() -> bool:
    """Whether a bar can be drawn: stderr is a terminal that can move its cursor."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def duration(seconds: float) -> str:
    """ "12 s", "3 min 05 s", "1 h 02 min"."""
    s = round(seconds)
    if s < 60:
        return f"{s} s"
    return f"{s // 60} min {s % 60:02d} s" if s < 3600 else f"{s // 3600} h {s % 3600 // 60:02d} min"


def _write_lines(job: Progress, ended: threading.Event) -> None:
    while not ended.wait(INTERVAL):
        print(job.line(), file=sys.stderr, flush=True)


def _draw_bar(job: Progress, ended: threading.Event) -> None:
    text, bar = rich_progress.TextColumn("{task.description}", markup=False), rich_progress.BarColumn()
    with rich_progress.Progress(text, bar, console=Console(stderr=True), transient=True) as display:
        task = display.add_task(job.line(), total=None)
        while True:
            fraction = job.fraction
            done = 0 if fraction is None else fraction
            display.update(task, description=job.line(), completed=done, total=None if fraction is None else 1.0)
            if ended.wait(0.1):
                return
