"""Messages of /diagnostics, from a bag or from the graph: a status per node and task, named "node: task".

Recordings of version 0.1.0 have one status per node, with the node's name and the same value keys.
"""

from dataclasses import dataclass, field
from typing import Any

UNPREPARED = "unprepared"  # the controller's value that says why a clip must not start yet


@dataclass
class NodeStatus:
    """One node's statuses in one message, merged: the worst level (0 ok, 1 warning, 2 error), its message, all
    values."""

    level: int = -1
    message: str = ""
    values: dict[str, str] = field(default_factory=dict)


def status_name(node: str, task: str) -> str:
    """Status name in diagnostic_updater's format, by which diagnostic_aggregator groups."""
    return f"{node}: {task}"


def by_node(message: Any) -> dict[str, NodeStatus]:
    """node -> its merged tasks. Among equal levels the first status counts."""
    found: dict[str, NodeStatus] = {}
    for status in message.status:
        node = found.setdefault(status.name.partition(":")[0], NodeStatus())
        level = status.level[0] if isinstance(status.level, bytes) else int(status.level)
        if level > node.level:
            node.level, node.message = level, status.message
        node.values |= {v.key: v.value for v in status.values}
    return found
