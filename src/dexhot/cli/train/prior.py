"""Fit the prior of the controller `planned`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from dexhot.cli.arguments import at_least, shown


@dataclass
class Prior:
    """Fit the prior of the controller `planned` to averaged plans of training clips."""

    data: Literal["parametric", "grab"] = "parametric"
    """Training clips: generated ones, without terms, or GRAB's train split, whose terms (research only) the prior then
    has too."""
    out: Annotated[Path | None, shown("FILE")] = None
    """Prior to write; default: plan_prior_DATA.npz. Missing folders are created."""
    hand: Annotated[str, shown("HAND")] = "leap_right"
    """Robot hand whose plans are fitted, such as allegro_right."""
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
    from dexhot.data.files import check_out, file_of, save
    from dexhot.data.types import PlanPrior
    from dexhot.datasets.licences import require_acceptance
    from dexhot.progress import track
    from dexhot.robots.robot_hand import load_hand
    from dexhot_train.mining.executor import run_jobs
    from dexhot_train.prior import TERMS, PriorOptions, clips_for, fit_prior

    at_least(0, clips=args.clips, seed=args.seed, workers=args.workers)
    at_least(1, seeds=args.seeds, rollouts=args.rollouts)
    out = check_out(file_of(args.out or Path(f"plan_prior_{args.data}.npz"), PlanPrior), "dexhot/prior", args.force)
    if args.data != "parametric":
        terms, accepted = f"Terms of the data: {TERMS[args.data]}.", acceptance(args.data, args.accept_licence)
        require_acceptance(f"a prior from {args.data}", terms, accepted, f"--accept-licence {args.data}")
    load_hand(args.hand)  # before the work
    options = PriorOptions(args.data, args.seeds, args.rollouts, args.seed, args.clips, args.hand)
    count = len(clips_for(options))
    command = f"dexhot train prior --data {args.data} --seeds {args.seeds} --rollouts {args.rollouts}"
    command += f" --seed {args.seed}" + f" --clips {args.clips}" * bool(args.clips)
    command += f" --hand {args.hand}" * (args.hand != Prior.hand)
    shown_jobs = lambda function, jobs: track(run_jobs(function, jobs, args.workers), "searching", count)  # noqa: E731
    prior = fit_prior(options, shown_jobs, command)
    save(prior, out)
    shift, turn = 1e3 * prior.mean[:3], prior.mean[3:6] * 57.29578
    told = {
        "prior": str(out),
        "clips": f"{len(prior.training_data)} of {count}",
        "shift_mm": [round(float(x), 2) for x in shift],
        "turn_deg": [round(float(x), 2) for x in turn],
        "terms": prior.terms,
    }
    summary("prior over structured plans", told)
    for clip, why in prior.provenance["failed"].items():
        console.print(f"{clip}: {why}", highlight=False, soft_wrap=True)
    if args.json:
        print_json(told | {"training_data": prior.training_data})
    sys.stdout.flush()
