"""What goes wrong on a servo bus."""

from dexhot.errors import DexhotError


class BusError(DexhotError):
    """The servo bus does not work as it should; the message says what and what to do."""


class SilenceError(BusError):
    """Some servos gave no good answer, however often asked."""


class UnpluggedError(BusError):
    """The serial port is gone."""

    def __init__(self, path: str, why: object):
        super().__init__(f"the serial port {path} is gone ({why}); plug it in and reset.")
