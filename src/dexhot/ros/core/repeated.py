"""A warning that comes again and again, as of an object at the edge of a camera's view: logged, but not each time."""

import time
from collections.abc import Callable


class RepeatedWarning:
    """Logs a warning at most once in `period` s, with how often it came in between."""

    def __init__(self, log: Callable[[str], object], period: float):
        self.log, self.period = log, period
        self.last = -float("inf")  # monotonic time of the last line
        self.untold, self.text = 0, ""  # since then

    def __call__(self, text: str) -> None:
        """It is so again."""
        self.untold, self.text = self.untold + 1, text
        self.catch_up()

    def catch_up(self) -> None:
        """Log what has not been logged, once the period is over; call it from a loop."""
        now = time.monotonic()
        if not self.untold or now - self.last < self.period:
            return
        often = f" ({self.untold} times in {now - self.last:.0f} s)" if self.untold > 1 else ""
        self.log(self.text + often)
        self.last, self.untold = now, 0
