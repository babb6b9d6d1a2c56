"""The scaling curve as a picture and a page."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import matplotlib

from dexhot.data.files import save_figure, write_text
from dexhot.evaluation.summary import NOT_RUN
from dexhot.progress import duration
from dexhot.report.html import html_table, inline, plain_page
from dexhot_train.scaling.judging import HELD_OUT, REPLAY, TEST
from dexhot_train.scaling.subsets import COUNTINGS, LABELS, MIXED

PICTURE, PAGE = "curve.png", "curve.html"
COLOURS = {"mixed": "#1b6ca8", "clips": "#4c8c3a", "variations": "#c8641b"}
MARKS = {"mixed": "o", "clips": "s", "variations": "^"}
SPLITS = {HELD_OUT: "train clips held out", TEST: "test clips"}


def draw_curve(told: Mapping[str, Any], path: Path) -> Path:
    """A row per split: strict success in perturbed worlds over the number of demonstrations, and each kind of labels
    less the replay, both with 95 % intervals."""
    matplotlib.use("Agg", force=False)
    from matplotlib import pyplot as plt

    splits = [split for split in SPLITS if split in told[REPLAY]]
    figure, axes = plt.subplots(len(splits), 2, figsize=(11, 3.8 * len(splits)), width_ratios=(3, 2), squeeze=False)
    for (left, right), split in zip(axes, splits):
        replay = told[REPLAY][split]
        left.axhspan(*replay["perturbed_interval"], color="#8a8a8a", alpha=0.15, linewidth=0)
        left.axhline(replay["perturbed"], color="#8a8a8a", linestyle="--", label="object-relative replay")
        for k, how in enumerate(COUNTINGS):
            rows = [row for row in told["rows"] if row["how"] == how and split in row]
            if rows:
                at = [row["count"] * 1.05 ** (k - 1) for row in rows]  # apart, so that intervals can be read
                style = {"color": COLOURS[how], "marker": MARKS[how], "capsize": 3, "label": how}
                left.errorbar(at, *_spans(rows, split, "perturbed"), **style)
        left.set_xscale("log", base=2)
        counts = sorted({row["count"] for row in told["rows"]})
        left.set_xticks(counts, [str(count) for count in counts])
        left.minorticks_off()
        left.set_ylim(0, 1)
        left.set_xlabel("demonstrations shown")
        left.set_ylabel("strict, perturbed worlds")
        left.set_title(f"{SPLITS[split]} ({replay['n']}), {told['trials']} worlds each", fontsize=10, loc="left")
        left.legend(fontsize=8, frameon=False, loc="lower right")
        rows = _label_rows(told, split)
        right.set_visible(bool(rows))
        right.axvline(0.0, color="#8a8a8a", linestyle="--")
        if rows:
            values, spans = _spans(rows, split, "over_replay")
            right.errorbar(values, range(len(rows)), xerr=spans, fmt="o", color="#333333", capsize=3)
        right.set_yticks(range(len(rows)), [f"{row['how']}\n{row['clips']} clips" for row in rows], fontsize=8)
        right.set_ylim(max(len(rows), 1) - 0.5, -0.5)
        right.set_xlabel("strict, perturbed worlds, less replay")
        right.set_title(f"labels, {rows[0]['count']} each" if rows else "no labels", fontsize=10, loc="left")
    for each in axes.ravel():
        each.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    return save_figure(figure, path, dpi=110)


def page(told: Mapping[str, Any], folder: Path) -> Path:
    """Write the picture and the page, a single file without scripts; returns the page."""
    picture = draw_curve(told, folder / PICTURE)
    made = told["set"]
    body = f"<p>Set {escape(made['name'])}: {made['drawn_from']} demonstrations of clips that are not held out; "
    body += f"{made['attempts']} attempts in all, {duration(made['seconds_cpu'])} of CPU time, "
    body += f"{made['control_steps']:,} control steps, with those that failed. "
    body += "Rows count their own demonstrations', mined and shown, and the fit. "
    body += "Over replay and over fewest: paired by clip; in brackets 95 % bootstrap intervals over clips.</p>"
    body += f'<img src="{inline(picture, "image/png")}" alt="strict success over demonstrations" width="100%">'
    body += "<ul>" + "".join(f"<li>{escape(n)}: {escape(why)}</li>" for n, why in (COUNTINGS | LABELS).items())
    body += "".join(f"<li>{escape(n)} is left out: {escape(why)}</li>" for n, why in told["left_out"].items()) + "</ul>"
    for split in (split for split in SPLITS if split in told[REPLAY]):
        cells = [[escape(cell) for cell in row] for row in table(told, split)]
        body += f"<h2>{escape(SPLITS[split])}</h2>{html_table(cells, ['', *['n'] * (len(cells[0]) - 1)])}"
    body += f"<p>Held out: {escape(', '.join(told['held_out']))}.</p>"
    return write_text(folder / PAGE, plain_page("Demonstration scaling", body))


def table(told: Mapping[str, Any], split: str) -> list[list[str]]:
    """Head and rows of text of one split, replay first."""
    head = ["shown", "clips", "variations", "steps", "CPU s", "strict", "panel", "perturbed", "over replay"]
    out = [[*head, "over fewest / mixed"]]
    replay = told[REPLAY][split]
    judged = [f"{replay['success_strict']:.2f}", _panel(replay), span(replay, "perturbed")]
    out.append([REPLAY, *[""] * 4, *judged, "", ""])
    for row in (row for row in told["rows"] if split in row):
        here = row[split]
        seconds = row["seconds_mining"] + row["seconds_training"]
        spent = [f"{row['control_steps']:,}", f"{seconds:.0f}", f"{here['success_strict']:.2f}", _panel(here)]
        beside = "over_mixed" if "over_mixed" in here else "over_fewest"
        out.append([f"{row['how']} {row['count']}", str(row["clips"]), str(row["variations"]), *spent])
        out[-1] += [span(here, name) for name in ("perturbed", "over_replay", beside)]
    return out


def _panel(figures: Mapping[str, Any]) -> str:
    return span(figures, "success_panel") or NOT_RUN


def span(figures: Mapping[str, Any], name: str) -> str:
    """A mean with its interval."""
    if name not in figures:
        return ""
    low, high = figures[f"{name}_interval"]
    sign = "+" if name.startswith("over") else ""
    return f"{figures[name]:{sign}.2f} ({low:{sign}.2f} to {high:{sign}.2f})"


def _label_rows(told: Mapping[str, Any], split: str) -> list[Any]:
    """Those of the largest count, after the mixed row of as many."""
    labels = [row for row in told["rows"] if row["how"] in LABELS and split in row]
    count = max((row["count"] for row in labels), default=0)
    return [row for row in told["rows"] if row["how"] in (MIXED, *LABELS) and row["count"] == count and split in row]


def _spans(rows: list[Any], split: str, name: str) -> tuple[list[float], list[list[float]]]:
    """Means, and how far their intervals reach below and above."""
    means = [row[split][name] for row in rows]
    ends = [row[split][f"{name}_interval"] for row in rows]
    return means, [[m - e[0] for m, e in zip(means, ends)], [e[1] - m for m, e in zip(means, ends)]]
