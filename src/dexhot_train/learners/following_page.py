"""The runs of pick-up tasks in a folder as the paper shows them (TF-HOT, figure 7c and section 4.4.2): success over
samples per task, hand and method, mean and range over seeds; what was not run is said so."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.files import write_text
from dexhot.errors import FileFormatError
from dexhot.report.html import html_table, plain_page
from dexhot_train.learners.folder import CONFIG, CURVE, read_rows
from dexhot_train.learners.pose_following import RESULT
from dexhot_train.task.pickup import METHODS
from dexhot_train.task.pickup_clips import HANDS, TASKS

PAGE = "ptf.html"
PAPER_WORLDS = 512
NOT_RUN = "not run"
COLOURS = {"ptf": "#1b6ca8", "dense": "#c8641b", "sparse": "#8a8a8a", "imitation": "#4c8c3a"}
WIDTH, HEIGHT, LEFT, BOTTOM, MARGIN = 560, 230, 44, 30, 12


@dataclass(frozen=True)
class Run:
    """One training."""

    task: str
    hand: str
    method: str
    seed: int
    steps: np.ndarray  # (I,) samples
    success: np.ndarray  # (I,) of the training's episodes, NaN before the first ones ended
    result: Mapping[str, Any]  # of the evaluation, {} while there is none


def read_runs(folder: Path) -> list[Run]:
    """The trainings in the folders of `folder`. Raises FileFormatError where one is damaged or none is."""
    runs = []
    for path in sorted(folder.glob(f"*/{CONFIG}")):
        try:
            settings = json.loads(path.read_text())["settings"]
            if settings.get("task") not in TASKS:
                continue
            rows = read_rows(path.parent / CURVE)
            result = path.parent / RESULT
            told = json.loads(result.read_text()) if result.is_file() else {}
            method, seed = settings["options"]["method"], settings["options"]["seed"]
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            raise FileFormatError(f"{path.parent} is damaged ({e}); remove it, or train it anew.") from e
        steps = np.array([row["steps"] for row in rows], float)
        success = np.array([row.get("success", np.nan) for row in rows], float)
        runs.append(Run(settings["task"], settings["hand"], method, seed, steps, success, told))
    if not runs:
        raise FileFormatError(f"{folder} holds no training; give the folder that `dexhot train ptf` wrote.")
    return runs


def table(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """A row per task, hand and method: the paper's words, and our seeds, steps and evaluated success."""
    rows = []
    for task, kind in TASKS.items():
        for hand in HANDS:
            for method in METHODS:
                ours = [r for r in runs if (r.task, r.hand, r.method) == (task, hand, method) and r.result]
                row: dict[str, Any] = {"task": task, "hand": hand, "method": method}
                row |= {"paper": kind.paper.get(method, "not stated"), "seeds": len(ours)}
                row |= {"steps": min((r.result["steps"] for r in ours), default=NOT_RUN)}
                for name in ("success", "success_once", "lifted"):
                    values = [r.result[name] for r in ours if name in r.result]
                    row[name] = float(np.mean(values)) if values else NOT_RUN
                    if name == "success":
                        row["success_sd"] = float(np.std(values)) if len(values) > 1 else None
                rows.append(row)
    return rows


def page(folder: Path) -> Path:
    """Write the page of the runs in `folder`, a single file without scripts; returns it."""
    runs = read_runs(folder)
    body = f"<p>The paper has four seeds, {PAPER_WORLDS} worlds, an arm with the Inspire hand, and curves without "
    body += "numbers. Lines: mean over seeds of success in the last step of training episodes; band: their range.</p>"
    for task in TASKS:
        for hand in HANDS:
            mine = [r for r in runs if (r.task, r.hand) == (task, hand) and len(r.steps)]
            if mine:
                body += f"<h2>{escape(task)}, {escape(hand)}</h2>{drawn(mine)}"
    shown = ("task", "hand", "method", "paper", "seeds", "steps", "success", "success_sd", "success_once", "lifted")
    heads = [name.replace("success_sd", "deviation").replace("_", " ") for name in shown]
    cells = [[escape(_cell(row[name])) for name in shown] for row in table(runs)]
    body += f"<h2>Evaluated from held-out starts</h2>{html_table([heads, *cells], [''] * 4 + ['n'] * 6)}"
    return write_text(folder / PAGE, plain_page("Pose trajectory following", body))


def drawn(runs: Sequence[Run]) -> str:
    """SVG of the success of one task and hand over samples."""
    far = max(float(r.steps[-1]) for r in runs)

    def px(steps: float) -> float:
        return LEFT + (WIDTH - LEFT - MARGIN) * steps / far

    def py(success: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - MARGIN) * success

    out = []
    for tick in (0.0, 0.5, 1.0):
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - MARGIN}" y1="{py(tick):.1f}" y2="{py(tick):.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 8}" y="{py(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in np.linspace(0.0, far, 5)[1:]:
        label = f"{tick:,.0f}" + (" samples" if tick == far else "")
        out.append(f'<text x="{px(tick):.1f}" y="{HEIGHT - 10}" text-anchor="end">{label}</text>')
    keys = []
    for method in METHODS:
        mine = [r for r in runs if r.method == method]
        if not mine:
            continue
        at, low, mean, high = averaged(mine)
        colour = COLOURS[method]
        if len(mine) > 1:
            corners = [*zip(at, high), *zip(at[::-1], low[::-1])]
            points = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in corners)
            out.append(f'<polygon points="{points}" fill="{colour}" opacity="0.2"/>')
        points = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in zip(at, mean))
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        keys.append(f'<b style="color:{colour}">{method}</b> ({len(mine)} seed{"s" * (len(mine) > 1)})')
    inner = "".join(out)
    picture = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" font-size="12" role="img">{inner}</svg>'
    return f"<figure>{picture}<figcaption>{', '.join(keys)}</figcaption></figure>"


def averaged(runs: Sequence[Run]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Samples (I,), and smallest, mean and largest success (I,) over the seeds, as far as all of them got."""
    shortest = min(runs, key=lambda r: float(r.steps[-1]))
    at = shortest.steps
    values = np.array([np.interp(at, r.steps, np.nan_to_num(r.success)) for r in runs])
    return at, values.min(axis=0), values.mean(axis=0), values.max(axis=0)


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)
