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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from dexhot.control.policy import OnnxNetwork, Policy
from dexhot.data.files import load, save, write_text
from dexhot.data.types import Demonstration, Reference
from dexhot.errors import DexhotError
from dexhot.geometry.equivalents import reduced_angle
from dexhot.metrics.tracking_errors import position_error
from dexhot.progress import progress, track
from dexhot.robots.kinematics.wrist import palm_poses
from dexhot.rollouts.floating import floating_simulator, run_controller
from dexhot.versions import versions
from dexhot_train.curriculum.flywheel_folder import (
    DIRECT,
    GIVEN,
    PATH,
    PRIOR,
    WAYS,
    fraction_name,
    nested,
)
from dexhot_train.curriculum.generator import GeneratorOptions, load_generator, task_vector, train_generator
from dexhot_train.curriculum.homotopy import (
    HomotopyOptions,
    TaskResult,
    along,
    is_effective,
    optimise,
    synthesised_parents,
)
from dexhot_train.curriculum.jobs import results_of
from dexhot_train.curriculum.ledger import MADE, NO_SUCCESS, REFUSED, TRAINED, Ledger
from dexhot_train.curriculum.path_search import check_clips, pairs_of, stem, task_of
from dexhot_train.curriculum.task_data import vector_of
from dexhot_train.curriculum.tasks import HomotopyTask
from dexhot_train.curriculum.variations import require_training
from dexhot_train.learners.folder import POLICY, claim
from dexhot_train.learners.ppo import PPO
from dexhot_train.learners.tracker import TrackerOptions, evaluate_tracker, export_tracker, train_tracker
from dexhot_train.mining.scored import scored
from dexhot_train.task.clips import TaskClip, task_clip
from dexhot_train.task.rewards import DEXTRACK, Transition, total
from dexhot_train.terms import parent_of

TASKS, GENERATOR, ERRORS = "tasks", "generator", "errors.json"


@dataclass(frozen=True)
class FlywheelOptions:
    """Sizes and budgets; changed ones are refused when a run resumes."""

    sizes: tuple[int, ...] = (8, 8, 16)  # tasks of each stage; the paper has 100, 100 and 200
    reward: float = 50.0  # smallest return of a demonstration that supervises
    trials: int = 4  # worlds per remaining task in which the controller's error is measured
    seed: int = 0
    hand: str = "leap_right"  # of clips that are no files
    profile: str | None = None  # of the finger servos; None: the hand's own, or that of a reference's file
    ways: tuple[str, ...] = WAYS  # of mining a task, from the second stage on
    most: int = 0  # demonstrations that supervise a stage's controller, drawn by the seed; 0: all
    homotopy: HomotopyOptions = field(default_factory=HomotopyOptions)
    tracker: TrackerOptions = field(default_factory=TrackerOptions)
    generator: GeneratorOptions = field(default_factory=GeneratorOptions)


@dataclass(frozen=True)
class FlywheelJob:
    """One task to mine."""

    clip: str
    stage: int  # from 1
    folder: Path  # of the whole flywheel
    options: FlywheelOptions
    controller: Path | None = None  # the tracking prior
    generator: Path | None = None

    @property
    def out(self) -> Path:
        """File of its demonstration."""
        return self.folder / f"stage{self.stage}" / f"{stem(self.clip)}.npz"


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
    named = {stem(str(path)): path for path in demonstrations}
    if twice := sorted(named.keys() & {stem(clip) for clip in clips}):
        raise DexhotError(f"{twice[0]} is given as a clip and as a demonstration: leave one of them out.")
    settings = {"options": asdict(options), "clips": sorted(clips)} | ({"given": sorted(named)} if named else {})
    claim(folder, settings, command)
    ledger, stages = Ledger(folder), []
    drawn = [_take(path, folder, options, ledger) for path in demonstrations]
    controller: Path | None = None
    errors: dict[str, float] = {}
    for stage in range(1, len(options.sizes) + 1):
        here = folder / f"stage{stage}"
        mine = _draw(clips, drawn, errors, options, stage, here)
        drawn += mine
        report(f"stage {stage}: mining {len(mine)} tasks")
        generator = folder / GENERATOR / "generator.npz"
        jobs = [
            FlywheelJob(clip, stage, folder, options, controller, generator if generator.is_file() else None)
            for clip in mine
        ]
        _mine(jobs, ledger, workers, executor)
        if stage == 2 and PATH in options.ways:
            _train_generator(drawn, options, folder, report)
        taught = curated(drawn, folder, options.reward)
        if options.most:
            taught = _nested(taught, options.most, options.seed)
        report(f"stage {stage}: training on {len(taught)} demonstrations")
        controller, scores, errors = _train(clips, drawn, taught, options, folder, stage, command, workers)
        rows = [row for row in ledger.rows if row.get("stage") == stage]
        stages.append(
            {
                "stage": stage,
                "tasks": len(mine),
                "strict": sum(row["verdict"] == MADE for row in rows),
                "demonstrations": len(taught),
                "effective_paths": sum(bool(row.get("effective")) for row in rows),
                "by": {way: sum(row.get("by") == way for row in rows) for way in (DIRECT, PRIOR, PATH, GIVEN)},
                "seconds_cpu": sum(row["seconds_cpu"] for row in rows),
                "tracked": scores["tracked"],
                "T_err_cm": scores["T_err_cm"],
            }
        )
    told: dict[str, Any] = {"folder": str(folder), "policy": str(controller), "stages": stages}
    for fraction in sorted({float(f) for f in fractions} - {1.0}):  # 1 is the last stage itself
        few = _nested(taught, round(fraction * len(taught)), options.seed)
        report(f"the last stage again, training on {len(few)} of its {len(taught)} demonstrations")
        row = _train_fraction(fraction, drawn, few, options, folder, command, workers)
        told.setdefault("fractions", []).append(row)
    return told


