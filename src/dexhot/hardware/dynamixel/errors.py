"""Errors of a servo bus."""

from dexhot.errors import DexhotError


class BusError(DexhotError):
    """A fault of the servo bus; the message names it and its remedy."""


class SilenceError(BusError):
    """Some servos gave no valid reply after all retries."""


class UnpluggedError(BusError):
    """The serial port was disconnected."""

    def __init__(self, path: str, why: object):
        super().__init__(f"the serial port {path} was disconnected ({why}); plug it in and reset.")
