"""Draw the learning curves of several trainings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from dexhot.cli.arguments import shown


@dataclass
class Curves:
    """Draw the learning curves of several trainings in one figure, over simulated control steps, mining counted in."""

    folders: Annotated[list[str], tyro.conf.Positional, shown("[NAME=]FOLDER[+MINED] ...")]
    """Folders of `dexhot train` tracker, baseline or flywheel, also while one goes on; +MINED: a folder of the
    demonstrations that it was trained on, whose control steps are counted first."""
    out: Annotated[Path, shown("FILE")] = Path("curves.html")
    """Page (.html) or picture (.png) to write. Missing folders are created."""
    force: bool = False
    """Overwrite a file that is not an earlier figure."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Curves) -> None:
    """Draw them, and tell the last values."""
    from dexhot.cli.output import console, print_json
    from dexhot.data.files import check_out
    from dexhot.errors import DexhotError
    from dexhot_train.learners.curves_page import draw, last, read_curve

    if args.out.suffix not in (".html", ".png"):
        raise DexhotError(f"--out {args.out} must end in .html or .png.")
    check_out(args.out, "dexhot/picture" if args.out.suffix == ".png" else "dexhot/page", args.force)
    curves = [read_curve(text) for text in args.folders]
    if not curves:
        raise DexhotError("give the folder of a training.")
    if len({curve.name for curve in curves}) < len(curves):
        raise DexhotError("two trainings have one name: NAME=FOLDER gives each its own.")
    written, told = draw(curves, args.out), {}
    for curve in curves:
        told[curve.name] = {"mined": curve.mined, **last(curve)}
        figures = ", ".join(f"{name} {value:.3g}" for name, value in last(curve).items() if value is not None)
        console.print(f"{curve.name}: {figures}; mined {curve.mined:,}", soft_wrap=True)
    console.print(f"written to {written}", soft_wrap=True)
    if args.json:
        print_json({"out": str(written), "curves": told})
