"""The common interface of readers of one bag file, independent of its storage format."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import yaml
from rosbags.interfaces import (
    Connection,
    MessageDefinition,
    MessageDefinitionFormat,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)

NO_DEFINITION = MessageDefinition(MessageDefinitionFormat.NONE, "")
FORMATS = {
    "ros2msg": MessageDefinitionFormat.MSG,
    "ros2idl": MessageDefinitionFormat.IDL,
    "omgidl": MessageDefinitionFormat.IDL,
}


class Channel:
    """One stream of messages in a file."""

    __slots__ = ("digest", "encoding", "msgdef", "msgtype", "qos", "topic")

    def __init__(
        self, topic: str, msgtype: str, msgdef: MessageDefinition, digest: str, encoding: str, qos: list[Qos]
    ) -> None:
        self.topic, self.msgtype, self.msgdef = topic, msgtype, msgdef
        self.digest = digest  # RIHS01 hash of the type, or ""
        self.encoding = encoding  # of the messages; "cdr" is ROS 2's
        self.qos = qos  # offered by its publishers; [] if not recorded


@dataclass
class Inventory:
    """Contents of a file. `damage`: lost data; `notes`: anomalies without loss."""

    channels: dict[int, Channel] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)  # channel -> messages
    start: int = 2**63 - 1  # ns, receive time of the first message
    end: int = 0  # ns, of the last
    damage: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def lost(self, what: str) -> None:
        """Add a loss."""
        self.damage.append(what)


class Part(Protocol):
    """An open bag file."""

    inventory: Inventory

    def messages(self, wanted: Mapping[int, Connection]) -> Iterator[tuple[Connection, int, bytes]]:
        """(connection of the channel in `wanted`, receive time ns, serialized message) in order of receive time."""

    def close(self) -> None:
        """Close the file."""


def parse_qos(text: Any) -> list[Qos]:
    """The QoS profiles of a metadata.yaml, or of YAML text in a file; [] if there are none.

    Unknown formats give "unknown" or zero: no bag is rejected for its QoS.
    """
    try:
        entries = yaml.safe_load(text) if isinstance(text, str) else text
        return [_profile(entry) for entry in entries or []]
    except (yaml.YAMLError, TypeError, AttributeError, ValueError):
        return []


def _profile(entry: dict[str, Any]) -> Qos:
    return Qos(
        _member(QosHistory, entry.get("history")),
        int(entry.get("depth", 0)),
        _member(QosReliability, entry.get("reliability")),
        _member(QosDurability, entry.get("durability")),
        _time(entry.get("deadline")),
        _time(entry.get("lifespan")),
        _member(QosLiveliness, entry.get("liveliness")),
        _time(entry.get("liveliness_lease_duration")),
        bool(entry.get("avoid_ros_namespace_conventions", False)),
    )


def _member(kind: Any, value: Any) -> Any:
    """An enum member by number (versions before 9) or by name."""
    try:
        return kind(value) if isinstance(value, int) else kind[str(value).upper()]
    except (KeyError, ValueError):
        return kind.UNKNOWN


def _time(value: Any) -> QosTime:
    value = value if isinstance(value, dict) else {}
    return QosTime(int(value.get("sec", 0)), int(value.get("nsec", 0)))
