"""Replay a recorded run through its controller and compare the commands; or play the topics of any bag."""

import os
import sys
from dataclasses import dataclass
from typing import Annotated

import tyro

from dexhot.cli.arguments import shown


@dataclass
class Args:
    """Recording to replay."""

    run: Annotated[str, tyro.conf.Positional, shown("RUN")]
    """Folder of a run or of a capture, or a bag; also a librealsense .db3 recording."""
    arguments: Annotated[tuple[str, ...], tyro.conf.Positional, shown("[NAME:=VALUE ...]")] = ()
    """Arguments of the graph `replay`, such as rate:=0.5 loop:=true; `dexhot up replay --show-args` lists them."""
    namespace: Annotated[str, shown("NAME")] = ""
    """Namespace to play into; it replaces the recording's."""
    json: bool = False
    """Print the comparison as one JSON line at the end."""


def run(args: Args) -> int:
    """Exit code 0 if the commands agree within the tolerance or the bag was played, else 1."""
    import json

    from dexhot.bringup import launcher
    from dexhot.bringup.graph import parse_assignments, plan
    from dexhot.bringup.graphs import load_graph
    from dexhot.cli.output import print_json, summary
    from dexhot.scratch import remove_scratch

    launcher.require_ros()
    given = {"bag": args.run} | ({"namespace": args.namespace} if args.namespace else {})
    planned = plan(load_graph("replay"), given | parse_assignments(args.arguments), os.environ)
    report, found = planned.folder / "replay.json", None
    try:
        code = launcher.run(planned, sys.stderr)
        if report.is_file():
            found = json.loads(report.read_text())
    finally:
        remove_scratch(planned.folder)
    if "controller" not in planned.node_names:
        if args.json:
            print_json({"played": args.run, "topics": planned.arguments["topics"] or "all", "exit_code": code})
        return code
    if found is None:
        return code or 1
    summary(f"replay of {args.run}", found)
    if args.json:
        print_json(found)
    return code or (0 if found["equal"] else 1)
