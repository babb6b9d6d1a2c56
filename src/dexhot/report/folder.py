"""The report of a run: report.html, report.json, sheet.png and, where there is an encoder, video.mp4 in one folder."""

import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.disk import check_folder
from dexhot.data.files import jsonable, kind_of, write_text
from dexhot.data.types import Rollout
from dexhot.errors import DexhotError
from dexhot.metrics.judge import judge
from dexhot.metrics.rollout import compute
from dexhot.report.page import Content, page
from dexhot.report.series import compute_series, spans
from dexhot.report.video import NoEncoderError, write_video
from dexhot.simulation.renderer import NoRendererError
from dexhot.simulation.setup import Setup, load_setup
from dexhot.versions import versions
from dexhot.view.render import Painter, contact_sheet, sheet_frames

SCHEMA, VERSION = "dexhot/report", 1


def write_report(
    rollout: Rollout,
    out_dir: str | Path,
    *,
    setup: Setup | None = None,
    extra: dict[str, Any] | None = None,
    video: bool = True,
    progress: Callable[[str], None] = lambda what: None,
) -> Path:
    """Judge `rollout`, draw it and write its report into `out_dir`. Returns the path of report.html.

    setup: that of its reference, where it is loaded already. extra: facts to add to the provenance; its "loop" entry, a
    list of rows {"node": ..., "latency ...": ...}, is the table of a live run. `progress` is told what is being made.
    What this machine cannot draw or encode the page says in a line.
    """
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    if kind_of(out / "report.json") != SCHEMA:  # so that the folder is known for ours if this is interrupted
        write_text(out / "report.json", json.dumps({"schema": SCHEMA, "version": VERSION, "unfinished": True}))
    extra = dict(extra or {})
    loop = extra.pop("loop", [])
    setup = setup or load_setup(rollout.reference)
    hand, asset = setup.hand, setup.asset
    progress("metrics")
    metrics = compute(rollout, asset, hand)
    content = Content(
        rollout=rollout,
        series=compute_series(rollout, asset),
        verdicts=judge(metrics),
        tips=[site.removesuffix("_tip") for site in hand.tip_sites],
        facts=_facts(rollout, setup, out, extra.pop("versions", None)) | extra,
        loop=loop,
    )
    content = replace(content, **_draw(rollout, setup, out, video, progress))
    write_text(out / "report.json", json.dumps(_as_json(content, metrics), indent=1, default=jsonable))
    return write_text(out / "report.html", page(content))


def check_report_folder(folder: Path, force: bool = False) -> Path:
    """`folder`, when a report can be written into it: a new one, an empty one, or that of an earlier report, which is
    replaced. Raises DexhotError; `force` writes beside other files."""
    if folder.exists() and not folder.is_dir():
        raise DexhotError(f"{folder} is a file, but a report is a folder; name another --out.")
    others = folder.is_dir() and any(folder.iterdir()) and kind_of(folder / "report.json") != SCHEMA
    if others and not force:
        raise DexhotError(
            f"{folder} holds other files and no earlier report; name another --out, or say --force to write among them."
        )
    return check_folder(folder)


def _draw(rollout: Rollout, setup: Setup, out: Path, video: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """The pictures' fields of Content; what this machine cannot make becomes a note."""
    drawn: dict[str, Any] = {"notes": []}
    try:
        progress("contact sheet")
        with Painter(rollout, setup) as painter:
            frames = sheet_frames(rollout)
            drawn["sheet"] = contact_sheet(painter, frames, out / "sheet.png")
            drawn["sheet_times"] = [float(rollout.time[f] - rollout.time[0]) for f in frames]
            if video:
                progress("video")
                drawn["video"] = write_video(painter, out / "video.mp4", rollout.reference.rate)
    except (NoRendererError, NoEncoderError) as e:
        drawn["notes"].append(str(e))
    return drawn


def _facts(rollout: Rollout, setup: Setup, out: Path, run_with: dict[str, str] | None) -> dict[str, Any]:
    """Provenance, for a page in `out`; `run_with` are the versions that a recorded run was made with."""
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
        "phases": [asdict(span) for span in spans(s.time, s.phase)],
        "series": curves,
        "loop": content.loop,
        "provenance": content.facts,
        "files": {"sheet": content.sheet and content.sheet.name, "video": content.video and content.video.name},
        "notes": content.notes,
    }
