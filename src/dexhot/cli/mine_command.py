"""References -> Demonstrations: actions that make each motion happen in physics and survive perturbation."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from dexhot.cli.arguments import shown


@dataclass
class Args:
    """Mine one or many references."""

    references: Annotated[list[Path], tyro.conf.Positional, shown("REFERENCE ...")] = field(default_factory=list)
    """Reference files (.npz), of `dexhot retarget`."""
    out: Annotated[Path | None, shown("FILE|FOLDER")] = None
    """Where the Demonstration goes: a file for one reference, else a folder; by default beside each reference."""
    seed: int = 0
    """Of the search's noise and of its perturbed worlds."""
    samples: Annotated[int | None, shown("INT")] = None
    """Rollouts per iteration of a plan's first round (default: as `dexhot bench mine`); later rounds scale."""
    attempts: int = 2
    """While there is no strict success: a repair of the best plan, then searches with other seeds."""
    worlds: int = 5
    """Worlds that the first search plans for at once, the unperturbed one and, where the reference is placed, the arm
    rig among them; 1 leaves that search out."""
    workers: int = 0
    """Clips mined at the same time; 0: one per core."""
    executor: Literal["process", "ray"] = "process"
    """Where clips are mined: on this machine, or on a Ray cluster (RAY_ADDRESS; the files must be reachable there)."""
    json: bool = False
    """End with one JSON line."""


def run(args: Args) -> int:
    """Returns 0 when every clip was mined, whatever its scores; an interrupted run goes on where it stopped."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    from dexhot.cli.output import console, print_json
    from dexhot.data.files import load
    from dexhot.data.types import Demonstration
    from dexhot.errors import DexhotError
    from dexhot_train.clip_job import ClipJob, run_clip
    from dexhot_train.executor import run_jobs
    from dexhot_train.mining import MineOptions, with_samples

    if not args.references:
        raise DexhotError("no reference given; make one with `dexhot retarget CLIP` and pass its file.")
    options = MineOptions(seed=args.seed, attempts=args.attempts, worlds=args.worlds)
    options = with_samples(options, args.samples) if args.samples else options
    jobs = [ClipJob(path, out_path(path, args.out, len(args.references)), options) for path in args.references]
    results, columns = [], (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("mining", total=len(jobs))

        def show(stage: str, share: float) -> None:
            progress.update(task, description=f"mining: {stage}", completed=share)

        alone = len(jobs) == 1 and args.executor == "process"  # then in this process, where its stages can be seen
        done = ((job, run_clip(job, show)) for job in jobs)
        for job, result in done if alone else run_jobs(run_clip, jobs, args.workers, args.executor):
            progress.advance(task)
            if isinstance(result, Exception):
                console.print(f"[red]{job.reference}[/]: {result}")
                results.append({"reference": str(job.reference), "error": str(result)})
                continue
            scores = load(result, Demonstration).scores
            verdict = "[green]success[/]" if scores["success_strict"] else "[yellow]no strict success[/]"
            error = f"{scores['judged_T_cm']:.2f} cm, {scores['judged_R_deg']:.1f} deg"
            console.print(f"{result}: {verdict}, {error}, survives {scores['robustness']:.0%} of perturbed worlds")
            results.append({"reference": str(job.reference), "demonstration": str(result), **scores})
    if args.json:
        print_json({"results": results})
    return int(any("error" in result for result in results))


def out_path(reference: Path, out: Path | None, count: int) -> Path:
    """Where one reference's demonstration goes."""
    name = reference.name.removesuffix(".npz").removesuffix(".reference") + ".demonstration.npz"
    if out is None:
        return reference.with_name(name)
    return out if count == 1 and out.suffix == ".npz" else out / name
