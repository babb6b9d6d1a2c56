"""The report of a run: report.html, report.json, pictures and, if there is an encoder, video.mp4 in one folder."""

import io
import json
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dexhot.data.disk import check_folder, existing
from dexhot.data.files import WRITTEN, jsonable, kind_of, write_text
from dexhot.data.types import Rollout
from dexhot.datasets.source_clip import human_motion
from dexhot.errors import DexhotError
from dexhot.evaluation.panel import Panel
from dexhot.metrics.judge import judge
from dexhot.metrics.rollout import compute
from dexhot.report.forces import finger_of_joints, forces
from dexhot.report.live_loop import checks, loop_table
from dexhot.report.page import Content, page
from dexhot.report.recording import RunRecording
from dexhot.report.series import compute_series, spans
from dexhot.report.video import NoEncoderError, write_video
from dexhot.report.worst import worst_moments
from dexhot.scratch import make_scratch, remove_scratch
from dexhot.simulation.renderer import NoRendererError
from dexhot.simulation.setup import Setup, load_setup
from dexhot.versions import versions
from dexhot.view.human import HumanPainter
from dexhot.view.render import Painter, contact_sheet, sheet_frames

SCHEMA, VERSION = "dexhot/report", 1
PICTURE = (576, 504)  # px, width and height of the robot's and the human's picture: side by side as wide as the page
MARGIN = 0.05  # m around hand and object
Report = Callable[[str, float, float | None], object]  # stage, done, total (None: not countable)


def write_report(
    rollout: Rollout,
    out_dir: str | Path,
    *,
    setup: Setup | None = None,
    recording: RunRecording | None = None,
    commands: Sequence[tuple[str, str]] = (),
    panel: Panel | None = None,
    seen: tuple[Path, str] | None = None,
    extra: dict[str, Any] | None = None,
    video: bool = True,
    progress: Report = lambda what, done, total: None,
) -> Path:
    """Judge `rollout`, draw it and write its report into `out_dir`. Returns the path of report.html.

    setup: that of its reference, if already loaded. recording: further data from the bag of a live run.
    commands: (what it does, command), to be copied from the page. panel: the verdicts of other worlds.
    seen: a picture (PNG) of the fit to the video that the demonstration comes from, and its caption.
    extra: facts to add to the provenance. progress: called with the stage, and what is done of it where it can be
    counted. A note on the page replaces what this machine cannot draw or encode. The files appear in the folder at the
    end, all of them: an interrupted report leaves it as it was.
    """
    out, extra = Path(out_dir), dict(extra or {})
    setup = setup or load_setup(rollout.reference)
    hand, asset = setup.hand, setup.asset
    progress("metrics", 0, None)
    metrics = compute(rollout, asset, hand)
    series, verdicts = compute_series(rollout, asset), judge(metrics)
    pressed = forces(rollout, setup, recording)
    limits = {v.id: v.limit for v in verdicts if v.limit is not None}
    damage = rollout.provenance.get("bag_damage", [])
    content = Content(
        rollout=rollout,
        series=series,
        verdicts=verdicts,
        tips=[site.removesuffix("_tip") for site in hand.tip_sites],
        facts=_facts(rollout, setup, out, extra.pop("versions", None)) | extra,
        fingers=finger_of_joints(hand),
        forces=pressed,
        worst=worst_moments(rollout, series, limits, pressed),
        recording=recording,
        checks=checks(recording, float(series.time[-1]), damage) if recording else [],
        commands=list(commands),
        panel=panel,
        seen=seen,
    )
    with _appearing_in(out) as folder:
        content = replace(content, **_draw(content, setup, folder, video, progress))
        write_text(folder / "report.json", json.dumps(_as_json(content, metrics), indent=1, default=jsonable))
        write_text(folder / "report.html", page(content))
    return out / "report.html"


@contextmanager
def _appearing_in(out: Path) -> Iterator[Path]:
    """A new folder, whose files are moved into `out` when the block ends without an exception."""
    beside = existing(out.absolute().parent)
    scratch = make_scratch(beside if os.access(beside, os.W_OK) else out)
    try:
        (folder := scratch / "report").mkdir()
        yield folder
        out.mkdir(parents=True, exist_ok=True)
        for file in folder.iterdir():
            shutil.move(file, out / file.name)
            WRITTEN[out / file.name] = None
    finally:
        remove_scratch(scratch)


def check_report_folder(folder: Path, force: bool = False) -> Path:
    """`folder`, if a report can be written into it: a new or empty folder, or that of an earlier report, which is
    replaced. Raises DexhotError; `force` allows other files in it."""
    if folder.exists() and not folder.is_dir():
        raise DexhotError(f"{folder} is a file, but a report is a folder; give another --out.")
    others = folder.is_dir() and any(folder.iterdir()) and kind_of(folder / "report.json") != SCHEMA
    if others and not force:
        raise DexhotError(
            f"{folder} has other files and no earlier report; give another --out, or --force to write into it anyway."
        )
    return check_folder(folder)


