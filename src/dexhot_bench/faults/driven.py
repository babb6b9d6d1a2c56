"""What the rigs of hand and arm share: a device that is commanded again and again while a fault comes."""

import re
import time
from collections.abc import Callable

from dexhot.errors import DexhotError
from dexhot_bench.faults.table import Outcome


class Driven:
    """A rig that commands its device every `period` s; a fault may stay unnoticed for `longest` s."""

    period: float
    longest: float

    def ready(self) -> None:
        """The device follows commands. Raises DexhotError."""
        raise NotImplementedError

    def command(self) -> None:
        """Give one command. Raises what the driver raises."""
        raise NotImplementedError

    def refuses(self) -> bool:
        """Whether a command is refused."""
        raise NotImplementedError

    def safe_after(self, begin: float, told: float) -> float | None:
        """ms from steady time `begin` until it was safe; `told`: ms until the driver told. None: it is not.

        Here by the driver's word; rigs that see the bytes and the simulated motion judge by those.
        """
        return told if self.refuses() else None

    def reset(self) -> bool:
        """What activating the driver node does; whether the device then moves again."""
        raise NotImplementedError

    def drive(self, seconds: float, until: Callable[[], bool] = lambda: False) -> str:
        """Command for so long, or until a condition; the driver's error, or ""."""
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
    """A fault in motion that the driver must raise, with words that match `expects`. `prepared`: it moves already."""
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
