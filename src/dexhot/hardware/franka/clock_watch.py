"""Is the robot's controller alive? Judged by its own clock, which counts on with every cycle that it makes."""


class ClockWatch:
    """The robot's time against ours, from polls. `patience` s without progress is a frozen controller.

    A poll that itself comes late proves nothing about the robot: no pause between polls counts for more than `longest`.
    """

    def __init__(self, patience: float, longest: float = 0.02):
        self.patience, self.longest = patience, longest
        self.stalled = 0.0  # s
        self._seen: tuple[float, int] | None = None  # our time, the robot's

    def poll(self, now: float, robot_ms: int) -> int:
        """The robot's milliseconds since the last poll; `now` is steady time in s."""
        before, self._seen = self._seen, (now, robot_ms)
        if before is None:
            return 0
        advanced = robot_ms - before[1]
        self.stalled = 0.0 if advanced else self.stalled + min(now - before[0], self.longest)
        return advanced

    @property
    def frozen(self) -> bool:
        return self.stalled >= self.patience
