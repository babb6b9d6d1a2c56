"""The search for effective homotopy paths over a set of clips: with synthesised parents, by continuation, through
other grasps, or among neighbours, in K iterations over the set. In parallel, resumed from its files, with a row of the
ledger per clip.

A folder has of each clip its reference, its results by stage, and of an effective path the parents' references: the
pairs from which the generator learns.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from dexhot.data.files import load, replacing, save
from dexhot.data.types import Reference
from dexhot.errors import DexhotError
from dexhot.metrics.task_scores import neighbours, task_difference, task_points
from dexhot.progress import Report, unreported
from dexhot.retargeting.retarget import retarget, retarget_options, with_profile
from dexhot.robots.robot_hand import load_hand
from dexhot.rollouts.floating import floating_simulator
from dexhot.simulation.setup import load_setup
from dexhot.versions import versions
from dexhot_train.curriculum.homotopy import (
    CRITERIA,
    HomotopyOptions,
    TaskResult,
    along,
    continued,
    improved,
    is_effective,
    optimise,
    synthesised_parents,
)
from dexhot_train.curriculum.jobs import results_of
from dexhot_train.curriculum.ledger import EFFECTIVE, NOT_EFFECTIVE, REFUSED, Ledger
from dexhot_train.curriculum.regrasped import through_grasps
from dexhot_train.curriculum.tasks import HomotopyTask
from dexhot_train.curriculum.variations import parent_clip
from dexhot_train.learners.folder import claim
from dexhot_train.mining.mine import VALIDATION_SEED
from dexhot_train.mining.scored import scored
from dexhot_train.mining.worlds import draw_worlds
from dexhot_train.task.clips import require_plain

TRIALS = 6  # held-out worlds of a demonstration
DIRECT, EQUAL, PATH = "direct", "equal", "path"  # stages: without a path; so, at a path's budget; along the path


@dataclass(frozen=True)
class PathJob:
    """One optimisation."""

    clip: str
    folder: Path
    options: HomotopyOptions
    stage: str  # DIRECT, EQUAL, PATH, or the number of an iteration among neighbours
    others: tuple[str, ...] = ()  # of an iteration: the neighbours
    budget: int = 0  # of EQUAL
    generator: Path | None = None  # of PATH, where the parents are generated
    criterion: str = CRITERIA[0]  # of PATH
    hand: str = "leap_right"  # of a clip that is no file
    plain: bool = False  # its reference by eq. 5-7 alone


def search_paths(
    clips: Sequence[str],
    criterion: str,
    options: HomotopyOptions,
    folder: Path,
    command: str = "",
    workers: int = 0,
    executor: str = "process",
    progress: Report = unreported,
    generator: Path | None = None,
    hand: str = "leap_right",
    plain: bool = False,
) -> Ledger:
    """Search paths of the clips (names, or files of references); returns the ledger, with a row per clip. A path that
    succeeds strictly leaves a demonstration.

    generator: file of the criterion "generated". Raises DexhotError for no clip, one of `check_clips`, an unknown
    criterion, or a folder with other settings.
    """
    if not clips:
        raise DexhotError("a search for paths needs a clip; the list is empty.")
    if criterion not in CRITERIA:
        raise DexhotError(f"no criterion {criterion!r}; one of {', '.join(CRITERIA)}.")
    if (generator is None) == (criterion == "generated"):
        raise DexhotError("a generator belongs to the criterion generated: give both, or neither.")
    check_clips(clips, folder)
    digest = hashlib.sha256(generator.read_bytes()).hexdigest()[:16] if generator else None
    settings = {"options": asdict(options), "criterion": criterion, "generator": digest, "plain": plain}
    claim(folder, settings, command, older={"plain": False})
    ledger = Ledger(folder)
    stages = options.tasks + 2 if criterion == "neighbours" else 2
    state = {"done": 0}

    def run(jobs: list[PathJob]) -> dict[str, TaskResult]:
        found, waiting = {}, []
        for job in jobs:
            if (path := result_file(job)).is_file():
                found[job.clip] = load_result(path)
            else:
                waiting.append(job)
        state["done"] += len(found)
        for job, result in results_of(attempt, waiting, workers, executor):
            if isinstance(result, DexhotError):
                if stem(job.clip) not in ledger.names:
                    ledger.add(_refused(job.clip, criterion, str(result)))
            else:
                found[job.clip] = result
            state["done"] += 1
            progress(state["done"], stages * len(clips), f"{job.clip}, {job.stage}")
        return found

    def jobs(names: Sequence[str], stage: str) -> list[PathJob]:
        return [PathJob(clip, folder, options, stage, hand=hand, plain=plain) for clip in names]

    direct = run(jobs(clips, DIRECT))
    names = [clip for clip in clips if clip in direct]
    if criterion != "neighbours":
        paths = run([replace(job, generator=generator, criterion=criterion) for job in jobs(names, PATH)])
        equal = direct
    else:
        paths = _among_neighbours(names, direct, run, options, folder, hand)
        found = [clip for clip in names if paths[clip].path]
        again = [replace(j, budget=paths[j.clip].control_steps) for j in jobs(found, EQUAL)]
        equal = direct | run([job for job in again if not (options.stop and direct[job.clip].strict)])
    for clip in names:
        if clip in paths and stem(clip) not in ledger.names:
            if paths[clip].strict:
                save_demonstration(clip, paths[clip], folder)
            ledger.add(_row(clip, criterion, paths[clip], equal[clip], folder))
    return ledger


def _among_neighbours(
    names: list[str],
    direct: dict[str, TaskResult],
    run: Callable[[list[PathJob]], dict[str, TaskResult]],
    options: HomotopyOptions,
    folder: Path,
    hand: str,
) -> dict[str, TaskResult]:
    """The clips' results after K iterations, each from those of the last."""
    if len(names) < 2:
        raise DexhotError(f"{len(names)} clip can be tracked; neighbours need two or more.")
    tasks = [task_of(clip, folder, hand=hand) for clip in names]
    points = [task_points(task.setup.asset) for task in tasks]
    references = [task.reference for task in tasks]
    differences = np.zeros((len(names), len(names)))
    for a, b in zip(*np.triu_indices(len(names), 1)):
        differences[a, b] = differences[b, a] = task_difference(references[a], points[a], references[b], points[b])
    near = neighbours(differences, options.neighbours)
    results = direct
    for k in range(1, options.tasks + 1):
        stage = [
            PathJob(clip, folder, options, str(k), tuple(names[n] for n in near[i]), hand=hand)
            for i, clip in enumerate(names)
        ]
        results = results | run(stage)
    return results


