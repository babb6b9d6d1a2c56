"""View a file, a run, a capture, a dataset's clip or an object in the browser."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import tyro

from dexhot.cli.arguments import shown


@dataclass
class Args:
    """Item to view, and the server's address."""

    what: Annotated[str, tyro.conf.Positional, shown("FILE|RUN|CAPTURE|CLIP|OBJECT")]
    """A trajectory, reference, demonstration or rollout; the folder of a run or a capture, a bag; the name of a clip
    (grab/duck_lift) or of an object (grab/duck)."""
    host: Annotated[str, shown("ADDRESS")] = "127.0.0.1"
    """Server address; 0.0.0.0 lets other machines connect."""
    port: Annotated[int, shown("PORT")] = 8080
    """Server port; if it is in use, the next free one."""
    json: bool = False
    """Print the URL as one JSON line once the page is ready."""


def run(args: Args) -> None:
    """Serve the scene until Ctrl-C."""
    from dexhot.cli.output import console, print_json
    from dexhot.errors import DexhotError
    from dexhot.view.player import Player, new_server
    from dexhot.view.shows import make_show
    from dexhot.view.sources import find_item

    if not 0 < args.port < 65536:
        raise DexhotError(f"--port must be between 1 and 65535, not {args.port}.")
    item = find_item(args.what)
    with ctrl_c() as pressed:
        server = new_server(args.host, args.port)
        try:
            player = Player(server, make_show(server, item))
            url = f"http://{args.host}:{server.get_port()}"
            console.print(f"{player.show.name} at {url}  (Ctrl-C ends)")
            if args.json:
                print_json({"file": args.what, "kind": player.show.kind, "url": url})
            player.run(lambda: bool(pressed))
        finally:
            server.stop()


@contextmanager
def ctrl_c() -> Iterator[list[int]]:
    """A list that Ctrl-C fills, and KeyboardInterrupt at the end if it did; a second Ctrl-C interrupts at once.

    An exception in the middle of viser's code may be swallowed there, or leave a lock taken for which its `stop` waits.
    (A threading.Event has a lock of its own, which a handler must not wait for.)
    """
    pressed: list[int] = []

    def press(number: int, frame: object) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    before = signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt
