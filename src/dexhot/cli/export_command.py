"""Export demonstrations to other projects' formats."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from dexhot.cli.arguments import shown


@dataclass
class Args:
    """Write demonstrations as a dataset of another project."""

    demonstrations: Annotated[list[Path], tyro.conf.Positional, shown("DEMONSTRATION ...")]
    """Demonstration files (.npz), an episode each."""
    to: Literal["lerobot"]
    """lerobot: a LeRobot v3.0 dataset, without images."""
    out: Annotated[Path | None, shown("FOLDER")] = None
    """New folder of the dataset; default: demonstrations.lerobot. Missing folders are created."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Args) -> None:
    """Export them."""
    from dexhot.cli.output import print_json, summary
    from dexhot.data.files import load
    from dexhot.data.lerobot import export_lerobot
    from dexhot.data.types import Demonstration

    items = [load(path, Demonstration) for path in args.demonstrations]
    folder = export_lerobot(items, args.out or Path("demonstrations.lerobot"))
    told = {"dataset": str(folder), "episodes": len(items), "frames": sum(len(d.actions) for d in items)}
    summary("LeRobot dataset", told)
    if args.json:
        print_json(told)
