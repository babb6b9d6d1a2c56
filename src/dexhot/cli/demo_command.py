"""The whole pipeline: retarget a human demonstration, mine it, track it live through the graph, write the report."""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from dexhot.cli.arguments import shown
from dexhot.errors import DexhotError, DownloadError, LicenceError

CLIP = "grab/cubesmall_lift"
LIFT = 0.05  # m, minimum lift of the object in the demo's clip
FALLBACK = ("lift", "box", 0)  # the parametric demonstration used without network or accepted terms
ATTEMPTS = 2  # live runs: load on the machine can spoil one


@dataclass
class Args:
    """Demonstration and run folder."""

    clip: Annotated[str, shown("CLIP")] = CLIP
    """A GRAB clip that lifts its object by at least 5 cm; `dexhot datasets list grab` shows them."""
    source: Literal["grab", "parametric"] = "grab"
    """grab: a recorded clip; parametric: a generated demonstration, without download or licence terms."""
    accept_licence: Annotated[str | None, shown("DATASET")] = None
    """grab: accept GRAB's terms; otherwise you are asked on the terminal; without one a generated demonstration is
    used."""
    out: Annotated[Path | None, shown("FOLDER")] = None
    """Folder of the run; by default a new one in runs/. Missing folders are created."""
    view: bool = False
    """Show the live scene in the browser."""
    seed: int = 0
    """Random seed of mining."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


@dataclass
class Stages:
    """Announces each stage and measures its wall time, s."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, name: str, what: str) -> Iterator[None]:
        from dexhot.cli.output import console

        console.print(f"[bold]{name}[/]: {what}", highlight=False)
        began = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - began, 1)


def run(args: Args) -> int:
    """Exit code 0 when the live run is a strict success, else 1."""
    from dexhot.bringup.launcher import require_ros
    from dexhot.cli.datasets_command import acceptance
    from dexhot.cli.output import console, print_json, summary
    from dexhot.data.disk import check_folder
    from dexhot.paths import runs_dir

    folder = args.out or runs_dir() / time.strftime("%Y%m%d-%H%M%S-demo")
    if folder.exists():
        raise DexhotError(f"{folder} exists; a run is never overwritten: name another --out.")
    check_folder(folder)
    acceptance("grab", args.accept_licence)
    require_ros()
    stages = Stages()
    with stages("data", "a demonstration of a real person" if args.source == "grab" else "a generated demonstration"):
        trajectory = demonstration_of(args)
    with stages("retarget", f"{trajectory.name} to a LEAP hand on a Franka arm"):
        reference = retargeted(trajectory, folder)
    with stages("mine", "actions that make the motion succeed in physics"):
        demonstration = mined(reference, folder, args.seed)
    with stages("live", "tracking it through the ROS 2 graph, recorded"):
        metrics, live, live_runs = tracked(folder, demonstration, args.view)
    with stages("report", "what happened"):
        page = reported(live)
    result = {
        "success": bool(metrics["success_strict"]),
        "clip": trajectory.name,
        "T_err_cm": metrics["T_err_cm"],
        "R_err_rad": metrics["R_err_rad"],
        "seconds": stages.seconds | {"total": round(sum(stages.seconds.values()), 1)},
        "live_runs": live_runs,
        "run": str(live),
        "report": str(page),
    }
    shown = {"success (strict, from the bag)": "yes" if result["success"] else "no"} | result
    summary("dexhot demo", {name: value for name, value in shown.items() if name not in ("success", "seconds")})
    summary("seconds", result["seconds"])
    for line in closing_lines(page, live):
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    if args.json:
        print_json(result)
    return 0 if result["success"] else 1


def demonstration_of(args: Args) -> Any:
    """The HandObjectTrajectory: GRAB's clip, or, without network or accepted terms, the parametric one, with a
    message."""
    from dexhot.cli.datasets_command import acceptance
    from dexhot.cli.output import console

    if args.source == "grab":
        try:
            return grab_clip(args.clip, acceptance("grab", args.accept_licence))
        except (DownloadError, LicenceError) as e:
            text = f"[yellow]no clip of GRAB[/]: {e} A generated demonstration is used instead."
            console.print(text, highlight=False, soft_wrap=True)
    from dexhot.datasets.parametric import generate
    from dexhot.objects import save_object

    trajectory, asset = generate(*FALLBACK)
    save_object(asset)
    return trajectory


