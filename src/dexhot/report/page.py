"""The report as one HTML page: no server, no external request; its one script moves the time cursor.

`folder.py` collects the content; the style is config/report/report.css, the script report.js beside it.
"""

import json
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.types import Rollout
from dexhot.evaluation.panel import Panel
from dexhot.metrics.judge import STRICT, Verdict, with_unit
from dexhot.paths import share_dir
from dexhot.report import live_loop
from dexhot.report.forces import Forces
from dexhot.report.html import chip, entries, html_table, inline, mark, plain, scroll
from dexhot.report.live_loop import Check
from dexhot.report.plots import Line, Row, histogram, panel, timeline
from dexhot.report.recording import RunRecording
from dexhot.report.series import Series, Span, spans
from dexhot.report.worst import Moment
from dexhot.rollouts.teleop_run import ended_well

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
    "held": "hold: lifted, within 5 cm of the reference",
    "lost": "lost: the reference is lifted, the object is not held",
}
FINGERS = ("thumb", "index", "middle", "ring", "little")  # classes of the style sheet; other fingers reuse them in turn
# The page may load only its own content.
POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


@dataclass(frozen=True)
class Content:
    """The content of the page."""

    rollout: Rollout
    series: Series
    verdicts: list[Verdict]
    tips: list[str]  # names of the fingertips, one per column of rollout.tip_contact
    facts: dict[str, Any]  # provenance, name -> value
    fingers: list[int] = field(default_factory=list)  # for each finger joint, the fingertip that it moves, or -1
    forces: Forces | None = None
    worst: list[Moment] = field(default_factory=list)
    worst_pictures: list[bytes] = field(default_factory=list)  # JPEG, one per moment, or empty
    sheet: Path | None = None  # contact sheet
    sheet_times: list[float] = field(default_factory=list)
    video: Path | None = None
    human: bool = False  # the demonstration is at the left of the pictures
    notes: list[str] = field(default_factory=list)  # what is missing, and why
    recording: RunRecording | None = None  # live runs
    checks: list[Check] = field(default_factory=list)  # of the live loop
    commands: list[tuple[str, str]] = field(default_factory=list)
    panel: Panel | None = None  # verdicts of the other worlds
    seen: tuple[Path, str] | None = None  # picture of the fit to the video that it comes from, and what that is


def page(content: Content) -> str:
    """The whole document."""
    config = share_dir() / "config" / "report"
    sections = [
        _header(content),
        _pictures(content),
        _tiles(content),
        _seen(content),
        _worst(content),
        _curves(content),
    ]
    sections += [_effort(content), _loop(content), _sheet(content), _table(content), _commands(content)]
    sections += [_facts(content)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{escape(content.rollout.name)} · dexhot</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>\n{(config / 'report.css').read_text()}</style></head>\n<body><main>\n"
        + "\n".join(filter(None, sections))
        + f'\n</main><script type="application/json" id="data">{_json(_data(content))}</script>'
        f"<script>\n{(config / 'report.js').read_text()}</script></body></html>\n"
    )


