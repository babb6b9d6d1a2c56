"""ROS parameter files: their entries, and the nodes that these match.

rclpy silently drops entries of a file for a node with another name or namespace, or for a parameter that the node
lacks; the node then runs with its defaults. So files are also checked here, and an unused entry is an error.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dexhot.data.yaml_file import load_yaml
from dexhot.errors import DexhotError, NotFoundError, absent

TAG = "ros__parameters"
OF_RCLPY = ("use_sim_time", "start_type_description_service")  # parameters of every node, without a schema
QOS = "qos_overrides."


@dataclass(frozen=True)
class Entry:
    """Parameters of the nodes that `key` matches: /ns/node, node, /**/node, /** (all)."""

    key: str
    values: dict[str, Any]

    @property
    def node(self) -> str:
        """The node's name, or a wildcard."""
        return self.key.rpartition("/")[2]

    @property
    def of_all(self) -> bool:
        """Whether it is for nodes of any name: each uses the parameters that it has."""
        return "*" in self.node

    def matches(self, full_name: str) -> bool:
        """Whether it matches the node with this full name; "*" is one name, "**" any number of names."""
        parts = {"**": "(/[^/]+)*", "*": "/[^/]+"}
        pattern = "".join(parts.get(part, f"/{re.escape(part)}") for part in self.key.strip("/").split("/"))
        return re.fullmatch(pattern, full_name) is not None


def read_entries(path: str | Path) -> list[Entry]:
    """The entries of a file, in ROS's format, also nested by namespace, or {node: {parameter: value}}.

    Raises DexhotError.
    """
    if not Path(path).is_file():
        raise DexhotError(f"parameters file {absent(path)}")
    try:
        entries = load_yaml(path) or {}
        if not isinstance(entries, dict):
            raise ValueError(f"it holds {'plain text' if isinstance(entries, str) else 'a ' + type(entries).__name__}")
        return _entries(entries, "")
    except (OSError, yaml.YAMLError, AttributeError, TypeError, ValueError) as e:
        raise DexhotError(f"{path} is not a file of node parameters, {{node: {{parameter: value}}}}: {e}.") from e


def known(name: str, schema: Iterable[str]) -> bool:
    """Whether a node with this schema has the parameter."""
    return name in schema or name in OF_RCLPY or name.startswith(QOS)


def check_file(path: str | Path, schemas: Mapping[str, Iterable[str]]) -> None:
    """Raise DexhotError for parameters that rclpy would drop; `schemas`: full name of each node -> its parameters."""
    entries = read_entries(path)
    for entry in entries:
        for full_name in schemas:
            if entry.node == full_name.rpartition("/")[2] and not entry.matches(full_name):
                raise DexhotError(
                    f"{path} has parameters for {entry.key}, which is not {full_name}: it would run without them. "
                    f"Write /**/{entry.node}, which matches in any namespace."
                )
        mine = [schema for full_name, schema in schemas.items() if entry.matches(full_name)]
        for schema in mine if not entry.of_all else ():
            if missing := [name for name in entry.values if not known(name, schema)]:
                raise NotFoundError(f"parameter of {entry.key}", missing[0], schema)
    if not any(entry.matches(full_name) for entry in entries for full_name in schemas):
        keys = ", ".join(entry.key for entry in entries) or "nothing"
        raise DexhotError(f"{path} has parameters for {keys}, and none for {', '.join(schemas)}.")


def _entries(mapping: Mapping[str, Any], above: str) -> list[Entry]:
    found = []
    for name, value in mapping.items():
        key = f"{above}/{name}" if above else name
        if TAG in value:
            found.append(Entry(key, dict(_flat(value[TAG] or {}))))
            value = {k: v for k, v in value.items() if k != TAG}
            found += _entries(value, key)
        elif _tagged(value):
            found += _entries(value, key)
        else:
            found.append(Entry(key, dict(_flat(value))))
    return found


def _tagged(value: Any) -> bool:
    """Whether a node's parameters exist at any level below."""
    return isinstance(value, dict) and (TAG in value or any(map(_tagged, value.values())))


def _flat(mapping: Mapping[str, Any], above: str = "") -> Iterable[tuple[str, Any]]:
    """Nested parameters with dotted names."""
    for name, value in mapping.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
