"""Train the learned baselines of the evaluation: PPO without supervision, on the train clips of datasets."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import tyro

from dexhot.cli.arguments import shown
from dexhot.cli.train import tracker


@dataclass
class Baseline:
    """Train a learned baseline of `dexhot bench policy` and `dexhot bench dextrack`: PPO without demonstrations, on all
    train clips of GRAB or of other datasets. It goes on where it was stopped."""

    goes_on: ClassVar[bool] = True  # a run that was stopped

    reward: Annotated[Literal["tracking", "omnigrasp"], tyro.conf.Positional] = "tracking"
    """DexTrack's tracking reward, or OmniGrasp's."""
    data: tuple[Literal["grab", "grab-full", "taco", "parametric"], ...] = ("grab",)
    """Datasets on whose train splits it is trained; "grab-full taco" is a baseline of DexTrack's table 4."""
    hand: Annotated[str, shown("HAND")] = "leap_right"
    """Robot hand; allegro_right is the paper's in simulation."""
    profile: Annotated[str | None, shown("PROFILE")] = None
    """Profile of the finger servos (config/servos.yaml); default: the hand's own; dextrack is the paper's."""
    plain: bool = False
    """References by DexTrack's retargeting alone (eq. 5-7), as its tables have; default: ours, with contacts."""
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
            clips=list(args.data),
            out=baseline_folder(args.reward, args.data, args.hand, args.profile, args.plain),
            steps=args.steps,
            reward="omnigrasp" if args.reward == "omnigrasp" else "dextrack",
            imitation=0.0,
            hand=args.hand,
            profile=args.profile,
            plain=args.plain,
            seed=args.seed,
            workers=args.workers,
            trials=0,
            json=args.json,
        )
    )
