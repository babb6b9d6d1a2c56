"""The whole pipeline: retarget a human demonstration, mine it, track it live through the graph, write the report. Then
the controller `planned` tracks a clip of a test split, on which nothing was trained or mined.

With --from, it begins with an RGB-D video: a rendered one of the same motion, or your own capture.
"""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from dexhot.cli.arguments import shown
from dexhot.errors import DexhotError, DownloadError, LicenceError

CLIP = "grab/cubesmall_lift"
LIFT = 0.05  # m, minimum lift of the object in the demo's clip
FALLBACK = ("lift", "box", 0)  # the parametric demonstration used without network or accepted terms
HELD_OUT = "alarmclock_pass1"  # of GRAB's test split: an object of no train clip; its bare reference is no success
HELD_OUT_FALLBACK = ("lift", "cylinder", 900)  # of the generated test split
PLANNING = 10.0  # s, before the start
VIDEO = ("a rendered RGB-D video of the motion: the pictures are not real", "the recording")  # not own, own
CAMERA, TRUTH = "closed on the simulated camera", "simulator truth"  # where the live object's poses come from
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
    begin: Annotated[
        str | None, tyro.conf.arg(name="from", metavar="video|teleop|RECORDING", help_behavior_hint="")
    ] = None
    """Begin with an RGB-D video, through `perceive` and `fit`. video: pictures of the clip's motion are rendered;
    RECORDING: your own bag, capture or folder of images, with --object. teleop: the rendered hand moves the robot live,
    without and with assistance. Default: begin with the clip's motion."""
    object: Annotated[str | None, shown("NAME")] = None
    """--from RECORDING: the object in it (`dexhot object list`)."""
    prompt: Annotated[str | None, shown("object:U,V[,U1,V1]")] = None
    """--from RECORDING: a click on the object in the first frame, or a box around it (px)."""
    frames: Annotated[str | None, shown("FIRST:STOP")] = None
    """--from RECORDING: only these frames, counted from 0; STOP is excluded. It must begin with the object at rest."""
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
        from dexhot.cli.output import console, styled

        console.print(styled(name, "bold", f": {what}"))
        began = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - began, 1)

    def with_total(self) -> dict[str, float]:
        """Seconds by stage, and of all."""
        return self.seconds | {"total": round(sum(self.seconds.values()), 1)}


def run(args: Args) -> int:
    """Exit code 0 when the live run is a strict success, else 1."""
    from dexhot.bringup.launcher import require_ros
    from dexhot.cli.datasets_command import acceptance
    from dexhot.data.disk import check_folder
    from dexhot.paths import runs_dir

    folder = args.out or runs_dir() / time.strftime("%Y%m%d-%H%M%S-demo")
    if folder.exists():
        raise DexhotError(f"{folder} exists; a run is never overwritten: name another --out.")
    check_folder(folder)
    acceptance("grab", args.accept_licence)
    own = args.begin not in (None, "video", "teleop")
    if own != bool(args.object):
        raise DexhotError("--from RECORDING and --object NAME belong together: which object is in your recording?")
    if args.frames and not own:
        raise DexhotError("--frames belongs to --from RECORDING.")
    require_ros()
    stages = Stages()
    if own:
        trajectory = from_video(args, str(args.begin), folder, stages)
    else:
        what = "a demonstration of a real person" if args.source == "grab" else "a generated demonstration"
        with stages("data", what):
            trajectory = demonstration_of(args)
    if args.begin == "teleop":
        return teleoperation(args, trajectory, folder, stages)
    if args.begin == "video":
        with stages("render", "an RGB-D video of it, as a camera would see it: the pictures are rendered"):
            video = rendered(trajectory, folder, args.seed)
        args.object = trajectory.object_name
        trajectory = from_video(args, str(video), folder, stages)
    with stages("retarget", f"{trajectory.name} to a LEAP hand on a Franka arm"):
        reference = retargeted(trajectory, folder)
    with stages("mine", "actions that make the motion succeed in physics"):
        demonstration = mined(reference, folder, args.seed)
    with stages("live", "tracking it through the ROS 2 graph, recorded"):
        rollout, live, live_runs, loop = tracked(folder, demonstration, args.view, camera=args.begin is not None)
    with stages("report", "what happened"):
        page = reported(live)
    planned = {}
    if args.begin is None:
        with stages("planned", "a clip of the test split: no training, no mining; it plans before the start"):
            planned = {"planned": planned_on(held_out(trajectory), folder, args.view)}
    metrics, stopped = rollout.metrics, rollout.provenance.get("stopped")
    result = {
        "success": bool(metrics["success_strict"]),
        "clip": trajectory.name,
        **({"interrupted": stopped} if stopped else {}),
        "T_err_cm": metrics["T_err_cm"],
        "R_err_rad": metrics["R_err_rad"],
        "seconds": stages.with_total(),
        "live_runs": live_runs,
        **planned,
        **({} if args.begin is None else {"video": VIDEO[own], "object_loop": loop}),
        "run": str(live),
        "report": str(page),
    }
    shown = {"success (strict, from the bag)": "yes" if result["success"] else "no"} | result
    if planned:
        shown["planned"] = verdict_of(planned["planned"])
    return conclude(args, result, shown, page, live)


