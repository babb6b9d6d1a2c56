"""Train the prior over plans, a network of one clip, a tracker of many clips, or an agent that assists a user; and make
the demonstrations and user inputs to train on."""

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
    backend: Literal["mujoco", "warp"] = "mujoco"
    """Simulator of the training: MuJoCo on all cores, or MuJoCo Warp on the first GPU, for clips of one object."""
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
    """Train an agent that corrects a user's noisy hand (residual hand agent), on expert motions of an Adroit task or of
    the LEAP hand."""

    task: Annotated[Literal["door", "hammer", "pen", "relocate", "leap"], tyro.conf.Positional]
    """A task of gymnasium-robotics; or the LEAP hand on mined GRAB clips, which of the options below takes
    --corrections, --experts, --out, --episodes and --seed."""
    sigma: float | None = None
    """Gaussian noise of the user input, rad on each actuator; default: 0.15, or 0 with --input."""
    input: Annotated[Path | None, shown("FILE")] = None
    """User inputs with structured noise (`dexhot train user-input`), in place of the experts' actions."""
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
    experts: Annotated[Path | None, shown("FILE|FOLDER")] = None
    """Expert motions; default: adroit/experts.npz in the cache (docs/assist.md). leap: a folder of demonstrations,
    CLIP.npz; default: what `dexhot bench mine` left in the cache."""
    out: Annotated[Path | None, shown("FOLDER")] = None
    """Folder of the training, which resumes there; default: assist_TASK. Missing folders are created."""
    episodes: int = 100
    """Test episodes of the evaluation at the end, on motions that training does not see; 0: none. leap: divided among
    the test clips, at least one of each."""
    seed: int = 0
    """Random seed: the same one gives the same agent on one machine."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


@dataclass
class Demonstrations:
    """Make a set of demonstrations from variations of clips; a run that was stopped goes on."""

    clips: Annotated[list[str], tyro.conf.Positional, shown("CLIP ...")]
    """grab/NAME, other clips of the cache, parametric/KIND-SHAPE-SEED; "parametric" and "grab" stand for the training
    clips of `dexhot train prior`. Clips of a test split are refused."""
    out: Annotated[Path, shown("FOLDER")] = Path("demonstrations")
    """Folder of the set: demonstrations, ledger.jsonl, ledger.html. Missing folders are created."""
    per_clip: int = 10
    """Variations of each clip; more than before goes on with a finished set."""
    kinds: tuple[Literal["stretched", "warped", "regrasped", "loaded", "synthetic"], ...] = (
        "stretched",
        "warped",
        "regrasped",
        "loaded",
        "synthetic",
    )
    """Kinds of variations, in turn."""
    profile: Annotated[str | None, shown("PROFILE")] = None
    """Profile of the finger servos (config/servos.yaml); default: the hand's own."""
    seed: int = 0
    """Random seed of the first variation of each clip."""
    workers: int = 0
    """Attempts in parallel; 0: one per core."""
    executor: Literal["process", "ray"] = "process"
    """Execution: on this machine, or on a Ray cluster (RAY_ADDRESS; the folder must be reachable there)."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


@dataclass
class Homotopy:
    """Solve clips along paths of easier tasks or of neighbours (DexTrack, section 3.2), beside the same optimiser
    without a path, within equal budgets; a run that was stopped goes on."""

    clips: Annotated[list[str], tyro.conf.Positional, shown("CLIP ...")]
    """grab/NAME, other clips of the cache, parametric/KIND-SHAPE-SEED, or files of references."""
    out: Annotated[Path, shown("FOLDER")] = Path("paths")
    """Folder of results, references of effective parents, ledger.jsonl and ledger.html. Missing folders are created."""
    criterion: Literal["synthesised", "neighbours", "generated"] = "synthesised"
    """Parents: the clip itself made easier; the nearest clips whose result is a better baseline; or drawn from
    --generator."""
    generator: Annotated[Path | None, shown("FILE")] = None
    """generated: generator.npz of `dexhot train generator`."""
    budget: int = 120_000
    """Simulated control steps per clip: of a path in all, and of the optimiser without one."""
    tasks: int = 3
    """Parents on a path (K); among neighbours, iterations over the set."""
    neighbours: int = 10
    """Nearest clips among which parents are searched."""
    seed: int = 0
    """Random seed of the optimiser."""
    workers: int = 0
    """Clips in parallel; 0: one per core."""
    executor: Literal["process", "ray"] = "process"
    """Execution: on this machine, or on a Ray cluster (RAY_ADDRESS; the folder must be reachable there)."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