def _header(content: Content) -> str:
    rollout, reference = content.rollout, content.rollout.reference
    known = {v.id: v for v in content.verdicts}
    strict, loose = known["success_strict"].passed, known["success_10cm_20deg"]
    stopped = rollout.provenance.get("stopped")
    what = [f"{reference.hand} moves {reference.object_name}", KINDS.get(rollout.kind, rollout.kind)]
    what += [f"{content.series.time[-1]:.1f} s, {len(content.series.time)} frames at {reference.rate:g} Hz"]
    free = not tracks(rollout) and (not stopped or ended_well(stopped))
    verdict = "Stopped" if stopped else "Success · strict" if strict else "Failed · strict"
    chips = [] if free else [chip(strict, verdict)]
    chips += [] if stopped or free else [chip(loose.passed, "10 cm, 20°")]
    failed_checks = [c for c in content.checks if not c.passed]
    if content.checks:
        kept = len(content.checks) - len(failed_checks)
        chips += [chip(not failed_checks, f"Live loop {kept} of {len(content.checks)}")]
    if content.panel:
        passed = sum(light.passed for light in content.panel.lights)
        chips += [chip(content.panel.success, f"Panel {passed} of {len(content.panel.lights)}")]
    why = []
    verification, info = rollout.provenance.get("verification", {}), ""
    if verification.get("why"):
        text = f"{verification['name']}: {verification['why']}."
        if verification.get("whole") or free:  # only slower than the person, as planned for the arm: no failure
            info = f'<p class="note">{escape(text)}</p>'
        else:
            why += [text]
    if stopped and free:
        info += f'<p class="note">Ended after {content.series.time[-1]:.2f} s: {escape(stopped)}.</p>'
    elif stopped:
        why += [f"Stopped after {content.series.time[-1]:.2f} s: {stopped}. All metrics cover the part before."]
    elif not strict:
        failed = [f"{v.name.lower()} {_with_unit(v)} (limit {v.limit_text})" for v in content.verdicts if _decisive(v)]
        why += [f"Failed limits: {'; '.join(failed)}."]
    if failed_checks:
        text = "; ".join(f"{c.name.lower()} {c.value} (limit {c.limit})" for c in failed_checks)
        why += [f"Live loop: {text}."]
    return (
        f'<header><div><h1>{escape(rollout.name)}</h1><div class="what">{escape(" · ".join(what))}</div></div>'
        f'<div class="verdicts">{"".join(chips)}</div></header>'
        + _lights(content.panel)
        + info
        + "".join(f'<p class="why">{escape(line)}</p>' for line in why)
    )


def _lights(panel: Panel | None) -> str:
    """A row with one light per world of the panel, with the reason below a red one."""
    if panel is None:
        return ""
    lights = "".join(
        f'<span class="light {"pass" if light.passed else "fail"}" title="{escape(light.why)}">'
        f"<b>{mark(light.passed)}</b> {escape(light.name)}</span>"
        for light in (panel.nominal, *panel.lights)
    )
    return f'<div class="lights" aria-label="Panel: strict success in six worlds">{lights}</div>'


def tracks(rollout: Rollout) -> bool:
    """Whether the reference is a motion that was to be tracked; that of teleoperation stands still."""
    return "teleop" not in rollout.reference.provenance


def _pictures(content: Content) -> str:
    """The video, the time slider and the timeline."""
    time, left = content.series.time, "Human demonstration" if content.human else ""
    out = ""
    if content.video:
        outlined = ' <i class="outline"></i> reference' if tracks(content.rollout) else ""
        names = f'<span class="human">{left}</span><span>Robot{outlined}</span>'
        buttons = "".join(
            f'<button type="button" data-show="{show}" aria-pressed="{str(show == "both").lower()}">{text}</button>'
            for show, text in (("both", "side by side"), ("human", "human"), ("robot", "robot"))
        )
        out += f'<div class="stage both{" pair" if content.human else ""}">'
        out += f'<div class="names">{names}</div><video controls muted loop playsinline preload="auto" '
        out += f'src="{inline(content.video, "video/mp4")}"></video></div>'
        out += f'<div class="choose">{buttons}</div>' if content.human else ""
    out += (
        '<div class="transport"><button type="button" id="play" aria-label="play or pause">▶</button>'
        f'<input type="range" id="scrub" min="0" max="{time[-1]:.6g}" step="{1 / content.rollout.reference.rate:.6g}" '
        f'value="{_opening(content):.6g}" aria-label="time"><output id="now"></output></div>'
    )
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in content.notes)
    hint = (
        '<p class="note hint">Space: play or pause; ← and →: one frame; click the timeline or a plot to jump there.</p>'
    )
    return f'<section class="hero">{out}{scroll(_timeline(content))}{hint}{notes}</section>'


def _opening(content: Content) -> float:
    """Initial time of the cursor, s: the worst moment of a failed run, else the middle of the grasp."""
    failed = [m.frame for m in content.worst if m.failed]
    reference = content.rollout.reference
    frame = failed[0] if failed else (reference.grasp_start + reference.grasp_end) // 2
    return float(content.series.time[frame])


def _timeline(content: Content) -> str:
    s = content.series
    rows = [Row("reference", spans(s.time, s.reference_phase))] if tracks(content.rollout) else []
    rows += [Row("achieved", spans(s.time, s.phase))]
    for name, touching in zip(content.tips, content.rollout.tip_contact.T):
        rows.append(Row(name, spans(s.time, np.where(touching, "tip", ""), {"tip": ""}), thin=True))
    if content.recording is not None:
        rows.append(Row("supervisor", _safety_spans(content.recording, s.time)))
    return timeline(s.time, rows, content.sheet_times)


