"""The tables of `dexhot evaluate`."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dexhot.cli.output import FAIL, PASS, console
from dexhot.evaluation.options import EXPLAINED
from dexhot.evaluation.panel import NEEDED
from dexhot.evaluation.summary import HOW, NOT_RUN, PARTS, simulates, spanned
from dexhot.metrics.judge import judge
from dexhot.retargeting.retarget import reference_kind

STRICT = {  # each also on PARTS
    "perturbed": "perturbed (strict)",
    "over_replay": "  over replay",
    "success_strict": "strict",
    "success_panel": "  panel",
}
SCORES = {
    "tracking_error": "tracking error (eq. 20)",
    "generalization_score": "generalisation score (eq. 21)",
    "noisy_success_strict": "noisy references: strict",
    "noisy_perturbed": "  perturbed",
    "robustness_score": "  robustness score (eq. 26)",
    "unreasonable_success_strict": "unreasonable references: strict",
    "unreasonable_perturbed": "  perturbed (unreasonable)",
    "hard_to_track": "hard-to-track score",
}


def show_clips(rows: list[dict[str, Any]], names: list[str], to: Console = console) -> None:
    """A row per clip: each controller's verdict in the nominal world, and the perturbed fraction."""
    table = Table("clip", *(f"{name}: strict, perturbed" for name in names), title_justify="left")
    for row in rows:
        cells = [
            f"{'yes' if row[n]['success_strict'] else 'no':3} {_text(row[n]['perturbed'])}" if n in row else ""
            for n in names
        ]
        table.add_row(row["clip"], *cells)
    to.print(table)


def show_figures(figures: dict[str, dict[str, Any]], title: str, to: Console = console) -> None:
    """A table for each time of simulation (HOW), so that results with and without are in no common column: means with
    95 % intervals over clips, medians of the errors, and what was simulated."""
    for when, how in HOW.items():
        chosen = {n: f for n, f in figures.items() if simulates(f) == when}
        if not chosen:
            continue
        table = Table("", *chosen, title=f"{title}, {how}", title_justify="left")
        some = chosen.values()
        lines: dict[str, Any] = {"clips x worlds": lambda f: f"{f['n']} x {f.get('envs', 0)}"}
        for name, words in STRICT.items():
            lines[words] = lambda f, n=name: spanned(f, n) or NOT_RUN
            for part in (part for part in PARTS if any(f"{name}_{part}" in f for f in some)):
                lines[f"{words}, {part.replace('_', ' ')}"] = lambda f, n=name, p=part: _on_part(f, n, p)
        lines["10 cm, 20°"] = lambda f: spanned(f, "success_10cm_20deg")
        lines["10 cm, 40°"] = lambda f: spanned(f, "success_10cm_40deg")
        if any("n_placed" in f for f in chosen.values()):
            lines["strict on the arm, of those placed"] = lambda f: _of(f, "arm_strict", "n_placed")
            lines["  of those strict on the hand"] = lambda f: _of(f, "arm_strict_of_strict", "n_placed_strict")
        for name in ("R_err_rad", "T_err_cm", "E_wrist", "E_finger", "hold_rate", "contact", "penetration_mm"):
            lines[f"{name}: median; mean"] = lambda f, n=name: f"{f.get(f'{n}_p50', 0.0):.3g}; {spanned(f, n, '_mean')}"
        for name, words in SCORES.items():
            if any(name in f for f in some):
                lines[words] = lambda f, n=name: f"{f[n]:.3g}" if n in f else ""
        lines["before the start: CPU s, steps"] = lambda f: f"{f['seconds_cpu_mean']:.1f}, {f['steps_mean']:.0f}"
        lines["per tick: ms, steps"] = lambda f: f"{f['tick_ms_mean']:.2f}, {f['tick_steps_mean']:.0f}"
        lines["in training: steps"] = lambda f: f"{f['training_steps']:.3g}" if f["training_steps"] else ""
        for line, text in lines.items():
            table.add_row(line, *(text(f) for f in chosen.values()))
        to.print(table)
        for name in chosen:
            to.print(f"  {name}: {EXPLAINED.get(name, EXPLAINED['policy'])}")


def _on_part(figures: dict[str, Any], name: str, part: str) -> str:
    """A mean on a part of the clips, and of how many; empty where the controller has none of them."""
    if f"n_{part}" not in figures:
        return ""
    shown = spanned(figures, f"{name}_{part}")
    return f"{shown} of {figures[f'n_{part}']}" if shown else NOT_RUN


def _of(figures: dict[str, Any], fraction: str, count: str) -> str:
    """A fraction and of how many; empty where nothing was tried."""
    value = figures.get(fraction)
    return "" if value is None else f"{value:.2f} of {figures[count]}"


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def named(rollout: Any) -> dict[str, str]:
    """The physics that made a rollout: its version, and the profile of the finger servos; and how its reference was
    made."""
    made = {name: rollout.provenance[name] for name in ("physics", "servo") if name in rollout.provenance}
    kind = reference_kind(rollout.reference)
    return made | ({"reference_kind": kind} if kind else {})


def show_rollout(rollout: Any, panel: bool = False, to: Console = console) -> None:
    """Print each metric beside its limit, as in the report; where no `panel` follows, that it was not run."""
    made = [f"{name.replace('_', ' ')} {value}" for name, value in named(rollout).items()]
    title = f"{rollout.name} ({', '.join([rollout.kind, *made])})"
    table = Table("metric", "value", "", "limit", "", title=title, title_justify="left")
    table.columns[1].justify = "right"
    for v in judge(rollout.metrics):
        mark = "" if v.passed is None else PASS if v.passed else FAIL
        table.add_row(v.id, v.text, v.unit, v.limit_text, mark)
    if not panel:
        table.add_row("success_panel", NOT_RUN, "", "", "")
    to.print(table)


def show_panel(panel: Any, to: Console = console) -> None:
    """Each world's verdict."""
    passed, of = sum(light.passed for light in panel.lights), len(panel.lights)
    needed = f": strict in {passed} of {of} other worlds; the nominal one and {NEEDED} are needed"
    title = Text.assemble("success_panel ", PASS if panel.success else FAIL, needed)
    table = Table("world", "strict", "why", title=title, title_justify="left")
    for light in (panel.nominal, *panel.lights):
        table.add_row(light.name, PASS if light.passed else FAIL, light.why)
    to.print(table)
