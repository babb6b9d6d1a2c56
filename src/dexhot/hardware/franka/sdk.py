"""franky (libfranka for Python), or the error that says how to get it."""

from dexhot.errors import MissingExtraError

try:
    import franky
except ModuleNotFoundError as e:
    raise MissingExtraError("the driver of the Franka arm", "hardware") from e

__all__ = ["franky"]
