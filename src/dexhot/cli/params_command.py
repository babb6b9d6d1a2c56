"""The parameters of a node with their defaults, as a parameters file to edit: dexhot params controller > lab.yaml."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from dexhot.cli.arguments import shown


@dataclass
class Args:
    """Choice of the node."""

    node: Annotated[str, tyro.conf.Positional, shown("NODE")]
    """Name of the node, as in `dexhot up real_track`: rig, controller, supervisor, ..."""


def run(args: Args) -> None:
    """Print the file with every line commented out; only uncommented lines take effect."""
    from dexhot.ros.core.parameters import load_schema, template

    print(template(args.node, load_schema(args.node)), end="")
