"""Rows of many clips -> each controller's figures over them, with bootstrap intervals."""

from typing import Any

import numpy as np

from dexhot.errors import DexhotError
from dexhot.evaluation.options import NOT_CONTROLLERS
from dexhot.evaluation.references import KINDS
from dexhot.evaluation.verdicts import ERRORS, mean_known
from dexhot.metrics.success import SUCCESSES
from dexhot.metrics.task_scores import hard_to_track, robustness_score

SIMULATED = ("seconds_cpu", "rollouts", "steps", "tick_ms", "tick_steps")  # before the start, and per tick


def summarise(rows: list[dict[str, Any]], unseen: set[str] | None = None) -> dict[str, dict[str, Any]]:
    """Controller -> figures over clips.

    Of each error the median (`_p50`, as DexTrack reports it), the mean (`_mean`) and its 95 % bootstrap interval over
    clips; of each success, and of the panel, the fraction of clips, and over the perturbed worlds (`trials_`);
    `perturbed` is the strict one, also for `unseen` objects and for clips of in-hand motion, and its difference to
    object-relative replay paired by clip. On the arm rig: `arm_strict` of the placed clips, and of those of them that
    are strict on the floating hand.
    """
    if not rows:
        raise DexhotError("no clip was evaluated.")
    out: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(key for row in rows for key in row if key not in NOT_CONTROLLERS):
        having = [row for row in rows if name in row]
        values = [row[name] for row in having]
        told: dict[str, Any] = {"n": len(values)}
        for success in SUCCESSES:
            told |= {success: float(np.mean([v[success] for v in values]))}
            told |= {f"{success}_interval": interval(np.array([float(v[success]) for v in values]))}
        for error in ERRORS:
            known = np.array([v[error] for v in values if v.get(error) is not None])
            if len(known):
                told |= {f"{error}_p50": float(np.median(known)), f"{error}_mean": float(known.mean())}
                told |= {f"{error}_interval": interval(known)}
        if all(v["perturbed"] is not None for v in values):
            fractions = np.array([v["perturbed"] for v in values])
            margin = fractions - np.array([row["replay"]["perturbed"] for row in having])
            told |= {"perturbed": float(fractions.mean()), "perturbed_interval": interval(fractions)}
            told |= {"over_replay": float(margin.mean()), "over_replay_interval": interval(margin)}
            if unseen and (here := [row["clip"] in unseen for row in having]) and any(here):
                told["perturbed_unseen_objects"] = float(fractions[here].mean())
            if any(here := [bool(row.get("in_hand")) for row in having]):
                told |= {"perturbed_in_hand": float(fractions[here].mean()), "n_in_hand": sum(here)}
        if all(v.get("success_panel") is not None for v in values):
            panel = np.array([float(v["success_panel"]) for v in values])
            told |= {"success_panel": float(panel.mean()), "success_panel_interval": interval(panel)}
        told |= _scores(values)
        if on_arm := [v for v in values if v.get("arm_strict") is not None]:
            told |= {"n_placed": len(on_arm), "arm_strict": float(np.mean([v["arm_strict"] for v in on_arm]))}
            strict = [v["arm_strict"] for v in on_arm if v["success_strict"]]
            told |= {"n_placed_strict": len(strict), "arm_strict_of_strict": float(np.mean(strict)) if strict else None}
        if all(v.get("trials") for v in values):
            told |= {f"trials_{n}": float(np.mean([v["trials"][n] for v in values])) for n in SUCCESSES}
            told["envs"] = min(v.get("envs", 0) for v in values)
        told |= {f"{n}_mean": float(np.mean([v.get(n, 0) for v in values])) for n in SIMULATED}
        told["training_steps"] = max(v.get("training_steps", 0) for v in values)
        told["refused"] = float(np.mean([bool(v["refused"]) for v in values]))
        out[name] = told
    return out


def _scores(values: list[dict[str, Any]]) -> dict[str, float]:
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
