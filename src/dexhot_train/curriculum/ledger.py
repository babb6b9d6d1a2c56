"""The ledger of a set of demonstrations: a JSON line per attempt, appended as it ends: what was mined, by what, at what
cost, with which verdict. A set is resumed from it, and a person reads its summary."""

import time
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from dexhot.data.files import write_text
from dexhot.data.json_lines import add_line, read_lines
from dexhot.errors import FileFormatError
from dexhot.progress import duration
from dexhot.report.html import html_table, plain_page

LEDGER, PAGE = "ledger.jsonl", "ledger.html"
MADE, NO_SUCCESS, REFUSED = "demonstration", "no success", "refused"  # verdicts
EFFECTIVE, NOT_EFFECTIVE = "effective", "not effective"  # those on homotopy paths
TRAINED = "trained"  # a network, not an attempt: not among the figures
REPLAY, PARENT, SEARCH, AVERAGED = "replay", "parent's plan", "search", "mean of searches"  # by what
NEEDED = ("name", "parent", "kind", "verdict", "seconds_cpu", "control_steps")


class Ledger:
    """The rows of a folder's ledger."""

    def __init__(self, folder: Path):
        """Reads what is there. Raises FileFormatError for a damaged ledger."""
        self.path = folder / LEDGER
        self.rows = read(self.path)

    @property
    def names(self) -> set[str]:
        """Of the attempts that ended."""
        return {row["name"] for row in self.rows}

    def add(self, row: dict[str, Any]) -> None:
        """Append a row, stamped with the time."""
        row = {**row, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        self.rows.append(row)
        add_line(self.path, row)


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a ledger; [] for none. Raises FileFormatError."""
    rows = read_lines(path, dict, "remove the line, its attempt is then repeated")
    for number, row in enumerate(rows, 1):
        if missing := [name for name in NEEDED if name not in row]:
            raise FileFormatError(f"{path}, line {number} lacks {', '.join(missing)}; it is not a ledger of dexhot.")
    return rows


def figures(rows: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """Attempts, demonstrations (of paths: effective ones), yield, CPU seconds, control steps, demonstrations per
    core-hour, distinct objects, and demonstrations by the bare reference, without a plan."""
    rows = [row for row in rows if row["verdict"] != TRAINED]
    made = [row for row in rows if row["verdict"] in (MADE, EFFECTIVE)]
    seconds = sum(row["seconds_cpu"] for row in rows)
    return {
        "attempts": len(rows),
        "demonstrations": len(made),
        "yield": len(made) / len(rows) if rows else None,
        "seconds_cpu": seconds,
        "control_steps": sum(row["control_steps"] for row in rows),
        "demonstrations_per_core_hour": 3600 * len(made) / seconds if seconds else None,
        "objects": len({row["object"] for row in made if row.get("object")}),
        "replayed": sum(row.get("by") == REPLAY for row in made),
    }


def by_kind(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """The figures of each kind of attempt, in the order of their first row, and of all."""
    kinds = dict.fromkeys(row["kind"] for row in rows if row["verdict"] != TRAINED)
    return {kind: figures([row for row in rows if row["kind"] == kind]) for kind in kinds} | {"all": figures(rows)}


def table(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Head and rows of text: the figures of each kind."""
    head = ["kind", "tried", "made", "yield", "replayed", "objects", "CPU time", "CPU s each", "per core-hour"]
    out = [head]
    for kind, f in by_kind(rows).items():
        tried, seconds = f["attempts"] or 0, f["seconds_cpu"] or 0.0
        share, rate = f["yield"], f["demonstrations_per_core_hour"]
        counts = [str(f[name]) for name in ("attempts", "demonstrations")]
        more = [f"{share:.0%}" if share is not None else "", str(f["replayed"]), str(f["objects"])]
        cost = [duration(seconds), f"{seconds / tried:.1f}" if tried else "", f"{rate:.0f}" if rate else ""]
        out.append([kind, *counts, *more, *cost])
    return out


def page(folder: Path, title: str) -> Path:
    """Write the ledger's page, a single file without scripts; returns it."""
    rows = read(folder / LEDGER)
    shown = ("name", "verdict", "by", "robustness", "error", "seconds_cpu", "reason")
    heads = [{"seconds_cpu": "CPU s"}.get(name, name) for name in shown]
    attempts = [heads] + [[escape(_cell(row.get(name))) for name in shown] for row in rows]
    counts = [[escape(cell) for cell in row] for row in table(rows)]
    body = f"<h2>By kind</h2>{html_table(counts, [''] + ['n'] * 8)}"
    body += f"<h2>Attempts</h2>{html_table(attempts, ['', '', '', 'n', 'n', 'n', ''])}"
    return write_text(folder / PAGE, plain_page(title, body))


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)