def conclude(args: Args, result: dict[str, Any], shown: dict[str, Any], page: Path, live: Path) -> int:
    """Print what `shown` has of the result, and what to do next; the exit code."""
    from dexhot.cli.output import console, print_json, summary

    summary("dexhot demo", {name: value for name, value in shown.items() if name not in ("success", "seconds")})
    summary("seconds", result["seconds"])
    for line in closing_lines(page, live):
        console.print(line, soft_wrap=True)
    if args.json:
        print_json(result)
    return 0 if result["success"] else 1


def teleoperation(args: Args, trajectory: Any, folder: Path, stages: Stages) -> int:
    """Exit code 0 when the assisted run lifts the object and holds it, else 1."""
    from dexhot.cli import demo_teleop as teleop
    from dexhot.cli.models_command import get_hand_landmarks
    from dexhot.perception.weights import missing_hand_landmarks

    if missing_hand_landmarks():
        get_hand_landmarks()
    with stages("render", "an operator's hand that makes the motion slowly: the pictures are not real"):
        video, palm = teleop.rendered_operator(trajectory, folder, args.seed)
    with stages("retarget", f"{trajectory.name} to a LEAP hand on a Franka arm: the scene and its grasp"):
        scene = teleop.start_file(retargeted(trajectory, folder), trajectory, folder)
    runs = {}
    for name, assisted in teleop.RUNS.items():
        with stages(
            name, f"the hand moves the robot through the ROS 2 graph, {'with' if assisted else 'no'} assistance"
        ):
            runs[name] = teleop.teleoperated(folder, scene, video, palm, name, args.view)
    with stages("report", "what happened, side by side"):
        found = teleop.compared(folder, video, runs)
        page = reported(runs["assisted"])
    result = {"success": bool(found["assisted_held"]), "clip": trajectory.name, **found}
    result |= {"seconds": stages.with_total(), "run": str(runs["assisted"]), "report": str(page)}
    return conclude(args, result, result, page, runs["assisted"])


def demonstration_of(args: Args) -> Any:
    """The HandObjectTrajectory: GRAB's clip, or, without network or accepted terms, the parametric one, with a
    message."""
    from dexhot.cli.datasets_command import acceptance
    from dexhot.cli.output import console, styled

    if args.source == "grab":
        try:
            return grab_clip(args.clip, acceptance("grab", args.accept_licence))
        except (DownloadError, LicenceError) as e:
            instead = f": {e} A generated demonstration is used instead."
            console.print(styled("no clip of GRAB", "yellow", instead), soft_wrap=True)
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


def rendered(trajectory: Any, folder: Path, seed: int) -> Path:
    """A bag with pictures of the trajectory, with a camera's noise; returns its folder, with the truth beside it."""
    from dexhot.objects import load_object
    from dexhot.progress import progress
    from dexhot.synthesis.clip import Options, render
    from dexhot.synthesis.files import write_clip

    options = Options(seed)
    with progress("rendering") as job:
        recording, evidence, truth = render(
            trajectory,
            load_object(trajectory.object_name),
            options,
            None,
            job.stages(),
        )
    settings = {"clip": trajectory.name, "seed": seed, "level": options.level, "by": "dexhot demo"}
    return write_clip(folder / "video", recording, evidence, truth, settings)


