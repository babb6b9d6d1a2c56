"""Export the arm with a hand as one URDF, with primitives and meshes: for RViz, Foxglove, MoveIt, other simulators."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from dexhot.cli.arguments import shown
from dexhot.cli.output import console, print_json, summary


@dataclass
class Args:
    """Hand and output files."""

    hand: Annotated[str, tyro.conf.Positional, shown("HAND")] = "leap_right"
    """A shipped hand, or the path of a hand.yaml."""
    out: Annotated[Path | None, shown("FILE.urdf")] = None
    """Output file; meshes go to the folder meshes/ beside it. Default: fr3_<hand>.urdf in the current folder.
    Missing folders are created."""
    srdf: Annotated[Path | None, shown("FILE.srdf")] = None
    """Also write an SRDF for MoveIt: groups, group states, end effector, disabled collision pairs."""
    meshes: Annotated[str, shown("PREFIX")] = "meshes"
    """Prefix of the mesh file names in the URDF, e.g. package://my_description/meshes."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Args) -> None:
    """Write the files."""
    from dexhot.errors import DexhotError
    from dexhot.robots.description import describe
    from dexhot.robots.robot_hand import load_hand
    from dexhot.robots.urdf_tree import read_tree

    found = describe(load_hand(args.hand), args.meshes)
    out = args.out or Path(f"{found.name}.urdf")
    for path, suffix in ((out, ".urdf"), (args.srdf, ".srdf")):
        if path is not None and path.suffix != suffix:
            raise DexhotError(f"{path} must end in {suffix}.")
        if path is not None and path.exists():
            raise DexhotError(f"{path} exists already; give another --out or --srdf, or move it away.")
    found.write(out, args.srdf)
    tree = read_tree(found.urdf)
    facts = {"urdf": str(out), "root": tree.root, "links": len(tree.joints) + 1, "joints": len(tree.driven)}
    facts |= {"meshes": len(found.meshes)} | ({"srdf": str(args.srdf)} if args.srdf else {})
    summary(f"urdf {found.name}", facts)
    for note in found.notes:
        console.print(f"note: {note}", soft_wrap=True)
    if args.json:
        print_json(facts | {"notes": list(found.notes), "driven": list(tree.driven)})
