"""The report as one HTML page: no server, no script, no external request. `report.py` collects what is written here."""

import base64
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.types import Rollout
from dexhot.metrics.judge import STRICT, Verdict, with_unit
from dexhot.paths import share_dir
from dexhot.report.plots import Line, Row, panel, timeline
from dexhot.report.series import Series, spans

KINDS = {
    "floating": "the hand alone, simulated",
    "arm": "arm and hand, simulated without ROS",
    "live": "arm and hand, from the recording of a live run",
}
TILES = {"T_err_cm": "T_err_max_cm", "R_err_rad": "R_err_max_deg", "hold_rate": "", "penetration_mm": ""}  # mean, worst
TILES_SYMMETRIC = {
    "judged_T_cm": "judged_T_max_cm",
    "judged_R_deg": "judged_R_max_deg",
    "hold_rate": "",
    "penetration_mm": "",
}
SHADES = {
    "contact": "contact: a fingertip touches the object",
    "held": "hold: lifted as the reference is, within 5 cm",
    "lost": "lost: the reference is lifted, the object is not held",
}
CAPTION = "Solid: what the robot did. Blue outline: the reference at the same moment. Numbers: marks on the timeline."


@dataclass(frozen=True)
class Content:
    """Everything the page shows."""

    rollout: Rollout
    series: Series
    verdicts: list[Verdict]
    tips: list[str]  # names of the fingertips, one per column of rollout.tip_contact
    facts: dict[str, Any]  # provenance, name -> value
    sheet: Path | None = None  # contact sheet
    sheet_times: list[float] = field(default_factory=list)
    video: Path | None = None
    notes: list[str] = field(default_factory=list)  # what could not be made, and why
    loop: list[dict[str, Any]] = field(default_factory=list)  # live runs: a row per node


def page(content: Content) -> str:
    """The whole document."""
    style = (share_dir() / "config" / "report" / "report.css").read_text()
    sections = [_header(content), _tiles(content), _pictures(content), _curves(content), _table(content)]
    sections += [_loop(content), _facts(content)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(content.rollout.name)} · dexhot</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>\n{style}</style></head>\n<body><main>\n"
        + "\n".join(filter(None, sections))
        + "\n</main></body></html>\n"
    )


def _header(content: Content) -> str:
    rollout, reference = content.rollout, content.rollout.reference
    strict = next(v.passed for v in content.verdicts if v.id == "success_strict")
    stopped = rollout.provenance.get("stopped")
    verdict = "Stopped" if stopped else "Success · strict" if strict else "Failed · strict"
    what = [f"{reference.hand} moves {reference.object_name}", KINDS.get(rollout.kind, rollout.kind)]
    what += [f"{content.series.time[-1]:.1f} s, {len(content.series.time)} frames at {reference.rate:g} Hz"]
    if stopped:
        why = f"Stopped after {content.series.time[-1]:.2f} s: {stopped}. All figures are of the part before."
    else:
        failed = [f"{v.name.lower()} {_with_unit(v)} (limit {v.limit_text})" for v in content.verdicts if _decisive(v)]
        why = "" if strict else f"Failed by: {'; '.join(failed)}."
    return (
        '<header><div><div class="eyebrow">dexhot · tracking report</div>'
        f'<h1>{escape(rollout.name)}</h1><div class="what">{escape(" · ".join(what))}</div>'
        f'<div class="why">{escape(why)}</div></div>'
        f'<div class="verdict {"pass" if strict else "fail"}">{verdict}</div></header>'
    )


def _tiles(content: Content) -> str:
    known = {v.id: v for v in content.verdicts}
    out = '<div class="tiles">'
    for id, worst in (TILES_SYMMETRIC if "judged_T_cm" in known else TILES).items():
        if id in known:
            v = known[id]
            out += f'<div class="tile"><div class="name">{escape(v.name)}{", mean" if worst else ""}</div>'
            out += f'<div class="value">{v.text}<small>{v.unit}</small></div>'
            out += f'<div class="limit">{_limit(v, "threshold ")}</div>'
            if worst:
                out += f'<div class="limit">largest {_with_unit(known[worst])} · {_limit(known[worst], "")}</div>'
            out += "</div>"
    return out + "</div>"


def _limit(v: Verdict, word: str) -> str:
    return "no threshold" if v.passed is None else f"{_mark(v)} · <span>{word}{escape(v.limit_text)}</span>"


def _pictures(content: Content) -> str:
    out = f'<h2>What happened<small>{CAPTION if content.sheet else ""}</small></h2><div class="scroll">'
    if content.sheet:
        out += f'<img class="sheet" alt="frames of the run" src="{_inline(content.sheet, "image/png")}">'
    out = f"{out}{_timeline(content)}</div>"
    if content.video:
        source = _inline(content.video, "video/mp4")
        out += f'<details><summary>Video</summary><video controls muted loop src="{source}"></video></details>'
    return out + "".join(f'<p class="note">{escape(note)}</p>' for note in content.notes)


