"""Time series as inline SVG: small multiples with shaded phases, and the timeline under the contact sheet.

The SVG is generated directly, so that its colours are the page's CSS variables: one file works in light and dark mode,
and can be restyled.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from dexhot.report.series import Span

PANEL = (560, 170)  # width, height of a panel's view box; all lengths below are in its units
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 24
TIMELINE_WIDTH, TIMELINE_LEFT = 1120, 96


@dataclass(frozen=True)
class Line:
    """One curve. `style` is a class of the style sheet, `id` its name in the page's data (the value at the cursor)."""

    label: str
    y: np.ndarray  # (T,), NaN where unknown
    style: str = "achieved"
    id: str = ""


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
    limit_name: str = "limit",
) -> str:
    """One plot over time (s) as a figure: `shades` behind the curves, `limit` as a dashed line with its value; the axis
    extends at least to `least`, so that noise does not look like motion."""
    height, right, bottom = PANEL[1], width - RIGHT, PANEL[1] - BOTTOM
    values = np.concatenate([line.y for line in lines])
    values = values[np.isfinite(values)] if np.isfinite(values).any() else np.zeros(1)
    top = max(values.max(), least, 0.0 if limit is None else limit * 1.08)
    ticks = _ticks(values.min() if values.min() < -0.05 * top else 0.0, top, 4)
    px, py = _scale(time[0], time[-1], LEFT, right), _scale(ticks[0], ticks[-1], bottom, TOP)

    out = [_rect(f"shade {s.style}", px(s.start), TOP, px(s.end) - px(s.start), bottom - TOP) for s in shades]
    for tick in ticks:
        out += [_stroke("grid", LEFT, right, py(tick)), _text("tick", LEFT - 8, py(tick) + 4, f"{tick:g}", "end")]
    out += _time_axis(time, px, height - 6)
    if limit is not None:
        out += [_stroke("limit", LEFT, right, py(limit))]
        out += [_text("limit", LEFT + 4, py(limit) - 4, f"{limit_name} {limit:.3g}", "start")]
    for line in sorted(lines, key=lambda line: line.style == "achieved"):
        out += [f'<polyline class="{line.style}" points="{points}"/>' for points in _points(time, line.y, px, py)]
    out += [_cursor(px(time[0]), TOP, bottom)]
    keys = "".join(f'<span class="key">{_key(line)}<output data-of="{line.id}"></output></span>' for line in lines)
    drawn = _svg("panel", width, height, f"{title}, {unit}", out, (LEFT, right, time))
    return _figure(title, unit, drawn, keys)


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
            x, w = px(max(span.start, time[0])), px(min(span.end, time[-1])) - px(max(span.start, time[0]))
            fits = w > 8 * len(span.label)
            named = "" if fits or not span.label else f"<title>{escape(span.label)}</title>"
            out += [_rect(f"fill {span.style}", x, y, max(w, 1), height, 3, named)]
            if span.label and fits:
                out += [_text(f"phase {span.style}", x + 7, middle, span.label, "start")]
        y += height + 6
    out += _time_axis(time, px, y + 14)
    for number, t in enumerate(marks, 1):
        out += [_text("mark", px(t), 13, str(number))]
        out += [f'<line class="mark" x1="{px(t):.1f}" x2="{px(t):.1f}" y1="20" y2="{y}"/>']
    out += [_cursor(px(time[0]), 20, y)]
    return _svg("timeline", TIMELINE_WIDTH, y + 22, "phases over time", out, (left, right, time))


def histogram(
    bins: Sequence[tuple[float, int]], limits: Sequence[tuple[float, str]], unit: str, title: str, width: int = PANEL[0]
) -> str:
    """Bars of `bins`, each an upper edge and a count, over a linear axis from 0; `limits` as dashed, named lines."""
    height, right, bottom = PANEL[1], width - RIGHT, PANEL[1] - BOTTOM
    far = max([edge for edge, _ in bins] + [value * 1.15 for value, _ in limits])
    count = max(n for _, n in bins)
    ticks = _ticks(0.0, count, 3)
    px, py = _scale(0.0, far, LEFT, right), _scale(0.0, ticks[-1], bottom, TOP)
    out = []
    for tick in ticks:
        out += [_stroke("grid", LEFT, right, py(tick)), _text("tick", LEFT - 8, py(tick) + 4, f"{tick:g}", "end")]
    low = 0.0
    for edge, n in bins:
        start = max(low, edge / 1.06)  # bins are geometric; after empty bins, start at the bin's own lower edge
        out += [_rect("bar", px(start), round(py(n), 1), max(px(edge) - px(start) - 0.6, 1), round(bottom - py(n), 1))]
        low = edge
    for k, (value, name) in enumerate(limits):
        x = px(value)
        out += [f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}"/>']
        out += [_text("limit", x - 4, TOP + 10 + 14 * k, f"{name} {value:.3g}", "end")]
    steps = [t for t in _ticks(0.0, far, 8) if t <= far]
    out += [_text("tick", px(t), height - 6, f"{t:g}{f' {unit}' if t == steps[-1] else ''}") for t in steps]
    return _figure(title, f"commands per bin, over {unit}", _svg("panel", width, height, title, out))


def _figure(title: str, unit: str, drawn: str, keys: str = "") -> str:
    name = f'<b>{escape(title)}</b> <span class="unit">{escape(unit)}</span>'
    caption = f'<figcaption>{name}<span class="keys">{keys}</span></figcaption>'
    return f'<figure class="plot">{caption}<div class="scroll">{drawn}</div></figure>'


def _key(line: Line) -> str:
    """A curve's stroke and name; a single curve has no name."""
    return f'<i class="{line.style}"></i>{escape(line.label)} ' if line.label else ""


def _points(time: np.ndarray, y: np.ndarray, px: Callable[[float], float], py: Callable[[float], float]) -> list[str]:
    """The points of each run of known values."""
    known = np.flatnonzero(np.isfinite(y))
    stretches = np.split(known, np.flatnonzero(np.diff(known) > 1) + 1) if len(known) else []
    return [" ".join(f"{px(time[k]):.1f},{py(y[k]):.1f}" for k in stretch) for stretch in stretches]


def _cursor(x: float, top: float, bottom: float) -> str:
    return f'<line class="cursor" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>'


def _svg(
    style: str,
    width: float,
    height: float,
    label: str,
    parts: list[str],
    axis: tuple[float, float, np.ndarray] | None = None,
) -> str:
    """`axis`: start, end and times of the time axis, along which the page's script moves the cursor."""
    scale = ""
    if axis is not None:
        left, right, time = axis
        scale = f' data-x0="{left}" data-x1="{right}" data-t0="{time[0]:.6g}" data-t1="{time[-1]:.6g}"'
    head = f'<svg class="{style}" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}"{scale}>'
    return head + "".join(parts) + "</svg>"


def _text(style: str, x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _rect(style: str, x: float, y: float, width: float, height: float, round_: float = 0, inner: str = "") -> str:
    box = f'x="{x:.1f}" y="{y}" width="{width:.1f}" height="{height}" rx="{round_}"'
    return f'<rect class="{style}" {box}>{inner}</rect>'


def _stroke(style: str, x1: float, x2: float, y: float) -> str:
    return f'<line class="{style}" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """The map from [low, high] to [start, end]."""
    return lambda v: float(start + (v - low) / (high - low) * (end - start))


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