def _safety_spans(recording: RunRecording, time: np.ndarray) -> list[Span]:
    """The supervisor's states, within the clip."""
    states = recording.safety
    ends = [s.time for s in states[1:]] + [float("inf")]
    rows = [Span(s.time, end, f"safety-{s.state}", _of_state(s.state, s.reason)) for s, end in zip(states, ends)]
    return [row for row in rows if row.end > time[0] and row.start < time[-1]]


def _of_state(state: str, reason: str) -> str:
    return f"{state}: {reason}" if state in ("holding", "fault") else state


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
    return "no threshold" if v.passed is None else f"{mark(bool(v.passed))} · <span>{word}{escape(v.limit_text)}</span>"


def _seen(content: Content) -> str:
    """The demonstration as a camera saw it, with what was fitted to it, or with what a robot made of it; a caption of
    two lines has its own title."""
    if content.seen is None:
        return ""
    picture, what = content.seen
    title, _, what = what.rpartition("\n")
    title = escape(title or "Seen in the video")
    drawn = f'<img class="sheet" alt="{title}" src="{inline(picture, "image/png")}">'
    return f"<h2>{title}<small>{escape(what)}</small></h2>{drawn}"


def _worst(content: Content) -> str:
    cards = ""
    for k, moment in enumerate(content.worst):
        t = content.series.time[moment.frame]
        picture = content.worst_pictures[k] if content.worst_pictures else None
        drawn = f'<img alt="frame {moment.frame}" src="{inline(picture, "image/jpeg")}">' if picture else ""
        text = "".join(f"<li>{escape(what)}</li>" for what in moment.found)
        style = " over" if moment.failed else ""
        cards += f'<button type="button" class="moment{style}" data-seek="{t:.6g}">{drawn}'
        cards += f"<div><b>{t:.2f} s</b> <span>frame {moment.frame}</span></div><ul>{text}</ul></button>"
    title = "<h2>Worst moments<small>Each metric at its maximum; red: over its limit. Click to jump there.</small></h2>"
    return f'{title}<div class="moments">{cards}</div>' if cards else ""


def _curves(content: Content) -> str:
    s, limits = content.series, {v.id: v.limit for v in content.verdicts}
    shades = spans(s.time, s.phase, dict.fromkeys(SHADES, ""))
    legend = "".join(f'<span><i class="i-{name}"></i>{text}</span>' for name, text in SHADES.items())
    heights = [
        Line("reference", s.reference_height_cm, "reference", "reference_height_cm"),
        Line("achieved", s.height_cm, id="height_cm"),
    ]
    top = panel("Object height", "cm, lowest point above the table", s.time, heights, shades, width=1120, least=1.0)
    position, rotation = [Line("", s.object_cm, id="object_cm")], [Line("", s.object_deg, id="object_deg")]
    distance, angle = limits["T_err_max_cm"], limits["R_err_max_deg"]
    if "judged_T_cm" in limits:
        position = [Line("ADD-S, evaluated", s.judged_cm, id="judged_cm"), Line("raw", s.object_cm, "raw", "object_cm")]
        judged = Line("up to symmetry, evaluated", s.judged_deg, id="judged_deg")
        rotation = [judged, Line("raw", s.object_deg, "raw", "object_deg")]
        distance, angle = limits["judged_T_max_cm"], limits["judged_R_max_deg"]
    plots = [
        ("Object position error", "cm", position, distance),
        ("Object rotation error", "deg", rotation, angle),
        ("Palm position error", "cm", [Line("", s.wrist_cm, id="wrist_cm")], None),
        ("Palm rotation error", "deg", [Line("", s.wrist_deg, id="wrist_deg")], None),
        ("Finger joint error", "deg, mean of joints", [Line("", s.finger_deg, id="finger_deg")], None),
        ("Penetration", "mm, deepest", [Line("", s.penetration_mm, id="penetration_mm")], limits["penetration_mm"]),
    ]
    body = "".join(panel(title, unit, s.time, lines, shades, limit) for title, unit, lines, limit in plots)
    return (
        "<h2>Tracking over time<small>Dashed: limits of the strict success; for penetration, the goal.</small></h2>"
        f'<div class="legend">{legend}</div>{top}<div class="panels">{body}</div>'
    )


