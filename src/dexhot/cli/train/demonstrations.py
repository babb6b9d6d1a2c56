"""Make demonstrations from variations of clips."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from dexhot.cli.arguments import at_least, options_of, shown


@dataclass
class Demonstrations:
    """Make a set of demonstrations from variations of clips; a run that was stopped goes on."""

    goes_on: ClassVar[bool] = True  # a run that was stopped

    clips: Annotated[list[str], tyro.conf.Positional, shown("CLIP ...")]
    """grab/NAME, other clips of the cache, parametric/KIND-SHAPE-SEED; "parametric" and "grab" stand for the training
    clips of `dexhot train prior`, the name of an imported dataset ("dexycb") for its own. Clips of a test split are
    refused."""
    out: Annotated[Path, shown("FOLDER")] = Path("demonstrations")
    """Folder of the set: demonstrations, ledger.jsonl, ledger.html. Missing folders are created."""
    per_clip: int = 10
    """Variations of each clip, fewer where they seldom succeed; more than before goes on with a finished set."""
    kinds: tuple[Literal["stretched", "warped", "regrasped", "loaded", "synthetic"], ...] = (
        "stretched",
        "warped",
        "regrasped",
        "loaded",
        "synthetic",
    )
    """Kinds of variations, in turn."""
    searches: int = 1
    """Searches by different seeds for each plan, which is then the mean of those that they find: a better label for a
    network, at as many times the cost."""
    hand: Annotated[str, shown("HAND")] = "leap_right"
    """Robot hand, such as allegro_right."""
    profile: Annotated[str | None, shown("PROFILE")] = None
    """Profile of the finger servos (config/servos.yaml); default: the hand's own."""
    seed: int = 0
    """Random seed of the first variation of each clip."""
    workers: int = 0
    """Attempts in parallel; 0: one per core."""
    executor: Literal["process", "ray"] = "process"
    """Execution: on this machine, or on a Ray cluster (RAY_ADDRESS; the folder must be reachable there)."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Demonstrations) -> None:
    """Make the set, with its ledger and page."""
    from dexhot.cli.output import print_json
    from dexhot.cli.train.ledger import show_ledger
    from dexhot.errors import DexhotError
    from dexhot.progress import progress
    from dexhot.robots.robot_hand import load_hand
    from dexhot.robots.servos import profile as servo_profile
    from dexhot_train.curriculum.data_engine import EngineOptions, make_set
    from dexhot_train.curriculum.ledger import by_kind, page
    from dexhot_train.curriculum.variations import training_clips

    at_least(0, per_clip=args.per_clip, seed=args.seed, workers=args.workers)
    at_least(1, searches=args.searches)
    if not args.kinds:
        raise DexhotError("--kinds needs at least one kind of variation.")
    load_hand(args.hand)  # before anything is mined
    if args.profile:
        servo_profile(args.profile)
    same = {name: getattr(args, name) for name in ("per_clip", "searches", "hand", "profile", "seed")}
    options = EngineOptions(kinds=tuple(args.kinds), **same)
    words = [
        "dexhot train demonstrations",
        *args.clips,
        *options_of(args, ("clips", "out", "json", "workers", "kinds")),
    ]
    command = " ".join([*words, *(("--kinds", *args.kinds) if args.kinds != Demonstrations.kinds else ())])
    with progress("demonstrations", counted=True) as job:
        ledger = make_set(
            training_clips(args.clips), options, args.out, command, args.workers, args.executor, job.says()
        )
    written = page(args.out, f"Demonstrations in {args.out.name}")
    show_ledger(ledger.rows, written)
    if args.json:
        print_json({"folder": str(args.out), "figures": by_kind(ledger.rows), "page": str(written)})
    sys.stdout.flush()
