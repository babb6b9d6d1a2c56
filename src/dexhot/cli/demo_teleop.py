"""`dexhot demo --from teleop`: an operator's recorded hand lifts an object on the embedded rig, without and with
assistance; the report has both."""

import os
import sys
from pathlib import Path
from typing import Any

from dexhot.errors import DexhotError

SPEED, PAUSE = 0.5, 0.6  # of the clip's motion; s at rest before and after it
UNSEEN = 1.5  # s at the ends of the recording in which the clutch need not be engaged
WRIST_SPEED = 0.5  # m/s: the operator's
VIEWS, SEEN = 4, 0.95  # of a camera; fraction of the pictures in which the hand must be found
RUNS = {"assisted": True, "unassisted": False}  # folder -> with assistance; the first one's report has both
TITLES = {"assisted": "With assistance", "unassisted": "Without assistance"}


def rendered_operator(clip: Any, folder: Path, seed: int) -> tuple[Path, float]:
    """A bag with pictures of the clip's right hand at an operator's pace, and the length of its palm, m. As an operator
    would, it moves a camera that does not see the hand: of up to VIEWS views, from `seed` on, the first one in which
    the hand is found, or else the best."""
    import numpy as np

    from dexhot.control.teleop_input import palm_size
    from dexhot.objects import load_object
    from dexhot.progress import progress
    from dexhot.synthesis.clip import Options, render
    from dexhot.synthesis.files import write_clip
    from dexhot.synthesis.mirror import one_side
    from dexhot.synthesis.operator import paced

    asset = load_object(clip.object_name)
    operator = paced(one_side(clip, asset, "right"), SPEED, PAUSE)
    best = -1.0
    for view in range(seed, seed + VIEWS):
        with progress("rendering") as job:
            drawn = render(
                operator,
                asset,
                Options(view, "low"),
                report=job.stages(),
            )
        if (share := found_in(drawn[0].color)) > best:
            best, options, (recording, evidence, truth) = share, Options(view, "low"), drawn
        if best >= SEEN:
            break
    settings = {"clip": clip.name, "seed": options.seed, "level": options.level, "by": "dexhot demo --from teleop"}
    settings |= {"speed": SPEED, "pause": PAUSE}
    palm = float(np.median([palm_size(points) for points in truth.trajectory.hands["right"].keypoints]))
    return write_clip(folder / "operator", recording, evidence, truth, settings), palm


def found_in(pictures: Any) -> float:
    """Fraction of pictures (T, H, W, 3) in which the right hand is found, one after the other."""
    from dexhot.perception.hand_landmarks import LandmarkHands

    hands = LandmarkHands(count=2)
    return sum(any(hand.side == "right" for hand in hands(picture)) for picture in pictures) / len(pictures)


def start_file(reference: Path, clip: Any, folder: Path) -> Path:
    """The scene: the reference, from where the operator's hand begins."""
    from dexhot.data import Reference, load, save
    from dexhot.retargeting.operator_start import operator_start

    return save(operator_start(load(reference, Reference), clip), folder / "scene.npz")


def teleoperated(folder: Path, scene: Path, video: Path, palm: float, name: str, view: bool) -> Path:
    """One live run; returns its folder. Raises DexhotError if the graph dies."""
    from dexhot.bringup import launcher
    from dexhot.bringup.graph import plan
    from dexhot.bringup.graphs import load_graph
    from dexhot.ros.core.claim import own_domain

    own_domain()
    live = folder / name
    arguments = {
        "camera": f"bag:{video / 'bag'}",
        "camera_view": "recorded",
        "camera_loop": "false",
        "clutch": "auto",
        "reference": str(scene),
        "palm_length": f"{palm:.4f}",
        "wrist_speed": str(WRIST_SPEED),
        "assist": str(RUNS[name]).lower(),
        "record": str(live),
    }
    planned = plan(load_graph("teleop"), arguments | ({"view": "true"} if view else {}), os.environ)
    if launcher.run(planned, sys.stderr, goes_on=True):
        raise DexhotError(f"the live graph died; its log is above, its run is in {live}.")
    return live


def fate(lift: Any, seconds: float) -> str:
    """What became of the object, in words, and why the robot stopped following before the recording's `seconds` were
    over."""
    from dexhot.data.types import RATE

    if lift.held:
        return f"lifted by {100 * lift.height:.1f} cm and held"
    seen, why = (lift.end - lift.begin) / RATE, str(lift.why.rstrip("."))
    early = 0.0 < seen < seconds - UNSEEN
    return f"{why}; the clutch released after {seen:.1f} of {seconds:.1f} s: {lift.ended}" if early else why


def compared(folder: Path, video: Path, runs: dict[str, Path]) -> dict[str, Any]:
    """What became of the object in each run; writes the picture of both, which the reports show."""
    from dexhot.cli.report_command import SEEN
    from dexhot.data.files import write_text
    from dexhot.hardware.camera.recording import open_recording
    from dexhot.report.side_by_side import draw_side_by_side
    from dexhot.rollouts.teleop_run import latencies, lift_of
    from dexhot.simulation.setup import load_setup

    lifts = {name: lift_of(live) for name, live in runs.items()}
    setup = load_setup(next(iter(lifts.values())).rollout.reference)
    recording = open_recording(video)
    seconds = float(recording.time[-1] - recording.time[0])
    said = {name: f"{TITLES[name]}: {fate(x, seconds)}" for name, x in lifts.items()}
    order = [name for name in reversed(RUNS) if name in lifts]
    write_text(
        (folder / SEEN).with_suffix(".txt"),
        "Assistance off and on\nOne run each. Above, the operator's hand that both runs saw: pictures are rendered. "
        f"{'. '.join(said[name] for name in order)}. This report is of the run with assistance.",
    )
    drawn = [(said[name], lifts[name].rollout, lifts[name].begin) for name in order]
    draw_side_by_side(recording, drawn, setup, folder / SEEN)
    found: dict[str, Any] = {}
    for name, x in lifts.items():
        found |= {f"{name}_held": x.held, f"{name}_height_cm": round(100 * x.height, 1)}
        found |= {f"{name}_why": x.why} if x.why else {}
    return found | {k: v for k, v in latencies(runs["assisted"]).items() if k.startswith("glass")}
