"""Parametric demonstrations: a simple human hand that reaches for, grasps and moves an object, from a seed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from dexhot.cli.arguments import at_least, shown
from dexhot.cli.output import print_json, summary


@dataclass
class Args:
    """Generate one demonstration."""

    kind: tyro.conf.Positional[Literal["reach", "grasp", "lift", "carry", "regrasp", "rotate", "inhand"]]
    """Kind of motion."""
    shape: Annotated[
        Literal["box", "cylinder", "sphere", "composite"] | None, shown("{box,cylinder,sphere,composite}")
    ] = None
    """Shape of the object; its sizes are sampled from the seed. Default: box."""
    object: Annotated[str | None, shown("NAME")] = None
    """Use this object of the cache instead (`dexhot object list`; a plain name is searched under user/). It starts in
    the likeliest resting pose in which a hand can grasp it from above."""
    seed: int = 0
    """Random seed for shape sizes, position, heights and durations."""
    side: Literal["right", "left"] = "right"
    """Hand side; the left hand is the mirrored right hand."""
    out: Annotated[Path | None, shown("FILE")] = None
    """Trajectory file to write; default: <kind>-<shape or object>-<seed>[-left].npz. A shape is added to the cache.
    Missing folders are created."""
    force: bool = False
    """Overwrite an output file of another kind."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Args) -> None:
    """Write the trajectory, and add a shape to the cache."""
    from dexhot.data import save
    from dexhot.data.disk import check_folder
    from dexhot.data.files import check_out, file_of
    from dexhot.data.types import HandObjectTrajectory
    from dexhot.datasets.parametric import generate
    from dexhot.errors import DexhotError
    from dexhot.objects import load_object, save_object
    from dexhot.objects.library import objects_dir

    at_least(0, seed=args.seed)
    if args.object and args.shape:
        raise DexhotError("--shape generates a new object, --object names one in the cache: give only one of them.")
    if args.object:
        from dexhot.datasets.scanned import generate_with

        asset = load_object(args.object)
        trajectory = generate_with(args.kind, asset, args.seed, args.side)
    else:
        check_folder(objects_dir(), "$DEXHOT_CACHE")
        trajectory, asset = generate(args.kind, args.shape or "box", args.seed, args.side)
    out = file_of(args.out or Path(f"{trajectory.name.partition('/')[2]}.npz"), HandObjectTrajectory)
    check_out(out, "dexhot/trajectory", args.force)
    if not args.object:
        save_object(asset)
    path = save(trajectory, out)
    z = trajectory.object_pose[:, 2]
    rows = {"file": str(path), "object": asset.name, "frames": len(z), "duration_s": float(trajectory.time[-1])}
    rows["lift_m"] = float(z.max() - z[0])
    summary(f"generated {trajectory.name}", rows)
    if args.json:
        print_json(rows)
