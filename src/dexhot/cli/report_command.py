"""The HTML report of a run: metrics with thresholds, plots, pictures, provenance; also as JSON.

Takes a rollout, a demonstration (simulated again) or the folder of a recorded run.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import tyro

from dexhot.cli.arguments import ON, shown

SEEN = "seen.png"  # beside a run that began with a video


@dataclass
class Args:
    """Source, contents and output of the report."""

    writes_at_end: ClassVar[bool] = True

    source: Annotated[Path, tyro.conf.Positional, shown("RUN|FILE")]
    """A rollout or demonstration file (.npz), or the folder of a run."""
    out: Annotated[Path | None, shown("FOLDER")] = None
    """Folder to write into; by default report/ in the run's folder, or <file>.report/ beside the file. Missing folders
    are created."""
    episode: Annotated[int | None, shown("INT")] = None
    """Run folders: index of the completed clip (default: 0); if none was completed, the partial clip is shown."""
    clip: Annotated[str | None, shown("CLIP|FILE")] = None
    """Clip that it was made from, used to verify it; by default the cached clip that it names. A clip of your own is
    the trajectory that you gave to `dexhot retarget`."""
    video: Annotated[bool, ON] = True
    """Omit the mp4, which takes most of the time."""
    panel: Annotated[bool, ON] = True
    """Demonstrations: omit the five other worlds of the panel, which take some seconds."""
    strip: Annotated[Path | None, shown("FILE.png")] = None
    """Also render four moments of the grasp side by side to this PNG, e.g. for a slide."""
    force: bool = False
    """Overwrite files, or write into a folder with other content than an earlier report."""
    json: bool = False
    """Print one JSON object on the last line of stdout."""


def run(args: Args) -> None:
    """Write the report and print its path."""
    from dexhot.cli.output import console, print_json, summary
    from dexhot.data.files import check_out

    if args.strip:
        check_out(args.strip, "dexhot/picture", args.force, "--strip")
    page, rollout, setup, written = write(args)
    chosen = ("success_strict", "T_err_cm", "R_err_rad", "hold_rate", "penetration_mm")
    summary(rollout.name, {id: written["metrics"][id] for id in chosen})
    if "stopped" in rollout.provenance:
        written["notes"].append(f"stopped early: {rollout.provenance['stopped']}")
    written["notes"] += rollout.provenance.get("bag_damage", [])
    for note in [*written["notes"], page]:
        console.print(note, soft_wrap=True)
    if args.strip:
        _draw_strip(rollout, setup, args.strip)
    if args.json:
        print_json({"report": str(page), "metrics": written["metrics"], "notes": written["notes"]})


def write(args: Args) -> tuple[Path, Any, Any, dict[str, Any]]:
    """Write the report. Returns the path of its page, the rollout, its setup, and the contents of report.json."""
    import json

    from dexhot.data.bags import is_bag_file, run_folder
    from dexhot.progress import progress
    from dexhot.report.commands import commands
    from dexhot.report.folder import check_report_folder, write_report

    if is_bag_file(args.source) or args.source.is_dir():
        args.source = run_folder(args.source, holds="reference.npz") or args.source
    beside = args.source / "report" if args.source.is_dir() else args.source.with_suffix(".report")
    out = check_report_folder(args.out or beside, args.force)
    rollout, setup, extra = _read(args)
    extra["source"] = os.path.relpath(args.source, out)
    with progress("report") as job:
        page = write_report(
            rollout,
            out,
            setup=setup,
            recording=extra.pop("recording", None),
            panel=extra.pop("panel", None),
            seen=_seen(args.source),
            commands=commands(rollout, str(args.source), extra.get("arguments"), extra.pop("mined", None)),
            extra=extra,
            video=args.video,
            progress=lambda stage, done, total: job(done, total, f"report, {stage}"),
        )
    return page, rollout, setup, json.loads((page.parent / "report.json").read_text())


def _seen(source: Path) -> tuple[Path, str] | None:
    """What `dexhot demo --from` left beside the runs: the picture of the fit, and its caption."""
    picture = source.parent / SEEN
    caption = picture.with_suffix(".txt")  # without it, it is a picture of the user's own by that name
    return (picture, caption.read_text().strip()) if picture.is_file() and caption.is_file() else None


def _draw_strip(rollout: Any, setup: Any, path: Path) -> None:
    from dexhot.view.render import Painter, contact_sheet, grasp_frames

    with Painter(rollout, setup, 720, 720, margin=0.14) as painter:
        contact_sheet(painter, grasp_frames(rollout), path)


def _read(args: Args) -> tuple[Any, Any, dict[str, Any]]:
    """The rollout of the source, verified, its hand, object and physics, and further facts: a run's "recording" and the
    content of its run.json, a demonstration's provenance "mined" and its "panel"."""
    from dataclasses import replace

    from dexhot.data.bags import is_bag_file, locate
    from dexhot.data.files import a, load
    from dexhot.data.types import Demonstration, Rollout
    from dexhot.datasets.source_clip import clip_or_file
    from dexhot.errors import DexhotError, FileFormatError
    from dexhot.evaluation.panel import of_demonstration, play_panel
    from dexhot.evaluation.score import score
    from dexhot.evaluation.verify import verified, verify
    from dexhot.progress import track
    from dexhot.report.recording import read_recording
    from dexhot.rollouts.live import live_rollout, run_reference
    from dexhot.simulation.setup import load_setup

    clip = clip_or_file(args.clip) if args.clip else None
    if args.source.is_dir() or is_bag_file(args.source):
        setup = load_setup(run_reference(args.source))
        rollout = live_rollout(args.source, args.episode or 0, part=True, setup=setup)
        recording = read_recording(locate(args.source), rollout.reference, rollout.provenance["t0_ns"])
        return verified(rollout, setup, clip), setup, {"recording": recording} | _run_facts(args.source)
    item: object = load(args.source)
    if args.episode is not None:
        kind = a(type(item))
        raise DexhotError(f"--episode chooses a clip of a recorded run; {args.source} is {kind}: omit it.")
    if not isinstance(item, Demonstration | Rollout):
        kind = a(type(item))
        raise FileFormatError(
            f"{args.source} holds {kind}; a report needs a Rollout, a Demonstration or a run's folder. `dexhot view` "
            "shows it; `dexhot retarget` and `dexhot mine` make a demonstration of a clip."
        )
    setup, files = load_setup(item.reference), {"files (sha256)": _hashes([args.source])}
    if isinstance(item, Demonstration):
        found = verify(item.reference, setup, clip)
        item = replace(item, reference=found.reference)
        worlds = lambda worlds: track(worlds, "panel, worlds")  # noqa: E731
        panel = play_panel(of_demonstration(item, setup), setup, worlds) if args.panel else None
        return found.label(score(item, setup)), setup, files | {"mined": item.provenance, "panel": panel}
    return verified(item, setup, clip), setup, files


def _run_facts(folder: Path) -> dict[str, Any]:
    from dexhot.data.files import load
    from dexhot.data.run import is_run, read_run

    entries = read_run(folder) if is_run(folder) else {}
    facts: dict[str, Any] = {key: entries[key] for key in ("arguments", "started", "versions") if key in entries}
    demonstration = folder / "demonstration.npz"
    if demonstration.is_file():
        facts["mined"] = load(demonstration).provenance
    files = [demonstration, folder / "reference.npz", *sorted((folder / "bag").glob("*.mcap"))]
    return facts | {"files (sha256)": _hashes([path for path in files if path.is_file()])}


def _hashes(files: list[Path]) -> dict[str, str]:
    import hashlib

    return {path.name: hashlib.file_digest(path.open("rb"), "sha256").hexdigest() for path in files}
