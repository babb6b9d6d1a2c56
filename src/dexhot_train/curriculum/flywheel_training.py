"""Training of a flywheel's controllers and of its generator, on what has been mined so far."""

import json
from collections.abc import Sequence
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from dexhot.data.files import load, write_text
from dexhot.data.types import Demonstration
from dexhot.errors import DexhotError
from dexhot.progress import progress
from dexhot_train.curriculum.flywheel_folder import GENERATOR, TASKS, fraction_name, nested
from dexhot_train.curriculum.flywheel_run import FlywheelRun
from dexhot_train.curriculum.generator import task_vector, train_generator
from dexhot_train.curriculum.ledger import REFUSED, TRAINED, Ledger
from dexhot_train.curriculum.path_search import pairs_of, stem
from dexhot_train.curriculum.task_data import vector_of
from dexhot_train.learners.folder import POLICY
from dexhot_train.learners.ppo import PPO
from dexhot_train.learners.tracker import evaluate_tracker, export_tracker, train_tracker
from dexhot_train.task.clips import TaskClip, task_clip

ERRORS = "errors.json"
Taught = dict[str, Demonstration]  # clip -> what supervises a controller on it


def curated(drawn: Sequence[str], folder: Path, reward: float) -> Taught:
    """Clip -> demonstration, of those whose return is above `reward`; the latest stage's where there are several."""
    found = {}
    for path in sorted(folder.glob("stage*/*.npz")):
        clip = next((c for c in drawn if stem(c) == path.stem), None)
        if clip is not None:
            made = load(path, Demonstration)
            if made.provenance["return"] > reward:
                found[clip] = made
    return found


def fewer(taught: Taught, count: int, seed: int) -> Taught:
    """`count` of the demonstrations, the same on every machine."""
    chosen = nested([stem(clip) for clip in taught], count, seed)
    return {clip: made for clip, made in taught.items() if stem(clip) in chosen}


def train_paths(run: FlywheelRun, drawn: Sequence[str]) -> None:
    """Train the generator on the effective paths so far; without any, stage 3 goes on with synthesised ones."""
    names = {row["name"] for row in Ledger(run.folder).rows if row.get("effective")}
    files = [
        pair
        for name in sorted(names)
        for pair in pairs_of(
            run.folder / TASKS / f"{name}.reference.npz", sorted(run.folder.glob(f"stage2/{name}.parent*.npz"))
        )
    ]
    if not files:
        run.report("no path was effective: the last stage goes on with synthesised ones")
        return
    tasks = [task_vector(run.task(clip)) for clip in drawn]
    pairs = np.stack([[vector_of(path) for path in pair] for pair in files])
    train_generator(np.stack(tasks), pairs, run.options.generator, run.folder / GENERATOR)


def train_stage(
    run: FlywheelRun, stage: int, clips: Sequence[str], drawn: Sequence[str], taught: Taught
) -> tuple[Path, dict[str, Any], dict[str, float]]:
    """Train the stage's controller, or go on; its file, its scores on the tasks `drawn` so far, and its object position
    error (cm) on each of `clips` that remains."""
    here, how = run.stage(stage), run.options.tracker
    if not taught:
        raise DexhotError(
            f"no demonstration of stage {stage} is above a reward of {run.options.reward:g}: give a larger --budget, "
            "easier clips or a smaller --reward."
        )
    own = _own(run, drawn, taught)
    learner, threads = _trained(run, own, here / "controller")
    if (here / ERRORS).is_file():
        told = json.loads((here / ERRORS).read_text())
        return here / "controller" / POLICY, told["scores"], told["errors"]
    scores = evaluate_tracker(learner.actor, own, how.task, run.options.trials, threads)
    policy = export_tracker(learner.actor, own, how, here / "controller", run.command, scores)
    errors = {}
    for clip in clips if stage < len(run.options.sizes) else ():
        if clip not in drawn:
            try:
                one = [_clip(run, clip)]
            except DexhotError:
                continue  # cannot be simulated; if drawn, it is refused then
            errors[clip] = evaluate_tracker(learner.actor, one, how.task, run.options.trials, threads)["T_err_cm"]
    write_text(here / ERRORS, json.dumps({"scores": scores, "errors": errors}, indent=1) + "\n")
    return policy, scores, errors


def train_fraction(run: FlywheelRun, fraction: float, drawn: Sequence[str], taught: Taught) -> dict[str, Any]:
    """Train the last stage's controller on the demonstrations `taught` alone, on the same tasks and for as many steps;
    its row of the ledger."""
    ledger, name = Ledger(run.folder), fraction_name(fraction)
    if known := [row for row in ledger.rows if row["name"] == name]:
        return known[0]
    began, here = process_time(), run.stage(len(run.options.sizes)) / name
    own, how = _own(run, drawn, taught), run.options.tracker
    learner, threads = _trained(run, own, here)
    scores = evaluate_tracker(learner.actor, own, how.task, run.options.trials, threads)
    policy = export_tracker(learner.actor, own, how, here, run.command, scores)
    spent = {"seconds_cpu": process_time() - began, "control_steps": how.iterations * how.worlds * how.ppo.steps}
    row = {"name": name, "parent": "", "kind": "fraction", "verdict": TRAINED, "by": "", "reason": "", **spent}
    row |= {"fraction": fraction, "demonstrations": len(taught), "policy": str(policy.relative_to(run.folder))}
    ledger.add(row | {"tracked": scores["tracked"], "T_err_cm": scores["T_err_cm"]})
    return ledger.rows[-1]


def _own(run: FlywheelRun, drawn: Sequence[str], taught: Taught) -> list[TaskClip]:
    """The tasks of a training, those of `taught` with their demonstration; refused ones are left out."""
    refused = {row["parent"] for row in Ledger(run.folder).rows if row["verdict"] == REFUSED}
    return [_clip(run, clip, taught.get(clip)) for clip in drawn if clip not in refused]


def _trained(run: FlywheelRun, own: list[TaskClip], folder: Path) -> tuple[PPO, int]:
    """Train, or go on; the learner and the threads for its evaluation."""
    threads = run.workers or 1
    with progress("training", counted=True) as job:
        learner, _ = train_tracker(
            own, run.options.tracker, folder, run.command, threads, lambda done, total, line: job(done, total)
        )
    return learner, threads


def _clip(run: FlywheelRun, clip: str, demonstration: Demonstration | None = None) -> TaskClip:
    task = run.task(clip)
    return task_clip(task.reference, task.setup, demonstration)