def from_video(args: Args, video: str, folder: Path, stages: Stages) -> Any:
    """The HandObjectTrajectory of a right hand and an object in a recording. Evidence, fit and a picture of both go
    into the folder."""
    from dexhot.cli.models_command import get_hand_landmarks
    from dexhot.cli.report_command import SEEN
    from dexhot.cli.retarget_command import part_of
    from dexhot.data import save
    from dexhot.data.files import write_text
    from dexhot.datasets.library import trajectories_dir
    from dexhot.fitting.overlay import draw_overlay
    from dexhot.fitting.recipe import load_recipe
    from dexhot.fitting.recording_fit import fit_recording
    from dexhot.hardware.camera.recording import open_recording
    from dexhot.humans.open_hand import open_hand
    from dexhot.objects import load_object
    from dexhot.perception.prompts import object_prompt
    from dexhot.perception.weights import missing_hand_landmarks
    from dexhot.perception.world import on_table

    asset = load_object(str(args.object))
    with stages("perceive", "hand and object in each picture, by the embedded detectors"):
        if missing_hand_landmarks():
            get_hand_landmarks()
        recording = open_recording(video)
        if recording.world_T_camera is None:
            recording.world_T_camera = on_table(recording)
        prompt = object_prompt(args.prompt) if args.prompt else None
        evidence = perceived(recording, asset, prompt, Path(video) if args.begin == "video" else None)
        save(evidence, folder / "evidence.npz")
    with stages("fit", "both in metres"):
        fit = fit_recording(recording, evidence, asset, load_recipe("default"), open_hand("right"))
        fit.trajectory = part_of(fit.trajectory, args.frames)
        fit.trajectory.name = f"video/{folder.name}"  # of the cache too, where the report looks for its clip
        save(fit.trajectory, folder / "trajectory.npz")
        save(fit.trajectory, trajectories_dir("video") / f"{folder.name}.npz")
        what = VIDEO[args.begin != "video"]
        clicked = " The object was clicked on in the first." if evidence.provenance["prompts"] else ""
        text = f"Four frames of {what}. Orange: the fitted hand; blue: object.{clicked}"
        write_text((folder / SEEN).with_suffix(".txt"), text)
        draw_overlay(fit, recording, recording.name, folder / SEEN)
    return fit.trajectory


def perceived(recording: Any, asset: Any, prompt: Any, rendered: Path | None) -> Any:
    """The Evidence of a right hand and an object, marked by a prompt or not. Where the object cannot be told in a
    `rendered` recording, it is clicked on as the message asks: nobody is there to do it."""
    from dexhot.cli.output import console, styled
    from dexhot.data import load
    from dexhot.data.types import Evidence
    from dexhot.perception.hand_landmarks import LandmarkHands
    from dexhot.perception.object_track import object_track
    from dexhot.perception.perceive import perceive
    from dexhot.perception.prompts import click_on
    from dexhot.progress import track

    seen = object_track(asset, recording.intrinsics, prompt)
    numbers = track(range(len(recording)), f"perceiving {recording.name}")
    prompts = None if prompt is None else {"object": prompt}
    try:
        return perceive(recording, LandmarkHands(count=2), seen, "right", numbers, prompts)[0]
    except DexhotError as e:
        if rendered is None or prompt is not None:
            raise
        console.print(styled(str(e), "yellow", " It is clicked on."), soft_wrap=True)
        click = click_on(load(rendered / "truth_evidence.npz", Evidence).labels[0], recording.depth[0])
        return perceived(recording, asset, click, rendered)


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
    from dexhot.cli.output import console, styled
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
            lambda stage, done, of=None: job(done, 1.0, f"mining, {stage}", of),
        )
    judged = verdict(found)
    if not judged.success:
        console.print(styled(judged.outcome, "yellow", f": {judged.reason}"), soft_wrap=True)
    return save(found, folder / "demonstration.npz")


