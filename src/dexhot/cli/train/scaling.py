"""Train generalists of more and more demonstrations."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro

from dexhot.cli.arguments import at_least, options_of, shown


@dataclass
class Scaling:
    """Train generalists of nested subsets of a set, and judge each on clips that none was shown (DexTrack, figure 5); a
    run that was stopped goes on."""

    goes_on: ClassVar[bool] = True  # a run that was stopped

    set: Annotated[Path, tyro.conf.Positional, shown("FOLDER")]
    """Folder of `dexhot train demonstrations`, also while it grows: what is shown is drawn once."""
    out: Annotated[Path, shown("FOLDER")] = Path("scaling")
    """Folder of the run: networks, curve.json, curve.png, curve.html. Missing folders are created."""
    counts: tuple[int, ...] = (16, 64, 256, 1024)
    """Numbers of demonstrations; those that the set does not have are left out, and the report says so."""
    countings: tuple[Literal["mixed", "clips", "variations"], ...] = ("mixed", "clips", "variations")
    """Order in which demonstrations are counted: of all clips mixed; as many clips as there are, then a second of each;
    all variations of one clip, then of the next."""
    labels: int = 64
    """Demonstrations of each set of labels, by how they were made: replay, plans, plans averaged over searches, these
    with the sampling controller's answers (dagger), or every attempt at once, failures too; 0: none."""
    searches: int = 3
    """Searches whose mean an averaged label is."""
    asked: int = 2
    """Perturbed worlds per demonstration in which the sampling controller answers, for dagger."""
    held_out: float = 0.2
    """Fraction of the clips of which nothing is shown, at least one: the networks are judged on them."""
    split: Literal["held-out", "test"] = "held-out"
    """Clips to judge on; "test": GRAB's test clips too. Nothing is ever tuned on them."""
    trials: int = 10
    """Perturbed worlds (worlds_v2) per clip."""
    worlds: int = 8
    """Perturbed worlds in which each demonstration is shown."""
    updates: int = 10_000
    """Updates of each network, the same number for all."""
    seed: int = 0
    """Random seed."""
    workers: int = 0
    """Processes; 0: one per core."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Scaling) -> None:
    """Train and judge what is missing, and draw the curve."""
    from dexhot.cli.output import console, print_json
    from dexhot.errors import DexhotError, MissingExtraError
    from dexhot_train.mining.executor import run_jobs

    try:
        from dexhot_train.scaling.curve import run_scaling
        from dexhot_train.scaling.options import ScalingOptions, read_set
        from dexhot_train.scaling.page import page
    except ImportError as e:
        raise MissingExtraError("training a network", "train") from e
    at_least(0, seed=args.seed, workers=args.workers)
    at_least(1, trials=args.trials, worlds=args.worlds, updates=args.updates, counts=min(args.counts, default=1))
    at_least(1, asked=args.asked)
    at_least(2, searches=args.searches)
    if args.labels:
        at_least(2, labels=args.labels)
    if not 0.0 <= args.held_out < 1.0:
        raise DexhotError(f"--held-out must be from 0 to below 1, not {args.held_out}.")
    source = read_set(args.set)
    names = ("counts", "countings", "labels", "held_out", "trials", "worlds", "searches", "asked", "seed", "updates")
    options = ScalingOptions(**{name: getattr(args, name) for name in names})
    unsaid = ("set", "out", "workers", "json", "counts", "countings")
    words = ["dexhot train scaling", args.set.name, *options_of(args, unsaid)]
    words += ["--counts", *map(str, args.counts)] if args.counts != Scaling.counts else []
    words += ["--countings", *args.countings] if args.countings != Scaling.countings else []
    command = " ".join(words)
    say = lambda what: console.print(what, soft_wrap=True)  # noqa: E731
    run_here = partial(run_jobs, workers=args.workers)
    told = run_scaling(source, options, args.out, run_here, args.split, command, say)
    _show(told, args.split, args.json)
    console.print(f"written to {page(told, args.out)}", soft_wrap=True)
    if args.json:
        print_json({"folder": str(args.out), **told})


def _show(told: dict[str, Any], split: str, json_follows: bool) -> None:
    """Print the table of a split."""
    from rich.table import Table

    from dexhot.cli.output import results
    from dexhot_train.scaling.page import table

    head, *body = table(told, split)
    shown_table = Table(head[0], title=f"judged on: {split}", title_justify="left")
    for name in head[1:]:
        shown_table.add_column(name, justify="right", no_wrap=True)
    for row in body:
        shown_table.add_row(*row)
    results(json_follows).print(shown_table)