def draw_tasks(clips: Sequence[str], errors: dict[str, float], count: int, rng: np.random.Generator) -> list[str]:
    """`count` of `clips`, without repetition, in proportion to their errors (the mean one where there is none); evenly
    without errors."""
    known = [error for error in errors.values() if np.isfinite(error)]
    other = float(np.mean(known)) if known else 1.0
    weight = np.array([max(errors.get(clip, other), 1e-6) for clip in clips])
    weight[~np.isfinite(weight)] = other
    return [clips[k] for k in rng.choice(len(clips), count, replace=False, p=weight / weight.sum())]


def _draw(
    clips: Sequence[str], drawn: list[str], errors: dict[str, float], options: FlywheelOptions, stage: int, here: Path
) -> list[str]:
    """The stage's tasks, from its file where it has begun."""
    path = here / "tasks.json"
    if not path.is_file():
        remaining = [clip for clip in clips if clip not in drawn]
        rng = np.random.default_rng([options.seed, stage])
        found = draw_tasks(remaining, errors, options.sizes[stage - 1], rng)
        write_text(path, json.dumps([stem(clip) for clip in found], indent=1) + "\n")
    names = set(json.loads(path.read_text()))
    return [clip for clip in clips if stem(clip) in names]


def _take(path: Path, folder: Path, options: FlywheelOptions, ledger: Ledger) -> str:
    """Make a demonstration's file a result of the first stage; returns the file of its reference, the task's clip.
    Raises DexhotError for one of a test clip or of another servo."""
    made, name = load(path, Demonstration), stem(str(path))
    require_training(parent_of(made), made.reference)
    if options.profile and made.servo != options.profile:
        raise DexhotError(f"{path} is for the servo {made.servo}, the flywheel for {options.profile}.")
    clip = folder / GIVEN / f"{name}.reference.npz"
    if not clip.is_file():
        save(made.reference, clip)
    if name in ledger.names:
        return str(clip)
    gained = demonstration_return(made, task_of(str(clip), folder / TASKS))
    spent = {key: made.provenance.get(key, 0) for key in ("seconds_cpu", "control_steps")}
    made.provenance |= {"by": GIVEN, "path": [], "return": gained}
    save(made, folder / "stage1" / f"{name}.npz")
    row = {"name": name, "parent": str(clip), "kind": "stage 1", "stage": 1, "reason": "", "by": GIVEN}
    verdict = MADE if made.scores.get("success_strict") else NO_SUCCESS
    ledger.add(row | {"verdict": verdict, "object": made.reference.object_name, "return": gained} | spent)
    return str(clip)


def _mine(jobs: list[FlywheelJob], ledger: Ledger, workers: int, executor: str) -> None:
    """Mine those that have no row yet."""
    waiting = [job for job in jobs if stem(job.clip) not in ledger.names]
    for _, row in track(results_of(mine_task, waiting, workers, executor), "mining", len(waiting)):
        ledger.add(row)


