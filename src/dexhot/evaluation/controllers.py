"""Controllers on GRAB's clips, beside their baselines: nominal and perturbed worlds, and what each simulated before.

A controller is asked once per clip, with the object where the reference has it; what it then plays, object-relative in
the perturbed worlds, was planned without seeing them.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from dexhot.control.controllers import following_object
from dexhot.control.sampling import base_actions
from dexhot.data.types import Reference
from dexhot.datasets import load_clip
from dexhot.errors import DexhotError, NotFoundError, UnreachableError
from dexhot.metrics.rollout import compute
from dexhot.metrics.success import SUCCESSES
from dexhot.objects.library import load_object
from dexhot.objects.object_offset import object_offset
from dexhot.planning.planned import Planned, PlannedOptions
from dexhot.planning.prior import load_prior
from dexhot.planning.structured import StructuredPlans
from dexhot.retargeting.placement import place
from dexhot.retargeting.retarget import retarget
from dexhot.robots.robot_hand import load_hand
from dexhot.rollouts.floating import displaced_state, floating_rollout, floating_simulator
from dexhot.simulation.backend import MujocoSimulator
from dexhot.simulation.perturbation import worlds as named_worlds
from dexhot.simulation.physics import load_physics
from dexhot.simulation.setup import Setup

WORLDS, SEED = "worlds_v2", 424242  # the perturbed worlds that count; no search draws with this seed
BASELINES = ("frozen", "kinematic", "replay", "constant")
NAMES = (*BASELINES[1:], "planned")
EXPLAINED = {
    "frozen": "the hand stays where it begins",
    "kinematic": "the reference's targets",
    "replay": "the same, object-relative",
    "constant": "the mean of the prior, object-relative",
    "planned": "plans before the start, then object-relative",
}


@dataclass(frozen=True)
class EvaluationOptions:
    """What is evaluated."""

    controller: str = "planned"
    trials: int = 20  # perturbed worlds per clip
    seed: int = 0  # of the planner
    seconds: float = 2.0  # planning time: CPU seconds, because one core plans here
    rollouts: int = 0  # in its place
    prior: str = ""
    arm: bool = False  # also place the reference and plan with the embedded rig among the worlds


@dataclass(frozen=True)
class PlayedMotion:
    """What a controller plays on one clip."""

    targets: np.ndarray  # (T, 6+n)
    relative: bool  # moved with the object's observed offset
    seconds_cpu: float = 0.0  # of simulation before the start
    rollouts: int = 0
    expected: float | None = None
    refused: str = ""


def evaluate_clip(job: tuple[str, EvaluationOptions]) -> dict[str, Any]:
    """A row of one GRAB clip: each controller's nominal metrics, perturbed successes, simulation before the start."""
    clip, options = job
    trajectory = load_clip(f"grab/{clip}")
    setup = Setup(load_hand("leap_right"), load_object(trajectory.object_name), load_physics())
    reference = retarget(trajectory, setup.hand, setup.asset)
    if options.arm:
        with suppress(UnreachableError):  # then it is planned where it was recorded
            reference = place(reference, setup.hand)
    simulator = floating_simulator(reference, setup)
    names = dict.fromkeys((*BASELINES, options.controller))
    row: dict[str, Any] = {"clip": clip, "frames": len(reference.q)}
    for name in names:
        row[name] = judge_motion(reference, MOTIONS[name](reference, setup, options), simulator, setup, options.trials)
    return row


def judge_motion(
    reference: Reference, motion: PlayedMotion, simulator: MujocoSimulator, setup: Setup, trials: int
) -> dict[str, Any]:
    """Successes in the nominal world, and the strict fraction of perturbed ones."""
    rng, how = np.random.default_rng(SEED), named_worlds(WORLDS)
    drawn = [how.draw(rng) for _ in range(trials)]
    pose = reference.object_pose[0]
    starts = [displaced_state(reference, simulator, pose)]
    starts += [displaced_state(reference, simulator, pose, d.offset, d.yaw) for d in drawn]
    models = [simulator.model, *(d.model(simulator.scene) for d in drawn)]
    plans = []
    for state in starts:
        offset = object_offset(setup.asset.symmetry, pose, simulator.object_pose(state))
        plans.append(following_object(reference, motion.targets, offset) if motion.relative else motion.targets)
    batch = simulator.rollout(np.stack(starts), np.stack(plans)[:, :-1], models)
    found: list[dict[str, Any]] = []
    for start, rows, plan, diverged in zip(starts, batch.states, plans, batch.diverged):
        rollout = floating_rollout(reference, plan, np.concatenate([start[None], rows]), simulator)
        metrics = compute(rollout, setup.asset, setup.hand)
        found.append(metrics | {name: bool(metrics[name] and not diverged) for name in SUCCESSES})
    nominal = {name: found[0][name] for name in SUCCESSES}
    errors = ("T_err_cm", "R_err_rad", "E_wrist", "E_finger", "hold_rate", "penetration_mm")
    kept = {name: found[0][name] for name in errors}
    perturbed = float(np.mean([f["success_strict"] for f in found[1:]])) if trials else None
    told = {"seconds_cpu": motion.seconds_cpu, "rollouts": motion.rollouts, "expected": motion.expected}
    return nominal | kept | {"perturbed": perturbed} | told | {"refused": motion.refused}


