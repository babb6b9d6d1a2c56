"""The vendor's SDK and pyserial, or the error that says how to get them."""

from dexhot.errors import MissingExtraError

try:
    import dynamixel_sdk as sdk
    import serial
except ModuleNotFoundError as e:
    raise MissingExtraError("the driver of Dynamixel servos", "hardware") from e

__all__ = ["sdk", "serial"]
