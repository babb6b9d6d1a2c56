"""What commands print: a summary for a person, and with --json one JSON object on the last line of stdout."""

import json
import os
import platform
import sys
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

console = Console(stderr=True)  # progress and summaries; stdout is left to --json


def summary(title: str, rows: dict[str, Any]) -> None:
    """A two-column table on the terminal; long values go on in the next line, whole."""
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(str(name), f"{value:.4g}" if isinstance(value, float) else str(value))
    console.print(table)


def listing(table: Table, json_follows: bool) -> None:
    """Print a table that is to be searched: on stdout, where no terminal cuts it; beside JSON on stderr."""
    wide = None if sys.stdout.isatty() else 200
    (console if json_follows else Console(width=wide)).print(table)


def print_json(value: dict[str, Any]) -> None:
    """One line; must be the last that a command prints."""
    print(json.dumps(value, default=lambda x: x.item() if hasattr(x, "item") else str(x)), flush=True)


def machine() -> dict[str, Any]:
    """What a benchmark figure was measured on."""
    return {
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def benchmark_line(bench: str, quick: bool, metrics: dict[str, Any], **extra: Any) -> dict[str, Any]:
    """The one JSON object of every benchmark: {"bench", "quick", "metrics", "machine", ...}."""
    return {"bench": bench, "quick": quick, "metrics": metrics, "machine": machine(), **extra}