def _planned(reference: Reference, setup: Setup, options: EvaluationOptions) -> PlayedMotion:
    """One refusing nothing, so that the table has what it would have done; `refused` says whether it would."""
    prior = load_prior(options.prior, reference)
    budget = PlannedOptions(options.seconds, options.rollouts, 0.0, seed=options.seed)
    before = time.process_time()
    plan = Planned(reference, setup, prior, budget, threads=1).plan(reference.object_pose[0])
    spent, limit = time.process_time() - before, PlannedOptions().planning_limit
    refused = f"expects {plan.expected:.2f}" if plan.expected < limit else ""
    return PlayedMotion(plan.targets, True, spent, plan.rollouts, plan.expected, refused)


def _constant(reference: Reference, setup: Setup, options: EvaluationOptions) -> PlayedMotion:
    space = StructuredPlans(reference, setup.physics, setup.asset.symmetry.center)
    return PlayedMotion(space.targets(load_prior(options.prior, reference).mean)[0], True)


MOTIONS: dict[str, Callable[[Reference, Setup, EvaluationOptions], PlayedMotion]] = {
    "frozen": lambda r, s, o: PlayedMotion(np.repeat(r.q[:1], len(r.q), axis=0), False),
    "kinematic": lambda r, s, o: PlayedMotion(base_actions(r, s.physics), False),
    "replay": lambda r, s, o: PlayedMotion(base_actions(r, s.physics), True),
    "constant": _constant,
    "planned": _planned,
}


def clips_named(split: str, chosen: list[str] | None, splits: dict[str, list[str]]) -> list[str]:
    """The clips of a split ("test": both test splits), or those of them that are chosen. Raises NotFoundError, or
    DexhotError for a split without clips."""
    clips = [clip for name, names in splits.items() if name.partition("_")[0] == split for clip in names]
    if not clips:
        raise DexhotError(f"split {split!r} has no clips; give --split train or test.")
    for clip in chosen or ():
        if clip not in clips:
            raise NotFoundError(f"clip of the {split} split", clip, clips)
    return chosen or clips


def summarise(rows: list[dict[str, Any]], unseen: set[str] | None = None) -> dict[str, dict[str, Any]]:
    """Controller -> means over clips, those of `unseen` objects too, and bootstrap intervals (95 %) of the perturbed
    fraction and of its difference to object-relative replay, paired by clip."""
    if not rows:
        raise DexhotError("no clip was evaluated.")
    out: dict[str, dict[str, Any]] = {}
    for name in (key for key in rows[0] if key not in ("clip", "frames")):
        values = [row[name] for row in rows]
        told: dict[str, Any] = {"n": len(rows)}
        told |= {success: float(np.mean([v[success] for v in values])) for success in SUCCESSES}
        if all(v["perturbed"] is not None for v in values):
            fractions = np.array([v["perturbed"] for v in values])
            margin = fractions - np.array([row["replay"]["perturbed"] for row in rows])
            told |= {"perturbed": float(fractions.mean()), "perturbed_interval": interval(fractions)}
            told |= {"over_replay": float(margin.mean()), "over_replay_interval": interval(margin)}
            if unseen and (here := [row["clip"] in unseen for row in rows]) and any(here):
                told["perturbed_unseen_objects"] = float(fractions[here].mean())
        told |= {f"{n}_p50": float(np.median([v[n] for v in values])) for n in ("T_err_cm", "R_err_rad")}
        told |= {f"{n}_mean": float(np.mean([v[n] for v in values])) for n in ("seconds_cpu", "rollouts")}
        told["refused"] = float(np.mean([bool(v["refused"]) for v in values]))
        out[name] = told
    return out


def interval(values: np.ndarray, draws: int = 4000) -> list[float]:
    """The 95 % bootstrap interval of the mean of values (N,) over clips."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(len(values), size=(draws, len(values)))].mean(axis=1)
    return [float(x) for x in np.percentile(means, [2.5, 97.5])]
