"""A policy's network in many worlds at once, with exact states: for its evaluation and its training."""

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from dexhot.control.batch_shaper import shaper_of
from dexhot.control.observation import Observed, Observer, clip_to_track, joint_velocity, pose_velocity
from dexhot.control.policy import (
    ResidualNetwork,
    baseline_targets,
    check_card,
    checked,
    encoder_of,
    with_residual,
)
from dexhot.data.types import Reference
from dexhot.errors import UnsafePolicyError
from dexhot.simulation.backend import STATE, MujocoSimulator
from dexhot.simulation.setup import Setup


@dataclass
class NetworkRun:
    """N worlds over T frames; row t of `states` is the state at frame t, the last command is not used."""

    states: np.ndarray  # (N, T, ns)
    commands: np.ndarray  # (N, T, 6+n)
    residuals: np.ndarray  # (N, T, 6+n)
    observations: np.ndarray  # (N, T, F) float32
    diverged: np.ndarray  # (N,) bool
    unsafe: list[str]  # (N,) why the network was stopped there, "" where it was not


def run_network(
    network: ResidualNetwork,
    reference: Reference,
    setup: Setup,
    simulator: MujocoSimulator,
    starts: np.ndarray,
    models: Sequence[mujoco.MjModel],
    noise: np.ndarray | None = None,
    observer: Observer | None = None,
    plan: np.ndarray | None = None,
) -> NetworkRun:
    """Track `reference` from `starts` (N, ns) in `models` (N), as control.policy.Policy does.

    noise: (N, T, 6+n), added to the commands after the network, which does not see it but in what it does. observer: of
    the card's layout, if there is one. plan: targets (T, 6+n) that are played back, for a network that is the feedback
    on them, as planning.planned.Planned does. A policy trained with the command shaper has it here too, between its
    targets and the servos. A world in which the network is stopped keeps its last target. Raises DexhotError when the
    card does not fit.
    """
    card, N, T = network.card, len(starts), len(reference.q)
    check_card(card, reference, setup.physics, on_plan=plan is not None)
    if observer is None:
        clip = clip_to_track(reference, setup.asset, encoder_of(network))
        observer = Observer([clip], [part["name"] for part in card.observation])
    datas = [mujoco.MjData(model) for model in models]
    for model, data, state in zip(models, datas, starts):
        mujoco.mj_setState(model, data, state, STATE)
    pose, q = simulator.object_pose(starts), simulator.joint_positions(starts)
    base = np.stack([baseline_targets(card, reference, setup.physics, setup.asset, p, plan) for p in pose])
    qd = simulator.joint_velocities(starts)
    shaper = shaper_of(card, setup.hand, reference.base_quat, setup.physics, q, qd)
    pose_before, q_before, target, residual = pose, q, base[:, 0], np.zeros((N, q.shape[1]))
    run = NetworkRun(
        np.empty((N, T, starts.shape[1])),
        np.empty((N, T, q.shape[1])),
        np.empty((N, T, q.shape[1])),
        np.empty((N, T, observer.size), np.float32),
        np.zeros(N, bool),
        [""] * N,
    )
    run.states[:, 0] = starts
    for t in range(T):
        tick = Observed(
            np.full(N, t), pose, pose_velocity(pose, pose_before), q, joint_velocity(q, q_before), target, residual
        )
        run.observations[:, t] = observer(tick)
        proposed = network(run.observations[:, t], residual)
        residual = _checked(network, residual, proposed, run.unsafe)
        wanted = with_residual(reference, base[:, t], residual)
        stopped = np.array([bool(why) for why in run.unsafe])
        target = np.where(stopped[:, None], target, wanted)
        command = shaper.step(target) if shaper else target
        run.residuals[:, t] = residual
        run.commands[:, t] = command if noise is None else command + noise[:, t]
        if t == T - 1:
            break
        for k, (model, data) in enumerate(zip(models, datas)):
            data.ctrl[:] = run.commands[k, t]
            mujoco.mj_step(model, data, setup.physics.substeps)
            mujoco.mj_getState(model, data, run.states[k, t + 1], STATE)
            if data.warning[mujoco.mjtWarning.mjWARN_BADQACC].number or not np.isfinite(run.states[k, t + 1]).all():
                run.diverged[k] = True
                run.states[k, t + 1] = run.states[k, t]
                mujoco.mj_setState(model, data, run.states[k, t], STATE)
        pose_before, q_before = pose, q
        pose, q = simulator.object_pose(run.states[:, t + 1]), simulator.joint_positions(run.states[:, t + 1])
    return run


def _checked(network: ResidualNetwork, residual: np.ndarray, proposed: np.ndarray, unsafe: list[str]) -> np.ndarray:
    """The next residuals (N, 6+n); worlds whose output is unsafe, now or before, keep theirs."""
    out = residual.copy()
    for k, why in enumerate(unsafe):
        if not why:
            try:
                out[k] = checked(network.card, residual[k], proposed[k])
            except UnsafePolicyError as e:
                unsafe[k] = str(e)
    return out
