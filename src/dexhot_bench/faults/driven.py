"""Common base of the rigs of hand and arm: a periodically commanded device during a fault."""

import re
import time
from collections.abc import Callable

from dexhot.errors import DexhotError
from dexhot_bench.faults.table import Outcome


class Driven:
    """A rig that commands its device every `period` s; `longest`: detection timeout, s."""

    period: float
    longest: float

    def ready(self) -> None:
        """Bring the device to follow commands. Raises DexhotError."""
        raise NotImplementedError

    def command(self) -> None:
        """Send one command. Raises the driver's errors."""
        raise NotImplementedError

    def refuses(self) -> bool:
        """Whether a command is rejected."""
        raise NotImplementedError

    def safe_after(self, begin: float, told: float) -> float | None:
        """ms from monotonic time `begin` to the safe state; `told`: ms until the driver's detection. None: not safe.

        Here as reported by the driver; rigs with access to the bytes and the simulated motion use those.
        """
        return told if self.refuses() else None

    def reset(self) -> bool:
        """Reset as by activating the driver node; returns whether the device then moves again."""
        raise NotImplementedError

    def drive(self, seconds: float, until: Callable[[], bool] = lambda: False) -> str:
        """Command for `seconds`, or until a condition; returns the driver's error, or ""."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until():
            try:
                self.command()
            except DexhotError as e:
                return str(e)
            time.sleep(self.period)
        return ""


def broken(
    rig: Driven,
    cause: Callable[[], None],
    expects: str,
    cure: Callable[[], None] | None = None,
    prepared: bool = False,
) -> Outcome:
    """A fault in motion that the driver must report with a message matching `expects`. `prepared`: it moves already."""
    if not prepared:
        rig.ready()
    begin = time.monotonic()
    cause()
    told = rig.drive(rig.longest)
    ms = 1e3 * (time.monotonic() - begin)
    if not re.search(expects, told):
        return Outcome(told, None, ms if told and rig.refuses() else None, "fault" if told else "tracking", "")
    safe = rig.safe_after(begin, ms)
    if cure:
        cure()
    how = f"{'cause removed, then ' if cure else ''}reset" if rig.reset() else ""
    return Outcome(told, ms, safe, "fault", how)