def mine_task(job: FlywheelJob) -> dict[str, Any]:
    """Mine one task in every way of its stage, save the best result; its row of the ledger."""
    began = process_time()
    row: dict[str, Any] = {"name": stem(job.clip), "parent": job.clip, "kind": f"stage {job.stage}", "stage": job.stage}
    try:
        found = _results(job)
    except DexhotError as e:
        spent = {"seconds_cpu": process_time() - began, "control_steps": 0}
        return row | {"verdict": REFUSED, "reason": str(e), "by": ""} | spent
    by = min(found, key=lambda way: (not found[way].strict, found[way].error))
    best, task = found[by], task_of(job.clip, job.folder / TASKS, job.options.profile, job.options.hand)
    made = scored(task.reference, best.actions, task.setup, floating_simulator(task.reference, task.setup), [])
    steps = sum(result.control_steps for result in found.values())
    gained = demonstration_return(made, task)
    made.provenance = {"by": by, "path": list(best.path), "return": gained, "control_steps": steps}
    made.provenance["versions"] = versions()
    save(made, job.out)
    return row | {
        "verdict": MADE if best.strict else NO_SUCCESS,
        "reason": "",
        "by": by,
        "object": task.reference.object_name,
        "error": best.error,
        "errors": {way: result.error for way, result in found.items()},
        "effective": PATH in found and bool(found[PATH].path) and is_effective(found[PATH], found[DIRECT]),
        "return": gained,
        "seconds_cpu": process_time() - began,
        "control_steps": steps,
    }


def _results(job: FlywheelJob) -> dict[str, TaskResult]:
    """The task's results by way."""
    o, task = job.options.homotopy, task_of(job.clip, job.folder / TASKS, job.options.profile, job.options.hand)
    found = {DIRECT: optimise(task, o)}
    if job.controller is not None and PRIOR in job.options.ways:
        found[PRIOR] = optimise(task, o, start=prior_actions(task, job.controller))
    if job.stage > 1 and PATH in job.options.ways:
        parents = synthesised_parents(task, o)
        if job.stage > 2 and job.generator is not None:
            parents = load_generator(job.generator).path(task, o.tasks, o.seed)
        found[PATH] = along(parents, task, o)
        for k, parent in enumerate(parents):
            save(parent.reference, job.out.with_name(f"{stem(job.clip)}.parent{k}.npz"))
    return found


def prior_actions(task: HomotopyTask, controller: Path) -> np.ndarray:
    """(T, 6+n) what the controller commands along the task in its nominal world: the tracking prior's baseline."""
    policy = Policy(task.reference, OnnxNetwork(controller), task.setup.asset, task.setup.physics)
    commands: np.ndarray = run_controller(policy, floating_simulator(task.reference, task.setup)).command
    return commands


def demonstration_return(made: Demonstration, task: HomotopyTask) -> float:
    """Sum of eq. 10's terms over the demonstration, but for the affinity, for which the paper has no formula."""
    r, n = made.reference, len(made.q) - 1
    q, pose = made.q[:n], made.object_pose[:n]  # after action t: frame t + 1
    wanted, asset = r.object_pose[1 : n + 1], task.setup.asset
    none = np.zeros((n, 1, 3))
    step = Transition(
        q=q,
        object_pose=pose,
        palm_pose=palm_poses(r.base_quat, q),
        tips=none,
        tip_contact=np.zeros((n, 1), bool),
        wanted_q=r.q[1 : n + 1],
        wanted_object=wanted,
        wanted_palm=palm_poses(r.base_quat, r.q[1 : n + 1]),
        wanted_grasp=none,
        wanted_contact=np.zeros((n, 1)),
        position_error=position_error(pose, wanted),
        angle_error=reduced_angle(asset.symmetry, wanted[:, 3:], pose[:, 3:]),
    )
    terms = {name: term for name, term in DEXTRACK.items() if name != "affinity"}
    return float(total(terms, step)[0].sum())


def curated(drawn: Sequence[str], folder: Path, reward: float) -> dict[str, Demonstration]:
    """Clip -> demonstration, of those whose return is above `reward`; the latest stage's where there are several."""
    found = {}
    for path in sorted(folder.glob("stage*/*.npz")):
        clip = next((c for c in drawn if stem(c) == path.stem), None)
        if clip is not None:
            made = load(path, Demonstration)
            if made.provenance["return"] > reward:
                found[clip] = made
    return found


def _train_generator(drawn: list[str], options: FlywheelOptions, folder: Path, report: Callable[[str], object]) -> None:
    """Train the generator on the effective paths so far; without any, stage 3 goes on with synthesised ones."""
    names = {row["name"] for row in Ledger(folder).rows if row.get("effective")}
    files = [
        pair
        for name in sorted(names)
        for pair in pairs_of(
            folder / TASKS / f"{name}.reference.npz", sorted(folder.glob(f"stage2/{name}.parent*.npz"))
        )
    ]
    if not files:
        report("no path was effective: the last stage goes on with synthesised ones")
        return
    tasks = [task_vector(task_of(clip, folder / TASKS, options.profile, options.hand)) for clip in drawn]
    pairs = np.stack([[vector_of(path) for path in pair] for pair in files])
    train_generator(np.stack(tasks), pairs, options.generator, folder / GENERATOR)