def _timeline(content: Content) -> str:
    s = content.series
    rows = [Row("reference", spans(s.time, s.reference_phase)), Row("achieved", spans(s.time, s.phase))]
    for name, touching in zip(content.tips, content.rollout.tip_contact.T):
        rows.append(Row(name, spans(s.time, np.where(touching, "tip", ""), {"tip": ""}), thin=True))
    return f'<div class="under">{timeline(s.time, rows, content.sheet_times)}</div>'


def _curves(content: Content) -> str:
    s, limits = content.series, {v.id: v.limit for v in content.verdicts}
    shades = spans(s.time, s.phase, dict.fromkeys(SHADES, ""))
    legend = "".join(f'<span><i class="i-{name}"></i>{text}</span>' for name, text in SHADES.items())
    heights = [Line("reference", s.reference_height_cm, "reference"), Line("achieved", s.height_cm)]
    top = panel("Object height", "cm, lowest point above the table", s.time, heights, shades, width=1120, least=1.0)
    if "judged_T_cm" in limits:
        position = [Line("ADD-S, judged", s.judged_cm), Line("raw", s.object_cm, "raw")]
        rotation = [Line("up to symmetry, judged", s.judged_deg), Line("raw", s.object_deg, "raw")]
        distance, angle = limits["judged_T_max_cm"], limits["judged_R_max_deg"]
    else:
        position, rotation = [Line("achieved", s.object_cm)], [Line("achieved", s.object_deg)]
        distance, angle = limits["T_err_max_cm"], limits["R_err_max_deg"]
    plots = [
        ("Object position error", "cm", position, distance),
        ("Object rotation error", "deg", rotation, angle),
        ("Palm position error", "cm", [Line("achieved", s.wrist_cm)], None),
        ("Palm rotation error", "deg", [Line("achieved", s.wrist_deg)], None),
        ("Finger joint error", "deg, mean of joints", [Line("achieved", s.finger_deg)], None),
        ("Penetration", "mm, deepest", [Line("achieved", s.penetration_mm)], limits["penetration_mm"]),
    ]
    body = "".join(
        f"<div>{panel(title, unit, s.time, lines, shades, limit)}</div>" for title, unit, lines, limit in plots
    )
    return (
        f'<h2>Tracking over time</h2><div class="legend">{legend}</div>'
        f'<div class="scroll">{top}</div><div class="panels">{body}</div>'
    )


def _table(content: Content) -> str:
    rows = [["metric", "value", "threshold", "", "meaning"]]
    for v in content.verdicts:
        name = f'{escape(v.name)}<span class="id">{escape(v.id)}</span>'
        rows.append([name, _with_unit(v), v.limit_text, "" if v.passed is None else _mark(v), escape(v.meaning)])
    return f"<h2>Metrics</h2>{_html_table(rows, ['', 'number', 'number', '', 'what'])}"


def _loop(content: Content) -> str:
    if not content.loop:
        return ""
    columns = list(dict.fromkeys(key for row in content.loop for key in row))
    rows = [[escape(c.replace("_", " ").replace("hz", "Hz")) for c in columns]]
    rows += [[escape(_plain(row.get(c, ""))) for c in columns] for row in content.loop]
    return f"<h2>The live loop</h2>{_html_table(rows, ['', '', *['number'] * (len(columns) - 2)])}"


def _facts(content: Content) -> str:
    known = {k: v for k, v in content.facts.items() if v not in (None, "", [], {})}
    items = "".join(f"<dt>{escape(k)}</dt><dd>{_entries(v)}</dd>" for k, v in known.items())
    footer = "<footer>Made by dexhot. The same numbers are in report.json beside this page.</footer>"
    return f'<h2>Provenance</h2><dl class="facts">{items}</dl>{footer}'


def _html_table(rows: list[list[str]], styles: list[str]) -> str:
    """Rows of HTML cells, the first one the head; `styles` are the columns' classes."""
    head, *body = (
        "".join(f'<{tag} class="{style}">{cell}</{tag}>' for style, cell in zip(styles, row))
        for tag, row in zip(["th"] + ["td"] * len(rows), rows)
    )
    table = f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in body)}</table>"
    return f'<div class="scroll">{table}</div>'


def _inline(path: Path, kind: str) -> str:
    """The file as a data URL, so that the page is one file."""
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _decisive(v: Verdict) -> bool:
    """Whether the metric fails a limit of the strict success."""
    return v.passed is False and v.id in STRICT


def _mark(v: Verdict) -> str:
    word = "pass" if v.passed else "fail"
    return f'<span class="{word}-text">{word}</span>'


def _with_unit(v: Verdict) -> str:
    return with_unit(v.text, v.unit)


def _entries(value: Any) -> str:
    """HTML of one fact: the entries of a dict in a line, dicts within it folded up."""
    if not isinstance(value, dict):
        return escape(_plain(value))
    known = {k: v for k, v in value.items() if v not in (None, "", [], {})}
    flat = [f"<i>{escape(k)}</i> {escape(_plain(v))}" for k, v in known.items() if not isinstance(v, dict)]
    folded = [
        f"<details><summary>{escape(k)}</summary>{_entries(v)}</details>"
        for k, v in known.items()
        if isinstance(v, dict)
    ]
    return f"{' · '.join(flat)}{''.join(folded)}"


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
