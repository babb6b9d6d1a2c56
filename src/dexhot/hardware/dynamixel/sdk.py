"""Imports the vendor's SDK and pyserial, or raises an error on how to install them."""

from dexhot.errors import MissingExtraError

try:
    import dynamixel_sdk as sdk
    import serial
except ModuleNotFoundError as e:
    raise MissingExtraError("the driver of Dynamixel servos", "hardware") from e

__all__ = ["sdk", "serial"]
