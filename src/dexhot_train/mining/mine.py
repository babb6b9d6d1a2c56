"""A Reference -> a Demonstration: finds actions that move the object and are robust to perturbation, keeps the best.

Candidates compete: the bare reference, a structured plan (dexhot.planning), and, where that is not good enough, a plan
with free knots optimized in several perturbed worlds at once and, while none succeeds strictly, its repairs in the
nominal world and, if asked for, homotopy paths: through another grasp, then of easier tasks. Where the reference is
placed in front of the arm, the embedded rig is one of the worlds of every search.
Candidates are ranked by strict success in the nominal world and on the arm, then in held-out worlds.
"""

import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dexhot.control.sampling import SamplingOptions, SamplingPlanner, base_actions
from dexhot.data.files import load, save
from dexhot.data.types import Demonstration, Reference
from dexhot.evaluation.panel import ARM, of_demonstration, play_panel
from dexhot.planning.planned import SEARCHED
from dexhot.planning.prior import load_prior
from dexhot.planning.search import Budget, find_plan
from dexhot.planning.structured import StructuredPlans
from dexhot.planning.trials import Trials
from dexhot.rollouts.arm_batch import ArmSimulator
from dexhot.rollouts.floating import floating_simulator
from dexhot.rollouts.with_arm import WithArm
from dexhot.simulation.backend import BatchSimulator
from dexhot.simulation.setup import Setup
from dexhot.versions import versions
from dexhot_train.curriculum.homotopy import HomotopyOptions, TaskResult, along, synthesised_parents
from dexhot_train.curriculum.regrasped import through_grasps
from dexhot_train.curriculum.tasks import HomotopyTask
from dexhot_train.mining.grip import held_mass
from dexhot_train.mining.scored import scored
from dexhot_train.mining.search import SearchOptions, search
from dexhot_train.mining.worlds import (
    ClipWorlds,
    World,
    draw_worlds,
    nominal_world,
    planned_worlds,
    rigs,
)

VALIDATION_SEED = 1_000_000  # added to the seed of the held-out worlds; search and benchmark use others


class Report(Protocol):
    """Takes a stage and its completed fraction. of: what the fraction is of; how long the stage takes is not known."""

    def __call__(self, stage: str, fraction: float, of: str | None = None, /) -> object: ...


def _unreported(stage: str, fraction: float, of: str | None = None) -> None: ...


@dataclass(frozen=True)
class MineOptions:
    """Budget of one clip."""

    seed: int = 0
    sampling: SamplingOptions = field(default_factory=lambda: SamplingOptions(horizon=0.8, replan=0.3))
    robust: SearchOptions = field(
        default_factory=lambda: SearchOptions(rounds=((40, 3), (64, 3)), rewinds=2, budget=240_000)
    )
    repair: SearchOptions = field(default_factory=lambda: SearchOptions(rounds=((64, 3), (128, 4)), keep=True))
    structured: int = 400  # rollouts of the search over structured plans, which comes first; 0: none
    enough: float = (
        0.75  # fraction of the trials that a structured success, on the panel too, survives to end the mining
    )
    worlds: int = 6  # of the robust search, the nominal one and the embedded rigs among them; 1: no robust search
    attempts: int = 2  # repairs in the nominal world while there is no success, robust searches while the panel fails
    trials: int = 12  # held-out perturbed worlds that rank the candidates
    homotopy: int = 0  # a clip that still fails is tried in other grasps, then along so many easier tasks; 0: neither
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
    arms = rigs(simulator, reference) if with_arm else []
    trials = draw_worlds(reference, simulator, options.trials, options.seed + VALIDATION_SEED)
    return ClipWorlds(setup, simulator, nominal, arms, trials, began)


def mine(
    reference: Reference,
    worlds: ClipWorlds,
    options: MineOptions | None = None,
    progress: Report | None = None,
    partial: Path | None = None,
) -> Demonstration:
    """The best Demonstration found within the budget; its scores include whether it is a success.

    worlds: from `make_worlds`, with the same options. progress: called with the stages, and how far each has come.
    partial: file of the robust stage's result, written when that is done and read if present.
    """
    miner = _Miner(reference, worlds, options or MineOptions(), progress or _unreported)
    if partial is not None and partial.is_file():
        best = load(partial, Demonstration)
        miner.spent, miner.tried = best.provenance["seconds_cpu"], best.provenance["candidates"]
        miner.control_steps = best.provenance["control_steps"]
    else:
        best = miner.robust()
        if partial is not None:
            save(best, partial)
    return miner.repaired(best)