def _effort(content: Content) -> str:
    """Torques and contact forces."""
    forces, s = content.forces, content.series
    if forces is None:
        text = "Not available: neither was recorded, and simulating the commands does not reproduce this rollout."
        return f'<h2>Torques and contact forces</h2><p class="note">{text}</p>'
    shades = spans(s.time, s.phase, dict.fromkeys(SHADES, ""))
    lines = _effort_lines(content)
    arm, hand, tips = ([line for line in lines if line.id.startswith(kind)] for kind in ("arm", "torque", "force"))
    unit = "% of limit, highest joint"
    plots = panel("Finger torque", unit, s.time, hand, shades, 100.0, least=50.0)
    plots += panel("Fingertip force", "N, on the object", s.time, tips, shades, least=1.0)
    if arm:
        plots += panel("Arm torque", unit, s.time, arm, shades, 100.0, least=50.0)
    rows = [["joint", "largest", "limit", "% of limit", "at", "time at the limit"]]
    for name, torque, limit in zip(forces.joint_names, forces.torque.T, forces.limit):
        if np.isfinite(torque).any():
            frame = int(np.nanargmax(np.abs(torque)))
            share = np.abs(torque[np.isfinite(torque)]) / limit
            value = f"{torque[frame]:+.3g} N m"
            saturated = f"{100 * (share > 0.99).mean():.0f} %"
            at = f'<button type="button" class="at" data-seek="{s.time[frame]:.6g}">{s.time[frame]:.2f} s</button>'
            rows.append([escape(name), value, f"{limit:.3g} N m", f"{100 * share.max():.0f} %", at, saturated])
    table = html_table(rows, ["", "number", "number", "number", "number", "number"])
    return (
        f"<h2>Torques and contact forces<small>{escape(forces.source)}</small></h2>"
        f'<div class="panels">{plots}</div><details><summary>Every joint</summary>{table}</details>'
    )


def _effort_lines(content: Content) -> list[Line]:
    """The torque and force curves."""
    forces = content.forces
    if forces is None:
        return []
    share = 100 * np.abs(forces.torque) / forces.limit
    first = share.shape[1] - len(content.fingers)
    out: list[Line] = []
    owner = np.array(content.fingers, int)
    for k, name in enumerate(content.tips):
        style = finger_style(name, k)
        if (owner == k).any():
            out.append(Line(name, share[:, first:][:, owner == k].max(axis=1), style, f"torque_{name}"))
        out.append(Line(name, forces.tip_force[:, k], style, f"force_{name}"))
    if first:
        out.append(Line("", share[:, :first].max(axis=1), "achieved", "arm_torque"))
    return out


def finger_style(name: str, k: int) -> str:
    """Style class of the `k`-th fingertip: the colour of the human finger of that name, if any."""
    return name if name in FINGERS else FINGERS[k % len(FINGERS)]


def _loop(content: Content) -> str:
    recording, s = content.recording, content.series
    if recording is None:
        return ""
    rows = [["check", "value", "limit", "", "meaning"]]
    rows += [
        [escape(c.name), escape(c.value), escape(c.limit), mark(c.passed), escape(c.meaning)] for c in content.checks
    ]
    plots = ""
    if len(recording.latency) > 1:
        line = [Line("", _latency_at_frames(recording, s.time), id="latency_ms")]
        limit, name = live_loop.LATENCY_LIMIT, "p99 limit"
        title, unit = "Latency", "ms, hand state to its command, as recorded"
        plots += panel(title, unit, s.time, line, limit=limit, limit_name=name)
    if bins := live_loop.histogram(recording):
        limits = [(live_loop.LATENCY_LIMIT, "p99 limit"), (live_loop.DEADLINE, "one tick")]
        plots += histogram(bins, limits, "ms", "Hand state to its command, as recorded")
    states = [["at", "supervisor", "reason"]]
    states += [[f"{x.time:+.2f} s", _state(x.state), escape(x.reason)] for x in recording.safety]
    table = live_loop.loop_table(recording)
    columns = list(dict.fromkeys(key for row in table for key in row))
    nodes = [[escape(c.replace("_", " ").replace("hz", "Hz")) for c in columns]]
    nodes += [[escape(plain(row.get(c, ""))) for c in columns] for row in table]
    measured = html_table(nodes, ["", "", *["number"] * (len(columns) - 2)]) if table else ""
    return (
        f"<h2>The live loop</h2>{html_table(rows, ['', 'number', 'number', '', 'what'])}"
        f'<div class="panels">{plots}</div><h3>Supervisor</h3>{html_table(states, ["number", "", "what"])}'
        f"<details><summary>Each node's own measurements</summary>{measured}</details>"
    )


