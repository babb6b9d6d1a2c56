"""An anytime search over structured plans: draws from a prior, tried first where the object was observed, the best few
in perturbed worlds, then refined by the cross-entropy method, its samples spread over the worlds.

The same seed, worlds and number of rollouts give the same plan on any machine and any number of cores; a budget of wall
time does not.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from dexhot.planning.prior import Prior
from dexhot.planning.structured import StructuredPlans
from dexhot.planning.trials import Trials, TrialWorld

# Plans (N, D), the world of each, (N,) costs with the plans' sizes, (N,) quick verdicts.
Record = Callable[[np.ndarray, list[TrialWorld], np.ndarray, np.ndarray], object]


@dataclass(frozen=True)
class PlanSearchOptions:
    """How the budget is spent."""

    tries: int = 24  # draws tried in the first world, zero and the prior's mean among them
    finalists: int = 6  # of them, tried in all worlds
    samples: int = 42  # of a refining iteration
    elites: int = 8
    spread: float = 0.6  # noise of the first refining iteration, in sigma
    floor: float = 0.15  # smallest noise, in sigma
    shrink: float = 0.85  # of the noise in an iteration, besides what the elites say
    iterations: int = 8  # refining from one try; then from the next best one
    stop: bool = True  # at a plan that survives in `enough` worlds; otherwise its cost goes on to be reduced
    enough: float = 1.0  # fraction of the worlds
    price: float = 0.01  # per sigma^2 of a plan's size


class Cancelled(Exception):
    """The search was told to end: what it plans for has changed."""


@dataclass
class Budget:
    """Rollouts or, for 0 of them, seconds of wall time from now; whichever is given."""

    rollouts: int = 0
    seconds: float = 0.0
    cancel: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.began, self.spent, self.slowest = time.perf_counter(), 0, 0.0

    def allows(self, rollouts: int) -> bool:
        """Whether that many more rollouts fit, by the time that the slowest so far took. Raises Cancelled."""
        if self.cancel.is_set():
            raise Cancelled
        if self.rollouts:
            return self.spent + rollouts <= self.rollouts
        return time.perf_counter() - self.began + rollouts * self.slowest <= self.seconds

    def used(self, rollouts: int, seconds: float) -> None:
        """Account for a batch."""
        self.spent += rollouts
        self.slowest = max(self.slowest, seconds / rollouts)


@dataclass
class Found:
    """The best plan of a search."""

    plan: np.ndarray  # (6 + 2n,)
    survived: float  # fraction of the search's worlds, by the quick verdict
    cost: float  # mean over them, its size included
    rollouts: int
    tries: int  # of the prior until the first that is strict in the first world; 0: none was


def find_plan(
    trials: Trials,
    space: StructuredPlans,
    prior: Prior,
    worlds: list[TrialWorld],
    budget: Budget,
    options: PlanSearchOptions | None = None,
    seed: int = 0,
    start: np.ndarray | None = None,
    progress: Callable[[float], None] | None = None,
    record: Record | None = None,
) -> Found:
    """The plan that survives most of `worlds`, of which the first is as observed.

    start: a first plan, in place of draws. record: is told every try. The result is never worse, on these worlds, than
    any plan tried in all of them. Raises Cancelled.
    """
    return _Search(trials, space, prior, worlds, budget, options or PlanSearchOptions(), seed, progress, record).run(
        start
    )


class _Search:
    """One search's state."""

    def __init__(
        self,
        trials: Trials,
        space: StructuredPlans,
        prior: Prior,
        worlds: list[TrialWorld],
        budget: Budget,
        options: PlanSearchOptions,
        seed: int,
        progress: Callable[[float], None] | None,
        record: Record | None,
    ):
        self.trials, self.space, self.prior, self.worlds = trials, space, prior, worlds
        self.budget, self.options, self.rng = budget, options, np.random.default_rng(seed)
        self.progress = progress or (lambda done: None)
        self.record = record or (lambda plans, worlds, cost, strict: None)
        self.best = Found(np.zeros(space.size), -1.0, np.inf, 0, 0)

    def run(self, start: np.ndarray | None) -> Found:
        starts = [start] if start is not None else self._tries()
        for k, first in enumerate(starts):
            if self._done() or not self.budget.allows(self.options.samples):
                break
            self._refine(first, self.options.spread if k == 0 else 1.0)
        if self.best.survived < 0:  # no budget for even one trial in all worlds
            self.best.plan = starts[0]
        self.best.rollouts = self.budget.spent
        return self.best

    def _tries(self) -> list[np.ndarray]:
        """Draws of the prior by their cost where the object was observed, the best ones by that over all worlds."""
        o, count = self.options, self.options.tries
        while count > 2 and not self.budget.allows(count):
            count //= 2
        plans = self.prior.draw(count, self.rng)
        cost, strict = self._roll(plans, [self.worlds[0]] * count)
        self.best.tries = int(np.argmax(strict)) + 1 if strict.any() else 0
        order = np.argsort(cost - strict)
        rest = self.worlds[1:]
        finalists = order[: o.finalists]
        while len(finalists) > 1 and not self.budget.allows(len(finalists) * len(rest)):
            finalists = finalists[: len(finalists) // 2]
        if not rest or not self.budget.allows(len(finalists) * len(rest)):
            best = finalists[0]
            self._offer(plans[best], float(strict[best]), float(cost[best]))
            return [plans[k] for k in order]
        more, survive = self._roll(np.repeat(plans[finalists], len(rest), axis=0), rest * len(finalists))
        more, survive = more.reshape(-1, len(rest)), survive.reshape(-1, len(rest))
        mean = (cost[finalists] + more.sum(axis=1)) / len(self.worlds)
        fraction = (strict[finalists] + survive.sum(axis=1)) / len(self.worlds)
        for k, final in enumerate(finalists):
            self._offer(plans[final], float(fraction[k]), float(mean[k]))
        ranked = finalists[np.argsort(mean - fraction)]
        return [plans[k] for k in ranked]

    def _refine(self, mean: np.ndarray, spread: float) -> None:
        """The cross-entropy method from `mean`; the first samples of each iteration are the mean in every world."""
        o, count, sigma = self.options, len(self.worlds), self.space.sigma
        noise = spread * sigma
        elites = min(o.elites, max(2, o.samples // 4))
        for _ in range(o.iterations):
            if not self.budget.allows(o.samples):
                return
            drawn = self.rng.standard_normal((max(o.samples, count + elites), self.space.size))
            plans = mean + noise * drawn
            plans[:count] = mean
            worlds = [self.worlds[k % count] for k in range(len(plans))]
            cost, strict = self._roll(plans, worlds)
            self._offer(mean, float(strict[:count].mean()), float(cost[:count].mean()))
            if self._done():
                return
            best = plans[np.argsort(cost)[:elites]]
            weight = np.log(elites + 0.5) - np.log(np.arange(1, elites + 1))
            weight /= weight.sum()
            mean = weight @ best
            noise = np.maximum(0.5 * o.shrink * noise + 0.5 * np.sqrt(weight @ (best - mean) ** 2), o.floor * sigma)
        if self.budget.allows(count):
            cost, strict = self._roll(np.repeat(mean[None], count, axis=0), self.worlds)
            self._offer(mean, float(strict.mean()), float(cost.mean()))

    def _roll(self, plans: np.ndarray, worlds: list[TrialWorld]) -> tuple[np.ndarray, np.ndarray]:
        """(N,) costs, sizes included, and quick verdicts of plans (N, ...), one per world."""
        began = time.perf_counter()
        states, diverged = self.trials.roll(self.space.targets(plans), worlds)
        cost = self.trials.cost(states, diverged) + self.space.size_cost(plans, self.options.price)
        strict = self.trials.strict(states, diverged, worlds)
        self.budget.used(len(plans), time.perf_counter() - began)
        self.record(plans, worlds, cost, strict)
        if self.budget.rollouts:
            self.progress(self.budget.spent / self.budget.rollouts)
        return cost, strict

    def _done(self) -> bool:
        return self.options.stop and self.best.survived >= self.options.enough

    def _offer(self, plan: np.ndarray, survived: float, cost: float) -> None:
        """Keep the better one."""
        if (survived, -cost) > (self.best.survived, -self.best.cost):
            self.best.plan, self.best.survived, self.best.cost = plan.copy(), survived, cost


def survived(trials: Trials, space: StructuredPlans, plan: np.ndarray, worlds: list[TrialWorld]) -> np.ndarray:
    """(W,) bool: the quick verdict of a plan in each of `worlds`."""
    states, diverged = trials.roll(space.targets(np.repeat(plan[None], len(worlds), axis=0)), worlds)
    return trials.strict(states, diverged, worlds)
