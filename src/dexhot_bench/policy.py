"""`dexhot bench policy`: the shipped controller `planned` on GRAB's test clips, beside its baselines."""

from typing import Any

import numpy as np

from dexhot.datasets import splits
from dexhot.evaluation.controllers import BASELINES, EvaluationOptions, clips_named, evaluate_clip, summarise
from dexhot.metrics.success import SUCCESSES
from dexhot.progress import track
from dexhot_train.mining.executor import run_jobs

QUICK_CLIPS = 8  # every so many of the test clips that this gives so many
BUDGETS = (160, 800)  # rollouts of planning: about 2 and 10 CPU s


def run(quick: bool = False, workers: int = 0) -> dict[str, Any]:
    """Metrics over the test clips, and a row per clip. quick: a fixed 8 clips, one budget, 4 perturbed worlds."""
    named = splits("grab")
    clips = clips_named("test", None, named)
    clips = clips[:: len(clips) // QUICK_CLIPS][:QUICK_CLIPS] if quick else clips
    budgets, trials = (BUDGETS[:1], 4) if quick else (BUDGETS, 20)
    metrics: dict[str, float | None] = {}
    rows: dict[str, list[dict[str, Any]]] = {}
    failed: dict[str, str] = {}
    for rollouts in budgets:
        options = EvaluationOptions("planned", trials, rollouts=rollouts)
        found = []
        jobs = run_jobs(evaluate_clip, [(clip, options) for clip in clips], workers)
        for (clip, _), result in track(jobs, f"{rollouts} rollouts", len(clips)):
            if isinstance(result, Exception):
                failed[clip] = f"{type(result).__name__}: {result}"
            else:
                found.append(result)
        found.sort(key=lambda row: row["clip"])
        rows[str(rollouts)] = found
        figures = summarise(found, set(named["test_unseen_object"]))
        suffix = "" if rollouts == budgets[0] else f"_at_{rollouts}_rollouts"
        planned = figures["planned"]
        metrics |= {f"{name}{suffix}": planned[name] for name in SUCCESSES}
        metrics[f"success_strict_perturbed{suffix}"] = planned["perturbed"]
        metrics[f"over_replay_points{suffix}"] = 100 * planned["over_replay"]
        metrics[f"planning_s_p50{suffix}"] = float(np.median([row["planned"]["seconds_cpu"] for row in found]))
        metrics[f"refused{suffix}"] = planned["refused"]
        for name in BASELINES if rollouts == budgets[0] else ():
            metrics |= {f"{name}_success_strict": figures[name]["success_strict"]}
            metrics |= {f"{name}_success_strict_perturbed": figures[name]["perturbed"]}
    return {"metrics": metrics, "subset": clips, "clips": rows, "failed": failed}
