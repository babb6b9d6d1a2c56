"""Message classes by name."""

import importlib


def message_class(msgtype: str) -> type:
    """The Python class of "sensor_msgs/msg/JointState"."""
    package, _, name = msgtype.split("/")
    found: type = getattr(importlib.import_module(f"{package}.msg"), name)
    return found


def optional_class(msgtype: str) -> type | None:
    """The same, or None if its package is not installed."""
    try:
        return message_class(msgtype)
    except ImportError:
        return None
