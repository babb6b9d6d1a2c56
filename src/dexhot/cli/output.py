"""Output of commands: a readable summary, and with --json one JSON object on the last line of stdout."""

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
    """Print a two-column table; long values wrap and are not cut."""
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(str(name), f"{value:.4g}" if isinstance(value, float) else str(value))
    console.print(table)


def listing(table: Table, json_follows: bool) -> None:
    """Print a table that may be piped: on stdout, where no terminal width cuts it; with JSON on stderr."""
    wide = None if sys.stdout.isatty() else 200
    (console if json_follows else Console(width=wide)).print(table)


def print_json(value: dict[str, Any]) -> None:
    """Print one line; must be a command's last output."""
    print(json.dumps(value, default=lambda x: x.item() if hasattr(x, "item") else str(x)), flush=True)


def machine() -> dict[str, Any]:
    """Description of this machine, for benchmark figures."""
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
