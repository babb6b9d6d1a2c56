"""Learning curves of several trainings in one figure, over simulated control steps, mining counted in.

A training is a folder with a curve, or a flywheel's folder, whose stages follow each other, each after what was mined
for it. What was mined for a training elsewhere is named with it and moves its curve to the right.
"""

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from dexhot.data.files import load, save_figure, write_text
from dexhot.data.types import Demonstration
from dexhot.errors import FileFormatError
from dexhot.report.html import html_table, plain_page
from dexhot_train.curriculum.ledger import LEDGER
from dexhot_train.curriculum.ledger import read as read_ledger
from dexhot_train.learners.folder import CURVE, read_rows

SHOWN = {"whole/tracked": "episodes from the first frame: fraction tracked", "return": "return of an episode"}


@dataclass(frozen=True)
class Curve:
    """A training: figures (I,) over control steps (I,), what was simulated for its demonstrations included."""

    name: str
    mining: list[tuple[float, float]]  # control steps from and to which demonstrations were mined
    steps: np.ndarray
    values: dict[str, np.ndarray]  # of SHOWN, NaN before the first episodes ended, and between stages

    @property
    def mined(self) -> int:
        """Control steps of all mining."""
        return int(sum(end - begin for begin, end in self.mining))


def read_curve(text: str) -> Curve:
    """From NAME=FOLDER+MINED..., where MINED are folders of demonstrations; without a name it is the folder's.

    Raises FileFormatError for a folder without a curve, or without a ledger or a demonstration.
    """
    name, equals, places = text.partition("=")
    folder, *sets = (Path(part) for part in (places if equals else text).split("+"))
    before = sum(mined_steps(path) for path in sets)
    stages = sorted(folder.glob(f"stage*/controller/{CURVE}"))
    parts = stages or [folder / CURVE]
    if not parts[0].is_file():
        raise FileFormatError(f"{folder} has no {CURVE}: give a folder of `dexhot train` tracker, baseline, flywheel.")
    mined: Counter[str] = Counter()
    for row in read_ledger(folder / LEDGER):
        if "stage" in row:
            mined[f"stage{row['stage']}"] += row["control_steps"]
    at, mining = float(before), [(0.0, float(before))] if before else []
    steps: list[float] = []
    values: dict[str, list[float]] = {figure: [] for figure in SHOWN}
    for path in parts:
        if stages and (own := mined[path.parent.parent.name]):
            mining.append((at, at + own))
            at += own
        rows = read_rows(path)
        steps += [at, *(at + row["steps"] for row in rows)]
        for figure, found in values.items():
            found += [np.nan, *(row.get(figure, np.nan) for row in rows)]
        at = steps[-1]
    known = {figure: np.array(found, float) for figure, found in values.items()}
    return Curve(name if equals else folder.name, mining, np.array(steps), known)


def mined_steps(folder: Path) -> int:
    """Control steps of a set of demonstrations: of its ledger, failed attempts included, otherwise of its files."""
    if rows := read_ledger(folder / LEDGER):
        return sum(row["control_steps"] for row in rows)
    files = sorted(folder.glob("*.npz"))
    made: list[Any] = [load(path) for path in files if not path.name.endswith(".reference.npz")]
    found = [int(item.provenance.get("control_steps", 0)) for item in made if isinstance(item, Demonstration)]
    if not found:
        raise FileFormatError(f"{folder} has neither {LEDGER} nor demonstrations, so nothing was mined there.")
    return sum(found)


def draw(curves: Sequence[Curve], out: Path) -> Path:
    """Write the figure as .png, otherwise as a page with a row per training; returns the file."""
    matplotlib.use("Agg", force=False)
    from matplotlib import pyplot as plt

    figure, rows = plt.subplots(len(SHOWN), 1, figsize=(9, 3.2 * len(SHOWN)), sharex=True)
    for axes, (name, words) in zip(rows, SHOWN.items()):
        for k, curve in enumerate(curves):
            colour = f"C{k}"
            axes.plot(curve.steps / 1e6, curve.values[name], color=colour, label=curve.name)
            for begin, end in curve.mining:
                axes.axvspan(begin / 1e6, end / 1e6, color=colour, alpha=0.1, lw=0)
        axes.set_ylabel(words, fontsize=8)
        axes.grid(alpha=0.3)
        axes.set_xlim(left=0.0)
    rows[0].legend(fontsize=8)
    rows[-1].set_xlabel("simulated control steps, millions; shaded: those of mining")
    figure.tight_layout()
    if out.suffix == ".png":
        return save_figure(figure, out, dpi=110)
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg")
    plt.close(figure)
    picture = drawn.getvalue()
    picture = picture[picture.index("<svg") :]
    cells = [["training", "mined", "steps in all", *(escape(name) for name in SHOWN)]]
    cells += [
        [escape(c.name), f"{c.mined:,}", f"{c.steps[-1]:,.0f}", *(_cell(last(c)[name]) for name in SHOWN)]
        for c in curves
    ]
    body = f"<figure>{picture}</figure><h2>Last values</h2>{html_table(cells, ['', *['n'] * (2 + len(SHOWN))])}"
    return write_text(out, plain_page("Learning curves", body))


def last(curve: Curve) -> dict[str, float | None]:
    """Its last known figures."""
    found: dict[str, float | None] = {"steps": float(curve.steps[-1])}
    for name, values in curve.values.items():
        known = values[np.isfinite(values)]
        found[name] = float(known[-1]) if len(known) else None
    return found


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
