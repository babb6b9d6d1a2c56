"""Train the generator of homotopy paths."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from dexhot.cli.arguments import at_least, options_of, shown


@dataclass
class PathGenerator:
    """Train the generator of homotopy paths: a conditional diffusion model of effective parents."""

    goes_on: ClassVar[bool] = True  # a run that was stopped

    paths: Annotated[list[Path], tyro.conf.Positional, shown("FOLDER ...")]
    """Folders of `dexhot train homotopy`: their effective paths are the pairs to tune on."""
    tasks: Annotated[tuple[Path, ...], shown("FOLDER ...")] = ()
    """Further folders of references and demonstrations, such as of `dexhot train demonstrations`, to pre-train on."""
    out: Annotated[Path, shown("FOLDER")] = Path("generator")
    """Folder of the training, which resumes there; generator.npz at the end. Missing folders are created."""
    pretraining: int = 2000
    """Updates on tasks."""
    tuning: int = 2000
    """Updates on pairs."""
    seed: int = 0
    """Random seed: the same one gives the same generator."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: PathGenerator) -> None:
    """Train the generator and save it."""
    from dexhot.cli.output import print_json, summary
    from dexhot.errors import MissingExtraError
    from dexhot.progress import progress

    try:
        from dexhot_train.curriculum.generator import GeneratorOptions, train_generator
    except ImportError as e:
        raise MissingExtraError("training a generator", "train") from e
    from dexhot_train.curriculum.task_data import pair_vectors, task_vectors

    at_least(0, pretraining=args.pretraining, seed=args.seed)
    at_least(1, tuning=args.tuning)
    options = GeneratorOptions(pretraining=args.pretraining, tuning=args.tuning, seed=args.seed)
    pairs, tasks = pair_vectors(args.paths), task_vectors([*args.paths, *args.tasks])
    words = ["dexhot train generator", *(path.name for path in args.paths)]
    words += [*options_of(args, ("paths", "tasks", "out", "json"))]
    words += ["--tasks", *(path.name for path in args.tasks)] if args.tasks else []
    with progress("training", counted=True) as job:
        train_generator(tasks, pairs, options, args.out, " ".join(words), job.says("training, "))
    told = {"generator": str(args.out / "generator.npz"), "tasks": len(tasks), "pairs": len(pairs)}
    summary("homotopy path generator", told)
    if args.json:
        print_json(told)
