"""Record a camera and the robot's state: colour, depth, camera info and all other topics, to an MCAP bag."""

import os
import sys
from dataclasses import dataclass
from typing import Annotated

import tyro

from dexhot.cli.arguments import shown


@dataclass
class Args:
    """Arguments of the graph `capture`."""

    arguments: Annotated[tuple[str, ...], tyro.conf.Positional, shown("[NAME:=VALUE ...]")] = ()
    """Further arguments of the graph `capture`; `dexhot up capture --show-args` lists them."""
    camera: Annotated[str, shown("CAMERA")] = "realsense"
    """realsense, realsense:SERIAL, bag:PATH, dir:PATH, sim (synthetic), webcam, webcam:DEVICE, video:PATH, or running
    (one that already publishes)."""
    out: Annotated[str, shown("FOLDER")] = ""
    """Folder to record to, which must not exist; by default a new one in runs/. Missing folders are created."""
    duration: Annotated[float, shown("SECONDS")] = 0.0
    """Duration from the first image, s; 0: until Ctrl-C."""
    namespace: Annotated[str, shown("NAME")] = ""
    """Namespace of the robot and the camera to record; by default none."""
    json: bool = False
    """Print what was recorded as one JSON line at the end."""


def run(args: Args) -> int:
    """Exit code 0 if stopped or complete, 1 if the capture ended early."""
    from dexhot.bringup import launcher
    from dexhot.bringup.graph import parse_assignments, plan
    from dexhot.bringup.graphs import load_graph
    from dexhot.bringup.unrecorded import clear_up, files_in, nothing_recorded
    from dexhot.cli.output import console, print_json, summary
    from dexhot.data.bags import contents

    given = {"camera": args.camera, "out": args.out, "duration": str(args.duration)}
    given |= {"namespace": args.namespace} if args.namespace else {}
    launcher.require_ros()
    planned = plan(load_graph("capture"), given | parse_assignments(args.arguments), os.environ)
    console.print(f"recording to {planned.folder}; Ctrl-C stops")
    before = files_in(planned.folder)
    code = launcher.run(planned, sys.stderr)
    if clear_up(planned, before):
        console.print(nothing_recorded(planned.folder), soft_wrap=True)
        if args.json:
            print_json({"folder": None, "messages": {}, "exit_code": code or 1})
        return code or 1
    bag = planned.folder / "bag"
    if not bag.is_dir():
        return code or 1
    found = contents(bag)
    size = sum(p.stat().st_size for p in bag.iterdir())
    rows = {t: f"{n} messages, {n / max(found.duration, 1e-9):.1f} Hz" for t, n in sorted(found.counts.items())}
    summary(f"{planned.folder}: {found.duration:.1f} s, {size * 1e-6:.1f} MB", rows)
    if args.json:
        facts = {"folder": str(planned.folder), "duration_s": found.duration, "bytes": size, "messages": found.counts}
        print_json(facts | {"exit_code": code})
    return code
