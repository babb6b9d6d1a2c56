"""Table IV of the residual hand agent's paper: clips that Seeing fits, reconstructed in physics."""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from dexhot.errors import DexhotError
from dexhot.objects.library import load_object
from dexhot.progress import progress
from dexhot_bench.assist_tables import TableRun, assist_dir
from dexhot_bench.kept import Deadline
from dexhot_train.assist.closing import ClosingHand
from dexhot_train.assist.fitted import CLIPS, FPHAB, SPLITS, clip_names, fitted_clip, is_fitted
from dexhot_train.assist.reconstruction import (
    Corrector,
    Reconstruction,
    ReconstructionOptions,
    ReconstructionOutcome,
    outcomes,
    reconstruction,
    user_alone,
)
from dexhot_train.assist.reconstruction_agent import ReconstructionTraining, corrector_of, train_reconstruction

TABLE_4_TASKS = (*CLIPS, FPHAB)
AGENTS = {  # without eq. 6 and the visual feature, with eq. 6, with both
    "agent_task": ReconstructionOptions(pose_weight=0.0),
    "agent_pose": ReconstructionOptions(),
    "agent": ReconstructionOptions(visual=True),
}
GOALS = {FPHAB: "pour"}  # what is to be done in a task of another name
NOTHING = dict.fromkeys(("T_percent", "E_pose_mm", "success", "clips"))


def table_4(run: TableRun) -> dict[str, dict[str, dict[str, dict[str, Any]]]]:
    """By task, row and split. A split whose clips are not all fitted yet, or not in the cache, is null; agents need
    steps."""
    fitted: dict[tuple[str, str], list[Reconstruction]] = {}

    def clips(task: str, split: str) -> list[Reconstruction]:
        if (task, split) not in fitted:
            fitted[task, split] = fitted_clips(task, split, run.late)
        return fitted[task, split]

    def cell(task: str, name: str, split: str, row: Callable[[], Corrector]) -> dict[str, Any] | None:
        key = f"IV-{task}-{name}-{split}-{run.steps if name in AGENTS else 0}"

        def measure() -> dict[str, Any] | None:
            if name in AGENTS and not clips(task, "train"):
                return None
            found = clips(task, split)
            visual = name in AGENTS and AGENTS[name].visual
            return means(outcomes(found, row(), os.cpu_count() or 1, visual)) if found else None

        found: dict[str, Any] | None = run.measured(key, measure)
        return found

    table: dict[str, dict[str, dict[str, dict[str, Any]]]] = {task: {} for task in TABLE_4_TASKS}
    for task in TABLE_4_TASKS:
        rows: dict[str, Callable[[], Corrector]] = {"ik": lambda: user_alone, "closing": ClosingHand}
        rows |= {name: _agent(run, task, name, clips) for name in AGENTS} if run.steps else {}
        for name in ("ik", "closing", *AGENTS):
            cells = {split: cell(task, name, split, rows[name]) if name in rows else None for split in SPLITS}
            table[task][name] = {split: found or dict(NOTHING) for split, found in cells.items()}
    return table


def means(found: list[ReconstructionOutcome]) -> dict[str, Any] | None:
    """Over the clips of a cell; None without any."""
    if not found:
        return None
    return {
        "T_percent": 100.0 * float(np.mean([one.kept for one in found])),
        "E_pose_mm": 1e3 * float(np.mean([one.pose for one in found])),
        "success": float(np.mean([one.success for one in found])),
        "clips": len(found),
    }


def fitted_clips(task: str, split: str, late: Deadline) -> list[Reconstruction]:
    """All that can be had of a task's split; a clip that cannot be rendered, fitted or started is left out, named.
    Empty where one is still to be fitted when it is late."""
    made, names, folder = [], clip_names(task, split), assist_dir() / "fitted"
    with progress(f"fitted clips, {task}", len(names), counted=True) as job:
        for name in names:
            if late.over and not is_fitted(name, folder):
                return []
            try:
                fit, truth, seen = fitted_clip(name, folder)
                one = reconstruction(fit, truth, load_object(truth.object_name), GOALS.get(task, task))
                made.append(replace(one, seen=seen))
            except DexhotError as error:
                print(f"{name} is left out: {str(error).splitlines()[0]}", file=sys.stderr, flush=True)
            job.advance()
    return made


def _agent(
    run: TableRun, task: str, name: str, clips: Callable[[str, str], list[Reconstruction]]
) -> Callable[[], Corrector]:
    def corrector() -> Corrector:
        options = ReconstructionTraining(steps=run.steps, paid=AGENTS[name])
        folder = assist_dir() / f"reconstruction-{task}-{name}-{run.steps}"
        with progress(f"training {folder.name}", counted=True) as job:
            actor = train_reconstruction(
                clips(task, "train"), options, folder, "", os.cpu_count() or 1, lambda n, of, line: job(n, of)
            )
        return corrector_of(actor)

    return corrector