def _train(
    clips: Sequence[str],
    drawn: list[str],
    taught: dict[str, Demonstration],
    options: FlywheelOptions,
    folder: Path,
    stage: int,
    command: str,
    workers: int,
) -> tuple[Path, dict[str, Any], dict[str, float]]:
    """Train the stage's controller, or go on; its file, its scores on its own tasks, and its object position error
    (cm) on each remaining one."""
    here = folder / f"stage{stage}"
    if not taught:
        raise DexhotError(
            f"no demonstration of stage {stage} is above a reward of {options.reward:g}: give a larger --budget, "
            "easier clips or a smaller --reward."
        )
    own, how = _own(drawn, taught, options, folder), options.tracker
    learner, threads = _trained(own, how, here / "controller", command, workers)
    if (here / ERRORS).is_file():
        told = json.loads((here / ERRORS).read_text())
        return here / "controller" / POLICY, told["scores"], told["errors"]
    scores = evaluate_tracker(learner.actor, own, how.task, options.trials, threads)
    policy = export_tracker(learner.actor, own, how, here / "controller", command, scores)
    errors = {}
    for clip in clips if stage < len(options.sizes) else ():
        if clip not in drawn:
            try:
                one = [_clip(clip, folder, options)]
            except DexhotError:
                continue  # cannot be simulated; if drawn, it is refused then
            errors[clip] = evaluate_tracker(learner.actor, one, how.task, options.trials, threads)["T_err_cm"]
    write_text(here / ERRORS, json.dumps({"scores": scores, "errors": errors}, indent=1) + "\n")
    return policy, scores, errors


def _train_fraction(
    fraction: float,
    drawn: list[str],
    taught: dict[str, Demonstration],
    options: FlywheelOptions,
    folder: Path,
    command: str,
    workers: int,
) -> dict[str, Any]:
    """Train the last stage's controller on the demonstrations `taught` alone, on the same tasks and for as many steps;
    its row of the ledger."""
    ledger, name = Ledger(folder), fraction_name(fraction)
    if known := [row for row in ledger.rows if row["name"] == name]:
        return known[0]
    began, here = process_time(), folder / f"stage{len(options.sizes)}" / name
    own, how = _own(drawn, taught, options, folder), options.tracker
    learner, threads = _trained(own, how, here, command, workers)
    scores = evaluate_tracker(learner.actor, own, how.task, options.trials, threads)
    policy = export_tracker(learner.actor, own, how, here, command, scores)
    spent = {"seconds_cpu": process_time() - began, "control_steps": how.iterations * how.worlds * how.ppo.steps}
    row = {"name": name, "parent": "", "kind": "fraction", "verdict": TRAINED, "by": "", "reason": "", **spent}
    row |= {"fraction": fraction, "demonstrations": len(taught), "policy": str(policy.relative_to(folder))}
    ledger.add(row | {"tracked": scores["tracked"], "T_err_cm": scores["T_err_cm"]})
    return ledger.rows[-1]


def _nested(taught: dict[str, Demonstration], count: int, seed: int) -> dict[str, Demonstration]:
    """`count` of the demonstrations, the same on every machine."""
    chosen = nested([stem(clip) for clip in taught], count, seed)
    return {clip: made for clip, made in taught.items() if stem(clip) in chosen}


def _own(drawn: list[str], taught: dict[str, Demonstration], options: FlywheelOptions, folder: Path) -> list[TaskClip]:
    """The tasks of a training, those of `taught` with their demonstration; refused ones are left out."""
    refused = {row["parent"] for row in Ledger(folder).rows if row["verdict"] == REFUSED}
    return [_clip(clip, folder, options, taught.get(clip)) for clip in drawn if clip not in refused]


def _trained(own: list[TaskClip], how: TrackerOptions, folder: Path, command: str, workers: int) -> tuple[PPO, int]:
    """Train, or go on; the learner and the threads for its evaluation."""
    threads = workers or 1
    with progress("training", counted=True) as job:
        learner, _ = train_tracker(own, how, folder, command, threads, lambda done, total, line: job(done, total))
    return learner, threads


def _clip(clip: str, folder: Path, options: FlywheelOptions, demonstration: Demonstration | None = None) -> TaskClip:
    task = task_of(clip, folder / TASKS, options.profile, options.hand)
    return task_clip(task.reference, task.setup, demonstration)
