"""Learn a pick-up from one demonstration by pose trajectory following."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from dexhot.cli.arguments import at_least, options_of, shown


@dataclass
class PoseFollowing:
    """Learn to pick an object up from one demonstration by pose trajectory following (TF-HOT), or by a method that it
    is compared with."""

    goes_on: ClassVar[bool] = True  # a run that was stopped

    task: Annotated[Literal["banana", "elephant", "can"], tyro.conf.Positional]
    """Object to pick up; banana and elephant need GRAB's clips."""
    hand: Literal["leap_right", "six_motor_right"] = "leap_right"
    """Robot hand; six_motor_right is like the paper's Inspire hand."""
    method: Literal["ptf", "sparse", "dense", "imitation"] = "ptf"
    """Progress reward beside the sparse one; PPO with the sparse or the dense reward; state-only imitation."""
    demonstration: Annotated[Path | None, shown("FILE")] = None
    """Trajectory with the same object, such as `dexhot fit` recovers from a video; default: the task's mocap clip."""
    steps: int = 2_000_000
    """Control steps of all worlds in all; more than before goes on with a finished training."""
    worlds: int = 512
    """Worlds stepped together."""
    episodes: int = 100
    """Held-out starts of the evaluation at the end; 0: none."""
    backend: Literal["mujoco", "warp"] = "mujoco"
    """Simulator of the training: MuJoCo on all cores, or MuJoCo Warp on the first GPU."""
    out: Annotated[Path, shown("FOLDER")] = Path("ptf")
    """Folder of the runs; each has its own in it, TASK-HAND-METHOD-SEED, and resumes there. Missing folders are
    created."""
    seed: int = 0
    """Random seed: the same one gives the same curve on one machine. The paper has four."""
    workers: int = 0
    """Threads; 0: one per core."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: PoseFollowing) -> None:
    """Train, and try the policy from held-out starts."""
    import os

    from dexhot.cli.output import console, print_json, summary
    from dexhot.errors import MissingExtraError
    from dexhot.progress import progress

    try:
        from dexhot_train.learners.pose_following import FollowingTraining, train_pickup
    except ImportError as e:
        raise MissingExtraError("training a policy", "train") from e
    from dexhot_train.task.backends import without_gpu
    from dexhot_train.task.pickup_clips import load_pickup

    at_least(0, seed=args.seed, workers=args.workers, episodes=args.episodes)
    at_least(1, steps=args.steps, worlds=args.worlds)
    words = ["dexhot train ptf", args.task, *options_of(args, ("task", "out", "json", "workers", "demonstration"))]
    words += [f"--demonstration {args.demonstration.name}"] if args.demonstration else []
    pickup = load_pickup(args.task, args.hand, args.demonstration)
    options = FollowingTraining(args.method, args.worlds, args.steps, args.seed, backend=args.backend)
    folder = args.out / f"{args.task}-{args.hand}-{args.method}-{args.seed}"
    threads = args.workers or os.cpu_count() or 1
    if slow := without_gpu(args.backend):
        console.print(slow, soft_wrap=True)
    with progress("training", counted=True) as job:
        told = train_pickup(pickup, options, folder, " ".join(words), threads, args.episodes, job.says("training, "))
    summary("pose trajectory following", {name: value for name, value in told.items() if name != "last"})
    if args.json:
        print_json(told)
    sys.stdout.flush()