def _state(state: str) -> str:
    return f'<span class="state safety-{escape(state)}">{escape(state)}</span>'


def _latency_at_frames(recording: RunRecording, time: np.ndarray) -> np.ndarray:
    """(T,) Latency (ms) of the command nearest to each frame; NaN if none is within half a frame."""
    off = np.abs(recording.latency[:, :1] - time)
    nearest = off.argmin(axis=0)
    near = off[nearest, np.arange(len(time))] <= 0.5 * float(np.diff(time).max())
    return np.where(near, recording.latency[nearest, 1], np.nan)


def _sheet(content: Content) -> str:
    if not content.sheet:
        return ""
    caption = "Numbers as on the timeline. Solid: the robot; outline: the reference at the same time."
    image = f'<img class="sheet" alt="eight frames of the run" src="{inline(content.sheet, "image/png")}">'
    return f"<h2>Eight frames<small>{caption}</small></h2>{scroll(image)}"


def _table(content: Content) -> str:
    rows = [["metric", "value", "threshold", "", "meaning"]]
    for v in content.verdicts:
        name = f'{escape(v.name)}<span class="id">{escape(v.id)}</span>'
        rows.append([name, _with_unit(v), v.limit_text, "" if v.passed is None else mark(v.passed), escape(v.meaning)])
    return f"<h2>Metrics</h2>{html_table(rows, ['', 'number', 'number', '', 'what'])}"


def _commands(content: Content) -> str:
    if not content.commands:
        return ""
    rows = "".join(
        f'<li><span>{escape(what)}</span><code tabindex="0">{escape(command)}</code>'
        '<button type="button" class="copy">copy</button></li>'
        for what, command in content.commands
    )
    every = '<button type="button" class="copy all">copy all</button>'
    return (
        "<h2>Reproduce<small>With the versions below; paths are relative to where this report was made.</small></h2>"
        f'<ol class="commands">{rows}</ol>{every}'
    )


def _facts(content: Content) -> str:
    known = {k: v for k, v in content.facts.items() if v not in (None, "", [], {})}
    items = "".join(f"<dt>{escape(k)}</dt><dd>{entries(v)}</dd>" for k, v in known.items())
    footer = "<footer>Made by dexhot. The same numbers are in report.json beside this page.</footer>"
    return f'<h2>Provenance</h2><dl class="facts">{items}</dl>{footer}'


def _data(content: Content) -> dict[str, Any]:
    """Data of the script for the cursor: every curve by its id, and the times."""
    s = content.series
    curves = {name: getattr(s, name) for name in ("object_cm", "object_deg", "judged_cm", "judged_deg")}
    curves |= {name: getattr(s, name) for name in ("wrist_cm", "wrist_deg", "finger_deg", "penetration_mm")}
    curves |= {name: getattr(s, name) for name in ("height_cm", "reference_height_cm")}
    curves |= {line.id: line.y for line in _effort_lines(content)}
    if content.recording is not None and len(content.recording.latency) > 1:
        curves["latency_ms"] = _latency_at_frames(content.recording, s.time)
    return {"time": _numbers(s.time, 4), "curves": {name: _numbers(values, 3) for name, values in curves.items()}}


def _json(value: Any) -> str:
    """JSON for a script element, with "</" escaped, which would end it."""
    return json.dumps(value).replace("<", r"\u003c")


def _numbers(values: np.ndarray, digits: int) -> list[float | None]:
    """Rounded values for JSON: NaN is null."""
    return [round(float(v), digits) if np.isfinite(v) else None for v in values]


def _decisive(v: Verdict) -> bool:
    """Whether the metric fails a limit of the strict success."""
    return v.passed is False and v.id in STRICT


def _with_unit(v: Verdict) -> str:
    return with_unit(v.text, v.unit)