@dataclass
class PathGenerator:
    """Train the generator of homotopy paths: a conditional diffusion model of effective parents."""

    paths: Annotated[list[Path], tyro.conf.Positional, shown("FOLDER ...")]
    """Folders of `dexhot train homotopy`: their effective paths are the pairs to tune on."""
    tasks: Annotated[tuple[Path, ...], shown("FOLDER ...")] = ()
    """Further folders of references and demonstrations, such as of `dexhot train demonstrations`, to pre-train on."""
    out: Annotated[Path, shown("FOLDER")] = Path("generator")
    """Folder of the training, which resumes there; generator.npz at the end. Missing folders are created."""
    pretraining: int = 2000
    """Updates on tasks."""
    tuning: int = 2000
    """Updates on pairs."""
    seed: int = 0
    """Random seed: the same one gives the same generator."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


@dataclass
class Flywheel:
    """Train a controller in stages: its demonstrations are mined with the help of the one before (DexTrack, section
    3.3). A run that was stopped goes on."""

    clips: Annotated[list[str], tyro.conf.Positional, shown("CLIP ...")]
    """grab/NAME, other clips of the cache, parametric/KIND-SHAPE-SEED, or files of references; "parametric" and "grab"
    as in `dexhot train demonstrations`."""
    out: Annotated[Path, shown("FOLDER")] = Path("flywheel")
    """Folder of the run. Missing folders are created."""
    sizes: tuple[int, int, int] = (8, 8, 16)
    """Tasks that each stage draws; the paper has 100, 100 and 200."""
    budget: int = 120_000
    """Simulated control steps per task and way of mining it."""
    steps: int = 2_000_000
    """Control steps of each controller's training, in all worlds."""
    worlds: int = 128
    """Worlds stepped together in training."""
    reward: float = 50.0
    """Smallest return of a demonstration that supervises."""
    seed: int = 0
    """Random seed."""
    workers: int = 0
    """Tasks in parallel; 0: one per core."""
    executor: Literal["process", "ray"] = "process"
    """Execution: on this machine, or on a Ray cluster (RAY_ADDRESS; the folder must be reachable there)."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


@dataclass
class LedgerPage:
    """Summarise what was mined: attempts, yield and cost of each kind, and a page with every attempt."""

    folder: Annotated[Path, tyro.conf.Positional, shown("FOLDER")]
    """Folder of `dexhot train demonstrations`, homotopy or flywheel, also while it runs."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