def attempt(job: PathJob) -> TaskResult | DexhotError:
    """`solve`, or why the clip cannot be simulated."""
    try:
        return solve(job)
    except DexhotError as e:
        return e


def solve(job: PathJob) -> TaskResult:
    """Run one optimisation and save its result. Raises DexhotError where the clip cannot be simulated."""
    began, task = process_time(), task_of(job.clip, job.folder, hand=job.hand, plain=job.plain)
    if job.stage == DIRECT:
        found = optimise(task, job.options)
    elif job.stage == EQUAL:
        found = optimise(task, job.options, job.budget)
    elif job.stage == PATH:
        if job.criterion == "continuation":
            found, parents = continued(task, job.options)
        elif job.criterion == "regrasped":
            found, parents = through_grasps(task, job.options)
        elif job.generator is None:
            parents = synthesised_parents(task, job.options)
            found = along(parents, task, job.options)
        else:
            from dexhot_train.curriculum.generator import load_generator  # torch, which other paths do without

            parents = load_generator(job.generator).path(task, job.options.tasks, job.options.seed)
            found = along(parents, task, job.options)
        for k, parent in enumerate(parents):
            save(parent.reference, job.folder / f"{stem(job.clip)}.parent{k}.npz")
    else:
        before = [DIRECT, *map(str, range(1, job.options.tasks))][int(job.stage) - 1]
        mine = load_result(result_file(replace(job, stage=before)))
        others = [
            (task_of(clip, job.folder, hand=job.hand), load_result(result_file(replace(job, clip=clip, stage=before))))
            for clip in job.others
        ]
        found, _ = improved(task, mine, others, job.options)
    save_result(found, result_file(job), process_time() - began)
    return found