def _draw(content: Content, setup: Setup, out: Path, video: bool, progress: Report) -> dict[str, Any]:
    """The picture fields of Content; failures of rendering or encoding become notes."""
    rollout = content.rollout
    notes: list[str] = []
    drawn: dict[str, Any] = {"notes": notes}
    human = None
    try:
        human = human_motion(rollout.reference)
    except DexhotError as e:
        notes.append(f"The human demonstration is not shown: {e}")
    beside = np.concatenate(list(human.keypoints.values()), axis=1) if human else None
    try:
        progress("pictures", 0, None)
        with Painter(rollout, setup, *PICTURE, margin=MARGIN, beside=beside) as robot, ExitStack() as stack:
            frame: Callable[[int], np.ndarray] = robot.frame
            if human is not None:
                person = stack.enter_context(closing(HumanPainter(human, robot)))
                frame = lambda k: np.concatenate([person.frame(k), robot.frame(k)], axis=1)  # noqa: E731
            frames = sheet_frames(rollout)
            drawn["sheet"] = contact_sheet(robot, frames, out / "sheet.png")
            drawn["sheet_times"] = [float(rollout.time[f] - rollout.time[0]) for f in frames]
            drawn["worst_pictures"] = [_jpeg(frame(moment.frame)) for moment in content.worst]
            drawn["human"] = human is not None
            if video:
                tell = lambda done, total: progress("video", done, total)  # noqa: E731
                drawn["video"] = write_video(frame, len(rollout.q), out / "video.mp4", rollout.reference.rate, tell)
    except (NoRendererError, NoEncoderError) as e:
        notes.append(str(e))
    return drawn


def _jpeg(picture: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(picture).save(data, format="JPEG", quality=85)
    return data.getvalue()


def _facts(rollout: Rollout, setup: Setup, out: Path, run_with: dict[str, str] | None) -> dict[str, Any]:
    """Provenance, for a page in `out`; `run_with`: software versions of a recorded run."""
    reference, asset, here = rollout.reference, setup.asset, versions()
    return {
        "software": run_with or here,
        "software of this report": here if run_with not in (None, here) else None,
        "physics": ", ".join(f"{what} {name}" for what, name in setup.physics.named(reference.hand).items()),
        "machine": platform.platform(),
        "hand": os.path.relpath(reference.hand, out) if os.path.isabs(reference.hand) else reference.hand,
        "object": f"{asset.name}, {1000 * asset.mass:.0f} g, symmetry: {asset.symmetry.kind}",
        "object's source": asset.provenance,
        "placement of the demonstration": {
            "x y z (m)": np.round(reference.placement[:3], 4).tolist(),
            "quaternion w x y z": np.round(reference.placement[3:], 4).tolist(),
        },
        "reference": reference.provenance,
        "run": rollout.provenance,
    }


def _as_json(content: Content, metrics: dict[str, Any]) -> dict[str, Any]:
    s = content.series
    curves = {name: np.round(value, 4) for name, value in asdict(s).items() if value.dtype != object}
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "name": content.rollout.name,
        "kind": content.rollout.kind,
        "success": metrics["success_strict"],
        "metrics": metrics,
        "verdicts": [{"id": v.id, "value": v.value, "limit": v.limit, "passed": v.passed} for v in content.verdicts],
        "panel": content.panel and {"success": content.panel.success, **content.panel.as_json()},
        "phases": [asdict(span) for span in spans(s.time, s.phase)],
        "series": curves,
        "forces": content.forces
        and {
            "source": content.forces.source,
            "joints": content.forces.joint_names,
            "limit_nm": content.forces.limit,
            "torque_nm": _rounded(content.forces.torque),
            "tips": content.tips,
            "tip_force_n": _rounded(content.forces.tip_force),
        },
        "worst": [asdict(moment) for moment in content.worst],
        "checks": [asdict(check) for check in content.checks],
        "supervisor": [asdict(state) for state in content.recording.safety] if content.recording else [],
        "latency": _rounded(content.recording.latency) if content.recording else [],
        "loop": loop_table(content.recording) if content.recording else [],
        "commands": [{"what": what, "command": command} for what, command in content.commands],
        "provenance": content.facts,
        "files": {"sheet": content.sheet and content.sheet.name, "video": content.video and content.video.name},
        "notes": content.notes,
    }


def _rounded(values: np.ndarray) -> list[Any]:
    """As nested lists with four decimals, NaN as null (JSON has no NaN)."""
    rows: list[Any] = np.where(np.isfinite(values), np.round(values, 4), None).tolist()  # type: ignore[call-overload]
    return rows
