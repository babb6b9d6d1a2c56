"""Report the runs of pose trajectory following."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from dexhot.cli.arguments import shown


@dataclass
class FollowingReport:
    """Draw success over samples of the runs of `dexhot train ptf`, and list them beside the paper's results."""

    folder: Annotated[Path, tyro.conf.Positional, shown("FOLDER")]
    """Folder of the runs, also while one goes on."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: FollowingReport) -> None:
    """Write the page and print the rows."""
    from dexhot.cli.output import console, print_json
    from dexhot.errors import MissingExtraError

    try:
        from dexhot_train.learners.following_page import page, read_runs, table
    except ImportError as e:
        raise MissingExtraError("reading trainings", "train") from e
    written, rows = page(args.folder), table(read_runs(args.folder))
    for row in rows:
        name = f"{row['task']}, {row['hand']}, {row['method']}"
        ours = row["success"] if isinstance(row["success"], str) else f"{row['success']:.2f} at {row['steps']} steps"
        console.print(f"{name}: {ours} (paper: {row['paper']})", soft_wrap=True)
    console.print(f"written to {written}", soft_wrap=True)
    if args.json:
        print_json({"folder": str(args.folder), "rows": rows, "page": str(written)})
