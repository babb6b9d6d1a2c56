"""Detects a frozen robot controller by its own clock, which advances with every control cycle."""


class ClockWatch:
    """Compares the robot's clock with ours at each poll. No advance for `patience` s means a frozen controller.

    A late poll is no evidence about the robot: an interval between polls counts for at most `longest` s.
    """

    def __init__(self, patience: float, longest: float = 0.02):
        self.patience, self.longest = patience, longest
        self.stalled = 0.0  # s
        self._seen: tuple[float, int] | None = None  # our time, the robot's

    def poll(self, now: float, robot_ms: int) -> int:
        """The robot's milliseconds since the last poll; `now` is monotonic time, s."""
        before, self._seen = self._seen, (now, robot_ms)
        if before is None:
            return 0
        advanced = robot_ms - before[1]
        self.stalled = 0.0 if advanced else self.stalled + min(now - before[0], self.longest)
        return advanced

    @property
    def frozen(self) -> bool:
        return self.stalled >= self.patience
