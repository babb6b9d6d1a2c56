"""Start, stop and reset a running graph, or show its state: dexhot safety status.

Exit code 0: done (status: supervisor alive, no fault); 1: refused (status: a fault, or no live supervisor); 3: no
reply.
"""

import sys
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from dexhot.cli.arguments import shown

REFUSED, NOBODY = 1, 3


@dataclass
class Args:
    """Request to the supervisor."""

    action: Annotated[Literal["start", "stop", "reset", "estop", "status"], tyro.conf.Positional]
    """start: begin tracking; stop: hold; estop: emergency stop (a fault); reset: clear a fault; status: show the
    state."""
    namespace: Annotated[str, shown("NAME")] = ""
    """Namespace of the robot, as given to `dexhot up`."""
    all: bool = False
    """With estop: stop every robot of the ROS domain, by /safety/estop_input."""
    timeout: float = 5.0
    """Timeout of the reply, s."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Args) -> int:
    """0, REFUSED or NOBODY."""
    from dexhot.bringup.graph import read_namespace
    from dexhot.bringup.safety_client import NoSupervisorError, SafetyClient
    from dexhot.cli.output import print_json, results
    from dexhot.errors import DexhotError

    if args.all and args.action != "estop":
        raise DexhotError(f"--all applies to estop only; {args.action} is for one robot.")
    try:
        with SafetyClient(args.timeout, read_namespace(args.namespace)) as client:
            if args.all:
                stopped = client.stop_all()
                done, text = True, f"emergency stop of every robot: {', '.join(stopped)}"
                entries = {"done": True, "supervisors": stopped}
            elif args.action == "status":
                status = client.status()
                watched = "supervisor alive" if status.watched else "no supervisor has published since"
                others = f"; {status.supervisors} supervisors publish a state" * (status.supervisors > 1)
                done = status.watched and status.state != "fault"
                text = f"{status.state}: {status.reason} ({status.age:.1f} s ago, {watched}{others})"
                entries = {**status.__dict__, "watched": status.watched}
            else:
                done, text = client.call(args.action)
                state, _, reason = text.partition(": ")
                entries = {"done": done, "state": state, "reason": reason}
    except NoSupervisorError as e:
        print(f"dexhot: error: {e}", file=sys.stderr)
        if args.json:
            print_json({"error": str(e)})
        return NOBODY
    results(args.json).print(text, soft_wrap=True)
    if args.json:
        print_json(entries)
    return 0 if done else REFUSED
