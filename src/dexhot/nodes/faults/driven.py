"""What the rigs of hand and arm share: a device that is commanded again and again while a fault comes."""

import time
from collections.abc import Callable

from dexhot.errors import DexhotError


class Driven:
    """A rig whose `command` gives its device one command, every `period` s."""

    period: float

    def command(self) -> None:
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
