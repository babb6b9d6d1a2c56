"""The page of an evaluation: figures, a row per clip, and film strips of the clips on which a controller fails most.

A strip is of the first world in which it is not strict, the nominal one before the perturbed ones, simulated again.
"""

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from dexhot.data.files import check_out, write_text
from dexhot.data.types import Reference, Rollout
from dexhot.evaluation.clips import clip_reference
from dexhot.evaluation.options import EvaluationOptions
from dexhot.evaluation.summary import HOW, NOT_RUN, PARTS, simulates
from dexhot.evaluation.trial_worlds import played_worlds
from dexhot.evaluation.verdicts import ERRORS
from dexhot.metrics.judge import judge
from dexhot.metrics.rollout import compute
from dexhot.metrics.success import SUCCESSES
from dexhot.report.html import html_table, inline, plain_page, scroll
from dexhot.rollouts.floating import floating_simulator
from dexhot.simulation.renderer import NoRendererError
from dexhot.simulation.setup import Setup
from dexhot.view.render import Painter, contact_sheet, sheet_frames

PAGE = "index.html"
STRIPS, PICTURES, PICTURE = 6, 8, (300, 240)  # clips, frames of each, px
TRIED = 8  # perturbed worlds in which a failure is looked for


def worst_clips(rows: list[dict[str, Any]], name: str, count: int = STRIPS) -> list[str]:
    """Clips on which `name` is not strict everywhere, the worst first: by the perturbed fraction, then by the nominal
    world, then by the position error."""

    def rank(row: dict[str, Any]) -> tuple[float, bool, float]:
        own = row[name]
        strict = own["success_strict"]
        return (own["perturbed"] if own["perturbed"] is not None else float(strict)), strict, -own["T_err_cm"]

    failing = [row for row in rows if name in row and (not row[name]["success_strict"] or rank(row)[0] < 1.0)]
    return [row["clip"] for row in sorted(failing, key=rank)[:count]]


def failure(reference: Reference, setup: Setup, name: str, options: EvaluationOptions) -> tuple[Rollout, str] | None:
    """The rollout, with its metrics, of the first world in which a controller is not strict, and which one that is;
    None where it is strict in all of TRIED."""
    simulator = floating_simulator(reference, setup)
    worlds = played_worlds(name, reference, simulator, setup, options, min(options.trials, TRIED))
    for k, (rollout, failed) in enumerate(worlds):
        rollout.metrics = compute(rollout, setup.asset, setup.hand)
        if failed or not rollout.metrics["success_strict"]:
            return rollout, "nominal world" if k == 0 else f"perturbed world {k}"
    return None


def check_gallery(folder: Path, force: bool = False) -> Path:
    """`folder`, if the page can be written into it. Raises DexhotError where a page that is not ours is there, unless
    it is to be replaced by `force`."""
    return check_out(folder / PAGE, "dexhot/page", force, "--report").parent


def write_gallery(
    folder: Path,
    title: str,
    rows: list[dict[str, Any]],
    figures: dict[str, dict[str, Any]],
    name: str,
    options: EvaluationOptions,
    notes: Sequence[str] = (),
    told: Callable[[int, int], object] = lambda done, total: None,
) -> Path:
    """Write the page into `folder`; a single file. name: the controller whose failures are shown; figures: those of
    `summarise`; notes: sentences about them, such as the prior that was used."""
    body = f"<h2>Figures</h2>{_figures(figures)}{''.join(f'<p>{escape(note)}.</p>' for note in notes)}"
    body += f"<h2>Clips</h2>{_clips(rows, list(figures))}"
    body += f"<h2>Where {escape(name)} fails most</h2>"
    worst = worst_clips(rows, name)
    if not worst:
        body += "<p>It is strict in every world of every clip.</p>"
    for done, clip in enumerate(worst):
        told(done, len(worst))
        body += _strip(clip, name, next(row[name] for row in rows if row["clip"] == clip), options)
    return write_text(folder / PAGE, plain_page(title, body))


