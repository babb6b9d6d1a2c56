"""Bring up a graph of ROS nodes without ros2 launch: dexhot up real_track reference:=FILE; Ctrl-C shuts it down."""

import os
import sys
from dataclasses import dataclass
from typing import Annotated

import tyro

from dexhot.cli.arguments import shown

AFTERWARDS = {  # graph -> what its recording is for
    "real_track": "`dexhot report {}` writes a report of the run",
    "teleop": "`dexhot teleop save {}` makes a demonstration of the run",
}


@dataclass
class Args:
    """Graph and its arguments."""

    graph: Annotated[str, tyro.conf.Positional, shown("GRAPH")]
    """Name of the graph: real_track, teleop, watch, capture or replay."""
    arguments: Annotated[tuple[str, ...], tyro.conf.Positional, shown("[NAME:=VALUE ...]")] = ()
    """Arguments of the graph; --show-args lists them."""
    namespace: Annotated[str, shown("NAME")] = ""
    """Namespace of every node and topic, one per robot; the same as the argument namespace:=NAME."""
    show_args: bool = False
    """List the graph's arguments with their defaults, and exit."""
    json: bool = False
    """Print the plan and the exit code as one JSON line at the end."""


def run(args: Args) -> int:
    """Exit code 0 if stopped or finished, 1 if a process died."""
    from dexhot.bringup import launcher
    from dexhot.bringup.graph import parse_assignments, plan
    from dexhot.bringup.graphs import load_graph
    from dexhot.bringup.unrecorded import clear_up, files_in, has_bag, nothing_recorded
    from dexhot.cli.output import console, print_json, results, summary

    graph = load_graph(args.graph)
    if args.show_args:
        rows = {a.name: a.description + f" (default: {a.default_text})" * bool(a.default_text) for a in graph.arguments}
        summary(f"{graph.name}: {graph.description}", rows, results(False))
        return 0
    launcher.require_ros()
    given = {"namespace": args.namespace} if args.namespace else {}
    planned = plan(graph, given | parse_assignments(args.arguments), os.environ)
    summary(f"{graph.name}: {graph.description}", {k: v for k, v in planned.arguments.items() if v != ""})
    nodes = {p.name: ", ".join(n.name for n in p.nodes) for p in planned.processes}
    summary("processes and their nodes", nodes | {"folder": planned.folder})
    before = files_in(planned.folder)
    try:
        code = launcher.run(planned, sys.stderr)
    finally:
        unrecorded = clear_up(planned, before)
    if unrecorded:
        console.print(nothing_recorded(planned.folder), soft_wrap=True)
    elif planned.recorded and graph.name in AFTERWARDS and has_bag(planned.folder):
        console.print(AFTERWARDS[graph.name].format(planned.folder), soft_wrap=True)
    if args.json:
        facts = {"graph": graph.name, "arguments": planned.arguments, "processes": nodes, "folder": str(planned.folder)}
        print_json(facts | {"exit_code": code})
    return code
