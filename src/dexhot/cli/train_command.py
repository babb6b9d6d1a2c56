"""Train the prior over plans, a network of one clip, a tracker of many clips, or an agent that assists a user."""

import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from dexhot.cli.arguments import at_least, shown


@dataclass
class Prior:
    """Fit the prior of the controller `planned` to averaged plans of training clips."""

    data: Literal["parametric", "grab"] = "parametric"
    """Training clips: generated ones, without terms, or GRAB's train split, whose terms (research only) the prior then
    has too."""
    out: Annotated[Path | None, shown("FILE")] = None
    """Prior to write; default: plan_prior_DATA.npz. Missing folders are created."""
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


@dataclass
class Specialist:
    """Mine one clip and distil a network that reacts to the observed object (controller:=policy), in minutes."""

    file: Annotated[Path, tyro.conf.Positional, shown("REFERENCE|DEMONSTRATION")]
    """The clip's reference, for which plans are searched; or its demonstration, which is then the teacher."""
    out: Annotated[Path | None, shown("FILE")] = None
    """Network to write (.onnx), its card beside it (.json); default: beside the input. Missing folders are created."""
    rounds: int = 2
    """Rounds in which the sampling controller answers in the states that the network visits (DAgger)."""
    worlds: int = 16
    """Perturbed worlds per round."""
    searches: int = 3
    """Searches for a plan, averaged."""
    seed: int = 0
    """Random seed: the same one gives the same network on one machine."""
    workers: int = 0
    """Processes; 0: one per core."""
    force: bool = False
    """Overwrite an output file that is not a policy."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


@dataclass
class Tracker:
    """Train a network that tracks several clips, by PPO with imitation (DexTrack, section 3.1)."""

    clips: Annotated[list[str], tyro.conf.Positional, shown("CLIP ...")]
    """grab/NAME, parametric/KIND-SHAPE-SEED, or files: references, or demonstrations, which are imitated too."""
    out: Annotated[Path, shown("FOLDER")] = Path("tracker")
    """Folder of the training, which resumes there. Missing folders are created."""
    steps: int = 2_000_000
    """Control steps of all worlds in all; more than before goes on with a finished training."""
    worlds: int = 128
    """Worlds stepped together."""
    action: Literal["residual", "cumulative"] = "residual"
    """Action space about the reference's targets."""
    layout: Literal["dextrack", "egocentric"] = "dextrack"
    """What the policy observes."""
    imitation: float = 0.1
    """Weight of the imitation loss, on clips with a demonstration; 0: none."""
    discriminator: float = 0.0
    """Weight of the adversarial imitation reward; 0: no discriminator."""
    shaper: bool = False
    """The command shaper between policy and servos."""
    profile: Annotated[str | None, shown("PROFILE")] = None
    """Profile of the finger servos (config/servos.yaml), leap or dextrack; default: the hand's own."""
    trials: int = 20
    """Held-out perturbed worlds per clip of the evaluation at the end; 0: none."""
    seed: int = 0
    """Random seed: the same one gives the same curve on one machine."""
    workers: int = 0
    """Threads; 0: one per core."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


@dataclass
class Assist:
    """Train an agent that corrects a user's noisy hand (residual hand agent), on expert motions of an Adroit task."""

    task: Annotated[Literal["door", "hammer", "pen", "relocate"], tyro.conf.Positional]
    """The task (gymnasium-robotics)."""
    sigma: float = 0.15
    """Noise of the user input, rad on each actuator."""
    mixed: bool = False
    """Draw each episode's noise from 0 to sigma."""
    method: Literal[
        "residual", "rl_no_user", "il_no_user", "hybrid_no_residual", "rl_user_reward", "hybrid_user_reward"
    ] = "residual"
    """The residual agent, or a baseline of the paper's table II (these: --corrections 0 and --steps)."""
    corrections: int = 10
    """Rounds in which the experts answer for what the agent sees (DAgger); 0: none, as in the paper."""
    steps: int = 0
    """Control steps of PPO after them, in all worlds."""
    discriminator: float = 0.0
    """Weight of the adversarial imitation reward of the residual agent."""
    experts: Annotated[Path | None, shown("FILE")] = None
    """Expert motions; default: adroit/experts.npz in the cache (docs/assist.md)."""
    out: Annotated[Path | None, shown("FOLDER")] = None
    """Folder of the training, which resumes there; default: assist_TASK. Missing folders are created."""
    episodes: int = 100
    """Test episodes of the evaluation at the end, on motions that training does not see; 0: none."""
    seed: int = 0
    """Random seed: the same one gives the same agent on one machine."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


Args = Prior | Specialist | Tracker | Assist


def run(args: Args) -> None:
    """Train it. An interrupted run resumes where it stopped."""
    trainings: dict[type, Any] = {Prior: _prior, Specialist: _specialist, Tracker: _tracker, Assist: _assist}
    trainings[type(args)](args)


def _prior(args: Prior) -> None:
    from dexhot.cli.datasets_command import acceptance
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
        terms, accepted = f"Terms of the data: {TERMS[args.data]}.", acceptance(args.data, args.accept_licence)
        require_acceptance(f"a prior from {args.data}", terms, accepted, f"--accept-licence {args.data}")
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


def _specialist(args: Specialist) -> None:
    from dexhot.cli.output import console, print_json, summary
    from dexhot.control.time_warp import as_played
    from dexhot.data.files import check_out, load
    from dexhot.data.types import Demonstration, Reference
    from dexhot.errors import DexhotError, FileFormatError, MissingExtraError
    from dexhot.paths import cache_dir
    from dexhot.simulation.setup import load_setup
    from dexhot_train.mining.executor import run_jobs
    from dexhot_train.prior import TERMS

    try:
        from dexhot_train.learners.specialist import SpecialistOptions, lesson_key, save_specialist, train_specialist
    except ImportError as e:
        raise MissingExtraError("training a network", "train") from e
    at_least(0, rounds=args.rounds, seed=args.seed, workers=args.workers)
    at_least(1, worlds=args.worlds, searches=args.searches)
    item: Any = load(args.file)
    if not isinstance(item, Reference | Demonstration):
        raise FileFormatError(f"{args.file} holds a {type(item).__name__}; give a Reference or a Demonstration.")
    stem = args.file.name.removesuffix(".npz").removesuffix(".reference").removesuffix(".demonstration")
    out = args.out or args.file.with_name(f"{stem}.policy.onnx")
    out = out if out.suffix == ".onnx" else out.with_name(f"{out.name}.onnx")
    card_file = out.with_suffix(".json")
    check_out(card_file, "dexhot/policy", args.force)
    if out.exists() and not card_file.exists() and not args.force:
        raise DexhotError(f"{out} has no card ({card_file.name}), so it is not ours; give another --out, or --force.")
    reference = item.reference if isinstance(item, Demonstration) else item
    setup, taught = load_setup(reference), item if isinstance(item, Demonstration) else None
    reference, taught = as_played(reference, taught, setup.physics)
    options = SpecialistOptions(args.seed, args.searches, worlds=args.worlds, rounds=args.rounds)
    key = lesson_key(reference, setup, options, taught.actions if taught else None)
    folder = cache_dir() / "specialists" / f"{stem}-{key}"
    command = f"dexhot train specialist {args.file.name} --rounds {args.rounds} --worlds {args.worlds}"
    command += f" --searches {args.searches} --seed {args.seed}"
    say = lambda what: console.print(what, highlight=False)  # noqa: E731
    run_here = lambda function, jobs: run_jobs(function, jobs, args.workers)  # noqa: E731
    try:
        found = train_specialist(reference, setup, run_here, options, taught, folder, command, say)
    except ValueError as e:  # torch's of weights or options that cannot be
        raise DexhotError(f"training failed: {e}") from e
    found.card.terms = TERMS["grab"].replace("the prior", "the policy") if reference.name.startswith("grab/") else ""
    path = save_specialist(found, out)
    card = found.card
    told = {"policy": str(path), "clip": card.clip, "held_out": card.scores["held_out"]}
    told |= {"teacher": card.scores["teacher"], "rounds": card.scores["rounds"], "terms": card.terms or "none"}
    told |= {"control_steps": card.provenance["control_steps"], "seconds_cpu": card.provenance["seconds_cpu"]}
    summary("specialist", told)
    if args.json:
        print_json(told)


def _command(args: Tracker) -> str:
    """The command line of a tracker's training, without what is by default."""
    words = ["dexhot train tracker", *(Path(clip).name if clip.endswith(".npz") else clip for clip in args.clips)]
    return " ".join([*words, *_options(args, ("clips", "out", "json", "workers", "trials"))])


