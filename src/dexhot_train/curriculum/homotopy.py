"""Homotopy optimisation (DexTrack, section 3.2): a task is solved along a path of easier ones, each from the result of
the last.

A per-trajectory optimiser improves a baseline trajectory: structured plans about it, then free knots. On a path
(T_K, ..., T_0) the baseline of T_m is the result of T_(m+1), transferred. Parents are synthesised: the task itself,
made easier, at K grades or by steps that adapt (continuation), or in another grasp (regrasped.py); or neighbours: the
tasks nearest by eq. 16-18 whose result is a better baseline than the kinematic reference; or generated (generator.py).
A path is effective where its result has a lower tracking error (eq. 20) than the same optimiser reaches without it,
within the same number of control steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from dexhot.control.sampling import SamplingOptions, SamplingPlanner, base_actions
from dexhot.errors import DexhotError
from dexhot.metrics.task_scores import tracking_error
from dexhot.planning.prior import unfitted
from dexhot.planning.search import Budget, PlanSearchOptions, find_plan
from dexhot.planning.structured import StructuredPlans
from dexhot.planning.trials import Trials
from dexhot.rollouts.floating import floating_simulator, start_state
from dexhot_train.curriculum.tasks import EASIER, HomotopyTask, easier, transfer
from dexhot_train.mining.scored import scored
from dexhot_train.mining.search import SearchOptions, search

SMALLEST = 0.06  # step of ease in a continuation
TIE = 0.01  # relative difference of errors below which two results are equally good
CRITERIA = ("synthesised", "continuation", "regrasped", "neighbours", "generated")


@dataclass(frozen=True)
class HomotopyOptions:
    """Paths, and the optimiser's budget."""

    budget: int = 120_000  # control steps: of a path in all, and of the optimiser without one
    tasks: int = 3  # K: parents on a path
    neighbours: int = 10  # of each task, among which parents are searched
    how: tuple[str, ...] = EASIER  # how a synthesised parent is easier
    grasps: int = 8  # other grasps that are tried (regrasped.py)
    stop: bool = True  # an optimisation ends with a strict success; otherwise its whole budget lowers the error
    structured: float = 0.4  # fraction of an optimisation's budget for structured plans, which come first
    sampling: SamplingOptions = field(default_factory=lambda: SamplingOptions(horizon=0.8, replan=0.3))
    knots: SearchOptions = field(default_factory=lambda: SearchOptions(rounds=((24, 2), (48, 3)), rewinds=2, keep=True))
    seed: int = 0


@dataclass(frozen=True)
class TaskResult:
    """Actions that track a task, and how well."""

    actions: np.ndarray  # (T, 6+n)
    error: float  # eq. 20
    strict: bool
    control_steps: int  # simulated for it
    path: tuple[str, ...] = ()  # names of the parents, the first one solved first

    def better(self, other: "TaskResult") -> bool:
        """Whether it ranks before `other`: strict success, then the lower error."""
        return (self.strict, -self.error) > (other.strict, -other.error)


