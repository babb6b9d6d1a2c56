"""Train what the controllers use: the prior over structured plans, and tracking policies."""

import sys
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Literal

import tyro

from dexhot.cli.arguments import at_least, shown


@dataclass
class Args:
    """Fit the prior of the controller `planned` to averaged plans of training clips, or train a tracker with PPO."""

    what: tyro.conf.Positional[Literal["prior", "tracker"]]
    """What to train."""
    on: Annotated[list[str], shown("CLIP ...")] = field(default_factory=lambda: ["parametric/lift-box-0"])
    """tracker: clips: grab/NAME, parametric/KIND-SHAPE-SEED, or files (references; demonstrations are imitated too)."""
    steps: int = 2_000_000
    """tracker: control steps of all worlds in all; more than before goes on with a finished training."""
    worlds: int = 128
    """tracker: worlds stepped together."""
    action: Literal["residual", "cumulative"] = "residual"
    """tracker: action space about the reference's targets."""
    layout: Literal["dextrack", "egocentric"] = "dextrack"
    """tracker: what the policy observes."""
    imitation: float = 0.1
    """tracker: weight of the imitation loss, on clips with a demonstration; 0: none."""
    discriminator: float = 0.0
    """tracker: weight of the adversarial imitation reward; 0: no discriminator."""
    shaper: bool = False
    """tracker: the command shaper between policy and servos."""
    profile: Annotated[str | None, shown("PROFILE")] = None
    """tracker: profile of the finger servos (config/servos.yaml), leap or dextrack; default: the hand's own."""
    trials: int = 20
    """tracker: held-out perturbed worlds per clip of the evaluation at the end; 0: none."""
    data: Literal["parametric", "grab"] = "parametric"
    """Training clips: generated ones, which carry no terms, or GRAB's train split, whose research terms the prior then
    carries."""
    out: Annotated[Path | None, shown("PATH")] = None
    """Prior to write, default: plan_prior_DATA.npz; tracker: folder of the training, which resumes there, default:
    tracker. Missing folders are created."""
    seeds: int = 3
    """Searches per clip, averaged."""
    rollouts: int = 168
    """Simulated rollouts of each search."""
    clips: int = 0
    """Only the first clips; 0: all."""
    seed: int = 0
    """Random seed, of the first search."""
    workers: int = 0
    """Clips in parallel (tracker: threads); 0: one per core."""
    accept_terms: bool = False
    """Accept the terms of the data, as they are printed."""
    force: bool = False
    """Overwrite an output file of another kind."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Args) -> None:
    """Train it. An interrupted run resumes where it stopped."""
    {"prior": _prior, "tracker": _tracker}[args.what](args)


def _prior(args: Args) -> None:
    from dexhot.cli.output import console, print_json, summary
    from dexhot.data.files import check_out, file_of, save
    from dexhot.data.types import PlanPrior
    from dexhot.datasets.licences import require_acceptance
    from dexhot.progress import track
    from dexhot_train.mining.executor import run_jobs
    from dexhot_train.prior import TERMS, PriorOptions, clips_for, fit_prior

    at_least(0, clips=args.clips, seed=args.seed, workers=args.workers)
    at_least(1, seeds=args.seeds, rollouts=args.rollouts)
    out = check_out(file_of(args.out or Path(f"plan_prior_{args.data}.npz"), PlanPrior), "dexhot/prior", args.force)
    if args.data != "parametric":
        require_acceptance(
            f"prior from {args.data}", f"Terms of the data: {TERMS[args.data]}.", args.accept_terms or None
        )
    options = PriorOptions(args.data, args.seeds, args.rollouts, args.seed, args.clips)
    count = len(clips_for(options))
    command = f"dexhot train prior --data {args.data} --seeds {args.seeds} --rollouts {args.rollouts}"
    command += f" --seed {args.seed}" + f" --clips {args.clips}" * bool(args.clips)
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


def _command(args: Args) -> str:
    """The command line of a tracker's training, without what is by default."""
    words = ["dexhot train tracker"]
    for f in fields(args):
        value, default = getattr(args, f.name), f.default if f.default_factory is MISSING else f.default_factory()
        if f.name not in ("what", "json", "force", "workers", "trials") and value != default:
            shown_value = " ".join(value) if isinstance(value, list) else value
            words.append(f"--{f.name}" if value is True else f"--{f.name} {shown_value}")
    return " ".join(words)


def _tracker(args: Args) -> None:
    import json
    import os

    from dexhot.cli.output import print_json, summary
    from dexhot.control.observation import LAYOUTS
    from dexhot.data.files import write_text
    from dexhot.progress import progress
    from dexhot_train.learners.ppo import PPOOptions
    from dexhot_train.learners.tracker import SCORES, TrackerOptions, evaluate_tracker, train_tracker
    from dexhot_train.task.clips import load_task_clip
    from dexhot_train.task.tracking import TaskOptions

    at_least(0, seed=args.seed, workers=args.workers, trials=args.trials)
    at_least(1, steps=args.steps, worlds=args.worlds)
    folder, threads = args.out or Path("tracker"), args.workers or os.cpu_count() or 1
    clips = [load_task_clip(name, args.profile) for name in args.on]
    task = TaskOptions(action=args.action, layout=tuple(LAYOUTS[args.layout]), shaper=args.shaper)
    learner_options = PPOOptions(imitation=args.imitation, discriminator=args.discriminator)
    options = TrackerOptions(args.worlds, args.steps, args.seed, task=task, ppo=learner_options)
    with progress("training", counted=True) as job:

        def show(done: int, total: int, line: str) -> None:
            job.what = f"training, {line}"
            job(done, total)

        learner, told = train_tracker(clips, options, folder, _command(args), threads, show)
    if args.trials:
        actors = {"policy": learner.actor, "replay": None}
        scores = {name: evaluate_tracker(x, clips, task, args.trials, threads) for name, x in actors.items()}
        write_text(folder / SCORES, json.dumps(scores | {"worlds_per_clip": args.trials}, indent=1) + "\n")
        for name in ("tracked", "T_err_cm"):
            told |= {name: scores["policy"][name], f"replay_{name}": scores["replay"][name]}
    summary("tracker", {name: value for name, value in told.items() if name != "last"})
    if args.json:
        print_json(told)
    sys.stdout.flush()