def _options(args: Any, unsaid: tuple[str, ...]) -> list[str]:
    """The options that differ from their defaults, but for those that do not change the result."""
    given = {f.name: getattr(args, f.name) for f in fields(args) if f.name not in unsaid}
    given = {f.name: given[f.name] for f in fields(args) if f.name in given and given[f.name] != f.default}
    return [f"--{name}" if value is True else f"--{name} {value}" for name, value in given.items()]


def _tracker(args: Tracker) -> None:
    import os

    from dexhot.cli.output import print_json, summary
    from dexhot.control.observation import LAYOUTS
    from dexhot.progress import progress
    from dexhot_train.learners.tracker import TrackerOptions, evaluate_tracker, export_tracker, train_tracker
    from dexhot_train.task.clips import load_task_clip
    from dexhot_train.task.tracking import TaskOptions

    at_least(0, seed=args.seed, workers=args.workers, trials=args.trials)
    at_least(1, steps=args.steps, worlds=args.worlds)
    folder, threads = args.out, args.workers or os.cpu_count() or 1
    clips = [load_task_clip(name, args.profile) for name in args.clips]
    task = TaskOptions(action=args.action, layout=tuple(LAYOUTS[args.layout]), shaper=args.shaper)
    options = TrackerOptions(args.worlds, args.steps, args.seed, task=task)
    learner_options = replace(options.ppo, imitation=args.imitation, discriminator=args.discriminator)
    options = replace(options, ppo=learner_options)
    with progress("training", counted=True) as job:

        def show(done: int, total: int, line: str) -> None:
            job.what = f"training, {line}"
            job(done, total)

        learner, told = train_tracker(clips, options, folder, _command(args), threads, show)
    scores: dict[str, Any] = {}
    if args.trials:
        actors = {"policy": learner.actor, "replay": None}
        scores = {name: evaluate_tracker(x, clips, task, args.trials, threads) for name, x in actors.items()}
        for name in ("tracked", "T_err_cm"):
            told |= {name: scores["policy"][name], f"replay_{name}": scores["replay"][name]}
        scores["worlds_per_clip"] = args.trials
    told["policy"] = str(export_tracker(learner.actor, clips, options, folder, _command(args), scores))
    summary("tracker", {name: value for name, value in told.items() if name != "last"})
    if args.json:
        print_json(told)
    sys.stdout.flush()