def grab_clip(clip: str, accept_licence: bool | None) -> Any:
    """A clip of GRAB; `accept_licence` None asks on the terminal, once for this cache. Raises LicenceError if its
    terms are not accepted, and DownloadError if the package registry cannot be reached."""
    from dexhot.cli.datasets_command import get_grab
    from dexhot.datasets.library import load_clip

    get_grab(accept_licence)
    trajectory = load_clip(clip)
    z = trajectory.object_pose[:, 2]
    if z.max() - z[0] < LIFT:
        raise DexhotError(
            f"{clip} lifts its object by {100 * (z.max() - z[0]):.1f} cm; the demo needs {100 * LIFT:.0f}."
        )
    return trajectory


def retargeted(trajectory: Any, folder: Path) -> Path:
    """Retarget, place within the arm's reach; returns the file of the Reference."""
    from dexhot.data import save
    from dexhot.objects import load_object
    from dexhot.retargeting.placement import place
    from dexhot.retargeting.retarget import retarget
    from dexhot.robots.robot_hand import load_hand

    hand = load_hand("leap_right")
    reference = place(retarget(trajectory, hand, load_object(trajectory.object_name)), hand)
    return save(reference, folder / "reference.npz")


def mined(reference: Path, folder: Path, seed: int) -> Path:
    """Mine; returns the file of the Demonstration."""
    from dexhot.cli.output import console
    from dexhot.data import Reference, load, save
    from dexhot.progress import progress
    from dexhot.simulation.setup import load_setup
    from dexhot_train.mining.mine import MineOptions, make_worlds, mine
    from dexhot_train.mining.verdict import verdict

    wanted, options = load(reference, Reference), MineOptions(seed=seed)
    worlds = make_worlds(wanted, load_setup(wanted), options)
    with progress("mining", 1.0) as job:
        found = mine(
            wanted,
            worlds,
            options,
            lambda stage, done: job(done, what=f"mining, {stage} search"),
        )
    judged = verdict(found)
    if not judged.success:
        console.print(f"[yellow]{judged.outcome}[/]: {judged.reason}", highlight=False, soft_wrap=True)
    return save(found, folder / "demonstration.npz")


def tracked(folder: Path, demonstration: Path, view: bool) -> tuple[dict[str, Any], Path, int]:
    """The last live run: its metrics, computed from its bag, its folder and its number. A failed run is repeated."""
    import os

    from dexhot.bringup import launcher
    from dexhot.bringup.graph import plan
    from dexhot.bringup.graphs import load_graph
    from dexhot.cli.output import console
    from dexhot.evaluation.score import rejudge
    from dexhot.rollouts.live import live_rollout
    from dexhot.ros.core.claim import own_domain

    own_domain()
    for attempt in range(1, ATTEMPTS + 1):
        live = folder / f"live-{attempt}"
        arguments = {"reference": str(demonstration), "record": str(live), "exit_when_done": "true"}
        planned = plan(load_graph("real_track"), arguments | ({"view": "true"} if view else {}), os.environ)
        if launcher.run(planned, sys.stderr):
            raise DexhotError(f"the live graph died; its log is above, its run is in {live}.")
        metrics = rejudge(live_rollout(live)).metrics
        if metrics["success_strict"] or attempt == ATTEMPTS:
            return metrics, live, attempt
        console.print(f"[yellow]live run {attempt} of {ATTEMPTS} was not a strict success; trying again.[/]")
    raise AssertionError


def reported(live: Path) -> Path:
    """Write the report; returns its page."""
    from dexhot.cli.report_command import Args as ReportArgs
    from dexhot.cli.report_command import write

    page, *_ = write(ReportArgs(live))
    return page


def closing_lines(page: Path, live: Path) -> list[str]:
    """Next steps: open the report, view the run; and the location of `dexhot` if it is not on the PATH."""
    lines = [f"report: {page.resolve().as_uri()}", f"in 3D:  dexhot view {live}"]
    command = Path(sys.executable).with_name("dexhot")
    if command.is_file() and shutil.which("dexhot") != str(command):
        name = command.relative_to(Path.cwd()) if command.is_relative_to(Path.cwd()) else command
        lines.append(f"`dexhot` is {name}; `source {name.parent / 'activate'}` puts it on the PATH")
    return lines
