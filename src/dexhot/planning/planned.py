"""The controller `planned`: it chooses a structured plan in its own model before the start, then plays it back
object-relative, where there is one with a feedback network on top.

Draws of the prior are tried with the object where it is observed, then in perturbed worlds and, where the reference is
placed, on the embedded rig; the best is refined while the budget lasts. Fresh worlds then say what to expect, and below
a limit it refuses. Nothing moves before. The worlds try the playback alone: the feedback network, which would cost its
tick in each of their steps, is not simulated.
"""

import os
import time
from dataclasses import dataclass

import numpy as np

from dexhot.control.controllers import HandState, following_object
from dexhot.control.policy import Policy, ResidualNetwork
from dexhot.data.types import Reference
from dexhot.errors import DexhotError
from dexhot.geometry.equivalents import reduced_angle
from dexhot.objects.object_offset import object_offset
from dexhot.planning.prior import Prior
from dexhot.planning.search import Budget, Found, PlanSearchOptions, find_plan, survived
from dexhot.planning.structured import StructuredPlans
from dexhot.planning.trials import Trials
from dexhot.rollouts.arm_batch import ArmSimulator
from dexhot.rollouts.floating import floating_simulator
from dexhot.simulation.backend import MujocoSimulator
from dexhot.simulation.setup import Setup
from dexhot.tracking.object_state import ObjectState

SEARCHED, FRESH = 6, 8  # worlds of the search, the observed one and the rig among them; worlds that say what to expect
FRESH_SEED = 2_000_000  # added to the seed of the fresh worlds
MOVED = (0.01, np.radians(10))  # m, rad: an object that moved by less is played back object-relative


class RefusedPlanError(DexhotError):
    """No plan is good enough, or there is none for where the object is."""


@dataclass(frozen=True)
class PlannedOptions:
    """Budget and limit of the planning before the start."""

    planning_seconds: float = 2.0  # of wall time, on all cores
    planning_rollouts: int = 0  # in its place, so that the same inputs give the same plan; 0: planning_seconds
    planning_limit: float = 0.25  # smallest expected fraction of perturbed worlds survived
    fade: float = 1.0  # s, as Playback.fade
    seed: int = 0


@dataclass(frozen=True)
class ChosenPlan:
    """A chosen plan, and what is expected of it."""

    numbers: np.ndarray  # (6 + 2n,) of planning.structured
    targets: np.ndarray  # (T, 6+n)
    observed: np.ndarray  # (7,) the object's pose that it was made for
    expected: float  # fraction of fresh perturbed worlds survived
    arm: bool | None  # strict on the embedded rig, by the quick verdict; None: not tried there
    rollouts: int
    control_steps: int  # simulated
    seconds_cpu: float
    seconds_wall: float
    found: Found

    def __str__(self) -> str:
        rig = "" if self.arm is None else f", {'strict' if self.arm else 'not strict'} on the embedded rig"
        return (
            f"expected to survive {self.expected:.2f} of the perturbed worlds{rig}; {self.rollouts} rollouts in "
            f"{self.seconds_cpu:.1f} s of CPU time"
        )


def check_rollouts(rollouts: int) -> None:
    """Raise DexhotError for a budget of rollouts that is too small to judge any plan."""
    if rollouts and rollouts < FRESH + 2:
        raise DexhotError(
            f"planned: planning_rollouts must be 0 (planning_seconds decides) or at least {FRESH + 2}, not {rollouts}."
        )


