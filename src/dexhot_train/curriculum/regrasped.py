"""Homotopy paths through another grasp: the parent of a task is the same motion of its object in another grasp.

Where the reference's grasp cannot hold the object, no easier version of the task can. Here the hand is moved about the
object and retargeted anew (dexhot.retargeting.regrasp). Every grasp is tried by a few structured plans; the ones that
hold the object longest are then improved by structured plans and free knots. Parent and task have the same first state,
the same object and the same action space, so the parent's actions are the task's: the judge of the task, its hand
errors against the task's own reference included, decides.
"""

from dataclasses import dataclass, replace

import numpy as np

from dexhot.errors import DexhotError
from dexhot.metrics.success import SUCCESSES
from dexhot.metrics.tracking_errors import object_errors
from dexhot.retargeting.regrasp import moves, regrasp
from dexhot.rollouts.floating import run_floating
from dexhot_train.curriculum.homotopy import HomotopyOptions, Optimiser, TaskResult
from dexhot_train.curriculum.tasks import HomotopyTask

TRIES = 24  # structured plans that each grasp is tried by
FINALISTS = 2  # grasps that are refined, by REFINED plans each, and improved by free knots in turn
REFINED = 84
SHARE = 4  # a search over free knots has this part of the budget, 1 / SHARE


@dataclass
class _OtherGrasp:
    """A grasp's parent, what tracks it best so far, and for how many frames that holds the object."""

    optimiser: Optimiser
    best: TaskResult
    kept: int
    searches: int = 0

    @property
    def rank(self) -> tuple[int, float]:
        return -self.kept, self.best.error


def through_grasps(task: HomotopyTask, options: HomotopyOptions) -> tuple[TaskResult, list[HomotopyTask]]:
    """The task's best result through `options.grasps` other grasps, within the options' budget for all of them
    together, and its parent's task; the kinematic reference, and no parent, where no grasp is better."""
    return _GraspPath(task, options).run()


class _GraspPath:
    """One task's path; its control steps are those of all grasps and of the judge."""

    def __init__(self, task: HomotopyTask, options: HomotopyOptions):
        self.task, self.options, self.judge = task, options, Optimiser(task, options)
        self.best = self.judge.kinematic()
        self.parents: list[HomotopyTask] = []  # of the best result
        self.candidates: list[_OtherGrasp] = []

    @property
    def spent(self) -> int:
        return self.judge.steps + sum(c.optimiser.steps for c in self.candidates)

    @property
    def done(self) -> bool:
        return self.spent >= self.options.budget or (self.options.stop and self.best.strict)

    def run(self) -> tuple[TaskResult, list[HomotopyTask]]:
        self._try_all()
        self.candidates.sort(key=lambda c: c.rank)
        for candidate in self.candidates[:FINALISTS]:
            if not self.done:
                self._improve(candidate, self._structured(candidate, REFINED, False))
        while self.candidates and not self.done:
            first = sorted(self.candidates, key=lambda c: c.rank)[:FINALISTS]
            waiting = [c for c in first if c.searches == 0]  # each of the finalists once, then the best one
            candidate = waiting[0] if waiting else first[0]
            candidate.searches += 1
            most = min(self.options.budget // SHARE, self.options.budget - self.spent)
            self._improve(candidate, candidate.optimiser.knots(candidate.best, most, candidate.searches))
        path = tuple(parent.reference.name for parent in self.parents)
        return replace(self.best, control_steps=self.spent, path=path), self.parents

    def _try_all(self) -> None:
        """Every grasp by its bare reference and TRIES structured plans, until one is a strict success."""
        reference, setup, o = self.task.reference, self.task.setup, self.options
        for move in moves(reference, setup.hand, setup.asset, o.grasps, o.seed):
            if self.done:
                return
            try:
                parent = HomotopyTask(regrasp(reference, setup.hand, setup.asset, move), setup)
                optimiser = Optimiser(parent, o)
            except DexhotError:  # the hand does not reach the object there
                continue
            candidate = _OtherGrasp(optimiser, optimiser.kinematic(), 0)
            self.candidates.append(candidate)
            self._improve(candidate, candidate.best)
            if not self.done:
                self._improve(candidate, self._structured(candidate, TRIES, True))

    def _structured(self, candidate: _OtherGrasp, rollouts: int, draws: bool) -> TaskResult:
        return candidate.optimiser.structured(candidate.best, rollouts * len(self.task.reference.q), draws)

    def _improve(self, candidate: _OtherGrasp, found: TaskResult) -> None:
        """Note the candidate's result, and judge it as the task's."""
        candidate.best, candidate.kept = found, kept_frames(candidate.optimiser, found.actions)
        judged = self.judge.evaluate(found.actions)
        if judged.better(self.best):
            self.best, self.parents = judged, [candidate.optimiser.task]


def kept_frames(optimiser: Optimiser, actions: np.ndarray) -> int:
    """Frames until the object first exceeds the strict limits of error (5 cm, 40 degrees)."""
    reference, limits = optimiser.task.reference, SUCCESSES["success_strict"]
    optimiser.steps += len(actions) - 1
    try:
        pose = run_floating(reference, actions, optimiser.simulator).object_pose
    except DexhotError:  # diverged
        return 0
    errors = object_errors(optimiser.task.setup.asset, pose, reference.object_pose)
    lost = errors.judged_distance >= limits["judged_T_max_cm"]
    lost |= np.degrees(errors.judged_angle) >= limits["judged_R_max_deg"]
    return int(np.argmax(lost)) if lost.any() else len(lost)