def _strip(clip: str, name: str, row: dict[str, Any], options: EvaluationOptions) -> str:
    """One clip's strip, with its figures and what was over its limit."""
    head = f"<h3>{escape(clip)}</h3><p>strict in the nominal world: {'yes' if row['success_strict'] else 'no'}"
    if row["perturbed"] is not None:
        head += f", in {row['perturbed']:.2f} of {row.get('envs', 0)} perturbed ones"
    reference, setup = clip_reference(clip, options)
    found = failure(reference, setup, name, options)
    if found is None:
        return f"{head}; played again, strict in all that were tried.</p>"
    rollout, world = found
    over = [f"{v.name.lower()} {v.text} {v.unit} ({v.limit_text})" for v in judge(rollout.metrics) if v.passed is False]
    over = [text for text in over if not text.startswith(("strict", "success"))]
    head += f". {world.capitalize()}: {escape('; '.join(over)) or 'stopped'}.</p>"
    try:
        with tempfile.TemporaryDirectory() as scratch, Painter(rollout, setup, *PICTURE) as painter:
            sheet = contact_sheet(painter, sheet_frames(rollout, PICTURES), Path(scratch) / "strip.png", PICTURES)
            picture = inline(sheet, "image/png")
    except NoRendererError as e:
        return f"{head}<p>{escape(str(e))}</p>"
    return head + scroll(f'<img alt="{escape(clip)}, {PICTURES} frames" src="{picture}" style="height:170px">')


def _figures(figures: dict[str, dict[str, Any]]) -> str:
    """The successes and errors of each controller; a table for each time of simulation."""
    body = ""
    for when, how in HOW.items():
        if chosen := {name: f for name, f in figures.items() if simulates(f) == when}:
            body += f"<h3>{escape(how.capitalize())}</h3>{_table(chosen)}"
    return body


def _table(figures: dict[str, dict[str, Any]]) -> str:
    table = [["", *(escape(name) for name in figures)]]
    lines: dict[str, Callable[[dict[str, Any]], str]] = {
        "clips x worlds": lambda f: f"{f['n']} x {f.get('envs', 0)}",
        "strict, perturbed": partial(_strict, "perturbed"),
    }
    for part in (part for part in PARTS if any(f"n_{part}" in f for f in figures.values())):
        lines[f"strict, perturbed, {part.replace('_', ' ')}"] = partial(_on_part, part)
    lines["panel"] = partial(_strict, "success_panel")
    for name in SUCCESSES:
        lines[name.removeprefix("success_")] = partial(_of, name)
    for name in ERRORS:
        lines[f"{name}, median"] = partial(_of, f"{name}_p50")
    lines["simulated before the start: CPU s, steps"] = lambda f: f"{f['seconds_cpu_mean']:.1f}, {f['steps_mean']:.0f}"
    lines["per tick: ms, steps"] = lambda f: f"{f['tick_ms_mean']:.2f}, {f['tick_steps_mean']:.0f}"
    table += [[line, *(text(f) for f in figures.values())] for line, text in lines.items()]
    return html_table(table, ["", *["n"] * len(figures)])


def _clips(rows: list[dict[str, Any]], names: list[str]) -> str:
    """Per clip each controller's verdict in the nominal world, and the perturbed fraction."""
    table = [["clip", "frames", *(escape(name) for name in names)]]
    for row in rows:
        cells = [
            f"{'yes' if row[n]['success_strict'] else 'no'} {_number(row[n]['perturbed'])}" if n in row else ""
            for n in names
        ]
        table.append([escape(row["clip"]), str(row["frames"]), *cells])
    return html_table(table, ["", "n", *["n"] * len(names)])


def _strict(name: str, figures: dict[str, Any]) -> str:
    return _of(name, figures) or NOT_RUN


def _on_part(part: str, figures: dict[str, Any]) -> str:
    if f"n_{part}" not in figures:
        return ""
    return f"{_strict(f'perturbed_{part}', figures)} of {figures[f'n_{part}']} clips"


def _of(name: str, figures: dict[str, Any]) -> str:
    return _number(figures.get(name))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
