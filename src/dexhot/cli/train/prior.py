"""Fit the prior of the controller `planned`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from dexhot.cli.arguments import at_least, options_of, policy_out, shown


@dataclass
class Prior:
    """Fit the prior of the controller `planned` to tries of structured plans on training clips."""

    goes_on: ClassVar[bool] = True  # a run that was stopped

    data: Literal["parametric", "grab"] = "parametric"
    """Training clips: generated ones, without terms, or GRAB's train split, whose terms (research only) the prior then
    has too."""
    kind: Literal["constant", "gaussian", "library", "flow", "flow_of_tries"] = "gaussian"
    """The mean plan; a Gaussian; the plans of the clips most alike; flow matching on averaged plans, or on all tries by
    what they are worth."""
    hand: str = "leap_right"
    """Robot hand (`dexhot hand list`)."""
    sets: Annotated[tuple[Path, ...], shown("FOLDER")] = ()
    """Folders of further references or demonstrations to search on, as of `dexhot train demonstrations`."""
    out: Annotated[Path | None, shown("FILE")] = None
    """Prior to write, .onnx, its card beside it; default: plan_prior_DATA.onnx. Missing folders are created."""
    seeds: int = 3
    """Searches per clip, averaged."""
    rollouts: int = 168
    """Simulated rollouts of each search."""
    clips: int = 0
    """Only the first clips; 0: all."""
    seed: int = 0
    """Random seed of the first search."""
    workers: int = 0
    """Clips in parallel; 0: one per core."""
    accept_licence: Annotated[str | None, shown("DATASET")] = None
    """Accept the licence terms of this dataset; otherwise you are asked on the terminal."""
    force: bool = False
    """Overwrite an output file of another kind."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Prior) -> None:
    """Fit the prior and save it."""
    from dexhot.cli.datasets_command import acceptance
    from dexhot.cli.output import console, print_json, summary
    from dexhot.datasets.licences import require_acceptance
    from dexhot.errors import MissingExtraError
    from dexhot.progress import track
    from dexhot.robots.robot_hand import load_hand
    from dexhot_train.mining.executor import run_jobs
    from dexhot_train.terms import grab_terms

    try:
        from dexhot_train.prior.fit import PriorOptions, export_prior, fit_prior
        from dexhot_train.prior.tries import TryOptions, clips_for
    except ImportError as e:
        raise MissingExtraError("fitting a prior", "train") from e
    at_least(0, clips=args.clips, seed=args.seed, workers=args.workers)
    at_least(1, seeds=args.seeds, rollouts=args.rollouts)
    out = policy_out(args.out or Path(f"plan_prior_{args.data}"), args.force, "dexhot/prior")
    if args.data != "parametric":
        terms, accepted = "Terms of the data: " + grab_terms("prior") + ".", acceptance(args.data, args.accept_licence)
        require_acceptance(f"a prior from {args.data}", terms, accepted, f"--accept-licence {args.data}")
    sets = tuple(str(folder) for folder in args.sets)
    tries = TryOptions(args.data, sets, args.hand, args.seeds, args.rollouts, args.seed, args.clips)
    load_hand(args.hand)  # refused before the work
    count = len(clips_for(tries))
    unsaid = ("out", "workers", "accept_licence", "force", "json", "sets")
    told_sets = ["--sets", *(folder.name for folder in args.sets)] if args.sets else []
    command = " ".join(["dexhot train prior", *options_of(args, unsaid), *told_sets])
    shown_jobs = lambda function, jobs: track(run_jobs(function, jobs, args.workers), "searching", count)  # noqa: E731
    fitted = fit_prior(PriorOptions(args.kind, tries), shown_jobs, command)
    card, path = fitted.card, export_prior(fitted, out)
    told = {"prior": str(path), "kind": card.kind, "clips": f"{len(card.training_data)} of {count}"}
    told |= {"tries": str(card.provenance["tries"]), "terms": card.terms}
    summary("prior over structured plans", told)
    for clip, why in card.provenance["failed"].items():
        console.print(f"{clip}: {why}", soft_wrap=True)
    if args.json:
        print_json(told | {"training_data": card.training_data})
    sys.stdout.flush()
