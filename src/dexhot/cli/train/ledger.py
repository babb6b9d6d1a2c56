"""Summarise what was mined."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from dexhot.cli.arguments import shown


@dataclass
class LedgerPage:
    """Summarise what was mined: attempts, yield and cost of each kind, and a page with every attempt."""

    folder: Annotated[Path, tyro.conf.Positional, shown("FOLDER")]
    """Folder of `dexhot train demonstrations`, homotopy or flywheel, also while it runs."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: LedgerPage) -> None:
    """Tell what was mined, and write the page."""
    from dexhot.cli.output import print_json
    from dexhot.errors import FileFormatError
    from dexhot_train.curriculum.ledger import LEDGER, by_kind, page, read

    if not (args.folder / LEDGER).is_file():
        raise FileFormatError(
            f"{args.folder} has no {LEDGER}; give a folder of `dexhot train` demonstrations, homotopy or flywheel."
        )
    rows, written = read(args.folder / LEDGER), page(args.folder, f"Ledger of {args.folder.name}")
    show_ledger(rows, written)
    if args.json:
        print_json({"folder": str(args.folder), "figures": by_kind(rows), "page": str(written)})


def show_ledger(rows: list[dict[str, Any]], written: Path) -> None:
    """Print the ledger's table, and where its page is."""
    from rich.table import Table

    from dexhot.cli.output import console
    from dexhot_train.curriculum.ledger import table

    head, *body = table(rows)
    shown_table = Table(head[0], title="ledger", title_justify="left")
    for name in head[1:]:
        shown_table.add_column(name, justify="right")
    for row in body:
        shown_table.add_row(*row)
    console.print(shown_table)
    console.print(f"written to {written}", soft_wrap=True)
