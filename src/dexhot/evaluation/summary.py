"""Rows of many clips -> each controller's figures over them, with bootstrap intervals."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from dexhot.datasets.library import HALVES
from dexhot.errors import DexhotError
from dexhot.evaluation.options import NOT_CONTROLLERS
from dexhot.evaluation.references import KINDS
from dexhot.evaluation.verdicts import ERRORS, mean_known
from dexhot.metrics.success import SUCCESSES
from dexhot.metrics.task_scores import hard_to_track, robustness_score

SIMULATED = ("seconds_cpu", "rollouts", "steps", "tick_ms", "tick_steps")  # before the start, and per tick
PARTS = (*HALVES, "in_hand")  # of the clips, with figures of their own
HOW = {  # by `simulates`
    "": "without simulation at run time",
    "start": "simulating before the start",
    "tick": "simulating at each tick",
}
NOT_RUN = "not run"  # in a table, in place of a figure that was not measured
FEW = 5  # clips, of which a bootstrap says nothing


Verdicts = list[dict[str, Any]]  # of one controller, clip by clip


def summarise(
    rows: list[dict[str, Any]], halves: Mapping[str, Collection[str]] | None = None
) -> dict[str, dict[str, Any]]:
    """Controller -> figures over clips.

    Of each error the median (`_p50`, as DexTrack reports it), the mean (`_mean`) and its 95 % bootstrap interval over
    clips; of each success, and of the panel, the fraction of clips, and over the perturbed worlds (`trials_`);
    `perturbed` is the strict one, and `over_replay` its difference to object-relative replay, paired by clip. What is
    strict has figures of its own on each of PARTS that has clips: the `halves` of the split (`unseen_halves`) and the
    clips of in-hand motion. On the arm rig: `arm_strict` of the placed clips, and of those of them that are strict on
    the floating hand.
    """
    if not rows:
        raise DexhotError("no clip was evaluated.")
    out: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(key for row in rows for key in row if key not in NOT_CONTROLLERS):
        having = [row for row in rows if name in row]
        values = [row[name] for row in having]
        out[name] = {
            "n": len(values),
            **_nominal(values),
            **_perturbed(having, values),
            **_panel(values),
            **_parts(having, name, halves or {}),
            **_scores(values),
            **_on_arm(values),
            **_trials(values),
            **{f"{n}_mean": float(np.mean([v.get(n, 0) for v in values])) for n in SIMULATED},
            "training_steps": max(v.get("training_steps", 0) for v in values),
            "refused": float(np.mean([bool(v["refused"]) for v in values])),
        }
    return out


def spanned(figures: Mapping[str, Any], name: str, mean: str = "") -> str:
    """A mean, with its interval where it has one; empty where there is none."""
    if figures.get(name + mean) is None:
        return ""
    digits = 3 if name in ("E_wrist", "E_finger", "R_err_rad") else 2
    text = f"{figures[name + mean]:.{digits}f}"
    if f"{name}_interval" not in figures:
        return text
    low, high = figures[f"{name}_interval"]
    return f"{text} ({low:.{digits}f} to {high:.{digits}f})"


def simulates(figures: Mapping[str, Any]) -> str:
    """When a controller simulates, a key of HOW: its figures and those of one that does so at another time are in no
    common column."""
    if figures["tick_steps_mean"]:
        return "tick"
    return "start" if figures["steps_mean"] or figures["seconds_cpu_mean"] else ""


def _nominal(values: Verdicts) -> dict[str, Any]:
    """Of the nominal world: each success's fraction of clips, each error's median and mean, with intervals."""
    told: dict[str, Any] = {}
    for success in SUCCESSES:
        told |= _fraction(success, np.array([float(v[success]) for v in values]))
    for error in ERRORS:
        known = np.array([v[error] for v in values if v.get(error) is not None])
        if len(known):
            told |= {f"{error}_p50": float(np.median(known)), f"{error}_mean": float(known.mean())}
            told |= {f"{error}_interval": interval(known)}
    return told


def _perturbed(having: Verdicts, values: Verdicts) -> dict[str, Any]:
    """Strict success over the perturbed worlds, and what it is over replay, paired by clip. Nothing where a clip was
    tried in the nominal world alone."""
    if any(v["perturbed"] is None for v in values):
        return {}
    fractions = np.array([v["perturbed"] for v in values])
    margin = fractions - np.array([row["replay"]["perturbed"] for row in having])
    return _fraction("perturbed", fractions) | _fraction("over_replay", margin)


def _panel(values: Verdicts) -> dict[str, Any]:
    """Success in the panel of worlds, where every clip has it."""
    if any(v.get("success_panel") is None for v in values):
        return {}
    return _fraction("success_panel", np.array([float(v["success_panel"]) for v in values]))


def _parts(having: Verdicts, name: str, halves: Mapping[str, Collection[str]]) -> dict[str, Any]:
    """What is strict on each part of the clips, and of how many; with intervals from FEW clips on."""
    told: dict[str, Any] = {}
    for part in PARTS:
        rows = [row for row in having if (row.get(part) if part == "in_hand" else row["clip"] in halves.get(part, ()))]
        if not rows:
            continue
        values = [row[name] for row in rows]
        strict = _fraction("success_strict", np.array([float(v["success_strict"]) for v in values]))
        told[f"n_{part}"] = len(rows)
        for key, value in (strict | _perturbed(rows, values) | _panel(values)).items():
            figure, spans, _ = key.partition("_interval")
            if not spans or len(rows) >= FEW:
                told[f"{figure}_{part}{spans}"] = value
    return told


def _on_arm(values: Verdicts) -> dict[str, Any]:
    """Strict success on the arm rig: of the placed clips, and of those that are strict on the floating hand."""
    placed = [v for v in values if v.get("arm_strict") is not None]
    if not placed:
        return {}
    strict = [v["arm_strict"] for v in placed if v["success_strict"]]
    return {
        "n_placed": len(placed),
        "arm_strict": float(np.mean([v["arm_strict"] for v in placed])),
        "n_placed_strict": len(strict),
        "arm_strict_of_strict": float(np.mean(strict)) if strict else None,
    }


def _trials(values: Verdicts) -> dict[str, Any]:
    """Each success over the perturbed worlds, where every clip has them."""
    if not all(v.get("trials") for v in values):
        return {}
    told: dict[str, Any] = {f"trials_{n}": float(np.mean([v["trials"][n] for v in values])) for n in SUCCESSES}
    return told | {"envs": min(v.get("envs", 0) for v in values)}


def _fraction(name: str, values: np.ndarray) -> dict[str, Any]:
    """The mean of values (N,) over clips, with its interval."""
    return {name: float(values.mean()), f"{name}_interval": interval(values)}


def _scores(values: Verdicts) -> dict[str, float]:
    """Of one controller's rows: the mean tracking error (eq. 20) and hard-to-track score, and where disturbed
    references were tried, success on each kind and the robustness score on the noisy ones (eq. 26)."""
    errors = [v["tracking_error"] for v in values if "tracking_error" in v]
    if not errors:
        return {}
    told = {"tracking_error": float(np.mean(errors))}
    told["hard_to_track"] = float(np.mean([hard_to_track(error) for error in errors]))
    for kind in KINDS:
        if found := [v[kind] for v in values if kind in v]:
            told[f"{kind}_success_strict"] = float(np.mean([f["success_strict"] for f in found]))
            perturbed = mean_known([f["perturbed"] for f in found])
            told |= {} if perturbed is None else {f"{kind}_perturbed": perturbed}
            if kind == "noisy":
                own = [f["tracking_error"] for f in found]
                told["robustness_score"] = robustness_score([f["quality"] for f in found], own)
    return told


def interval(values: np.ndarray, draws: int = 4000) -> list[float]:
    """The 95 % bootstrap interval of the mean of values (N,) over clips."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(draws, len(values)))].mean(axis=1)
    return [float(x) for x in np.percentile(means, [2.5, 97.5])]
