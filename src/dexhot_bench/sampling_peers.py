"""Open baselines for `dexhot bench mine`: plain CEM and MPPI, as published, along the same clips.

Both plan residuals on the same reference's targets, with the miner's cost, knots, noise, horizon and replanning
interval, in the nominal world alone. They lack what the miner adds: the bare replay first, further rounds, rewinds,
other worlds. Each gets the number of control steps that the miner's searches simulated for the clip, and at least
`PeerOptions.fewest` rollouts per plan.

CEM: Rubinstein 1999; with receding horizon Chua et al. 2018 (a diagonal Gaussian, refitted to the elites, smoothed).
MPPI: Williams et al. 2017 (one batch per plan, weights exp(-cost / temperature), all samples averaged).
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dexhot.control.sampling import SamplingPlanner
from dexhot.data.files import load, save
from dexhot.data.types import Demonstration
from dexhot.metrics.rollout import compute
from dexhot.rollouts.floating import floating_simulator, run_floating, start_state
from dexhot.simulation.backend import MujocoSimulator
from dexhot.simulation.setup import load_setup
from dexhot_train.mining.mine import MineOptions

SEED = 0


@dataclass(frozen=True)
class PeerOptions:
    """Settings of both baselines; noise, knots and horizon are the miner's."""

    fewest: int = 64  # rollouts per plan where the miner simulated less, as for a reference whose bare replay succeeds
    iterations: int = 4  # of CEM per plan
    elites: float = 0.1  # fraction of CEM's samples, at least 2
    smoothing: float = 0.1  # of CEM: fraction of the old mean and deviation kept in each iteration
    temperature: float = 0.02  # of MPPI, in units of the cost (about 0.1 per plan)


Improve = Callable[[SamplingPlanner, np.ndarray, int, int, PeerOptions], None]


def cem(planner: SamplingPlanner, state: np.ndarray, t: int, rollouts: int, options: PeerOptions) -> None:
    """Improve the planner's residual from frame t on, with `rollouts` from `state` (ns,)."""
    span, samples = slice(t, t + planner.steps), max(4, rollouts // options.iterations)
    knots = planner.interpolation.shape[1]
    mean = np.zeros((knots, len(planner.sigma)))  # on top of the residual so far
    deviation = np.tile(planner.sigma, (knots, 1))
    start = planner.residual[span].copy()
    for _ in range(options.iterations):
        drawn = mean + deviation * planner.rng.standard_normal((samples, *mean.shape))
        cost = planner.evaluate(state[None], t, start + planner.interpolation @ drawn)[0]
        if not np.isfinite(cost).any():
            break  # all rollouts diverged: keep the plan
        elites = drawn[np.argsort(cost)[: max(2, round(options.elites * samples))]]
        keep = options.smoothing
        mean = keep * mean + (1 - keep) * elites.mean(axis=0)
        deviation = keep * deviation + (1 - keep) * elites.std(axis=0)
    planner.residual[span] = start + planner.interpolation @ mean


def mppi(planner: SamplingPlanner, state: np.ndarray, t: int, rollouts: int, options: PeerOptions) -> None:
    """Improve the planner's residual from frame t on, with `rollouts` from `state` (ns,)."""
    span, knots = slice(t, t + planner.steps), planner.interpolation.shape[1]
    drawn = planner.sigma * planner.rng.standard_normal((rollouts, knots, len(planner.sigma)))
    cost = planner.evaluate(state[None], t, planner.residual[span] + planner.interpolation @ drawn)[0]
    if not np.isfinite(cost).any():
        return  # all rollouts diverged: keep the plan
    weight = np.exp((cost.min() - cost) / options.temperature)
    planner.residual[span] += planner.interpolation @ np.tensordot(weight / weight.sum(), drawn, axes=1)


PEERS: dict[str, Improve] = {"cem": cem, "mppi": mppi}


def receding_horizon(
    planner: SamplingPlanner, state: np.ndarray, improve: Improve, budget: int, options: PeerOptions
) -> np.ndarray:
    """(T, 6+n) actions from the first frame, in state (ns,): plan, execute a part, plan again. `budget`: control steps
    to simulate, spread evenly over the plans."""
    starts = range(0, planner.frames - 1, planner.stride)
    rollouts = max(options.fewest, budget // (len(starts) * planner.steps))
    for t in starts:
        improve(planner, state, t, rollouts, options)
        executed = planner.actions(t, t + planner.stride)[None]
        state = planner.simulator.rollout(state[None], executed).states[0, -1]
    return planner.actions(0, planner.frames)


def peer_clip(job: tuple[str, Path, MineOptions]) -> dict[str, Any]:
    """Plan a mined clip with each baseline, unless `<out>/<peer>/<clip>.npz` holds the result; then score these files.

    Returns the clip, and per baseline success_strict, seconds (CPU time of planning) and control_steps.
    """
    clip, out, mining = job
    mined = load(out / f"{clip}.npz", Demonstration)
    setup, options = load_setup(mined.reference), PeerOptions()
    simulator, budget = floating_simulator(mined.reference, setup), int(mined.provenance["control_steps"])
    context = [mined.provenance["key"], budget, asdict(options), Path(__file__).read_text()]
    key = hashlib.sha256(json.dumps(context).encode()).hexdigest()[:16]
    row: dict[str, Any] = {"clip": clip}
    for name, improve in PEERS.items():
        path = out / name / f"{clip}.npz"
        if not (path.is_file() and load(path, Demonstration).provenance.get("key") == key):
            began = time.process_time()
            planner = SamplingPlanner(mined.reference, simulator, mining.sampling, seed=SEED)
            actions = receding_horizon(planner, start_state(mined.reference, simulator), improve, budget, options)
            spent = {"seconds_cpu": time.process_time() - began, "control_steps": planner.control_steps}
            _save(path, mined, actions, simulator, {"key": key, "chosen": name, **spent})
        found = load(path, Demonstration)
        rollout = run_floating(found.reference, found.actions, simulator)
        row[f"{name}_success_strict"] = compute(rollout, setup.asset, setup.hand)["success_strict"]
        row[f"{name}_seconds_cpu"] = found.provenance["seconds_cpu"]
        row[f"{name}_control_steps"] = found.provenance["control_steps"]
    return row


def _save(
    path: Path, mined: Demonstration, actions: np.ndarray, simulator: MujocoSimulator, provenance: dict[str, Any]
) -> None:
    rollout = run_floating(mined.reference, actions, simulator)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(
        Demonstration(
            name=mined.name,
            reference=mined.reference,
            actions=actions,
            q=np.concatenate([rollout.q[1:], rollout.q[-1:]]),
            object_pose=np.concatenate([rollout.object_pose[1:], rollout.object_pose[-1:]]),
            physics=mined.physics,
            servo=mined.servo,
            scores={},
            provenance=provenance,
        ),
        path,
    )
