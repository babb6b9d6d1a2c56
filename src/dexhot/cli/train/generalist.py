"""Clone one network from the demonstrations of many clips."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar

import tyro

from dexhot.cli.arguments import at_least, options_of, policy_out, shown


@dataclass
class Generalist:
    """Clone one network from the demonstrations of many clips, for clips that it is not shown (controller:=policy)."""

    goes_on: ClassVar[bool] = True  # a run that was stopped

    demonstrations: Annotated[list[Path], tyro.conf.Positional, shown("FILE|FOLDER ...")]
    """Demonstrations, or folders of them: of `dexhot train demonstrations`, `dexhot mine`. Those of a test split are
    refused."""
    out: Annotated[Path, shown("FILE")] = Path("generalist.onnx")
    """Network to write (.onnx), its card beside it (.json). Missing folders are created."""
    worlds: int = 8
    """Perturbed worlds in which each demonstration is shown."""
    trials: int = 8
    """Perturbed worlds in which the network is tried on each demonstration that is held out."""
    held_out: float = 0.1
    """Fraction of the clips whose demonstrations are held out, at least one clip."""
    feedback: bool = False
    """Train the feedback on plans instead (controller:=planned feedback:=FILE): the demonstrations' actions are played
    back, or for references what `planned` chooses, and the sampling controller is asked in each world (minutes)."""
    rounds: int | None = None
    """Rounds in which the sampling controller answers in the states that the network visits (DAgger), minutes each;
    default: 0, for feedback 1."""
    rollouts: int = 160
    """Feedback: rollouts of `planned` for a reference."""
    seed: int = 0
    """Random seed: the same one gives the same network on one machine."""
    workers: int = 0
    """Processes; 0: one per core."""
    force: bool = False
    """Overwrite an output file that is not a policy."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Generalist) -> None:
    """Train one, and export it with its card."""
    from dexhot.cli.output import console, print_json, summary
    from dexhot.data.files import kind_of
    from dexhot.errors import DexhotError, MissingExtraError
    from dexhot.paths import cache_dir
    from dexhot.versions import source_hash
    from dexhot_train.mining.executor import run_jobs

    try:
        from dexhot_train.export import export_policy
        from dexhot_train.learners.feedback import FeedbackOptions, train_feedback
        from dexhot_train.learners.generalist import GeneralistOptions, train_generalist, training_key
    except ImportError as e:
        raise MissingExtraError("training a network", "train") from e
    at_least(0, seed=args.seed, workers=args.workers, rounds=args.rounds or 0)
    at_least(1, worlds=args.worlds, trials=args.trials)
    if not 0.0 <= args.held_out < 1.0:
        raise DexhotError(f"--held-out must be from 0 to below 1, not {args.held_out}.")
    out = policy_out(args.out, args.force)
    files, kinds = [], ["dexhot/demonstration", *(["dexhot/reference"] if args.feedback else [])]
    for given in args.demonstrations:
        if not given.exists():
            raise DexhotError(f"{given} does not exist: give demonstrations, or folders of them.")
        inside = sorted(given.glob("*.npz")) if given.is_dir() else [given]
        files += [path for path in inside if not given.is_dir() or kind_of(path) in kinds]
    budget: dict[str, Any] = {name: getattr(args, name) for name in ("seed", "worlds", "trials", "held_out")}
    budget |= {} if args.rounds is None else {"rounds": args.rounds}
    options = FeedbackOptions(**budget, rollouts=args.rollouts) if args.feedback else GeneralistOptions(**budget)
    folder = cache_dir() / "generalists" / training_key(files, options, source_hash())
    unsaid = ("demonstrations", "out", "workers", "force", "json")
    command = " ".join(["dexhot train generalist", *(p.name for p in args.demonstrations), *options_of(args, unsaid)])
    say = lambda what: console.print(what)  # noqa: E731
    run_here = partial(run_jobs, workers=args.workers)
    if isinstance(options, FeedbackOptions):
        found = train_feedback(files, run_here, options, folder, command, say)
    else:
        found = train_generalist(files, run_here, options, folder, command, say)
    card = found.card
    told = {"policy": str(export_policy(found.network, card, out)), "demonstrations": len(card.training_data)}
    told |= {f"held_out_{name}": value for name, value in card.scores["held_out"].items()}
    told |= {"terms": card.terms or "none", "control_steps": card.provenance["control_steps"]}
    summary("feedback" if args.feedback else "generalist", told)
    if args.json:
        print_json(told)