def task_of(
    clip: str, folder: Path, profile: str | None = None, hand: str = "leap_right", plain: bool = False
) -> HomotopyTask:
    """The task of a clip or a reference's file; its reference is kept in the folder, made for the servo `profile`, with
    `plain` by eq. 5-7 alone. Raises DexhotError for a clip of a test split, or a file that is not plain where it must
    be; else a file is taken as it is."""
    path = folder / f"{stem(clip)}.reference.npz"
    if path.is_file():
        reference = load(path, Reference)
        if not clip.endswith(".npz") and reference.hand != hand:
            raise DexhotError(
                f"{folder} was begun with {reference.hand}, not {hand}: choose another folder with --out."
            )
    elif clip.endswith(".npz"):
        reference = replace(load(Path(clip), Reference), arm_q=np.zeros((0, 7)), arm_frames=np.zeros(0))
        require_plain(reference, clip, plain)
        reference = with_profile(reference, profile) if profile else reference
        save(reference, path)
    else:
        trajectory, asset = parent_clip(clip)
        reference = retarget(trajectory, load_hand(hand), asset, retarget_options(profile, plain))
        save(reference, path)
    return HomotopyTask(reference, load_setup(reference))


def check_clips(clips: Sequence[str], folder: Path) -> None:
    """Raise DexhotError for a clip that is not there, cannot be read or is of a test split, two with the same `stem`,
    or a file that is not the reference that the folder keeps by its name."""
    seen: dict[str, str] = {}
    for clip in clips:
        if other := seen.get(stem(clip)):
            raise DexhotError(f"{other} and {clip} would share the files {stem(clip)}.*; rename one of them.")
        seen[stem(clip)] = clip
        if not clip.endswith(".npz"):
            parent_clip(clip)
            continue
        given, kept = load(Path(clip), Reference), folder / f"{stem(clip)}.reference.npz"
        if kept.is_file():
            there = load(kept, Reference)
            if given.name != there.name or not np.array_equal(given.q, there.q):
                raise DexhotError(
                    f"{clip} is not the reference that {folder} was begun with: choose another folder with --out."
                )


def stem(clip: str) -> str:
    """A clip's name as a file's."""
    return (
        Path(clip).name.removesuffix(".npz").removesuffix(".reference")
        if clip.endswith(".npz")
        else clip.replace("/", "_")
    )


def result_file(job: PathJob) -> Path:
    """File of a job's result."""
    return job.folder / f"{stem(job.clip)}.{job.stage}.npz"


def save_result(result: TaskResult, path: Path, seconds: float) -> None:
    """Write it, with the CPU seconds that it took, under a temporary name first."""
    with replacing(path) as temporary, open(temporary, "wb") as stream:
        arrays = {name: np.asarray(value) for name, value in asdict(result).items()}
        np.savez(stream, seconds_cpu=np.asarray(seconds), **arrays)  # type: ignore[arg-type]  # as in data/files.py


def load_result(path: Path) -> TaskResult:
    """Read one."""
    with np.load(path, allow_pickle=False) as file:
        error, strict, steps = float(file["error"]), bool(file["strict"]), int(file["control_steps"])
        return TaskResult(file["actions"], error, strict, steps, tuple(str(name) for name in file["path"]))


