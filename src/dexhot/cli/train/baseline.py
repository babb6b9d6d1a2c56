"""Train the learned baselines of the evaluation: PPO without supervision, on GRAB's train clips."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from dexhot.cli.train import tracker


@dataclass
class Baseline:
    """Train a learned baseline of `dexhot bench policy`: PPO without demonstrations, on all of GRAB's train clips. It
    goes on where it was stopped."""

    reward: Annotated[Literal["tracking", "omnigrasp"], tyro.conf.Positional] = "tracking"
    """DexTrack's tracking reward, or OmniGrasp's."""
    steps: int = 10_000_000
    """Control steps of all worlds in all; more than before goes on with a finished training."""
    seed: int = 0
    """Random seed."""
    workers: int = 0
    """Threads; 0: one per core."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Baseline) -> None:
    """Train it where the benchmark looks for it."""
    from dexhot_train.learners.baselines import baseline_folder

    tracker.run(
        tracker.Tracker(
            clips=["grab"],
            out=baseline_folder(args.reward),
            steps=args.steps,
            reward="omnigrasp" if args.reward == "omnigrasp" else "dextrack",
            imitation=0.0,
            seed=args.seed,
            workers=args.workers,
            trials=0,
            json=args.json,
        )
    )
