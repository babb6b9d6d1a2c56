"""View any data file in the browser: scrub, the reference as a ghost, frames, contacts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from dexhot.cli.arguments import shown


@dataclass
class Args:
    """File to view and server address."""

    file: Annotated[Path, tyro.conf.Positional, shown("FILE|RUN")]
    """A trajectory, reference, demonstration or rollout, or the folder of a recorded run."""
    host: Annotated[str, shown("ADDRESS")] = "127.0.0.1"
    """Server address; 0.0.0.0 lets other machines connect."""
    port: Annotated[int, shown("PORT")] = 8080
    """Server port; if it is in use, the next free one."""
    json: bool = False
    """Print the URL as one JSON line once the page is ready."""


def run(args: Args) -> None:
    """Serve the scene until Ctrl-C."""
    from dexhot.cli.output import console, print_json
    from dexhot.data.bags import is_bag_file
    from dexhot.data.files import load
    from dexhot.errors import DexhotError
    from dexhot.rollouts.live import live_rollout
    from dexhot.view.player import Player, new_server
    from dexhot.view.shows import make_show

    if not 0 < args.port < 65536:
        raise DexhotError(f"--port must be between 1 and 65535, not {args.port}.")
    recorded = args.file.is_dir() or is_bag_file(args.file)
    item: object = live_rollout(args.file, part=True) if recorded else load(args.file)
    server = new_server(args.host, args.port)
    try:
        player = Player(server, make_show(server, item))
        url = f"http://{args.host}:{server.get_port()}"
        console.print(f"{args.file.name} at {url}  (Ctrl-C ends)")
        if args.json:
            print_json({"file": str(args.file), "kind": player.show.kind, "url": url})
        player.run()
    finally:
        server.stop()
