"""A Reference -> a Demonstration: find actions that move the object, make them survive perturbation, keep the best.

Candidates compete: the bare reference, plans found in the nominal world, and the best of them refined in several
perturbed worlds at once. Worlds that no search saw decide between them; strict success in the nominal one comes first.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.control.sampling import SamplingOptions, SamplingPlanner
from dexhot.data.files import load, save
from dexhot.data.object_asset import ObjectAsset
from dexhot.data.types import Demonstration, Reference
from dexhot.evaluation.metrics import compute
from dexhot.evaluation.score import floating_simulator, run_floating
from dexhot.hands.robot_hand import RobotHand
from dexhot.simulation.physics import Physics
from dexhot_train.refine import World, draw_worlds, nominal_world, replay, success_rate
from dexhot_train.search import SearchOptions, search

VALIDATION_SEED = 1_000_000  # added to the seed of the worlds that choose; the search's and the benchmark's are others


@dataclass(frozen=True)
class MineOptions:
    """Budget of one clip."""

    seed: int = 0
    sampling: SamplingOptions = field(default_factory=lambda: SamplingOptions(horizon=0.8, replan=0.3))
    nominal: SearchOptions = field(default_factory=SearchOptions)
    robust: SearchOptions = field(
        default_factory=lambda: SearchOptions(rounds=((32, 3),), good=(0.015, np.radians(18)), rewinds=2)
    )
    attempts: int = 2  # nominal searches, each with its own seed, until one succeeds strictly
    worlds: int = 6  # of the robust search, the nominal one among them; 1: no refinement
    trials: int = 12  # perturbed worlds that choose between the candidates


def with_samples(options: MineOptions, samples: int) -> MineOptions:
    """`options` with the nominal search's rounds scaled to begin with `samples` samples."""
    first = options.nominal.rounds[0][0]
    rounds = tuple((max(4, samples * n // first), iterations) for n, iterations in options.nominal.rounds)
    return replace(options, nominal=replace(options.nominal, rounds=rounds))


def mine(
    reference: Reference,
    asset: ObjectAsset,
    hand: RobotHand,
    physics: Physics,
    options: MineOptions | None = None,
    progress: Callable[[str, float], None] | None = None,
    partial: Path | None = None,
) -> Demonstration:
    """The best Demonstration that the budget finds; its scores say whether it is a success.

    progress: called with the stage and the share of it that is done. partial: where the nominal stage's result is kept,
    and taken from when it is there.
    """
    miner = _Miner(reference, asset, hand, physics, options or MineOptions(), progress or (lambda stage, share: None))
    if partial is not None and partial.is_file():
        nominal = load(partial, Demonstration)
        miner.spent = nominal.provenance["seconds_cpu"]
        miner.tried = nominal.provenance["candidates"]
    else:
        nominal = miner.nominal()
        if partial is not None:
            save(nominal, partial)
    return miner.robust(nominal)


class _Miner:
    """One clip's simulator, worlds and accounts."""

    def __init__(self, reference, asset, hand, physics, options: MineOptions, report):
        self.reference, self.asset, self.hand, self.options, self.report = reference, asset, hand, options, report
        self.began, self.wall, self.spent = time.process_time(), time.perf_counter(), 0.0
        self.tried: list[dict[str, Any]] = []
        self.simulator = floating_simulator(reference, asset, hand, physics)
        self.world = nominal_world(reference, self.simulator)
        self.trials = draw_worlds(reference, self.simulator, options.trials, options.seed + VALIDATION_SEED)

    def nominal(self) -> Demonstration:
        """The best of the bare reference and searches in the nominal world."""
        planner = self._planner(self.options.seed, [self.world])
        best = self._demonstration("replay", planner.actions(0, planner.frames))
        for seed in range(self.options.seed, self.options.seed + self.options.attempts):
            planner = self._planner(seed, [self.world])
            actions = search(
                planner, self.world.state, self.options.nominal, lambda share: self.report("search", share)
            )
            best = max(best, self._demonstration("nominal", actions), key=rank)
            if best.scores["success_strict"]:
                break
        return best

    def robust(self, nominal: Demonstration) -> Demonstration:
        """`nominal`, or what came of it in several worlds at once where that survives more."""
        best, options = nominal, self.options
        if options.worlds > 1 and nominal.scores["robustness"] < 1.0:
            worlds = [self.world, *draw_worlds(self.reference, self.simulator, options.worlds - 1, options.seed)]
            planner = self._planner(options.seed, worlds)
            planner.residual[: planner.frames] = nominal.actions - planner.base[: planner.frames]
            states = np.stack([world.state for world in worlds])
            actions = search(planner, states, options.robust, lambda share: self.report("refine", share))
            best = max(best, self._demonstration("robust", actions), key=rank)
        best.provenance |= {"candidates": self.tried, "options": asdict(options), "seconds_cpu": self._seconds()}
        best.provenance["seconds_wall"] = time.perf_counter() - self.wall  # of this run; the machine may be shared
        return best

    def _planner(self, seed: int, worlds: list[World]) -> SamplingPlanner:
        models = [world.model for world in worlds]
        return SamplingPlanner(self.reference, self.simulator, self.options.sampling, seed=seed, models=models)

    def _demonstration(self, chosen: str, actions: np.ndarray) -> Demonstration:
        """Judged in the nominal world and, if a strict success there, in the validation worlds."""
        rollout = run_floating(self.reference, actions, self.simulator)
        scores: dict[str, Any] = compute(rollout, self.asset, self.hand)
        survived = scores["success_strict"] and replay(self.reference, actions, self.trials, self.simulator)
        scores["robustness"] = success_rate(survived) if survived else 0.0
        self.tried.append({"name": chosen} | {k: scores[k] for k in ("success_strict", "robustness", "judged_T_cm")})
        return Demonstration(
            name=self.reference.name,
            reference=self.reference,
            actions=actions,
            q=np.concatenate([rollout.q[1:], rollout.q[-1:]]),
            object_pose=np.concatenate([rollout.object_pose[1:], rollout.object_pose[-1:]]),
            physics=self.simulator.scene.physics.version,
            scores=scores,
            provenance={"chosen": chosen, "candidates": list(self.tried), "seconds_cpu": self._seconds()},
        )

    def _seconds(self) -> float:
        """Processor seconds of this clip so far, those of an interrupted run included."""
        return self.spent + time.process_time() - self.began


def rank(demonstration: Demonstration) -> tuple:
    """Strict success first, then what survives perturbation, then the looser success, then the object's error."""
    s = demonstration.scores
    return s["success_strict"], s["robustness"], s["success_10cm_20deg"], -s["judged_T_cm"]