class _Miner:
    """Worlds, candidates and budget of one clip."""

    def __init__(self, reference: Reference, worlds: ClipWorlds, options: MineOptions, report: Report):
        self.reference, self.options, self.report = reference, options, report
        self.setup, self.simulator = worlds.setup, worlds.simulator
        self.world, self.trials = worlds.nominal, worlds.trials
        (self.began, self.wall), self.spent = worlds.began, 0.0
        self.control_steps = 0  # simulated by the searches so far, over all worlds
        self.tried: list[dict[str, Any]] = []
        self.planned: BatchSimulator = worlds.simulator
        self.arm_worlds = worlds.arms
        if worlds.arms:
            self.planned = WithArm(worlds.simulator, len(worlds.arms[0].state))  # type: ignore[assignment]
        self.load = {"mass_kg": float(self.setup.asset.mass), "holds_kg": held_mass(reference, self.setup)}

    def robust(self) -> Demonstration:
        """The best of the bare reference, a structured plan and, unless that is enough, a search in several worlds."""
        actions = base_actions(self.reference, self.simulator.scene.physics)
        best = self._demonstration("replay", actions)
        if self.options.structured and not survives_all(best):
            best = max(best, self._structured(), key=rank)
            if self._enough(best):
                return best
        if self.options.worlds > 1 and not survives_all(best):
            best = max(best, self._robust_search(self.options.seed), key=rank)
        return best

    def _enough(self, best: Demonstration) -> bool:
        """Whether a structured plan needs no search: success, on the panel too, and in most held-out worlds."""
        panel = best.scores.get("success_panel", True)
        return succeeds(best) and panel and best.scores["robustness"] >= self.options.enough

    def _robust_search(self, seed: int, which: str = "") -> Demonstration:
        """Result of a search in several worlds, drawn with `seed`. which: added to the stage's name."""
        worlds = [self.world, *self.arm_worlds][: self.options.worlds]
        worlds += planned_worlds(self.reference, self.simulator, self.options.worlds - len(worlds), seed)
        return self._search("robust", seed, worlds, self.options.robust, which=which)

    def repaired(self, best: Demonstration) -> Demonstration:
        """`best`, or a repaired one: repairs keep a plan until shortly before it loses the object. A success that fails
        the panel gets another robust search instead."""
        options = self.options
        for attempt in range(options.attempts):
            which = f", attempt {attempt + 1} of at most {options.attempts}"
            if not succeeds(best):
                how, worlds = options.repair, [self.world, *self.arm_worlds]
                if best.scores["success_strict"]:  # fails on the arm only: half the effort
                    how = replace(how, budget=how.budget // 2)
                found = self._search("repair", options.seed + attempt, worlds, how, best.actions, which)
            elif options.worlds > 1 and not best.scores.get("success_panel", True):
                found = self._robust_search(options.seed + 100 * (attempt + 1), which)
            else:
                break
            best = max(best, found, key=rank)
        if options.homotopy and not succeeds(best):
            best = max(best, self._homotopy(), key=rank)
        best.provenance |= {"candidates": self.tried, "options": asdict(options), "seconds_cpu": self._seconds()}
        best.provenance |= {"versions": versions(), "control_steps": self.control_steps}
        best.provenance["seconds_wall"] = time.perf_counter() - self.wall  # of this run; the machine may be shared
        return best

    def _homotopy(self) -> Demonstration:
        """What another grasp (curriculum.regrasped) or, where that fails, a path of easier tasks (curriculum.homotopy)
        leads to, searched for on the arm too at its end."""
        how = HomotopyOptions(self.options.repair.budget, self.options.homotopy, seed=self.options.seed)
        task = HomotopyTask(self.reference, self.setup)
        self.report("search through other grasps", 0.0)
        made = self._led_to("regrasped", through_grasps(task, how)[0])
        if not succeeds(made):
            self.report("search along easier tasks", 0.0)
            made = max(made, self._led_to("homotopy", along(synthesised_parents(task, how), task, how)), key=rank)
        return made

    def _led_to(self, name: str, found: TaskResult) -> Demonstration:
        """A path's result, and what a search on the arm too makes of it where it is strict but fails there."""
        self.control_steps += found.control_steps
        made = self._demonstration(name, found.actions)
        if self.arm_worlds and made.scores["success_strict"] and not succeeds(made):
            worlds = [self.world, *self.arm_worlds]
            on_arm = self._search(name, self.options.seed, worlds, self.options.repair, found.actions)
            made = max(made, on_arm, key=rank)
        return made

    def _structured(self) -> Demonstration:
        """What the search over structured plans finds, the embedded rig among its worlds."""
        arm = self.arm_worlds[0].model if self.arm_worlds else None
        trials = Trials(self.reference, self.simulator, arm if isinstance(arm, ArmSimulator) else None)
        space = StructuredPlans(self.reference, self.setup.physics, self.setup.asset.symmetry.center)
        observed, seed = self.reference.object_pose[0], self.options.seed
        worlds = [trials.world(observed), *([trials.arm_world] if trials.arm_world else [])]
        worlds += trials.perturbed(observed, SEARCHED - len(worlds), seed)
        budget, prior = Budget(self.options.structured), load_prior("", self.reference, self.setup.asset)

        def report(done: float) -> None:
            self.report("structured search", done, "of its rollouts")

        found = find_plan(trials, space, prior, worlds, budget, seed=seed, progress=report)
        scene = self.simulator.scene
        return self._demonstration("structured", np.clip(space.targets(found.plan)[0], scene.lower, scene.upper))

    def _search(
        self,
        name: str,
        seed: int,
        worlds: list[World],
        options: SearchOptions,
        start: np.ndarray | None = None,
        which: str = "",
    ) -> Demonstration:
        """Result of a search, from the bare reference or from the actions `start`. which: added to the stage's name."""
        models = [world.model for world in worlds]
        planner = SamplingPlanner(self.reference, self.planned, self.options.sampling, seed=seed, models=models)
        if start is not None:
            planner.residual[: planner.frames] = start - planner.base[: planner.frames]
        size, decisive = max(len(world.state) for world in worlds), 1 + len(self.arm_worlds[:1])
        states = np.stack([np.pad(world.state, (0, size - len(world.state))) for world in worlds])

        def report(fraction: float, rewinds: int) -> None:
            self.report(f"{name} search{which}", fraction, f"of the clip{rewound(rewinds, options.rewinds)}")

        found = search(planner, states, options, report, decisive)
        self.control_steps += planner.control_steps
        return self._demonstration(name, found)

    def _demonstration(self, chosen: str, actions: np.ndarray) -> Demonstration:
        """Score in the nominal world and, if a strict success there, in the held-out worlds."""
        self.report(f"judging {chosen}", 0.0)
        found = scored(self.reference, actions, self.setup, self.simulator, self.trials)
        found.scores |= self.load
        scores = found.scores
        if self.options.arm and scores["success_strict"] and placed(self.reference):
            panel = play_panel(of_demonstration(found, self.setup), self.setup)
            scores |= {"success_strict_arm": panel.as_json()[ARM], "success_panel": panel.success}
        shown = ("success_strict", "success_strict_arm", "success_panel", "robustness", "judged_T_cm")
        self.tried.append({"name": chosen} | {k: scores[k] for k in shown if k in scores})
        spent = {"seconds_cpu": self._seconds(), "control_steps": self.control_steps}
        found.provenance = {"chosen": chosen, "candidates": list(self.tried), **spent}
        return found

    def _seconds(self) -> float:
        """CPU time of this clip so far, s, including that of an interrupted run."""
        return self.spent + time.process_time() - self.began


def rewound(rewinds: int, most: int) -> str:
    """ ", rewound 1 of at most 6 times"; "" before the first."""
    return f", rewound {rewinds} of at most {most} times" if rewinds else ""


def placed(reference: Reference) -> bool:
    """Whether the reference is placed within the arm's reach, so has an arm path (retargeting.placement)."""
    return len(reference.arm_q) > 0


def succeeds(demonstration: Demonstration) -> bool:
    """Strict success on the floating hand and, where tried, on the embedded rig."""
    return bool(demonstration.scores["success_strict"] and demonstration.scores.get("success_strict_arm", True))


def survives_all(demonstration: Demonstration) -> bool:
    """Success, on the panel too, and in every held-out world: no search improves it."""
    s = demonstration.scores
    return bool(succeeds(demonstration) and s.get("success_panel", True) and s["robustness"] == 1.0)


def rank(demonstration: Demonstration) -> tuple[Any, ...]:
    """Sort key: success, the panel, success rate under perturbation, the looser success, the object's error."""
    s = demonstration.scores
    success = succeeds(demonstration), s["success_strict"], s.get("success_panel", False)
    return *success, s["robustness"], s["success_10cm_20deg"], -s["judged_T_cm"]
