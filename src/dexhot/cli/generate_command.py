"""Parametric demonstrations: a simple human hand that reaches for, grasps and moves an object, from a seed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from dexhot.cli.arguments import shown
from dexhot.cli.output import print_json, summary


@dataclass
class Args:
    """What is generated."""

    kind: tyro.conf.Positional[Literal["reach", "grasp", "lift", "carry", "rotate", "inhand"]]
    """What the hand does."""
    shape: Literal["box", "cylinder", "sphere", "composite"] = "box"
    """What it does it with."""
    seed: int = 0
    """Sizes, place, heights and times are drawn from it."""
    side: Literal["right", "left"] = "right"
    """The hand that does it; the left one is the right one in a mirror."""
    out: Annotated[Path | None, shown("FILE")] = None
    """Trajectory file to write; default: <kind>-<shape>-<seed>[-left].npz. The object goes into the cache."""
    force: bool = False
    """Replace a file of another kind that is at the place of an output."""
    json: bool = False
    """End with one JSON line."""


def run(args: Args) -> None:
    """Write the trajectory, and its object into the cache."""
    from dexhot.data import save, save_object
    from dexhot.data.datasets.parametric import generate
    from dexhot.data.files import check_folder, check_out, file_of
    from dexhot.data.object_library import objects_dir
    from dexhot.data.types import HandObjectTrajectory

    check_folder(objects_dir(), "$DEXHOT_CACHE")
    trajectory, asset = generate(args.kind, args.shape, args.seed, args.side)
    out = file_of(args.out or Path(f"{trajectory.name.partition('/')[2]}.npz"), HandObjectTrajectory)
    check_out(out, "dexhot/trajectory", args.force)
    save_object(asset)
    path = save(trajectory, out)
    z = trajectory.object_pose[:, 2]
    rows = {"file": str(path), "object": asset.name, "frames": len(z), "duration_s": float(trajectory.time[-1])}
    rows["lift_m"] = float(z.max() - z[0])
    summary(f"generated {trajectory.name}", rows)
    if args.json:
        print_json(rows)