def tracked(folder: Path, demonstration: Path, view: bool, camera: bool = False) -> tuple[Any, Path, int, str]:
    """The last live run: its Rollout, judged from its bag, its folder, its number, and where its object poses came
    from. A run that fails or is interrupted is repeated, then without `camera`: the simulated camera that the object is
    seen with. Raises DexhotError where the last one never tracked."""
    import os

    from dexhot.bringup import launcher
    from dexhot.bringup.graph import plan
    from dexhot.bringup.graphs import load_graph
    from dexhot.cli.output import console, styled
    from dexhot.evaluation.score import rejudge
    from dexhot.rollouts.live import live_rollout
    from dexhot.ros.core.claim import own_domain

    own_domain()
    loop = CAMERA if camera else TRUTH
    for attempt in range(1, ATTEMPTS + 1):
        live = folder / f"live-{attempt}"
        arguments = {"reference": str(demonstration), "record": str(live), "exit_when_done": "true"}
        arguments |= {"perception": "camera"} if loop == CAMERA else {}
        planned = plan(load_graph("real_track"), arguments | ({"view": "true"} if view else {}), os.environ)
        died = launcher.run(planned, sys.stderr, goes_on=True)  # also where the supervisor interrupts the tracking
        try:
            rollout = rejudge(live_rollout(live, part=True))
            how = "was not a strict success"
        except DexhotError as e:
            if attempt == ATTEMPTS:
                why = "the live graph died" if died else "the live run was not recorded whole"
                raise DexhotError(f"{why}; its log is above, its run is in {live}: {e}") from e
            how = "never tracked"
        else:
            if rollout.metrics["success_strict"] or attempt == ATTEMPTS:
                return rollout, live, attempt, loop
        console.print(styled(f"live run {attempt} of {ATTEMPTS} {how}; trying again.", "yellow"))
        loop = f"{TRUTH}; the run that saw the object by its camera {how}" if camera else TRUTH
    raise AssertionError


def held_out(shown: Any) -> Any:
    """A HandObjectTrajectory of the test split: GRAB's where the demo shows one of GRAB, otherwise a generated one."""
    from dexhot.datasets.library import load_clip
    from dexhot.datasets.parametric import generate
    from dexhot.objects import save_object

    if shown.name.startswith("grab/"):
        return load_clip(f"grab/{HELD_OUT}")
    trajectory, asset = generate(*HELD_OUT_FALLBACK)
    save_object(asset)
    return trajectory


def planned_on(trajectory: Any, folder: Path, view: bool) -> dict[str, Any]:
    """The verdict of one live run of the controller `planned`, from the reference alone. It is never repeated: a second
    try would flatter a figure of a held-out clip."""
    import os

    from dexhot.bringup import launcher
    from dexhot.bringup.graph import plan
    from dexhot.bringup.graphs import load_graph
    from dexhot.evaluation.score import rejudge
    from dexhot.rollouts.live import live_rollout
    from dexhot.ros.core.claim import own_domain

    own_domain()
    live = folder / "planned"
    reference = retargeted(trajectory, folder / "held_out")
    arguments = {"reference": str(reference), "controller": "planned", "planning_seconds": str(PLANNING)}
    arguments |= {"record": str(live), "exit_when_done": "true"} | ({"view": "true"} if view else {})
    told = {"clip": trajectory.name, "success": False, "run": str(live)}
    if launcher.run(plan(load_graph("real_track"), arguments, os.environ), sys.stderr, goes_on=True):
        return told | {"why": "it did not start, or the graph died: its log is above"}
    try:
        metrics = rejudge(live_rollout(live)).metrics
    except DexhotError as e:  # it never tracked
        return told | {"why": str(e).splitlines()[0]}
    figures = {name: metrics[name] for name in ("T_err_cm", "R_err_rad", "hold_rate")}
    return told | {"success": bool(metrics["success_strict"])} | figures


def verdict_of(told: dict[str, Any]) -> str:
    """The line of the summary."""
    how = told.get("why") or f"T_err {told['T_err_cm']:.1f} cm, R_err {told['R_err_rad']:.2f} rad"
    return f"{told['clip']}, held out: {'strict' if told['success'] else 'not strict'} ({how})"


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
