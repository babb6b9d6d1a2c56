"""Train an agent that corrects a user's noisy hand."""

import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import tyro

from dexhot.cli.arguments import at_least, options_of, shown


@dataclass
class Assist:
    """Train an agent that corrects a user's noisy hand (residual hand agent), on expert motions of an Adroit task or of
    the LEAP hand."""

    goes_on: ClassVar[bool] = True  # a run that was stopped

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
        "residual",
        "residual_imitation",
        "rl_no_user",
        "il_no_user",
        "hybrid_no_residual",
        "rl_user_reward",
        "hybrid_user_reward",
    ] = "residual"
    """The residual agent (residual_imitation: paid for imitation alone), or a baseline of the paper's table II; all but
    residual: --corrections 0 and --steps."""
    corrections: int = 10
    """Rounds in which the experts answer for what the agent sees (DAgger); 0: none, as in the paper."""
    policies: Annotated[Path | None, shown("FILE")] = None
    """The experts as policies, which then answer for the present state; default: the expert's action at that time of
    the motion."""
    steps: int = 0
    """Control steps of PPO after them, in all worlds."""
    own_error: float = 0.0
    """Error of the trained agent itself, rad: its corrections are weighed against it by the noise that the user input
    shows, and a user who is steadier is left alone. 0: they are not weighed."""
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


def run(args: Assist) -> None:
    """Train an agent, export it and tell its success beside the user input alone."""
    from dexhot.cli.output import print_json, summary
    from dexhot.errors import DexhotError
    from dexhot.progress import progress
    from dexhot_train.assist.experts import load_expert_policy, load_experts
    from dexhot_train.assist.shipped import save_agent
    from dexhot_train.assist.structured import load_inputs
    from dexhot_train.assist.success import success
    from dexhot_train.assist.training import AssistTraining, SteadiedActor, agent_of, train_agent

    at_least(0, corrections=args.corrections, steps=args.steps, episodes=args.episodes, seed=args.seed)
    if args.task == "leap":
        return _assist_leap(args)
    sigma = args.sigma if args.sigma is not None else (0.0 if args.input else 0.15)
    for name, value in (("sigma", sigma), ("discriminator", args.discriminator), ("own-error", args.own_error)):
        if not 0.0 <= value < float("inf"):
            raise DexhotError(f"--{name} must be 0 or more, not {value}.")
    experts, folder = load_experts(args.task, args.experts), args.out or Path(f"assist_{args.task}")
    clean, made = experts, dict[str, Any]()
    if args.input:
        experts, made = load_inputs(experts, args.input)
    options = AssistTraining(args.task, args.method, sigma, args.mixed, args.corrections, args.steps)
    options = replace(options, discriminator=args.discriminator, seed=args.seed)
    if args.policies:
        experts = replace(experts, policy=load_expert_policy(args.task, args.policies))
    unsaid = ("task", "experts", "out", "episodes", "json", "input", "sigma", "policies")
    noise = [f"--input {args.input.name}"] if args.input else []
    noise += [f"--policies {args.policies.name}"] if args.policies else []
    noise.append(f"--sigma {sigma:g}")
    command = " ".join(["dexhot train assist", args.task, *noise, *options_of(args, unsaid)])
    if args.own_error and (args.input or not options.acting.residual):
        raise DexhotError("--own-error is for residual agents and Gaussian noise: a drifting error does not show.")
    train, test = experts.split("train"), experts.split("test")
    with progress("training", counted=True) as job:
        actor, told = train_agent(train, options, folder, command, job.says("training, "))
    shaped = SteadiedActor(actor, args.own_error) if args.own_error else actor
    scores = {}
    noises = {"input" if args.input else f"{sigma:g}": (test, sigma), "0": (clean.split("test"), 0.0)}
    for name, agent in {"agent": agent_of(shaped), "user_input": None}.items() if args.episodes else ():
        for kind, (motions, much) in noises.items():
            scores[f"{name}_{kind}"] = success(motions, much, agent, options.acting, args.episodes).figures
    if options.acting.residual:
        place, count = folder / f"assist_{args.task}", len(train.seeds)
        terms, inputs = (made.get(key, "") for key in ("terms", "command"))
        answers = args.policies.name if args.policies else ""
        path = save_agent(shaped, options, place, command, scores, count, terms, inputs, answers)
        told |= {"policy": str(path)}
    shown_scores = {f"success_{name}": cell["success"] for name, cell in scores.items()}
    summary("assisted hand", told | shown_scores)
    if args.json:
        print_json(told | {"scores": scores})
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
        raise DexhotError(
            f"--{others[0].replace('_', '-')} belongs to the Adroit tasks; leap takes --{', --'.join(taken[1:])}."
        )
    folder, threads = args.out or Path("assist_leap"), os.cpu_count() or 1
    options = LeapTraining(corrections=args.corrections, seed=args.seed)
    command = " ".join(["dexhot train assist leap", *options_of(args, ("task", "experts", "out", "episodes", "json"))])
    train = load_leap_experts("train", args.experts)
    test = load_leap_experts("test", args.experts) if args.episodes else []
    with progress("training", counted=True) as job:
        actor, told = train_leap(train, options, folder, command, threads, job.says("training, "))
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
