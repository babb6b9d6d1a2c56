"""The row of one controller on one reference: metrics in the nominal world and over the perturbed ones, and what it
simulated."""

import time
from dataclasses import replace
from typing import Any

import numpy as np

from dexhot.control.policy import OnnxNetwork
from dexhot.data.types import Reference, Rollout
from dexhot.evaluation.motions import PlayedMotion
from dexhot.evaluation.score import score_on_arm, to_play
from dexhot.evaluation.trial_worlds import motion_worlds, mpc_worlds, network_worlds
from dexhot.metrics.rollout import compute
from dexhot.metrics.success import SUCCESSES
from dexhot.metrics.task_scores import tracking_error
from dexhot.rollouts.network import NetworkRun
from dexhot.simulation.backend import MujocoSimulator
from dexhot.simulation.setup import Setup

ERRORS = ("T_err_cm", "R_err_rad", "E_wrist", "E_finger", "hold_rate", "penetration_mm", "contact")
MPC_SPENT = ("seconds", "steps", "ticks")


def judge_motion(
    reference: Reference,
    motion: PlayedMotion,
    simulator: MujocoSimulator,
    setup: Setup,
    trials: int,
    truth: Reference | None = None,
) -> dict[str, Any]:
    """Metrics in the nominal world, and over the perturbed ones; against `truth`, where the reference is a copy of it
    with errors."""
    judged = Judged(reference, truth or reference, simulator, setup)
    for rollout, failed in motion_worlds(reference, motion, simulator, setup, trials):
        judged.add(rollout, failed)
    found = judged.row()
    told = {"seconds_cpu": motion.seconds_cpu, "rollouts": motion.rollouts, "expected": motion.expected}
    steps = motion.steps or motion.rollouts * (len(reference.q) - 1)
    told |= {"steps": steps, "tick_ms": 0.0, "tick_steps": 0, "tries": motion.tries}
    return found | told | {"refused": motion.refused}


def judge_policy(
    reference: Reference,
    network: OnnxNetwork,
    simulator: MujocoSimulator,
    setup: Setup,
    trials: int,
    truth: Reference | None = None,
    plan: PlayedMotion | None = None,
) -> dict[str, Any]:
    """The same of a network, which simulates nothing; `training_steps` are those of its training, from its card. A
    world in which it was stopped is no success. plan: what the network is the feedback on, and what was simulated for
    it."""
    judged, runs = Judged(reference, truth or reference, simulator, setup), list[NetworkRun]()
    targets = plan.targets if plan else None
    for rollout, failed in network_worlds(reference, network, simulator, setup, trials, targets, runs):
        judged.add(rollout, failed)
    spent = []
    for t in range(len(reference.q)):
        begin = time.perf_counter()
        network(runs[0].observations[:1, t], runs[0].residuals[:1, t])
        spent.append(time.perf_counter() - begin)
    unsafe = [why for run in runs for why in run.unsafe]
    told = {
        "seconds_cpu": plan.seconds_cpu if plan else 0.0,
        "rollouts": plan.rollouts if plan else 0,
        "steps": plan.steps if plan else 0,
        "expected": plan.expected if plan else None,
        "refused": next(filter(None, unsafe), plan.refused if plan else ""),
    }
    training = int(network.card.provenance.get("control_steps", 0))
    told |= {"tick_ms": 1e3 * float(np.median(spent)), "tick_steps": 0, "training_steps": training}
    return judged.row() | told


def judge_mpc(
    reference: Reference,
    simulator: MujocoSimulator,
    setup: Setup,
    trials: int,
    seed: int = 0,
    truth: Reference | None = None,
) -> dict[str, Any]:
    """The same of sampling control, which simulates at each tick."""
    judged, spent = Judged(reference, truth or reference, simulator, setup), dict.fromkeys(MPC_SPENT, 0.0)
    for rollout, failed in mpc_worlds(reference, simulator, trials, seed, spent):
        judged.add(rollout, failed)
    per_tick = {"tick_ms": 1e3 * spent["seconds"] / spent["ticks"], "tick_steps": spent["steps"] / spent["ticks"]}
    return judged.row() | {"seconds_cpu": 0.0, "rollouts": 0, "steps": 0, "expected": None, "refused": ""} | per_tick


def strict_on_arm(reference: Reference, motion: PlayedMotion, setup: Setup) -> bool:
    """Whether the motion is strict on the embedded rig too, the object where the reference has it."""
    strict: bool = score_on_arm(to_play(reference, motion.targets, setup), setup).metrics["success_strict"]
    return bool(strict)


class Judged:
    """Metrics of worlds against `truth`, the nominal one first; `tracking_error` (eq. 20) is the nominal one's, against
    `reference`."""

    def __init__(self, reference: Reference, truth: Reference, simulator: MujocoSimulator, setup: Setup):
        self.reference, self.truth, self.simulator, self.setup = reference, truth, simulator, setup
        self.found: list[dict[str, Any]] = []
        self.own: dict[str, Any] = {}

    def add(self, rollout: Rollout, failed: bool) -> None:
        """Judge a world."""
        metrics = self._computed(rollout, self.truth)
        if not self.found:
            same = self.truth is self.reference
            self.own = metrics if same else self._computed(rollout, self.reference)
        self.found.append({n: metrics[n] for n in ERRORS} | {n: bool(metrics[n] and not failed) for n in SUCCESSES})

    def _computed(self, rollout: Rollout, truth: Reference) -> dict[str, Any]:
        metrics: dict[str, Any] = compute(replace(rollout, reference=truth), self.setup.asset, self.setup.hand)
        return metrics

    def row(self) -> dict[str, Any]:
        """The nominal world's; as `trials` the means over the others, `envs` in number."""
        nominal, others = self.found[0], self.found[1:]
        over = {name: mean_known([f[name] for f in others]) for name in nominal} if others else None
        told = {"tracking_error": tracking_error(self.own), "perturbed": over["success_strict"] if over else None}
        return nominal | told | {"trials": over, "envs": len(others)}


def mean_known(values: list[Any]) -> float | None:
    """The mean of those that are known (not None)."""
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None
