"""A human demonstration -> a Reference: where the robot's wrist and fingers and the object should be at 60 Hz."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from dexhot.cli.arguments import ON, shown


@dataclass
class Args:
    """Retarget one clip."""

    clip: Annotated[str, tyro.conf.Positional, shown("CLIP|FILE")]
    """A clip of the cache ("grab/duck_lift") or a trajectory file (.npz)."""
    hand: Annotated[str, shown("HAND")] = "leap_right"
    """A shipped robot hand, or the path of a hand.yaml (docs/add_a_hand.md)."""
    out: Annotated[Path | None, shown("FILE")] = None
    """Where the Reference goes; by default <clip>.reference.npz in the current folder."""
    contact: Annotated[bool, ON] = True
    """Follow the measured fingertips as they are, instead of planned contacts, opening, closing and squeeze."""
    place: Annotated[bool, ON] = True
    """Keep the recording's coordinates, instead of moving the whole of it to where the arm can follow."""
    picture: Annotated[Path | None, shown("FILE.png")] = None
    """Also draw human keypoints, wrist and palm frames and robot fingertips into this PNG."""
    json: bool = False
    """End with one JSON line."""


def run(args: Args) -> None:
    """Retarget, place, summarise, and draw if asked to."""
    from rich.progress import Progress

    from dexhot.cli.output import console, print_json, summary
    from dexhot.data.files import save
    from dexhot.data.object_library import load_object
    from dexhot.hands.robot_hand import load_hand
    from dexhot.retargeting.picture import draw
    from dexhot.retargeting.placement import place
    from dexhot.retargeting.retarget import RetargetOptions, retarget
    from dexhot.retargeting.summary import summarise

    trajectory, hand = _trajectory(args.clip), load_hand(args.hand)
    obj = load_object(trajectory.object_name)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("solving")
        options = RetargetOptions(contact=args.contact)
        reference = retarget(trajectory, hand, obj, options, lambda i, n: progress.update(task, completed=i, total=n))
        if args.place:
            progress.update(task, description="placing", completed=0, total=None)
            reference = place(reference, hand)
    out = save(reference, args.out or Path(f"{trajectory.name.rpartition('/')[2]}.reference.npz"))
    figures = summarise(reference, trajectory, hand, obj) | {"placement": reference.placement.round(4).tolist()}
    if args.picture:
        figures["picture"] = str(draw(reference, trajectory, hand, obj, args.picture))
    summary(f"{trajectory.name} on {hand.name} -> {out}", figures)
    if args.json:
        print_json({"reference": str(out), "clip": trajectory.name, "hand": hand.name, **figures})


def _trajectory(clip: str):
    from dexhot.data.datasets.library import load_clip
    from dexhot.data.files import load
    from dexhot.data.types import HandObjectTrajectory

    return load(clip, HandObjectTrajectory) if clip.endswith(".npz") else load_clip(clip)
