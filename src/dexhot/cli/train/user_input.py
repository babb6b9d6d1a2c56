"""Make the user inputs that an assisting agent learns from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from dexhot.cli.arguments import at_least, options_of, shown


@dataclass
class UserInput:
    """Make user inputs with structured noise for an Adroit task: what estimated hand poses ask of the robot while an
    expert acts (residual hand agent, section III-C)."""

    task: Annotated[Literal["door", "hammer", "pen", "relocate"], tyro.conf.Positional]
    """The task (gymnasium-robotics)."""
    noise: Literal["retrieved", "rendered"] = "retrieved"
    """retrieved: from the closest pose of a set of real hand poses; rendered: from pictures of a hand in the expert's
    pose, by the embedded keypoint estimator, misses included."""
    poses: Literal["grab", "dexycb", "bighand", "fphab"] = "grab"
    """retrieved: the set; grab, dexycb: their clips in the cache, the others: your copy (--path)."""
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


def run(args: UserInput) -> None:
    """Make the inputs and save them."""
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
    command = " ".join(["dexhot train user-input", args.task, *options_of(args, unsaid)])
    source = {"poses": args.poses, "terms": terms} if poses is not None else {}
    save_inputs(made, options, out, {**source, **figures, "command": command})
    told = {"inputs": str(out), "motions": len(experts.seeds), "variants": args.variants}
    told |= {name: round(value, 3) for name, value in figures.items()}
    summary("user inputs", told)
    if args.json:
        print_json(told)


def _poses(args: UserInput) -> tuple[Any, str]:
    """The set of hand poses and its terms."""
    from dexhot.datasets import bighand, dexycb, fphab, grab
    from dexhot.datasets.hand_poses import dexycb_poses, grab_poses
    from dexhot.errors import DexhotError

    if args.poses == "grab":
        return grab_poses(), grab.TERMS
    if args.poses == "dexycb":
        return dexycb_poses(), dexycb.TERMS
    if args.path is None:
        raise DexhotError(f"{args.poses} cannot be downloaded automatically; give the folder of your copy: --path DIR.")
    if args.poses == "bighand":
        return bighand.bighand_poses(args.path, args.every), bighand.TERMS
    return fphab.fphab_poses(args.path, args.every), fphab.TERMS
