"""Teleoperation: work the clutch and the assistance of a running graph, save a run as a demonstration."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from dexhot.cli.arguments import shown
from dexhot.cli.output import console, print_json, summary


@dataclass
class Engage:
    """Engage the clutch of a running `dexhot up teleop`; it must be tracking (`dexhot safety start`)."""

    namespace: Annotated[str, shown("NAME")] = ""
    """Namespace of the robot, as given to `dexhot up`."""


@dataclass
class Release:
    """Release the clutch: the robot holds."""

    namespace: Annotated[str, shown("NAME")] = ""
    """Namespace of the robot, as given to `dexhot up`."""


@dataclass
class Assist:
    """Fade the assistance in or out."""

    switch: Annotated[Literal["on", "off"], tyro.conf.Positional]
    """on or off."""
    namespace: Annotated[str, shown("NAME")] = ""
    """Namespace of the robot, as given to `dexhot up`."""


@dataclass
class Save:
    """Save a run as a Demonstration: from the first engagement of the clutch to its last release. A bad run is refused
    with the reason: ended by a fault, nothing lifted, or dropped."""

    run: Annotated[Path, tyro.conf.Positional, shown("RUN")]
    """Folder of a run of `dexhot up teleop`."""
    out: Annotated[Path | None, shown("FILE")] = None
    """Output file; default: demonstration.npz in the run's folder. Missing folders are created."""
    name: Annotated[str, shown("NAME")] = ""
    """Name of the demonstration; default: the run's."""
    force: bool = False
    """Overwrite an output file of another kind."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


@dataclass
class Figures:
    """Print a run's latencies: image to hand command, and retargeting."""

    run: Annotated[Path, tyro.conf.Positional, shown("RUN")]
    """Folder of a run of `dexhot up teleop`."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


Args = (
    Annotated[Engage, tyro.conf.subcommand(name="engage")]
    | Annotated[Release, tyro.conf.subcommand(name="release")]
    | Annotated[Assist, tyro.conf.subcommand(name="assist")]
    | Annotated[Save, tyro.conf.subcommand(name="save")]
    | Annotated[Figures, tyro.conf.subcommand(name="figures")]
)


def run(args: Engage | Release | Assist | Save | Figures) -> None:
    """Do it. Raises DexhotError."""
    if isinstance(args, Save):
        return _save(args)
    if isinstance(args, Figures):
        return _figures(args)
    from dexhot.bringup.graph import read_namespace
    from dexhot.bringup.teleop_client import press
    from dexhot.data.topics import TELEOP_ASSIST, TELEOP_CLUTCH

    topic = TELEOP_ASSIST if isinstance(args, Assist) else TELEOP_CLUTCH
    on = args.switch == "on" if isinstance(args, Assist) else isinstance(args, Engage)
    console.print(press(topic, on, read_namespace(args.namespace)), soft_wrap=True)
    return None


def _save(args: Save) -> None:
    from dexhot.data import files
    from dexhot.data.types import Demonstration
    from dexhot.rollouts.teleop_run import demonstration_of

    out = files.file_of(args.out or args.run / "demonstration.npz", Demonstration)
    files.check_out(out, "dexhot/demonstration", args.force)
    made = demonstration_of(args.run, args.name)
    path = files.save(made, out)
    frames = len(made.actions)
    console.print(
        f"{path}: {frames} frames, {frames / 60:.1f} s; `dexhot evaluate {path} --arm` plays it again", soft_wrap=True
    )
    if args.json:
        print_json({"file": str(path), "name": made.name, "frames": frames})


def _figures(args: Figures) -> None:
    from dexhot.errors import DexhotError
    from dexhot.rollouts.teleop_run import latencies

    found = latencies(args.run)
    if "images" not in found:
        raise DexhotError(f"{args.run} has no hand command that an image led to: the robot never tracked a seen hand.")
    summary(f"{args.run}", found)
    if args.json:
        print_json(found)
