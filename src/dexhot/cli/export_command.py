"""Export demonstrations, or the tracking task, to other projects' formats, and a network from one of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from dexhot.cli.arguments import shown


@dataclass
class Args:
    """Write demonstrations as a dataset of another project, clips as a task of another simulator, or the network that
    was trained there as a policy."""

    demonstrations: Annotated[list[str], tyro.conf.Positional, shown("DEMONSTRATION|CLIP|CHECKPOINT ...")]
    """lerobot: demonstration files (.npz), an episode each. isaacgym: clips as `dexhot train tracker` takes them.
    policy: rl_games' checkpoint (.pth) of `dexhot_isaacgym.train`."""
    to: Literal["lerobot", "isaacgym", "policy"]
    """lerobot: a LeRobot v3.0 dataset, without images. isaacgym: the tracking task for Isaac Gym (docs/learning.md).
    policy: an .onnx file with its card, for controller:=policy."""
    task: Annotated[Path | None, shown("FOLDER")] = None
    """policy: what `dexhot export --to isaacgym` wrote, on which it was trained."""
    out: Annotated[Path | None, shown("FOLDER|FILE")] = None
    """New folder, or .onnx file; default: demonstrations.lerobot, tracking.isaacgym or policy.onnx. Missing folders are
    created."""
    profile: Annotated[str | None, shown("PROFILE")] = None
    """isaacgym: profile of the finger servos (config/servos.yaml); default: the hand's own."""
    force: bool = False
    """policy: overwrite an output file that is not a policy."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Args) -> None:
    """Export them."""
    if args.to != "lerobot":
        return _isaacgym(args) if args.to == "isaacgym" else _policy(args)
    from dexhot.cli.output import print_json, summary
    from dexhot.data.files import load
    from dexhot.data.lerobot import export_lerobot
    from dexhot.data.types import Demonstration

    items = [load(Path(path), Demonstration) for path in args.demonstrations]
    folder = export_lerobot(items, args.out or Path("demonstrations.lerobot"))
    told = {"dataset": str(folder), "episodes": len(items), "frames": sum(len(d.actions) for d in items)}
    summary("LeRobot dataset", told)
    if args.json:
        print_json(told)


def _isaacgym(args: Args) -> None:
    from dexhot.cli.output import print_json, summary
    from dexhot_train.curriculum.variations import require_training
    from dexhot_train.isaacgym_export import export_isaacgym
    from dexhot_train.task.clips import load_task_clip

    clips = [load_task_clip(name, args.profile) for name in args.demonstrations]
    for clip in clips:
        require_training(clip.name, clip.reference)
    folder = export_isaacgym(clips, args.out or Path("tracking.isaacgym"))
    told = {"task": str(folder), "clips": len(clips), "frames": sum(len(c.reference.q) for c in clips)}
    summary("tracking task for Isaac Gym", told)
    if args.json:
        print_json(told)


def _policy(args: Args) -> None:
    from dexhot.cli.arguments import policy_out
    from dexhot.cli.output import print_json, summary
    from dexhot.errors import DexhotError, MissingExtraError

    try:
        from dexhot_train.export import export_policy
        from dexhot_train.isaacgym_policy import isaacgym_policy
    except ImportError as e:
        raise MissingExtraError("the export of a policy", "train") from e
    if len(args.demonstrations) != 1 or args.task is None:
        raise DexhotError("--to policy takes one checkpoint (.pth), and --task FOLDER on which it was trained.")
    out = policy_out(args.out or Path("policy.onnx"), args.force)
    network, card = isaacgym_policy(Path(args.demonstrations[0]), args.task)
    told = {"policy": str(export_policy(network, card, out)), "clips": len(card.training_data)}
    told |= {"terms": card.terms or "none", "control_steps": card.provenance["control_steps"]}
    summary("policy", told)
    if args.json:
        print_json(told)
