"""A training in its folder (folder.py): it goes on from the checkpoint, and leaves one (saving.py)."""

import time
from pathlib import Path
from typing import Any

from dexhot.progress import Report
from dexhot_train.learners.checkpoint import load_checkpoint
from dexhot_train.learners.folder import CHECKPOINT, kept_rows, recorded, took
from dexhot_train.learners.ppo import PPO
from dexhot_train.learners.saving import Saving


def train_in_folder(
    learner: PPO,
    iterations: int,
    folder: Path,
    save_every: int,
    shown: tuple[str, ...],
    progress: Report | None = None,
) -> dict[str, Any]:
    """Train until `iterations` are done in all; a summary. `shown`: figures of a row for the progress line.

    Raises TrainingStopped at Ctrl-C, FileFormatError for a damaged checkpoint, DexhotError for another network's.
    """
    if (folder / CHECKPOINT).is_file():
        learner.load(load_checkpoint(folder / CHECKPOINT))
    resumed = learner.iteration
    rows = kept_rows(folder, resumed)
    began, steps = time.perf_counter(), learner.steps
    try:
        with Saving(folder / CHECKPOINT, learner.state, save_every) as saving:
            for row in recorded(learner.train(iterations), folder, resumed):
                rows.append(row)
                if progress:
                    speed = (learner.steps - steps) / (time.perf_counter() - began)
                    parts = [f"{name.rpartition('/')[2]} {row[name]:.2f}" for name in shown if name in row]
                    line = ", ".join([*parts, f"{speed:.0f} steps/s"])
                    progress(learner.iteration - resumed, iterations - resumed, line)
                saving.after(learner.iteration, iterations)
    finally:  # a run that was stopped counts too
        if learner.steps > steps:
            took(folder, time.perf_counter() - began, learner.steps - steps)
    seconds = time.perf_counter() - began
    return {
        "folder": str(folder),
        "steps": learner.steps,
        "resumed_at_iteration": resumed,
        "seconds": round(seconds, 1),
        "steps_per_s": round((learner.steps - steps) / seconds, 1) if learner.steps > steps else None,
        "skipped_updates": learner.skipped,
        "last": rows[-1] if rows else {},
    }
