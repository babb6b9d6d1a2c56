"""Well-typed nonsense: a good message with one field at a time changed to what its type allows, its topic does not."""

import copy
import math
from array import array
from collections.abc import Iterator

import numpy as np
from rclpy.serialization import deserialize_message, serialize_message

NUMBERS = (math.nan, math.inf, -math.inf, 1e300, -1e300, 1e-320, 0.0, -1.0)
INTEGERS = (0, -1, 1, 255, 2**31 - 1, -(2**31), 2**32 - 1)
TEXTS = ("", "n/a", "nan", "1e999", "/world", "mocap", "end", "start x", "tracking", "ü" * 50_000)
BYTES = (b"\x00", b"\x02", b"\x03", b"\xff")
STEPS = (0.003, -0.003, -5.0, 3600.0, -1e6)  # s off a good stamp


def sent(message):
    """As received from the middleware; None for values that its type does not allow."""
    try:
        return deserialize_message(serialize_message(message), type(message))
    except (SystemError, OverflowError, AssertionError, AttributeError):  # the last of a nested message
        return None


def others(value) -> list:
    """What might stand in the place of a field's `value`."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, bytes):
        return list(BYTES)
    if isinstance(value, str):
        return list(TEXTS)
    if isinstance(value, int):
        return list(INTEGERS)
    if isinstance(value, float):
        return list(NUMBERS)
    if isinstance(value, np.ndarray):  # of a fixed size
        return [np.full_like(value, x) for x in NUMBERS] + [value[::-1].copy(), -np.eye(len(value))[0]]
    if isinstance(value, array):
        filled = [array(value.typecode, [x] * len(value)) for x in (NUMBERS if value.typecode in "fd" else (0, 1))]
        return [*filled, array(value.typecode), value[:-1], value + value, array(value.typecode, [0] * 10_000)]
    if isinstance(value, list):
        strings = [["foreign"] * len(value), [f"joint{k}" for k in range(10_000)]] if all_text(value) else []
        return [[], value[:-1], value + value, *strings]
    return []


def all_text(value: list) -> bool:
    return bool(value) and all(isinstance(item, str) for item in value)


def fields(message) -> Iterator[tuple[object, str]]:
    """Every field that is not itself a message, with the message it is in."""
    for name in message.get_fields_and_field_types():
        value = getattr(message, name)
        if hasattr(value, "get_fields_and_field_types"):
            yield from fields(value)
            continue
        yield message, name
        for item in value if isinstance(value, list) else []:
            if hasattr(item, "get_fields_and_field_types"):
                yield from fields(item)


def nonsense(good) -> Iterator:
    """Many messages, none of them as it should be but perhaps the last ones: stamps near and far."""
    yield type(good)()
    for k, (owner, name) in enumerate(fields(good)):
        for value in others(getattr(owner, name)):
            changed = copy.deepcopy(good)
            owner_there, _ = list(fields(changed))[k]
            setattr(owner_there, name, value)
            if (message := sent(changed)) is not None:
                yield message
    stamp = getattr(getattr(good, "header", good), "stamp", None)
    for step in STEPS if stamp is not None else ():
        changed = copy.deepcopy(good)
        there = getattr(changed, "header", changed).stamp
        micro = round(1e6 * (there.sec + step)) + there.nanosec // 1000
        there.sec, there.nanosec = micro // 1_000_000, micro % 1_000_000 * 1000
        yield changed
