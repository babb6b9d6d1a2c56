"""Export demonstrations, or the tracking task, to other projects' formats."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from dexhot.cli.arguments import shown


@dataclass
class Args:
    """Write demonstrations as a dataset of another project, or clips as a task of another simulator."""

    demonstrations: Annotated[list[str], tyro.conf.Positional, shown("DEMONSTRATION|CLIP ...")]
    """lerobot: demonstration files (.npz), an episode each. isaacgym: clips as `dexhot train tracker` takes them."""
    to: Literal["lerobot", "isaacgym"]
    """lerobot: a LeRobot v3.0 dataset, without images. isaacgym: the tracking task for Isaac Gym (docs/learning.md)."""
    out: Annotated[Path | None, shown("FOLDER")] = None
    """New folder; default: demonstrations.lerobot, or tracking.isaacgym. Missing folders are created."""
    profile: Annotated[str | None, shown("PROFILE")] = None
    """isaacgym: profile of the finger servos (config/servos.yaml); default: the hand's own."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Args) -> None:
    """Export them."""
    if args.to == "isaacgym":
        return _isaacgym(args)
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
