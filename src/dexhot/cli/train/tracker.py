"""Train a network that tracks several clips."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro

from dexhot.cli.arguments import at_least, options_of, shown


@dataclass
class Tracker:
    """Train a network that tracks several clips, by PPO with imitation (DexTrack, section 3.1)."""

    goes_on: ClassVar[bool] = True  # a run that was stopped

    clips: Annotated[list[str], tyro.conf.Positional, shown("CLIP ...")]
    """grab/NAME, parametric/KIND-SHAPE-SEED, or files: references, or demonstrations, which are imitated too. "grab"
    stands for GRAB's train split, "parametric" for generated clips."""
    out: Annotated[Path, shown("FOLDER")] = Path("tracker")
    """Folder of the training, which resumes there. Missing folders are created."""
    steps: int = 2_000_000
    """Control steps of all worlds in all; more than before goes on with a finished training."""
    worlds: int = 128
    """Worlds stepped together."""
    action: Literal["residual", "cumulative"] = "residual"
    """Action space about the reference's targets."""
    layout: Literal["dextrack", "encoded", "egocentric"] = "dextrack"
    """What the policy observes; encoded: DexTrack's with the object's feature (--encoder)."""
    encoder: Annotated[Path | None, shown("FILE")] = None
    """Object encoder of `dexhot train object-encoder`, for --layout encoded."""
    reward: Literal["dextrack", "omnigrasp"] = "dextrack"
    """The tracking reward of DexTrack, or OmniGrasp's, as a baseline."""
    imitation: float = 0.1
    """Weight of the imitation loss, on clips with a demonstration; 0: none."""
    discriminator: float = 0.0
    """Weight of the adversarial imitation reward; 0: no discriminator."""
    shaper: bool = False
    """The command shaper between policy and servos."""
    hand: Annotated[str, shown("HAND")] = "leap_right"
    """Robot hand of clips that are no files, such as allegro_right."""
    profile: Annotated[str | None, shown("PROFILE")] = None
    """Profile of the finger servos (config/servos.yaml), leap or dextrack; default: the hand's own."""
    plain: bool = False
    """References by DexTrack's retargeting alone (eq. 5-7), as its tables have; default: ours, with contacts."""
    backend: Literal["mujoco", "warp"] = "mujoco"
    """Simulator of the training: MuJoCo on all cores, or MuJoCo Warp on the first GPU."""
    trials: int = 20
    """Held-out perturbed worlds per clip of the evaluation at the end; 0: none."""
    seed: int = 0
    """Random seed: the same one gives the same curve on one machine."""
    workers: int = 0
    """Threads; 0: one per core."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Tracker) -> None:
    """Train one, and export it with its card."""
    import os

    from dexhot.cli.output import console, print_json, summary
    from dexhot.control.observation import LAYOUTS
    from dexhot.errors import DexhotError
    from dexhot.progress import progress, track
    from dexhot_train.curriculum.variations import require_training, training_clips
    from dexhot_train.learners.tracker import TrackerOptions, evaluate_tracker, export_tracker, train_tracker
    from dexhot_train.task.backends import without_gpu
    from dexhot_train.task.clips import load_task_clip
    from dexhot_train.task.tracking import TaskOptions

    at_least(0, seed=args.seed, workers=args.workers, trials=args.trials)
    at_least(0, imitation=args.imitation, discriminator=args.discriminator)
    at_least(1, steps=args.steps, worlds=args.worlds)
    if (args.layout == "encoded") != bool(args.encoder):
        raise DexhotError(
            "--layout encoded and --encoder FILE belong together; `dexhot train object-encoder` makes it."
        )
    folder, threads = args.out, args.workers or os.cpu_count() or 1
    names = track(training_clips(args.clips), "reading clips")
    clips = [load_task_clip(name, args.profile, args.hand, args.plain) for name in names]
    for clip in clips:
        require_training(clip.name, clip.reference)
    layout = tuple(LAYOUTS[args.layout])
    task = TaskOptions(action=args.action, layout=layout, rewards=args.reward, shaper=args.shaper)
    options = TrackerOptions(args.worlds, args.steps, args.seed, task=task)
    learner_options = replace(options.ppo, imitation=args.imitation, discriminator=args.discriminator)
    options = replace(options, ppo=learner_options, backend=args.backend)
    if slow := without_gpu(args.backend):
        console.print(slow, soft_wrap=True)
    with progress("training", counted=True) as job:
        learner, told = train_tracker(
            clips, options, folder, _command(args), threads, job.says("training, "), args.encoder
        )
    scores: dict[str, Any] = {}
    if args.trials:
        actors = {"policy": learner.actor, "replay": None}
        scores = {
            name: evaluate_tracker(x, clips, task, args.trials, threads, args.encoder) for name, x in actors.items()
        }
        for name in ("tracked", "T_err_cm"):
            told |= {name: scores["policy"][name], f"replay_{name}": scores["replay"][name]}
        scores["worlds_per_clip"] = args.trials
    told["policy"] = str(export_tracker(learner.actor, clips, options, folder, _command(args), scores, args.encoder))
    summary("tracker", {name: value for name, value in told.items() if name != "last"})
    if args.json:
        print_json(told)
    sys.stdout.flush()


def _command(args: Tracker) -> str:
    """The command line of a tracker's training, without what is by default."""
    words = ["dexhot train tracker", *(Path(clip).name if clip.endswith(".npz") else clip for clip in args.clips)]
    return " ".join([*words, *options_of(args, ("clips", "out", "json", "workers", "trials"))])
