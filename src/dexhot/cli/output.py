"""Output of commands: on stdout what was asked for, or with --json one JSON object on its last line; all else on
stderr.

Text is printed as it is: file names may have square brackets, which rich would read as styles.
"""

import json
import os
import platform
import sys
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table
from rich.text import Text

console = Console(stderr=True, markup=False, highlight=False)  # progress, notes, and summaries of what was written
PASS, FAIL = Text("pass", "green"), Text("fail", "red")


def results(json_follows: bool) -> Console:
    """For what a command is asked to show and may be piped: stdout, where no terminal's width cuts it; with JSON
    stderr."""
    wide = None if sys.stdout.isatty() else 200
    return console if json_follows else Console(width=wide, markup=False, highlight=False)


def styled(what: str, style: str, rest: str = "") -> Text:
    """A line that begins in a style."""
    return Text.assemble((what, style), rest)


def summary(title: str, rows: dict[str, Any], to: Console = console) -> None:
    """Print a two-column table; long values wrap and are not cut."""
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(str(name), f"{value:.4g}" if isinstance(value, float) else str(value))
    to.print(table)


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
