"""What the nodes of a recorded run measured about themselves: a row per loop and per latency, from /diagnostics."""

from pathlib import Path
from typing import Any

from dexhot.data import bags
from dexhot.data.diagnostics import by_node
from dexhot.data.topics import DIAGNOSTICS

MEASURED = ("p50_ms", "p99_ms", "max_ms")


def loop_table(bag: str | Path) -> list[dict[str, Any]]:
    """Rows {"node", "measured", "p50_ms", "p99_ms", "max_ms", ...}; a loop's also hold rate, ticks on time, overruns.

    The last diagnostics of each node while it was active count, because they cover the whole run.
    """
    newest: dict[str, dict[str, str]] = {}
    for _, _, message in bags.messages(Path(bag), {DIAGNOSTICS}):
        for node, status in by_node(message).items():
            if status.values.get("state") == "active":
                newest[node] = status.values
    return [row for node, values in sorted(newest.items()) for row in node_rows(node, values)]


def node_rows(node: str, values: dict[str, str]) -> list[dict[str, Any]]:
    """The rows of one node's diagnostic values."""
    rows = []
    for key in values:
        name, _, last = key.rpartition(".")
        if last != "p50_ms" or name.endswith(".body") or values.get(f"{name}.count") == "0":
            continue
        row: dict[str, Any] = {"node": node, "measured": name.replace("_", " ").replace(".", ": ")}
        row |= {column: float(values[f"{name}.{column}"]) for column in MEASURED}
        loop = name.removesuffix(".lateness")
        if loop != name:
            row["rate_hz"] = float(values[f"{loop}.rate_hz"])
            row["ticks_on_time"] = f"{100 * float(values[f'{loop}.tick_ok_fraction']):.2f} %"
            row["overruns"] = int(values[f"{loop}.overruns"])
        rows.append(row)
    return rows
