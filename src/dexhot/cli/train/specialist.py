"""Mine one clip and distil a network from it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import tyro

from dexhot.cli.arguments import at_least, policy_out, shown

if TYPE_CHECKING:
    from dexhot.data.types import Demonstration, Reference


@dataclass
class Specialist:
    """Mine one clip and distil a network that reacts to the observed object (controller:=policy), in minutes. Clips of
    a test split are refused."""

    goes_on: ClassVar[bool] = True  # a run that was stopped

    clip: Annotated[str, tyro.conf.Positional, shown("CLIP|FILE")]
    """grab/NAME or parametric/KIND-SHAPE-SEED, which is retargeted and placed, its reference written beside the
    network; or a file: the clip's reference, for which plans are searched, or its demonstration, which is then the
    teacher."""
    out: Annotated[Path | None, shown("FILE")] = None
    """Network to write (.onnx), its card beside it (.json); default: beside the file, or in the current folder. Missing
    folders are created."""
    hand: Annotated[str, shown("HAND")] = "leap_right"
    """Robot hand of a clip that is no file, such as allegro_right."""
    profile: Annotated[str | None, shown("PROFILE")] = None
    """Profile of the finger servos (config/servos.yaml) of a clip that is no file; default: the hand's own."""
    rounds: int = 2
    """Rounds in which the sampling controller answers in the states that the network visits (DAgger)."""
    worlds: int = 16
    """Perturbed worlds per round."""
    trials: int = 24
    """Further perturbed worlds, in which every round is judged."""
    searches: int = 3
    """Searches for a plan, averaged."""
    test_clip: bool = False
    """Train on a clip of a test split all the same, to run that clip on a robot: its results are not those of an unseen
    clip, and `dexhot evaluate` says so."""
    seed: int = 0
    """Random seed: the same one gives the same network on one machine."""
    workers: int = 0
    """Processes; 0: one per core."""
    force: bool = False
    """Overwrite an output file that is not a policy."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Specialist) -> None:
    """Train one, and export it with its card."""
    from dexhot.cli.output import console, print_json, summary
    from dexhot.control.time_warp import as_played
    from dexhot.data.files import check_out, save
    from dexhot.data.types import Demonstration
    from dexhot.datasets.library import is_file
    from dexhot.datasets.retargeted import retargeted_clip
    from dexhot.errors import DexhotError, MissingExtraError
    from dexhot.paths import cache_dir
    from dexhot.progress import progress
    from dexhot.retargeting.placement import place
    from dexhot.simulation.setup import load_setup
    from dexhot_train.curriculum.variations import held_out_split
    from dexhot_train.mining.executor import run_jobs
    from dexhot_train.terms import carried_terms, parent_of, sources

    try:
        from dexhot_train.learners.specialist import SpecialistOptions, lesson_key, save_specialist, train_specialist
    except ImportError as e:
        raise MissingExtraError("training a network", "train") from e
    at_least(0, rounds=args.rounds, seed=args.seed, workers=args.workers)
    at_least(1, worlds=args.worlds, trials=args.trials, searches=args.searches)
    file = Path(args.clip) if is_file(args.clip) else None
    item = _item(file, args) if file else None
    taught = item if isinstance(item, Demonstration) else None
    reference = item.reference if isinstance(item, Demonstration) else item
    name = reference.name if reference else args.clip
    split = held_out_split(parent_of(item) if item else args.clip, reference)
    if split and not args.test_clip:
        raise DexhotError(
            f"{name} is in the split {split}: nothing may be trained on it; choose a train clip, or, only to "
            "run this one on a robot, give --test-clip."
        )
    stem = Path(args.clip).name.removesuffix(".npz").removesuffix(".reference").removesuffix(".demonstration")
    out = policy_out(args.out or Path(file.parent if file else "") / f"{stem}.policy.onnx", args.force)
    if reference:
        setup = load_setup(reference)
    else:
        check_out(made := out.with_name(f"{stem}.reference.npz"), "dexhot/reference", args.force)
        with progress("retargeting, and placing within the arm's reach"):
            reference, setup = retargeted_clip(args.clip, args.hand, args.profile)
            save(reference := place(reference, setup.hand), made)
    reference, taught = as_played(reference, taught, setup.physics)
    options = SpecialistOptions(args.seed, args.worlds, args.trials, searches=args.searches, rounds=args.rounds)
    key = lesson_key(reference, setup, options, taught.actions if taught else None)
    folder = cache_dir() / "specialists" / f"{stem}-{key}"
    command = f"dexhot train specialist {file.name if file else args.clip}"
    command += f" --rounds {args.rounds} --worlds {args.worlds} --trials {args.trials} --searches {args.searches}"
    command += f" --seed {args.seed}" + f" --hand {args.hand}" * (args.hand != Specialist.hand)
    command += f" --profile {args.profile}" * bool(args.profile) + " --test-clip" * args.test_clip
    with progress("training", counted=True) as job:

        def say(what: str) -> None:
            console.print(what)
            job.stage(what)

        def run_here(function: Callable[[Any], Any], jobs: list[Any]) -> Iterator[tuple[Any, Any]]:
            for done, result in enumerate(run_jobs(function, jobs, args.workers), 1):
                job(done, len(jobs))
                yield result

        try:
            found = train_specialist(reference, setup, run_here, options, taught, folder, command, say)
        except ValueError as e:  # torch's of weights or options that cannot be
            raise DexhotError(f"training failed: {e}") from e
    found.card.terms = carried_terms(sources([taught or reference]), "policy")
    card = found.card
    card.provenance |= {"test_split": split} if split else {}
    path = save_specialist(found, out)
    told = {"policy": str(path), "clip": card.clip, "held_out": card.scores["held_out"]}
    told |= {"teacher": card.scores["teacher"], "rounds": card.scores["rounds"], "terms": card.terms or "none"}
    told |= {"control_steps": card.provenance["control_steps"], "seconds_cpu": card.provenance["seconds_cpu"]}
    summary("specialist", told)
    if split:
        console.print(
            f"{card.clip} is in the split {split}: this policy is for running it, its results are not those of an "
            "unseen clip.",
            soft_wrap=True,
        )
    if args.json:
        print_json(told)


def _item(file: Path, args: Specialist) -> "Reference | Demonstration":
    from dexhot.data.files import a, load
    from dexhot.data.types import Demonstration, Reference
    from dexhot.errors import DexhotError, FileFormatError

    item: Any = load(file)
    if not isinstance(item, Reference | Demonstration):
        raise FileFormatError(f"{file} holds {a(type(item))}; give a Reference or a Demonstration.")
    if args.hand != Specialist.hand or args.profile:
        raise DexhotError(f"{file} was retargeted for its own hand and servos: leave out --hand and --profile.")
    return item
