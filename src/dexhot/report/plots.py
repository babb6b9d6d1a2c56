"""Time series as inline SVG: small multiples with shaded phases, and the timeline under the contact sheet.

The SVG is written by hand, because its colours are then the page's CSS variables: one file reads well on a light and on
a dark screen, and it stays text that a lab can restyle.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from dexhot.report.series import Span

PANEL = (560, 190)  # width, height of a panel's view box; all lengths below are in its units
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 40, 26
TIMELINE_WIDTH, TIMELINE_LEFT = 1120, 96


@dataclass(frozen=True)
class Line:
    """One curve. `style` is a class of the style sheet: "achieved" or "reference"."""

    label: str
    y: np.ndarray  # (T,)
    style: str = "achieved"


@dataclass(frozen=True)
class Row:
    """One row of the timeline: labelled spans of time."""

    label: str
    spans: Sequence[Span]
    thin: bool = False


def panel(
    title: str,
    unit: str,
    time: np.ndarray,
    lines: Sequence[Line],
    shades: Sequence[Span] = (),
    limit: float | None = None,
    width: int = PANEL[0],
    least: float = 0.0,
) -> str:
    """One plot over time (s): `shades` behind the curves, `limit` as a dashed line with its value; the axis reaches
    `least` at the least, so that noise does not look like motion."""
    height, right, bottom = PANEL[1], width - RIGHT, PANEL[1] - BOTTOM
    values = np.concatenate([line.y for line in lines])
    top = max(values.max(), least, 0.0 if limit is None else limit * 1.08)
    ticks = _ticks(values.min() if values.min() < -0.05 * top else 0.0, top, 4)
    px, py = _scale(time[0], time[-1], LEFT, right), _scale(ticks[0], ticks[-1], bottom, TOP)

    out = [_text("title", 0, 15, title, "start", f'<tspan class="unit" dx="6">{escape(unit)}</tspan>')]
    out += [_rect(f"shade {s.style}", px(s.start), TOP, px(s.end) - px(s.start), bottom - TOP) for s in shades]
    for tick in ticks:
        out += [_stroke("grid", LEFT, right, py(tick)), _text("tick", LEFT - 8, py(tick) + 4, f"{tick:g}", "end")]
    out += _time_axis(time, px, height - 8)
    if limit is not None:
        out += [_stroke("limit", LEFT, right, py(limit))]
        out += [_text("limit", LEFT + 4, py(limit) - 4, f"limit {limit:g}", "start")]
    for line in sorted(lines, key=lambda line: line.style == "achieved"):
        points = " ".join(f"{px(t):.1f},{py(y):.1f}" for t, y in zip(time, line.y))
        out += [f'<polyline class="{line.style}" points="{points}"/>']
    if len(lines) > 1:
        out += _legend(lines, right)
    return _svg("panel", width, height, title, out)


def timeline(time: np.ndarray, rows: Sequence[Row], marks: Sequence[float] = ()) -> str:
    """Rows of phases over the whole clip; `marks` are the times of the numbered frames of the contact sheet."""
    left, right, y = TIMELINE_LEFT, TIMELINE_WIDTH - 8, 26
    px = _scale(time[0], time[-1], left, right)
    out: list[str] = []
    for row in rows:
        height = 9 if row.thin else 20
        middle = y + height / 2 + 4
        out += [_text("row", left - 10, middle, row.label, "end"), _rect("track", left, y, right - left, height, 3)]
        for span in row.spans:
            x, w = px(span.start), px(span.end) - px(span.start)
            out += [_rect(f"fill {span.style}", x, y, max(w, 1), height, 3)]
            if span.label and w > 8 * len(span.label):
                out += [_text(f"phase {span.style}", x + 7, middle, span.label, "start")]
        y += height + 6
    out += _time_axis(time, px, y + 14)
    for number, t in enumerate(marks, 1):
        out += [_text("mark", px(t), 13, str(number))]
        out += [f'<line class="mark" x1="{px(t):.1f}" x2="{px(t):.1f}" y1="20" y2="{y}"/>']
    return _svg("timeline", TIMELINE_WIDTH, y + 22, "phases over time", out)


def _svg(style: str, width: float, height: float, label: str, parts: list[str]) -> str:
    head = f'<svg class="{style}" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">'
    return head + "".join(parts) + "</svg>"


def _text(style: str, x: float, y: float, text: str, anchor: str = "middle", more: str = "") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}{more}</text>'


def _rect(style: str, x: float, y: float, width: float, height: float, round_: float = 0) -> str:
    return f'<rect class="{style}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{height}" rx="{round_}"/>'


def _stroke(style: str, x1: float, x2: float, y: float) -> str:
    return f'<line class="{style}" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """The map from [low, high] to [start, end]."""
    return lambda v: float(start + (v - low) / (high - low) * (end - start))


def _legend(lines: Sequence[Line], x: float) -> list[str]:
    """Keys that end at x on the title's line, last one outermost."""
    out: list[str] = []
    for line in reversed(lines):
        x -= 6.4 * len(line.label)
        out += [_text("key", x, 15, line.label, "start"), _stroke(line.style, x - 22, x - 6, 11)]
        x -= 36
    return out


def _time_axis(time: np.ndarray, px: Callable[[float], float], y: float) -> list[str]:
    ticks = [t for t in _ticks(time[0], time[-1], 8) if time[0] <= t <= time[-1]]
    return [_text("tick", px(t), y, f"{t:g}{' s' if t == ticks[-1] else ''}") for t in ticks]


def _ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) that enclose [low, high]."""
    high = high if high - low > 1e-9 else low + 1.0
    raw = (high - low) / count
    power = 10.0 ** np.floor(np.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    return [float(np.round(i * step, 10)) for i in np.arange(first, last + 1)]