def _assist(args: Assist) -> None:
    from dataclasses import asdict

    from dexhot.cli.output import print_json, summary
    from dexhot.errors import DexhotError
    from dexhot.progress import progress
    from dexhot_train.assist.experts import load_experts
    from dexhot_train.assist.shipped import save_agent
    from dexhot_train.assist.success import success
    from dexhot_train.assist.training import AssistTraining, agent_of, train_agent

    at_least(0, corrections=args.corrections, steps=args.steps, episodes=args.episodes, seed=args.seed)
    for name in ("sigma", "discriminator"):
        if not 0.0 <= getattr(args, name) < float("inf"):
            raise DexhotError(f"--{name} must be 0 or more, not {getattr(args, name)}.")
    experts, folder = load_experts(args.task, args.experts), args.out or Path(f"assist_{args.task}")
    options = AssistTraining(args.task, args.method, args.sigma, args.mixed, args.corrections, args.steps)
    options = replace(options, discriminator=args.discriminator, seed=args.seed)
    unsaid = ("task", "experts", "out", "episodes", "json")
    command = " ".join(["dexhot train assist", args.task, *_options(args, unsaid)])
    train, test = experts.split("train"), experts.split("test")
    with progress("training", counted=True) as job:

        def show(done: int, total: int, line: str) -> None:
            job.what = f"training, {line}"
            job(done, total)

        actor, told = train_agent(train, options, folder, command, show)
    scores = {}
    for name, agent in {"agent": agent_of(actor), "user_input": None}.items() if args.episodes else ():
        for sigma in dict.fromkeys((args.sigma, 0.0)):
            scores[f"{name}_{sigma:g}"] = asdict(success(test, sigma, agent, options.acting, args.episodes))
    if options.acting.residual:
        path = save_agent(actor, options, folder / f"assist_{args.task}", command, scores, len(train.seeds))
        told |= {"policy": str(path)}
    shown_scores = {f"success_{name}": cell["success"] for name, cell in scores.items()}
    summary("assisted hand", told | shown_scores)
    if args.json:
        print_json(told | {"scores": scores})
    sys.stdout.flush()