class Optimiser:
    """The per-trajectory optimiser of one task, in its nominal world."""

    def __init__(self, task: HomotopyTask, options: HomotopyOptions):
        """Raises DexhotError where the task's object does not rest at the start."""
        self.task, self.options = task, options
        self.simulator = floating_simulator(task.reference, task.setup)
        self.steps = 0

    def evaluate(self, actions: np.ndarray) -> TaskResult:
        """The result of tracking with `actions`."""
        self.steps += len(actions) - 1
        try:
            metrics = scored(self.task.reference, actions, self.task.setup, self.simulator, []).scores
        except DexhotError:  # diverged
            return TaskResult(actions, np.inf, False, self.steps)
        return TaskResult(actions, tracking_error(metrics), bool(metrics["success_strict"]), self.steps)

    def kinematic(self) -> TaskResult:
        """The bare reference's."""
        return self.evaluate(base_actions(self.task.reference, self.simulator.scene.physics))

    def run(self, budget: int, start: np.ndarray | None = None) -> TaskResult:
        """The best result within `budget` control steps, from the baseline `start` (T, 6+n) where that is better than
        the kinematic reference: its parent is effective; otherwise from the reference."""
        began, best = self.steps, self.kinematic()
        given = None if start is None else self.evaluate(start)
        effective = given is not None and given.better(best)
        if given is not None and effective:
            best = given
        if effective and not self._done(best):  # most of it holds: only where it loses the object is searched
            best = self.knots(best, budget // 2, 0)
        if not self._done(best):
            left = max(0, budget - (self.steps - began))
            fits = (1.0 - self.options.structured) * left >= self._cheapest
            best = self.structured(best, round(self.options.structured * left) if fits else left, not effective)
        attempt = 1 if effective else 0
        while not self._done(best) and budget - (self.steps - began) >= self._cheapest:
            best = self.knots(best, budget - (self.steps - began), attempt)
            attempt += 1
        return replace(best, control_steps=self.steps)

    @property
    def _cheapest(self) -> int:
        """Control steps of the shortest search over free knots: one round of each plan."""
        o, frames = self.options, len(self.task.reference.q)
        samples, iterations = o.knots.rounds[0]
        plans = -(-frames // round(o.sampling.replan * self.task.reference.rate))
        return plans * (samples * iterations + 2) * round(o.sampling.horizon * self.task.reference.rate)

    def _done(self, best: TaskResult) -> bool:
        return self.options.stop and best.strict

    def structured(self, best: TaskResult, budget: int, draws: bool) -> TaskResult:
        """Structured plans about the best actions; from draws of the prior, or refined from zero."""
        reference, setup = self.task.reference, self.task.setup
        trials = Trials(reference, self.simulator)
        space = StructuredPlans(reference, setup.physics, setup.asset.symmetry.center)
        space.base = best.actions
        prior, start = unfitted(space.fingers), None if draws else np.zeros(space.size)
        how, worlds = PlanSearchOptions(finalists=1, stop=self.options.stop), [trials.world(reference.object_pose[0])]
        rollouts = Budget(max(1, budget // len(reference.q)))
        plan = find_plan(trials, space, prior, worlds, rollouts, how, self.options.seed, start).plan
        self.steps += trials.control_steps
        return self._best(best, space.targets(plan)[0])

    def knots(self, best: TaskResult, budget: int, attempt: int) -> TaskResult:
        """Free knots where the best actions lose the object."""
        o, seed = self.options, self.options.seed + attempt
        planner = SamplingPlanner(self.task.reference, self.simulator, o.sampling, seed=seed)
        planner.residual[: planner.frames] = best.actions - planner.base[: planner.frames]
        state = start_state(self.task.reference, self.simulator)
        found = search(planner, state, replace(o.knots, budget=budget))
        self.steps += planner.control_steps
        return self._best(best, found)

    def _best(self, best: TaskResult, actions: np.ndarray) -> TaskResult:
        scene = self.simulator.scene
        found = self.evaluate(np.clip(actions, scene.lower, scene.upper))
        return found if found.better(best) else best


def optimise(
    task: HomotopyTask, options: HomotopyOptions, budget: int | None = None, start: np.ndarray | None = None
) -> TaskResult:
    """`Optimiser.run` with the options' budget by default."""
    return Optimiser(task, options).run(options.budget if budget is None else budget, start)


def synthesised_parents(task: HomotopyTask, options: HomotopyOptions) -> list[HomotopyTask]:
    """(T_K, ..., T_1): the task's easier versions, the easiest first."""
    return [easier(task, k / options.tasks, options.how) for k in range(options.tasks, 0, -1)]


def along(path: Sequence[HomotopyTask], task: HomotopyTask, options: HomotopyOptions) -> TaskResult:
    """The task's result along (T_K, ..., T_1), within the options' budget in all: each task has an equal share of what
    is left, and begins from its reference where the parent's result is no better. A parent that cannot be simulated is
    left out."""
    spent = 0
    solved: list[HomotopyTask] = []
    baseline: TaskResult | None = None
    for k, here in enumerate([*path, task]):
        left = options.budget - spent
        try:
            start = None if baseline is None else transfer(baseline.actions, solved[-1], here)
            found = optimise(here, options, left // (len(path) + 1 - k), start)
        except DexhotError:
            if here is task:
                raise
            continue
        spent += found.control_steps
        baseline = found
        solved.append(here)
    assert baseline is not None
    return replace(baseline, control_steps=spent, path=tuple(parent.reference.name for parent in solved[:-1]))


def continued(task: HomotopyTask, options: HomotopyOptions) -> tuple[TaskResult, list[HomotopyTask]]:
    """The task's result by continuation, and the versions on the path: from its easiest version towards itself, by
    steps of ease that halve where the next version fails and double where it succeeds. Within the options' budget in
    all: the share of a task on a path is kept for the task itself, and is the easiest version's; others have half."""
    spent, step, at, ease = 0, 1.0 / options.tasks, 1.0, 1.0
    share = options.budget // (options.tasks + 1)
    path: list[HomotopyTask] = []
    baseline: TaskResult | None = None
    best: TaskResult | None = None
    while True:
        left = options.budget - spent
        last = left <= share or at <= SMALLEST
        ease = 0.0 if last else ease
        here = easier(task, ease, options.how) if ease else task
        try:
            start = None if baseline is None else transfer(baseline.actions, path[-1], here)
            most = left if last else share if baseline is None else share // 2
            found = optimise(here, options, most, start)
        except DexhotError:  # a version that cannot be simulated is left out
            if here is task:
                raise
            at, ease = ease, max(0.0, ease - step)
            continue
        spent += found.control_steps
        if here is task:
            best = found if best is None or found.better(best) else best
            if last or best.strict:
                return replace(best, control_steps=spent, path=tuple(p.reference.name for p in path)), path
        elif found.strict or baseline is None or step <= SMALLEST:
            baseline, at = found, ease
            path.append(here)
            step = min(2.0 * step, 1.0 / options.tasks)
            ease = max(0.0, at - step)
            continue
        step = max(step / 2.0, SMALLEST)
        ease = max(0.0, at - step)


def better_baselines(
    task: HomotopyTask, others: Sequence[tuple[HomotopyTask, TaskResult]], options: HomotopyOptions
) -> tuple[list[tuple[int, np.ndarray]], int]:
    """Effective parents by the paper's criterion: indices of `others` whose result, transferred, tracks the task with
    a lower error than its kinematic reference, the lowest first, with the transferred baseline; and the control steps
    simulated to find out."""
    optimiser = Optimiser(task, options)
    bare = optimiser.kinematic().error
    found = []
    for k, (other, result) in enumerate(others):
        baseline = transfer(result.actions, other, task)
        error = optimiser.evaluate(baseline).error
        if error < bare:
            found.append((error, k, baseline))
    return [(k, baseline) for _, k, baseline in sorted(found, key=lambda f: f[:2])], optimiser.steps


def improved(
    task: HomotopyTask,
    mine: TaskResult,
    others: Sequence[tuple[HomotopyTask, TaskResult]],
    options: HomotopyOptions,
) -> tuple[TaskResult, int | None]:
    """One iteration of the search for paths: the task optimised again from its best effective parent, if that is
    better than its result so far; and that parent's index. Its control steps count the parent's and the search's."""
    parents, searched = better_baselines(task, others, options)
    if not parents:
        return mine, None
    k, baseline = parents[0]
    parent, result = others[k]
    found = optimise(task, options, start=baseline)
    spent = result.control_steps + searched + found.control_steps
    found = replace(found, control_steps=spent, path=(*result.path, parent.reference.name))
    return (found, k) if found.better(mine) else (mine, None)


def is_effective(found: TaskResult, direct: TaskResult) -> bool:
    """Whether a path's result is better than the optimiser's without it: an error of eq. 20 lower by more than TIE."""
    return found.error < (1.0 - TIE) * direct.error
