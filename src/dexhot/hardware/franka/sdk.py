"""Imports franky (libfranka for Python), or raises an error on how to install it."""

from dexhot.errors import MissingExtraError

try:
    import franky
except ModuleNotFoundError as e:
    raise MissingExtraError("the driver of the Franka arm", "hardware") from e

__all__ = ["franky"]
