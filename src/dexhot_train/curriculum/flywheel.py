"""The data flywheel (DexTrack, section 3.3 and appendix C): demonstrations train a controller, which helps to mine more
and better ones.

Three stages, each with tasks of its own, demonstrations mined for them, and a controller trained anew on the best ones
of all stages so far:

1. a few tasks, drawn evenly; each optimised by itself;
2. more of the remaining tasks, drawn in proportion to the controller's object position error; each optimised by itself,
   from the controller's own result (the tracking prior) and along a path of easier tasks; the effective paths train the
   generator;
3. more again; the generator's paths in place of the synthesised ones.

Demonstrations of the data engine may be given: they are results of the first stage, mined already.

Of each task the best result is kept, and only demonstrations above a reward supervise the controller. The last stage
may be trained again on fractions of its demonstrations (table 6). Every step leaves a file, so a run that was stopped
goes on where it was.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.data.files import load, write_text
from dexhot.data.types import Reference
from dexhot.errors import DexhotError
from dexhot_train.curriculum.flywheel_folder import DIRECT, GIVEN, PATH, PRIOR, TASKS, WAYS
from dexhot_train.curriculum.flywheel_mining import mine, take
from dexhot_train.curriculum.flywheel_run import FlywheelOptions, FlywheelRun
from dexhot_train.curriculum.flywheel_training import curated, fewer, train_fraction, train_paths, train_stage
from dexhot_train.curriculum.ledger import MADE, Ledger
from dexhot_train.curriculum.path_search import check_clips, stem
from dexhot_train.curriculum.variations import require_training
from dexhot_train.learners.folder import claim


def run_flywheel(
    clips: Sequence[str],
    options: FlywheelOptions,
    folder: Path,
    command: str = "",
    workers: int = 0,
    executor: str = "process",
    report: Callable[[str], object] = lambda line: None,
    demonstrations: Sequence[Path] = (),
    fractions: Sequence[float] = (),
) -> dict[str, Any]:
    """Run the stages that are missing; returns the figures of each. `clips`: names or files of references.
    `demonstrations`: files, as the data engine makes them; results of the first stage, beside what that draws.
    `fractions`: of the last stage's demonstrations, on each of which its controller is trained again.

    Raises DexhotError for a clip of a test split, fewer clips than the stages draw, a stage without a demonstration to
    learn from, or a folder with another run.
    """
    _check(clips, options, folder, demonstrations, fractions)
    given = sorted({stem(str(path)) for path in demonstrations})
    settings = {"options": asdict(options), "clips": sorted(clips)} | ({"given": given} if given else {})
    claim(folder, settings, command, older={"options.plain": False})
    run = FlywheelRun(folder, options, command, workers, executor, report)
    ledger, stages = Ledger(folder), []
    drawn = [take(path, run, ledger) for path in demonstrations]
    controller: Path | None = None
    errors: dict[str, float] = {}
    for stage in range(1, len(options.sizes) + 1):
        tasks = _draw(run, stage, clips, drawn, errors)
        drawn += tasks
        report(f"stage {stage}: mining {len(tasks)} tasks")
        mine(run, tasks, stage, controller, ledger)
        if stage == 2 and PATH in options.ways:
            train_paths(run, drawn)
        taught = curated(drawn, folder, options.reward)
        if options.most:
            taught = fewer(taught, options.most, options.seed)
        report(f"stage {stage}: training on {len(taught)} demonstrations")
        controller, scores, errors = train_stage(run, stage, clips, drawn, taught)
        stages.append(_figures(stage, ledger, len(tasks), len(taught), scores))
    told: dict[str, Any] = {"folder": str(folder), "policy": str(controller), "stages": stages}
    for fraction in sorted({float(f) for f in fractions} - {1.0}):  # 1 is the last stage itself
        few = fewer(taught, round(fraction * len(taught)), options.seed)
        report(f"the last stage again, training on {len(few)} of its {len(taught)} demonstrations")
        told.setdefault("fractions", []).append(train_fraction(run, fraction, drawn, few))
    return told


def _check(
    clips: Sequence[str],
    options: FlywheelOptions,
    folder: Path,
    demonstrations: Sequence[Path],
    fractions: Sequence[float],
) -> None:
    """Raise DexhotError for what no run could begin with."""
    if unknown := [way for way in options.ways if way not in WAYS]:
        raise DexhotError(f"no way of mining is called {unknown[0]}; ways: {', '.join(WAYS)}.")
    if DIRECT not in options.ways:
        raise DexhotError(f"{DIRECT} must be among the ways of mining: paths are effective beside it.")
    if wrong := [fraction for fraction in fractions if not 0.0 <= fraction <= 1.0]:
        raise DexhotError(f"a fraction of the demonstrations is from 0 to 1, not {wrong[0]:g}.")
    if not clips:
        raise DexhotError("a flywheel needs clips; the list is empty.")
    check_clips(clips, folder / TASKS)
    for clip in clips:
        given = load(Path(clip), Reference) if clip.endswith(".npz") else None
        require_training(given.name if given else clip, given)
    if len(clips) < (needed := sum(options.sizes)):
        raise DexhotError(f"the stages draw {needed} tasks, more than the clips given ({len(clips)}): lower --sizes.")
    if twice := sorted({stem(str(path)) for path in demonstrations} & {stem(clip) for clip in clips}):
        raise DexhotError(f"{twice[0]} is given as a clip and as a demonstration: leave one of them out.")


def _draw(
    run: FlywheelRun, stage: int, clips: Sequence[str], drawn: Sequence[str], errors: dict[str, float]
) -> list[str]:
    """The stage's tasks, from its file where it has begun."""
    path = run.stage(stage) / "tasks.json"
    if not path.is_file():
        remaining = [clip for clip in clips if clip not in drawn]
        rng = np.random.default_rng([run.options.seed, stage])
        found = draw_tasks(remaining, errors, run.options.sizes[stage - 1], rng)
        write_text(path, json.dumps([stem(clip) for clip in found], indent=1) + "\n")
    names = set(json.loads(path.read_text()))
    return [clip for clip in clips if stem(clip) in names]


def draw_tasks(clips: Sequence[str], errors: dict[str, float], count: int, rng: np.random.Generator) -> list[str]:
    """`count` of `clips`, without repetition, in proportion to their errors (the mean one where there is none); evenly
    without errors."""
    known = [error for error in errors.values() if np.isfinite(error)]
    other = float(np.mean(known)) if known else 1.0
    weight = np.array([max(errors.get(clip, other), 1e-6) for clip in clips])
    weight[~np.isfinite(weight)] = other
    return [clips[k] for k in rng.choice(len(clips), count, replace=False, p=weight / weight.sum())]


def _figures(stage: int, ledger: Ledger, tasks: int, taught: int, scores: dict[str, Any]) -> dict[str, Any]:
    """What a stage's mining gave, and how its controller does."""
    rows = [row for row in ledger.rows if row.get("stage") == stage]
    return {
        "stage": stage,
        "tasks": tasks,
        "strict": sum(row["verdict"] == MADE for row in rows),
        "demonstrations": taught,
        "effective_paths": sum(bool(row.get("effective")) for row in rows),
        "by": {way: sum(row.get("by") == way for row in rows) for way in (DIRECT, PRIOR, PATH, GIVEN)},
        "seconds_cpu": sum(row["seconds_cpu"] for row in rows),
        "tracked": scores["tracked"],
        "T_err_cm": scores["T_err_cm"],
    }
