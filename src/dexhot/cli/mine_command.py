"""References -> Demonstrations: actions that make each motion succeed in physics, also under perturbation."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro

from dexhot.cli.arguments import at_least, shown


@dataclass
class Args:
    """Mine one or many references."""

    goes_on: ClassVar[bool] = True  # a run that was stopped

    references: Annotated[list[Path], tyro.conf.Positional, shown("REFERENCE ...")] = field(default_factory=list)
    """Reference files (.npz) from `dexhot retarget`, or demonstrations, such as from `dexhot teleop save`."""
    out: Annotated[Path | None, shown("FILE|FOLDER")] = None
    """Output Demonstration: a file for one reference, else a folder; by default beside each reference. Missing folders
    are created."""
    force: bool = False
    """Overwrite an output file that is not a Demonstration."""
    seed: int = 0
    """Random seed of the search noise and the perturbed worlds."""
    samples: Annotated[int | None, shown("INT")] = None
    """Rollouts per iteration in the first round (default: as `dexhot bench mine`); later rounds scale with it."""
    structured: int = 400
    """Rollouts of the search over structured plans, which comes first; 0 skips it."""
    attempts: int = 2
    """Number of attempts without a strict success: a repair of the best plan, then searches with other seeds."""
    worlds: int = 6
    """Worlds that the first search optimises jointly, including the unperturbed one and, if the reference is placed,
    the arm rig; 1 skips that search."""
    homotopy: int = 0
    """A clip that still fails is tried in other grasps, then along a path of this many easier tasks (shorter lift,
    lighter, thicker, slower); DexTrack has 3, 0 tries neither."""
    profile: Annotated[str | None, shown("PROFILE")] = None
    """Profile of the finger servos (config/servos.yaml); default: the one for which the reference was retargeted."""
    workers: int = 0
    """Clips mined in parallel; 0: one per core."""
    executor: Literal["process", "ray"] = "process"
    """Execution: on this machine, or on a Ray cluster (RAY_ADDRESS; the files must be reachable there)."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Args) -> int:
    """Returns 0 if every clip is a success, also on the arm where tested there, else 1; the table gives the reasons. An
    interrupted run resumes where it stopped."""
    from dexhot.cli.output import console, print_json
    from dexhot.data.files import check_out, load
    from dexhot.data.types import Demonstration
    from dexhot.errors import DexhotError
    from dexhot.progress import progress
    from dexhot.robots.servos import profile as servo_profile
    from dexhot_train.mining.clip_job import ClipJob, run_clip
    from dexhot_train.mining.executor import KilledError, run_jobs
    from dexhot_train.mining.mine import MineOptions, with_samples
    from dexhot_train.mining.verdict import NOT_MINED, REFUSED, ClipVerdict, totals, verdict

    if not args.references:
        raise DexhotError("no reference given; make one with `dexhot retarget CLIP` and pass its file.")
    at_least(
        0,
        seed=args.seed,
        structured=args.structured,
        attempts=args.attempts,
        workers=args.workers,
        homotopy=args.homotopy,
    )
    at_least(1, samples=args.samples, worlds=args.worlds)
    options = MineOptions(
        args.seed, structured=args.structured, attempts=args.attempts, worlds=args.worlds, homotopy=args.homotopy
    )
    options = with_samples(options, args.samples) if args.samples else options
    if args.profile:
        servo_profile(args.profile)  # before anything is mined
    jobs = [
        ClipJob(path, out_path(path, args.out, len(args.references)), options, args.profile) for path in args.references
    ]
    check_places([job.out for job in jobs])
    for job in jobs:
        check_out(job.out, "dexhot/demonstration", args.force)
    results: list[tuple[Path, ClipVerdict, dict[str, Any]]] = []
    with progress("mining", len(jobs)) as shown_progress:
        alone = len(jobs) == 1 and args.executor == "process"  # then in this process, which can show its stages

        def stages(stage: str, done: float, of: str | None = None) -> None:
            shown_progress(done, 1.0, f"mining, {stage}", of)

        done = ((job, run_clip(job, stages)) for job in jobs)
        for job, result in done if alone else run_jobs(run_clip, jobs, args.workers, args.executor):
            shown_progress.advance()
            if isinstance(result, Exception):
                outcome = NOT_MINED if isinstance(result, KilledError) else REFUSED
                why = str(as_one_sentence(result))
                found, facts = ClipVerdict(outcome, (), why), {"error": why}
            else:
                made = load(result, Demonstration)
                found, facts = verdict(made), {"demonstration": str(result), **made.scores}
            console.print(f"{job.reference}: {found.outcome}{': ' * bool(found.reason)}{found.reason}")
            results.append((job.reference, found, facts))
    results.sort(key=lambda result: args.references.index(result[0]))
    show_results(results)
    if args.json:
        rows = [
            {"reference": str(path), "verdict": v.outcome, "causes": v.causes, "reason": v.reason, **facts}
            for path, v, facts in results
        ]
        print_json({"results": rows, "totals": totals([v for _, v, _ in results])})
    return int(not all(v.success for _, v, _ in results))


def show_results(results: list[tuple[Path, Any, dict[str, Any]]]) -> None:
    """Print a row per clip, and the totals."""
    from rich.table import Table

    from dexhot.cli.output import console, styled, summary
    from dexhot_train.mining.verdict import NO_SUCCESS, NOT_MINED, NOT_ON_ARM, REFUSED, row, totals

    colours = {NO_SUCCESS: "red", REFUSED: "red", NOT_MINED: "yellow", NOT_ON_ARM: "yellow"}
    table = Table("reference", "result", "mean error", "held", "perturbed", "why", title="mined", title_justify="left")
    for path, found, facts in results:
        result, *cells = row(found, facts).values()
        colour = colours.get(found.outcome, "green")
        table.add_row(path.name.removesuffix(".npz"), styled(result, colour), *cells)
    console.print(table)
    if len(results) > 1:
        summary("total", totals([found for _, found, _ in results]))


def check_places(places: list[Path]) -> None:
    """Raise DexhotError if two references have the same output file."""
    from dexhot.errors import DexhotError

    if double := [str(place) for place in places if places.count(place) > 1]:
        raise DexhotError(
            f"{len(double)} references have the same output file {double[0]}; mine them separately, or omit --out: "
            "then each demonstration goes beside its reference."
        )


def as_one_sentence(error: Exception) -> Exception:
    """A worker's error as the command line prints errors: one sentence."""
    from dexhot.errors import os_error

    return os_error(error) if isinstance(error, OSError) else error


def out_path(reference: Path, out: Path | None, count: int) -> Path:
    """Output file of one reference's demonstration. Raises FileFormatError for a file of another suffix."""
    from dexhot.data.files import file_of
    from dexhot.data.types import Demonstration

    name = reference.name.removesuffix(".npz").removesuffix(".reference") + ".demonstration.npz"
    if out is None:
        return reference.with_name(name)
    if count == 1 and out.suffix and not out.is_dir():
        return file_of(out, Demonstration)
    return out / name
