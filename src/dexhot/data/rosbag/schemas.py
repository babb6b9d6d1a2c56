"""Message definitions: Jazzy's standard ones, and those in a bag, each in its own type store."""

from functools import cache, lru_cache
from typing import Any

from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat
from rosbags.typesys import Stores, TypesysError, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from dexhot.errors import FileFormatError

SEPARATOR = "=" * 80 + "\n"  # between the definitions of a type and of its field types


@cache
def typestore() -> Typestore:
    """The message definitions of Jazzy's standard packages."""
    return get_typestore(Stores.ROS2_JAZZY)


@lru_cache(maxsize=256)
def store_of(msgtype: str, definition: MessageDefinition) -> Typestore:
    """A type store that decodes `msgtype` by `definition`; the standard store if that is equal or empty.

    The bag's definition takes precedence: it may come from another distribution, or be a custom type.
    Raises FileFormatError for a type that neither defines.
    """
    standard = typestore()
    if definition.format is MessageDefinitionFormat.NONE:
        if msgtype in standard.fielddefs:
            return standard
        raise FileFormatError(
            f"the message type {msgtype} is unknown: it is not a standard type, and the bag does not define it."
        )
    try:
        own = types_of(msgtype, definition)
        if all(_same(standard, name, found) for name, found in own.items()) and msgtype in standard.fielddefs:
            return standard
        store = get_typestore(Stores.EMPTY)
        store.fielddefs.update(standard.fielddefs)
        store.types.update(standard.types)
        for name in own:  # the bag's definitions take precedence
            store.fielddefs.pop(name, None)
        store.register(own)
    except (TypesysError, KeyError, ValueError, SyntaxError) as e:
        if msgtype in standard.fielddefs:
            return standard
        raise FileFormatError(f"the bag's definition of {msgtype} cannot be read: {e}.") from e
    return store


def types_of(msgtype: str, definition: MessageDefinition) -> dict[str, Any]:
    """The parsed types of a definition, including its field types. Raises TypesysError."""
    if definition.format is MessageDefinitionFormat.MSG:
        return get_types_from_msg(definition.data, msgtype)
    found: dict[str, Any] = {}
    for text in definition.data.split(SEPARATOR):
        found |= get_types_from_idl(text.split("\n", 1)[-1] if text.startswith("IDL: ") else text) if text else {}
    return found


def titled(msgtype: str, definition: MessageDefinition) -> str:
    """The text of a definition as stored in bags: with a title if it is IDL."""
    if definition.format is MessageDefinitionFormat.IDL and not definition.data.startswith(SEPARATOR):
        return f"{SEPARATOR}IDL: {msgtype}\n{definition.data}"
    return definition.data


def _same(standard: Typestore, name: str, found: tuple[Any, Any]) -> bool:
    have = standard.fielddefs.get(name)
    lower = [(field.lower(), kind) for field, kind in found[1]]
    return have is not None and [(field.lower(), kind) for field, kind in have[1]] == lower
