"""Solve clips along paths of easier tasks or of neighbours."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from dexhot.cli.arguments import at_least, options_of, shown


@dataclass
class Homotopy:
    """Solve clips along paths of easier tasks or of neighbours (DexTrack, section 3.2), beside the same optimiser
    without a path, within equal budgets; a run that was stopped goes on."""

    goes_on: ClassVar[bool] = True  # a run that was stopped

    clips: Annotated[list[str], tyro.conf.Positional, shown("CLIP ...")]
    """grab/NAME, other clips of the cache, parametric/KIND-SHAPE-SEED, or files of references."""
    out: Annotated[Path, shown("FOLDER")] = Path("paths")
    """Folder of results, references of effective parents, ledger.jsonl and ledger.html. Missing folders are created."""
    criterion: Literal["synthesised", "continuation", "regrasped", "neighbours", "generated"] = "synthesised"
    """Parents: the clip itself made easier, at K grades or by steps that adapt, 1/K at most, or in another grasp; the
    nearest clips whose result is a better baseline; or drawn from --generator."""
    generator: Annotated[Path | None, shown("FILE")] = None
    """generated: generator.npz of `dexhot train generator`."""
    hand: Annotated[str, shown("HAND")] = "leap_right"
    """Robot hand of clips that are no files, such as allegro_right."""
    plain: bool = False
    """References by DexTrack's retargeting alone (eq. 5-7), as its tables have; default: ours, with contacts."""
    budget: int = 120_000
    """Simulated control steps per clip: of a path in all, and of the optimiser without one."""
    tasks: int = 3
    """Parents on a path (K); with continuation, 1/K is the largest step; among neighbours, iterations over the set."""
    neighbours: int = 10
    """Nearest clips among which parents are searched."""
    easier: tuple[Literal["lift", "mass", "thickness", "time"], ...] = ("lift", "mass", "thickness", "time")
    """How a synthesised parent is easier: a shorter lift, lighter, thicker, slower."""
    grasps: int = 8
    """Other grasps that are tried (regrasped)."""
    whole_budget: bool = False
    """Lower the error with the whole budget, as the paper compares; otherwise a strict success ends an optimisation."""
    seed: int = 0
    """Random seed of the optimiser."""
    workers: int = 0
    """Clips in parallel; 0: one per core."""
    executor: Literal["process", "ray"] = "process"
    """Execution: on this machine, or on a Ray cluster (RAY_ADDRESS; the folder must be reachable there)."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Homotopy) -> int:
    """Search the paths, and tell which were effective. Returns 1 where every clip was refused."""
    from dexhot.cli.output import console, print_json, summary
    from dexhot.errors import DexhotError, FileFormatError
    from dexhot.progress import progress
    from dexhot.robots.robot_hand import load_hand
    from dexhot_train.curriculum.homotopy import HomotopyOptions
    from dexhot_train.curriculum.ledger import page
    from dexhot_train.curriculum.path_search import path_figures, search_paths
    from dexhot_train.curriculum.variations import training_clips

    at_least(0, seed=args.seed, workers=args.workers)
    at_least(1, budget=args.budget, tasks=args.tasks, neighbours=args.neighbours, grasps=args.grasps)
    load_hand(args.hand)  # before the work
    if not args.easier:
        raise DexhotError("--easier needs at least one of lift, mass, thickness, time.")
    how = tuple(args.easier)
    k, near, stop = args.tasks, args.neighbours, not args.whole_budget
    options = HomotopyOptions(args.budget, k, near, how, args.grasps, stop, seed=args.seed)
    words = ["dexhot train homotopy", *(Path(clip).name if clip.endswith(".npz") else clip for clip in args.clips)]
    command = " ".join([*words, *options_of(args, ("clips", "out", "json", "workers", "generator", "easier"))])
    command += f" --generator {args.generator.name}" if args.generator else ""
    command += f" --easier {' '.join(how)}" if how != Homotopy.easier else ""
    if args.generator and not args.generator.is_file():
        raise FileFormatError(f"{args.generator} does not exist; train one with `dexhot train generator`.")
    with progress("paths", counted=True) as job:
        clips = training_clips(args.clips)
        where = args.workers, args.executor, job.says(), args.generator, args.hand, args.plain
        ledger = search_paths(clips, args.criterion, options, args.out, command, *where)
    for row in ledger.rows:
        told = f"{row['error_direct']:.3f} -> {row['error']:.3f}" if "error" in row else row["reason"]
        console.print(f"{row['name']}: {row['verdict']}, {told}", soft_wrap=True)
    figures = path_figures(ledger.rows)
    summary(f"homotopy paths, {args.criterion}", figures)
    console.print(f"written to {page(args.out, f'Paths in {args.out.name}')}", soft_wrap=True)
    if args.json:
        print_json({"folder": str(args.out), "figures": figures, "rows": ledger.rows})
    return 0 if figures["clips"] else 1