def save_demonstration(clip: str, found: TaskResult, folder: Path) -> None:
    """Write a strict result as a demonstration, judged in TRIALS held-out worlds too."""
    task = task_of(clip, folder)
    simulator = floating_simulator(task.reference, task.setup)
    trials = draw_worlds(task.reference, simulator, TRIALS, VALIDATION_SEED)
    made = scored(task.reference, found.actions, task.setup, simulator, trials)
    made.provenance = {"by": "homotopy", "path": list(found.path), "control_steps": found.control_steps}
    made.provenance["versions"] = versions()
    save(made, folder / f"{stem(clip)}.demonstration.npz")


def spent(clip: str, folder: Path) -> float:
    """CPU seconds of all of a clip's optimisations."""
    total = 0.0
    for path in folder.glob(f"{stem(clip)}.*.npz"):
        with np.load(path, allow_pickle=False) as file:
            total += float(file["seconds_cpu"]) if "seconds_cpu" in file.files else 0.0
    return total


def _row(clip: str, criterion: str, found: TaskResult, direct: TaskResult, folder: Path) -> dict[str, Any]:
    effective = bool(found.path) and is_effective(found, direct)
    return {
        "name": stem(clip),
        "parent": " -> ".join(found.path),
        "kind": criterion,
        "verdict": EFFECTIVE if effective else NOT_EFFECTIVE,
        "reason": "" if found.path else "no parent is a better baseline than the reference",
        "error": found.error,
        "error_direct": direct.error,
        "strict": found.strict,
        "strict_direct": direct.strict,
        "turned": found.strict and not direct.strict,
        "control_steps": found.control_steps,
        "control_steps_direct": direct.control_steps,
        "seconds_cpu": spent(clip, folder),
    }


def _refused(clip: str, criterion: str, why: str) -> dict[str, Any]:
    row = {"name": stem(clip), "parent": "", "kind": criterion, "verdict": REFUSED, "reason": why}
    return row | {"seconds_cpu": 0.0, "control_steps": 0}


def path_figures(rows: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """Clips, effective paths and their ratio, strict successes without and along a path, and clips turned."""
    tried = [row for row in rows if row["verdict"] != REFUSED]
    effective = sum(row["verdict"] == EFFECTIVE for row in tried)
    hard = [row for row in tried if not row["strict_direct"]]
    return {
        "clips": len(tried),
        "effective": effective,
        "effectiveness_ratio": effective / len(tried) if tried else None,
        "effectiveness_ratio_of_failed": (
            sum(row["verdict"] == EFFECTIVE for row in hard) / len(hard) if hard else None
        ),
        "strict_direct": sum(row["strict_direct"] for row in tried),
        "strict_path": sum(row["strict"] for row in tried),
        "turned": sum(row["turned"] for row in tried),
        "control_steps": sum(row["control_steps"] for row in tried),
        "seconds_cpu": sum(row["seconds_cpu"] for row in tried),
    }


def pairs_of(child: Path, parents: Sequence[Path]) -> list[tuple[Path, Path]]:
    """(task, parent) along a path, from the task itself; `parents` with the easiest one first."""
    upwards = list(parents)[::-1]
    return list(zip([child, *upwards], upwards))


def pairs(folder: Path) -> list[tuple[Path, Path]]:
    """(task, effective parent) of the folder's effective paths: files of references. Neighbours: the last parent
    alone."""
    found = []
    for row in Ledger(folder).rows:
        if row["verdict"] != EFFECTIVE:
            continue
        child = folder / f"{row['name']}.reference.npz"
        parents = sorted(folder.glob(f"{row['name']}.parent*.npz"), key=lambda p: (len(p.name), p.name))  # T_K first
        if parents:
            found += pairs_of(child, parents)
        else:
            named = {load(p, Reference).name: p for p in folder.glob("*.reference.npz")}
            last = row["parent"].rpartition(" -> ")[2]
            found += [(child, named[last])] if last in named else []
    return found
