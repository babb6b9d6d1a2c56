"""Controllers in the nominal world and in the perturbed ones, the same for everyone."""

import time
from collections.abc import Iterator

import mujoco
import numpy as np

from dexhot.control.controllers import following_object
from dexhot.control.mpc import Mpc, MpcOptions
from dexhot.control.policy import OnnxNetwork
from dexhot.data.types import Reference, Rollout
from dexhot.errors import DexhotError
from dexhot.evaluation.motions import MOTIONS, PlayedMotion
from dexhot.evaluation.options import MPC, EvaluationOptions
from dexhot.objects.object_offset import object_offset
from dexhot.rollouts.floating import displaced_state, floating_rollout, run_controller
from dexhot.rollouts.network import NetworkRun, run_network
from dexhot.simulation.backend import MujocoSimulator
from dexhot.simulation.perturbation import worlds as named_worlds
from dexhot.simulation.setup import Setup

WORLDS, SEED = "worlds_v2", 424242  # the perturbed worlds that count; no search draws with this seed
TOGETHER = 64  # worlds simulated at once
Worlds = Iterator[tuple[Rollout, bool]]  # the nominal world first; True: it failed, whatever its metrics say


def trial_worlds(
    reference: Reference, simulator: MujocoSimulator, trials: int
) -> Iterator[tuple[np.ndarray, list[mujoco.MjModel]]]:
    """Start states (N, ns) and models of the nominal world and the perturbed ones, the same for everyone, at most
    TOGETHER at once: a thousand models do not fit the memory."""
    rng, how, pose = np.random.default_rng(SEED), named_worlds(WORLDS), reference.object_pose[0]
    drawn = [None, *(how.draw(rng) for _ in range(trials))]
    for k in range(0, len(drawn), TOGETHER):
        starts, models = [], []
        for d in drawn[k : k + TOGETHER]:
            placed = (d.offset, d.yaw) if d else ()
            starts.append(displaced_state(reference, simulator, pose, *placed))
            models.append(d.model(simulator.scene) if d else simulator.model)
        yield np.stack(starts), models


def motion_worlds(
    reference: Reference, motion: PlayedMotion, simulator: MujocoSimulator, setup: Setup, trials: int
) -> Worlds:
    """A motion played in the nominal world and in the perturbed ones."""
    pose = reference.object_pose[0]
    for starts, models in trial_worlds(reference, simulator, trials):
        plans = []
        for state in starts:
            offset = object_offset(setup.asset.symmetry, pose, simulator.object_pose(state))
            plans.append(following_object(reference, motion.targets, offset) if motion.relative else motion.targets)
        batch = simulator.rollout(starts, np.stack(plans)[:, :-1], models)
        for k, plan in enumerate(plans):
            states = np.concatenate([starts[k : k + 1], batch.states[k]])
            yield floating_rollout(reference, plan, states, simulator), bool(batch.diverged[k])


def network_worlds(
    reference: Reference,
    network: OnnxNetwork,
    simulator: MujocoSimulator,
    setup: Setup,
    trials: int,
    plan: np.ndarray | None = None,
    runs: list[NetworkRun] | None = None,
) -> Worlds:
    """A network in the same worlds; it has failed where it was stopped. runs: to which what it saw is appended."""
    for starts, models in trial_worlds(reference, simulator, trials):
        run = run_network(network, reference, setup, simulator, starts, models, plan=plan)
        if runs is not None:
            runs.append(run)
        for k, why in enumerate(run.unsafe):
            rollout = floating_rollout(reference, run.commands[k], run.states[k], simulator)
            yield rollout, bool(run.diverged[k] or why)


def mpc_worlds(
    reference: Reference, simulator: MujocoSimulator, trials: int, seed: int, spent: dict[str, float] | None = None
) -> Worlds:
    """Sampling control in the same worlds, planning in the nominal one; `spent`: CPU seconds, control steps and ticks
    are added to it."""
    for starts, models in trial_worlds(reference, simulator, trials):
        for start, model in zip(starts, models):
            controller, before, failed = Mpc(reference, simulator, MpcOptions(seed=seed)), time.process_time(), False
            try:
                rollout = run_controller(controller, simulator, start, model)
            except DexhotError:  # diverged
                failed, still = True, np.repeat(start[None], len(reference.q), axis=0)
                rollout = floating_rollout(reference, reference.q, still, simulator)
            finally:
                controller.thread.shutdown()
            if spent is not None:
                spent["seconds"] += time.process_time() - before
                spent["steps"] += controller.planner.control_steps
                spent["ticks"] += len(reference.q)
            yield rollout, failed


def played_worlds(
    name: str, reference: Reference, simulator: MujocoSimulator, setup: Setup, options: EvaluationOptions, trials: int
) -> Worlds:
    """What a controller of an evaluation does in the nominal world and the perturbed ones. Raises DexhotError where it
    has nothing to play."""
    networks = {"policy": options.policy, **dict(options.policies)}
    if name in networks:
        return network_worlds(reference, OnnxNetwork(networks[name]), simulator, setup, trials)
    if name == MPC:
        return mpc_worlds(reference, simulator, trials, options.seed)
    motion = MOTIONS["planned" if name == "feedback" else name](reference, setup, options)
    if motion.absent:
        raise DexhotError(motion.absent)
    if name == "feedback":
        return network_worlds(reference, OnnxNetwork(options.feedback), simulator, setup, trials, motion.targets)
    return motion_worlds(reference, motion, simulator, setup, trials)