@dataclass
class UserInput:
    """Make user inputs with structured noise for an Adroit task: what estimated hand poses ask of the robot while an
    expert acts (residual hand agent, section III-C)."""

    task: Annotated[Literal["door", "hammer", "pen", "relocate"], tyro.conf.Positional]
    """The task (gymnasium-robotics)."""
    noise: Literal["retrieved", "rendered"] = "retrieved"
    """retrieved: from the closest pose of a set of real hand poses; rendered: from pictures of a hand in the expert's
    pose, by the embedded keypoint estimator, misses included."""
    poses: Literal["grab", "bighand", "fphab"] = "grab"
    """retrieved: the set; grab: its clips in the cache, the others: your copy (--path)."""
    path: Annotated[Path | None, shown("FOLDER")] = None
    """Your copy of bighand or fphab, in the published layout."""
    estimated: bool = False
    """retrieved: an estimator's output on the pose's image, instead of the pose; without images, on a drawn one."""
    estimates: Annotated[Path | None, shown("FILE")] = None
    """retrieved: results of your own estimator, in the layout of BigHand's annotation; needed for its depth images."""
    mapping: Literal["retargeter", "network"] = "retargeter"
    """From the hand to the action: the streaming retargeter, or a network learnt from the training motions."""
    variants: int = 4
    """Inputs per motion: other cameras, people or halves of the set."""
    every: int = 1
    """bighand, fphab: use every N-th pose."""
    experts: Annotated[Path | None, shown("FILE")] = None
    """Expert motions; default: adroit/experts.npz in the cache (docs/assist.md)."""
    accept_licence: Annotated[str | None, shown("DATASET")] = None
    """Accept the terms of the set of poses; otherwise you are asked on the terminal."""
    out: Annotated[Path | None, shown("FILE")] = None
    """Inputs to write; default: TASK_input.npz. Missing folders are created."""
    force: bool = False
    """Overwrite an output file of another kind."""
    seed: int = 0
    """Random seed."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


GeneratorOfPaths = Annotated[PathGenerator, tyro.conf.subcommand("generator")]
Summary = Annotated[LedgerPage, tyro.conf.subcommand("ledger")]
Args = (
    Prior
    | Specialist
    | Tracker
    | Assist
    | Demonstrations
    | Homotopy
    | GeneratorOfPaths
    | Flywheel
    | UserInput
    | Summary
)


def run(args: Args) -> None:
    """Train it. An interrupted run resumes where it stopped."""
    trainings: dict[type, Any] = {Prior: _prior, Specialist: _specialist, Tracker: _tracker, Assist: _assist}
    trainings |= {Demonstrations: _demonstrations, Homotopy: _homotopy, PathGenerator: _generator}
    trainings |= {Flywheel: _flywheel, LedgerPage: _ledger}
    trainings[UserInput] = _user_input
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
        from dexhot_train.specialist import SpecialistOptions, lesson_key, save_specialist, train_specialist
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
    words = {name: "--" + name.replace("_", "-") for name in given}
    return [words[name] if value is True else f"{words[name]} {value}" for name, value in given.items()]


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
    options = replace(options, ppo=learner_options, backend=args.backend)
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


def _assist_leap(args: Assist) -> None:
    import os

    from dexhot.cli.output import print_json, summary
    from dexhot.errors import DexhotError
    from dexhot.progress import progress
    from dexhot_train.assist.leap import load_leap_experts
    from dexhot_train.assist.leap_agent import LeapTraining, leap_agent_of, save_leap_agent, train_leap
    from dexhot_train.assist.leap_success import leap_success, no_correction

    at_least(1, corrections=args.corrections)
    taken = ("task", "corrections", "experts", "out", "episodes", "seed", "json")
    if others := [f.name for f in fields(args) if f.name not in taken and getattr(args, f.name) != f.default]:
        raise DexhotError(f"--{others[0]} belongs to the Adroit tasks; leap takes --{', --'.join(taken[1:])}.")
    folder, threads = args.out or Path("assist_leap"), os.cpu_count() or 1
    options = LeapTraining(corrections=args.corrections, seed=args.seed)
    command = " ".join(["dexhot train assist leap", *_options(args, ("task", "experts", "out", "episodes", "json"))])
    train = load_leap_experts("train", args.experts)
    test = load_leap_experts("test", args.experts) if args.episodes else []
    with progress("training", counted=True) as job:

        def show(done: int, total: int, line: str) -> None:
            job.what = f"training, {line}"
            job(done, total)

        actor, told = train_leap(train, options, folder, command, threads, show)
    scores = {}
    for name, agent in {"agent": leap_agent_of(actor), "user_input": no_correction}.items() if test else ():
        cell = leap_success(test, agent, max(1, args.episodes // len(test)), options.error, threads=threads)
        scores[name] = {"success_strict": cell.success, "episodes": cell.episodes, "clips": len(test)}
    path = save_leap_agent(actor, train, options, folder / "assist_leap", command, scores)
    told |= {"policy": str(path)}
    summary("assisted LEAP hand", told | {f"success_{name}": cell["success_strict"] for name, cell in scores.items()})
    if args.json:
        print_json(told | {"scores": scores})
    sys.stdout.flush()


def _assist(args: Assist) -> None:
    from dataclasses import asdict

    from dexhot.cli.output import print_json, summary
    from dexhot.errors import DexhotError
    from dexhot.progress import progress
    from dexhot_train.assist.experts import load_experts
    from dexhot_train.assist.shipped import save_agent
    from dexhot_train.assist.structured import load_inputs
    from dexhot_train.assist.success import success
    from dexhot_train.assist.training import AssistTraining, agent_of, train_agent

    at_least(0, corrections=args.corrections, steps=args.steps, episodes=args.episodes, seed=args.seed)
    if args.task == "leap":
        return _assist_leap(args)
    sigma = args.sigma if args.sigma is not None else (0.0 if args.input else 0.15)
    for name, value in (("sigma", sigma), ("discriminator", args.discriminator)):
        if not 0.0 <= value < float("inf"):
            raise DexhotError(f"--{name} must be 0 or more, not {value}.")
    experts, folder = load_experts(args.task, args.experts), args.out or Path(f"assist_{args.task}")
    clean, made = experts, dict[str, Any]()
    if args.input:
        experts, made = load_inputs(experts, args.input)
    options = AssistTraining(args.task, args.method, sigma, args.mixed, args.corrections, args.steps)
    options = replace(options, discriminator=args.discriminator, seed=args.seed)
    unsaid = ("task", "experts", "out", "episodes", "json", "input", "sigma")
    noise = [f"--input {args.input.name}"] if args.input else []
    noise.append(f"--sigma {sigma:g}")
    command = " ".join(["dexhot train assist", args.task, *noise, *_options(args, unsaid)])
    train, test = experts.split("train"), experts.split("test")
    with progress("training", counted=True) as job:

        def show(done: int, total: int, line: str) -> None:
            job.what = f"training, {line}"
            job(done, total)

        actor, told = train_agent(train, options, folder, command, show)
    scores = {}
    noises = {"input" if args.input else f"{sigma:g}": (test, sigma), "0": (clean.split("test"), 0.0)}
    for name, agent in {"agent": agent_of(actor), "user_input": None}.items() if args.episodes else ():
        for kind, (motions, much) in noises.items():
            scores[f"{name}_{kind}"] = asdict(success(motions, much, agent, options.acting, args.episodes))
    if options.acting.residual:
        place, count = folder / f"assist_{args.task}", len(train.seeds)
        terms, inputs = (made.get(key, "") for key in ("terms", "command"))
        path = save_agent(actor, options, place, command, scores, count, terms, inputs)
        told |= {"policy": str(path)}
    shown_scores = {f"success_{name}": cell["success"] for name, cell in scores.items()}
    summary("assisted hand", told | shown_scores)
    if args.json:
        print_json(told | {"scores": scores})
    sys.stdout.flush()


def _demonstrations(args: Demonstrations) -> None:
    from dexhot.cli.output import print_json
    from dexhot.errors import DexhotError
    from dexhot.progress import progress
    from dexhot.robots.servos import profile as servo_profile
    from dexhot_train.curriculum.data_engine import EngineOptions, make_set
    from dexhot_train.curriculum.ledger import by_kind, page
    from dexhot_train.curriculum.variations import clips_named

    at_least(0, per_clip=args.per_clip, seed=args.seed, workers=args.workers)
    if not args.kinds:
        raise DexhotError("--kinds needs at least one kind of variation.")
    if args.profile:
        servo_profile(args.profile)  # before anything is mined
    options = EngineOptions(args.per_clip, tuple(args.kinds), profile=args.profile, seed=args.seed)
    words = ["dexhot train demonstrations", *args.clips, *_options(args, ("clips", "out", "json", "workers", "kinds"))]
    command = " ".join([*words, *(("--kinds", *args.kinds) if args.kinds != Demonstrations.kinds else ())])
    with progress("demonstrations", counted=True) as job:

        def show(done: int, total: int, line: str) -> None:
            job.what = line
            job(done, total)

        ledger = make_set(clips_named(args.clips), options, args.out, command, args.workers, args.executor, show)
    written = page(args.out, f"Demonstrations in {args.out.name}")
    _show_ledger(ledger.rows, written)
    if args.json:
        print_json({"folder": str(args.out), "figures": by_kind(ledger.rows), "page": str(written)})
    sys.stdout.flush()


def _homotopy(args: Homotopy) -> None:
    from dexhot.cli.output import console, print_json, summary
    from dexhot.errors import FileFormatError
    from dexhot.progress import progress
    from dexhot_train.curriculum.homotopy import HomotopyOptions
    from dexhot_train.curriculum.ledger import page
    from dexhot_train.curriculum.path_search import path_figures, search_paths
    from dexhot_train.curriculum.variations import clips_named

    at_least(0, seed=args.seed, workers=args.workers)
    at_least(1, budget=args.budget, tasks=args.tasks, neighbours=args.neighbours)
    options = HomotopyOptions(args.budget, args.tasks, args.neighbours, seed=args.seed)
    words = ["dexhot train homotopy", *(Path(clip).name if clip.endswith(".npz") else clip for clip in args.clips)]
    command = " ".join([*words, *_options(args, ("clips", "out", "json", "workers", "generator"))])
    command += f" --generator {args.generator.name}" if args.generator else ""
    if args.generator and not args.generator.is_file():
        raise FileFormatError(f"{args.generator} does not exist; train one with `dexhot train generator`.")
    with progress("paths", counted=True) as job:

        def show(done: int, total: int, line: str) -> None:
            job.what = line
            job(done, total)

        clips = clips_named(args.clips)
        how = args.workers, args.executor, show, args.generator
        ledger = search_paths(clips, args.criterion, options, args.out, command, *how)
    for row in ledger.rows:
        told = f"{row['error_direct']:.3f} -> {row['error']:.3f}" if "error" in row else row["reason"]
        console.print(f"{row['name']}: {row['verdict']}, {told}", highlight=False, soft_wrap=True)
    figures = path_figures(ledger.rows)
    summary(f"homotopy paths, {args.criterion}", figures)
    console.print(f"written to {page(args.out, f'Paths in {args.out.name}')}", soft_wrap=True, highlight=False)
    if args.json:
        print_json({"folder": str(args.out), "figures": figures, "rows": ledger.rows})


def _generator(args: PathGenerator) -> None:
    from dexhot.cli.output import print_json, summary
    from dexhot.errors import MissingExtraError
    from dexhot.progress import progress

    try:
        from dexhot_train.curriculum.generator import GeneratorOptions, train_generator
    except ImportError as e:
        raise MissingExtraError("training a generator", "train") from e
    from dexhot_train.curriculum.task_data import pair_vectors, task_vectors

    at_least(0, pretraining=args.pretraining, seed=args.seed)
    at_least(1, tuning=args.tuning)
    options = GeneratorOptions(pretraining=args.pretraining, tuning=args.tuning, seed=args.seed)
    pairs, tasks = pair_vectors(args.paths), task_vectors([*args.paths, *args.tasks])
    words = ["dexhot train generator", *(path.name for path in args.paths)]
    words += [*_options(args, ("paths", "tasks", "out", "json"))]
    words += ["--tasks", *(path.name for path in args.tasks)] if args.tasks else []
    with progress("training", counted=True) as job:

        def show(done: int, total: int, line: str) -> None:
            job.what = f"training, {line}"
            job(done, total)

        train_generator(tasks, pairs, options, args.out, " ".join(words), show)
    told = {"generator": str(args.out / "generator.npz"), "tasks": len(tasks), "pairs": len(pairs)}
    summary("homotopy path generator", told)
    if args.json:
        print_json(told)


def _flywheel(args: Flywheel) -> None:
    import os

    from dexhot.cli.output import console, print_json, summary
    from dexhot.errors import MissingExtraError

    try:
        from dexhot_train.curriculum.flywheel import FlywheelOptions, run_flywheel
    except ImportError as e:
        raise MissingExtraError("training a controller", "train") from e
    from dexhot_train.curriculum.homotopy import HomotopyOptions
    from dexhot_train.curriculum.ledger import page
    from dexhot_train.curriculum.variations import clips_named
    from dexhot_train.learners.tracker import TrackerOptions

    at_least(0, seed=args.seed, workers=args.workers)
    at_least(1, budget=args.budget, steps=args.steps, worlds=args.worlds, sizes=min(args.sizes))
    options = FlywheelOptions(args.sizes, args.reward, seed=args.seed)
    options = replace(options, homotopy=HomotopyOptions(args.budget, seed=args.seed))
    options = replace(options, tracker=TrackerOptions(args.worlds, args.steps, args.seed))
    words = ["dexhot train flywheel", *(Path(clip).name if clip.endswith(".npz") else clip for clip in args.clips)]
    words += ["--sizes", *map(str, args.sizes), *_options(args, ("clips", "out", "sizes", "json", "workers"))]
    say = lambda line: console.print(line, highlight=False)  # noqa: E731
    workers = args.workers or os.cpu_count() or 1
    told = run_flywheel(clips_named(args.clips), options, args.out, " ".join(words), workers, args.executor, say)
    for stage in told["stages"]:
        summary(f"stage {stage['stage']}", {name: value for name, value in stage.items() if name != "stage"})
    console.print(f"written to {page(args.out, f'Ledger of {args.out.name}')}", soft_wrap=True, highlight=False)
    if args.json:
        print_json(told)


def _ledger(args: LedgerPage) -> None:
    from dexhot.cli.output import print_json
    from dexhot.errors import NotFoundError
    from dexhot_train.curriculum.ledger import LEDGER, by_kind, page, read

    if not (args.folder / LEDGER).is_file():
        raise NotFoundError("ledger", str(args.folder), ["a folder of `dexhot train demonstrations`"])
    rows, written = read(args.folder / LEDGER), page(args.folder, f"Ledger of {args.folder.name}")
    _show_ledger(rows, written)
    if args.json:
        print_json({"folder": str(args.folder), "figures": by_kind(rows), "page": str(written)})


def _show_ledger(rows: list[dict[str, Any]], written: Path) -> None:
    from rich.table import Table

    from dexhot.cli.output import console
    from dexhot_train.curriculum.ledger import table

    head, *body = table(rows)
    shown_table = Table(head[0], title="ledger", title_justify="left")
    for name in head[1:]:
        shown_table.add_column(name, justify="right")
    for row in body:
        shown_table.add_row(*row)
    console.print(shown_table)
    console.print(f"written to {written}", soft_wrap=True, highlight=False)


def _user_input(args: UserInput) -> None:
    from dexhot.cli.output import print_json, summary
    from dexhot.data.files import check_out
    from dexhot.datasets.licences import require_acceptance
    from dexhot.errors import DexhotError
    from dexhot.progress import progress
    from dexhot_train.assist.experts import load_experts
    from dexhot_train.assist.structured import INPUTS, InputOptions, make_inputs, save_inputs

    at_least(0, seed=args.seed)
    at_least(1, variants=args.variants, every=args.every)
    out = check_out(args.out or Path(f"{args.task}_input.npz"), INPUTS, args.force)
    options = InputOptions(args.noise, args.estimated, args.mapping, args.variants, args.seed)
    if args.noise == "rendered" and (args.path or args.estimates or args.estimated):
        raise DexhotError(
            "--path, --estimates and --estimated belong to --noise retrieved: rendered hands need no set."
        )
    if args.estimates and not args.estimated:
        raise DexhotError("--estimates belongs to --estimated.")
    experts, poses = load_experts(args.task, args.experts), None
    if args.noise == "retrieved":
        poses, terms = _poses(args)
        require_acceptance(args.poses, terms, True if args.accept_licence == args.poses else None)
    with progress("hands", counted=True) as job:
        made, figures = make_inputs(experts, options, poses, args.estimates, job)
    unsaid = ("task", "experts", "path", "estimates", "out", "json", "force", "accept_licence")
    command = " ".join(["dexhot train user-input", args.task, *_options(args, unsaid)])
    source = {"poses": args.poses, "terms": terms} if poses is not None else {}
    save_inputs(made, options, out, {**source, **figures, "command": command})
    told = {"inputs": str(out), "motions": len(experts.seeds), "variants": args.variants}
    told |= {name: round(value, 3) for name, value in figures.items()}
    summary("user inputs", told)
    if args.json:
        print_json(told)


def _poses(args: UserInput) -> tuple[Any, str]:
    """The set of hand poses and its terms."""
    from dexhot.datasets import bighand, fphab, grab
    from dexhot.datasets.hand_poses import grab_poses
    from dexhot.errors import DexhotError

    if args.poses == "grab":
        return grab_poses(), grab.TERMS
    if args.path is None:
        raise DexhotError(f"{args.poses} cannot be downloaded automatically; give the folder of your copy: --path DIR.")
    if args.poses == "bighand":
        return bighand.bighand_poses(args.path, args.every), bighand.TERMS
    return fphab.fphab_poses(args.path, args.every), fphab.TERMS
