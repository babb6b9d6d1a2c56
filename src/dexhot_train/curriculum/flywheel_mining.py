"""Mining of a flywheel's tasks: each in every way of its stage, of which the best result is kept.

By itself; from the controller's own result (the tracking prior); along a path of easier tasks. Demonstrations that
others have made are taken over as results of the first stage.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from dexhot.control.policy import OnnxNetwork, Policy
from dexhot.data.files import load, save
from dexhot.data.types import Demonstration
from dexhot.errors import DexhotError
from dexhot.geometry.equivalents import reduced_angle
from dexhot.metrics.tracking_errors import position_error
from dexhot.progress import track
from dexhot.robots.kinematics.wrist import palm_poses
from dexhot.rollouts.floating import floating_simulator, run_controller
from dexhot.versions import versions
from dexhot_train.curriculum.flywheel_folder import DIRECT, GIVEN, PATH, PRIOR, TASKS
from dexhot_train.curriculum.flywheel_run import FlywheelOptions, FlywheelRun
from dexhot_train.curriculum.generator import load_generator
from dexhot_train.curriculum.homotopy import TaskResult, along, is_effective, optimise, synthesised_parents
from dexhot_train.curriculum.jobs import results_of
from dexhot_train.curriculum.ledger import MADE, NO_SUCCESS, REFUSED, Ledger
from dexhot_train.curriculum.path_search import stem, task_of
from dexhot_train.curriculum.tasks import HomotopyTask
from dexhot_train.curriculum.variations import require_training
from dexhot_train.mining.scored import scored
from dexhot_train.task.clips import require_plain
from dexhot_train.task.rewards import DEXTRACK, Transition, total
from dexhot_train.terms import parent_of


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

    @property
    def task(self) -> HomotopyTask:
        """What is mined."""
        o = self.options
        return task_of(self.clip, self.folder / TASKS, o.profile, o.hand, o.plain)


def mine(run: FlywheelRun, clips: Sequence[str], stage: int, controller: Path | None, ledger: Ledger) -> None:
    """Mine a stage's clips, those that have no row yet, with the controller of the stage before."""
    jobs = [FlywheelJob(clip, stage, run.folder, run.options, controller, run.generator) for clip in clips]
    waiting = [job for job in jobs if stem(job.clip) not in ledger.names]
    for _, row in track(results_of(mine_task, waiting, run.workers, run.executor), "mining", len(waiting)):
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
    best, task = found[by], job.task
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
    o, task = job.options.homotopy, job.task
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


def take(path: Path, run: FlywheelRun, ledger: Ledger) -> str:
    """Make a demonstration's file a result of the first stage; returns the file of its reference, the task's clip.
    Raises DexhotError for one of a test clip or of another servo."""
    made, name = load(path, Demonstration), stem(str(path))
    require_training(parent_of(made), made.reference)
    if run.options.profile and made.servo != run.options.profile:
        raise DexhotError(f"{path} is for the servo {made.servo}, the flywheel for {run.options.profile}.")
    require_plain(made.reference, str(path), run.options.plain)
    clip = run.folder / GIVEN / f"{name}.reference.npz"
    if not clip.is_file():
        save(made.reference, clip)
    if name in ledger.names:
        return str(clip)
    gained = demonstration_return(made, task_of(str(clip), run.folder / TASKS))
    spent = {key: made.provenance.get(key, 0) for key in ("seconds_cpu", "control_steps")}
    made.provenance |= {"by": GIVEN, "path": [], "return": gained}
    save(made, run.stage(1) / f"{name}.npz")
    row = {"name": name, "parent": str(clip), "kind": "stage 1", "stage": 1, "reason": "", "by": GIVEN}
    verdict = MADE if made.scores.get("success_strict") else NO_SUCCESS
    ledger.add(row | {"verdict": verdict, "object": made.reference.object_name, "return": gained} | spent)
    return str(clip)
