"""A Reference -> a Demonstration: finds actions that move the object and are robust to perturbation, keeps the best.

Candidates compete: the bare reference, a plan optimized in several perturbed worlds at once, and, while none succeeds
strictly, its repairs in the nominal world. Where the reference is placed in front of the arm, the embedded rig is one
of the worlds of every search. Candidates are ranked by strict success in the nominal world and on the arm, then in
held-out worlds.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.control.sampling import SamplingOptions, SamplingPlanner, base_actions
from dexhot.data.files import load, save
from dexhot.data.types import Demonstration, Reference
from dexhot.evaluation.score import score_on_arm
from dexhot.metrics.rollout import compute
from dexhot.rollouts.arm_batch import ArmSimulator
from dexhot.rollouts.floating import floating_simulator, run_floating
from dexhot.simulation.backend import BatchSimulator
from dexhot.simulation.setup import Setup
from dexhot.versions import versions
from dexhot_train.mining.arm_worlds import WithArm
from dexhot_train.mining.grip import held_mass
from dexhot_train.mining.search import SearchOptions, search
from dexhot_train.mining.worlds import ClipWorlds, World, draw_worlds, nominal_world, replay, success_rate

VALIDATION_SEED = 1_000_000  # added to the seed of the held-out worlds; search and benchmark use others


@dataclass(frozen=True)
class MineOptions:
    """Budget of one clip."""

    seed: int = 0
    sampling: SamplingOptions = field(default_factory=lambda: SamplingOptions(horizon=0.8, replan=0.3))
    robust: SearchOptions = field(
        default_factory=lambda: SearchOptions(rounds=((40, 3), (64, 3)), rewinds=2, budget=240_000)
    )
    repair: SearchOptions = field(default_factory=lambda: SearchOptions(rounds=((64, 3), (128, 4)), keep=True))
    worlds: int = 5  # of the robust search, the nominal one and the embedded rig among them; 1: no robust search
    attempts: int = 2  # repairs in the nominal world, each with its own seed, while there is no success
    trials: int = 12  # held-out perturbed worlds that rank the candidates
    arm: bool = True  # plan for the embedded rig too, and require success there, where the reference is placed


def with_samples(options: MineOptions, samples: int) -> MineOptions:
    """`options` with every search's rounds scaled so that the first has `samples` samples."""

    def scaled(search: SearchOptions) -> SearchOptions:
        first = search.rounds[0][0]
        return replace(
            search, rounds=tuple((max(4, samples * n // first), iterations) for n, iterations in search.rounds)
        )

    o = options
    return replace(o, robust=scaled(o.robust), repair=scaled(o.repair))


def make_worlds(reference: Reference, setup: Setup, options: MineOptions | None = None) -> ClipWorlds:
    """The worlds for `mine`."""
    options, began = options or MineOptions(), (time.process_time(), time.perf_counter())
    simulator = floating_simulator(reference, setup)
    nominal = nominal_world(reference, simulator)
    with_arm = options.arm and placed(reference)
    arm = ArmSimulator(simulator, reference) if with_arm else None
    trials = draw_worlds(reference, simulator, options.trials, options.seed + VALIDATION_SEED)
    return ClipWorlds(setup, simulator, nominal, arm, trials, began)


def mine(
    reference: Reference,
    worlds: ClipWorlds,
    options: MineOptions | None = None,
    progress: Callable[[str, float], None] | None = None,
    partial: Path | None = None,
) -> Demonstration:
    """The best Demonstration found within the budget; its scores include whether it is a success.

    worlds: from `make_worlds`, with the same options. progress: called with the stage and its completed fraction.
    partial: file of the robust stage's result, written when that is done and read if present.
    """
    miner = _Miner(reference, worlds, options or MineOptions(), progress or (lambda stage, fraction: None))
    if partial is not None and partial.is_file():
        best = load(partial, Demonstration)
        miner.spent, miner.tried = best.provenance["seconds_cpu"], best.provenance["candidates"]
    else:
        best = miner.robust()
        if partial is not None:
            save(best, partial)
    return miner.repaired(best)


class _Miner:
    """Worlds, candidates and budget of one clip."""

    def __init__(
        self, reference: Reference, worlds: ClipWorlds, options: MineOptions, report: Callable[[str, float], None]
    ):
        self.reference, self.options, self.report = reference, options, report
        self.setup, self.simulator = worlds.setup, worlds.simulator
        self.world, self.trials = worlds.nominal, worlds.trials
        (self.began, self.wall), self.spent = worlds.began, 0.0
        self.tried: list[dict[str, Any]] = []
        self.planned: BatchSimulator = worlds.simulator
        self.arm_worlds: list[World] = []
        if worlds.arm is not None:
            self.planned = WithArm(worlds.simulator, worlds.arm)
            self.arm_worlds = [World(worlds.arm.first_state, None)]
        self.load = {"mass_kg": float(self.setup.asset.mass), "holds_kg": held_mass(reference, self.setup)}

    def robust(self) -> Demonstration:
        """The better one of the bare reference and a search in several worlds."""
        actions = base_actions(self.reference, self.simulator.scene.physics)
        best = self._demonstration("replay", actions)
        if self.options.worlds > 1 and not (best.scores["robustness"] == 1.0 and succeeds(best)):
            worlds = [self.world, *self.arm_worlds]
            others = max(0, self.options.worlds - len(worlds))
            worlds += draw_worlds(self.reference, self.simulator, others, self.options.seed)
            best = max(best, self._search("robust", self.options.seed, worlds, self.options.robust), key=rank)
        return best

    def repaired(self, best: Demonstration) -> Demonstration:
        """`best`, or a repaired one: repairs keep a plan until shortly before it loses the object."""
        options = self.options
        for attempt in range(options.attempts):
            if succeeds(best):
                break
            how, worlds = options.repair, [self.world, *self.arm_worlds]
            if best.scores["success_strict"]:  # fails on the arm only: half the effort
                how = replace(how, budget=how.budget // 2)
            found = self._search("repair", options.seed + attempt, worlds, how, best.actions)
            best = max(best, found, key=rank)
        best.provenance |= {"candidates": self.tried, "options": asdict(options), "seconds_cpu": self._seconds()}
        best.provenance["versions"] = versions()
        best.provenance["seconds_wall"] = time.perf_counter() - self.wall  # of this run; the machine may be shared
        return best

    def _search(
        self, name: str, seed: int, worlds: list[World], options: SearchOptions, start: np.ndarray | None = None
    ) -> Demonstration:
        """Result of a search, from the bare reference or from the actions `start`."""
        models = [world.model for world in worlds]
        planner = SamplingPlanner(self.reference, self.planned, self.options.sampling, seed=seed, models=models)
        if start is not None:
            planner.residual[: planner.frames] = start - planner.base[: planner.frames]
        size, decisive = max(len(world.state) for world in worlds), 1 + len(self.arm_worlds)
        states = np.stack([np.pad(world.state, (0, size - len(world.state))) for world in worlds])
        found = search(planner, states, options, lambda fraction: self.report(name, fraction), decisive)
        return self._demonstration(name, found)

    def _demonstration(self, chosen: str, actions: np.ndarray) -> Demonstration:
        """Score in the nominal world and, if a strict success there, in the held-out worlds."""
        rollout = run_floating(self.reference, actions, self.simulator)
        scores: dict[str, Any] = compute(rollout, self.setup.asset, self.setup.hand) | self.load
        survived = scores["success_strict"] and replay(self.reference, actions, self.trials, self.simulator)
        scores["robustness"] = success_rate(survived) if survived else 0.0
        physics = self.setup.physics
        found = Demonstration(
            name=self.reference.name,
            reference=self.reference,
            actions=actions,
            q=np.concatenate([rollout.q[1:], rollout.q[-1:]]),
            object_pose=np.concatenate([rollout.object_pose[1:], rollout.object_pose[-1:]]),
            physics=physics.version,
            servo=physics.profile(self.setup.hand),
            scores=scores,
        )
        if self.options.arm and scores["success_strict"] and placed(self.reference):
            scores["success_strict_arm"] = score_on_arm(found, self.setup).metrics["success_strict"]
        shown = ("success_strict", "success_strict_arm", "robustness", "judged_T_cm")
        self.tried.append({"name": chosen} | {k: scores[k] for k in shown if k in scores})
        found.provenance = {"chosen": chosen, "candidates": list(self.tried), "seconds_cpu": self._seconds()}
        return found

    def _seconds(self) -> float:
        """CPU time of this clip so far, s, including that of an interrupted run."""
        return self.spent + time.process_time() - self.began


def placed(reference: Reference) -> bool:
    """Whether the reference is placed within the arm's reach, so has an arm path (retargeting.placement)."""
    return len(reference.arm_q) > 0


def succeeds(demonstration: Demonstration) -> bool:
    """Strict success on the floating hand and, where tried, on the embedded rig."""
    return bool(demonstration.scores["success_strict"] and demonstration.scores.get("success_strict_arm", True))


def rank(demonstration: Demonstration) -> tuple[Any, ...]:
    """Sort key: success, then success rate under perturbation, then the looser success, then the object's error."""
    s = demonstration.scores
    return succeeds(demonstration), s["success_strict"], s["robustness"], s["success_10cm_20deg"], -s["judged_T_cm"]