class Planned:
    """Chooses a plan for the observed object, at the latest when the clip starts; then plays it back."""

    def __init__(
        self,
        reference: Reference,
        setup: Setup,
        prior: Prior,
        options: PlannedOptions | None = None,
        threads: int = 0,
        feedback: ResidualNetwork | None = None,
    ):
        """threads: of the simulation; 0: one per core. The result does not depend on them. feedback: a network whose
        residual is added to the playback; raises DexhotError when its card does not fit."""
        self.reference, self.setup, self.prior = reference, setup, prior
        self.options = options or PlannedOptions()
        check_rollouts(self.options.planning_rollouts)
        self.feedback = Policy(reference, feedback, setup.asset, setup.physics, on_plan=True) if feedback else None
        simulator = MujocoSimulator(floating_simulator(reference, setup).scene, threads or os.cpu_count() or 1)
        arm = ArmSimulator(simulator, reference) if len(reference.arm_q) else None
        self.trials = Trials(reference, simulator, arm)
        self.space = StructuredPlans(reference, setup.physics, setup.asset.symmetry.center)
        self.chosen: ChosenPlan | None = None
        self.played = self.space.base

    def plan(self, observed: np.ndarray, budget: Budget | None = None) -> ChosenPlan:
        """The best plan within the budget for the object at pose `observed` (7,). Raises RefusedPlanError when less
        than `planning_limit` of it is expected, search.Cancelled when the budget is cancelled."""
        o, trials = self.options, self.trials
        began, wall, before = time.process_time(), time.perf_counter(), (trials.rollouts, trials.control_steps)
        rig = [trials.arm_world] if trials.arm_world is not None else []
        budget = budget or self.budget()
        if budget.rollouts:
            budget.rollouts -= FRESH + len(rig)
        worlds = [trials.world(observed), *rig]
        worlds += trials.perturbed(observed, SEARCHED - len(worlds), o.seed)
        fresh = trials.perturbed(observed, FRESH, o.seed + FRESH_SEED) + rig
        found = find_plan(trials, self.space, self.prior, worlds, budget, PlanSearchOptions(), o.seed)
        verdicts = survived(trials, self.space, found.plan, fresh)
        chosen = ChosenPlan(
            found.plan,
            self.space.targets(found.plan)[0],
            observed.copy(),
            float(verdicts[:FRESH].mean()),
            bool(verdicts[FRESH]) if rig else None,
            trials.rollouts - before[0],
            trials.control_steps - before[1],
            time.process_time() - began,
            time.perf_counter() - wall,
            found,
        )
        if chosen.expected < o.planning_limit:
            raise RefusedPlanError(
                f"{self.reference.name}: the best plan is {chosen}; the limit is {o.planning_limit:g}. Plan longer "
                "(planning_seconds), mine the clip (`dexhot mine`), or lower planning_limit."
            )
        return chosen

    def budget(self) -> Budget:
        """A new one, of the options; its time runs from now."""
        return Budget(self.options.planning_rollouts, self.options.planning_seconds)

    def moved(self, observed: np.ndarray, planned: np.ndarray) -> str:
        """By how much the object moved from pose `planned` (7,), if that is too far for its plan; else ""."""
        _, shift, _ = object_offset(self.setup.asset.symmetry, planned, observed)
        distance = float(np.linalg.norm(shift))
        angle = float(reduced_angle(self.setup.asset.symmetry, planned[None, 3:], observed[None, 3:])[0])
        if distance <= MOVED[0] and angle <= MOVED[1]:
            return ""
        return (
            f"the object moved by {100 * distance:.1f} cm and {np.degrees(angle):.0f} degrees since it was planned for"
        )

    def start(self, observed: ObjectState) -> None:
        """Plan now unless a plan for this pose was chosen before. Raises RefusedPlanError."""
        if self.chosen is None:
            self.chosen = self.plan(observed.pose)
        elif why := self.moved(observed.pose, self.chosen.observed):
            raise RefusedPlanError(f"{self.reference.name}: {why}; it must be planned again.")
        offset = object_offset(self.setup.asset.symmetry, self.reference.object_pose[0], observed.pose)
        self.played = following_object(self.reference, self.chosen.targets, offset, self.options.fade)
        if self.feedback is not None:
            self.feedback.follow(self.played)

    def step(self, index: int, observed: ObjectState, hand: HandState) -> np.ndarray:
        """Raises UnsafePolicyError of the feedback."""
        if self.feedback is not None:
            return self.feedback.step(index, observed, hand)
        target: np.ndarray = self.played[index].copy()
        return target
