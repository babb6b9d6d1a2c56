"""`dexhot bench sim`: throughput of the tracking task and of learning on it, beside rsl-rl-lib.

control_steps_per_s              of the whole environment, one thread: physics, observations, rewards, resets
control_steps_per_s_per_core     the same with a thread per core, divided by the cores
warp_control_steps_per_s         the whole environment in MuJoCo Warp, on the first GPU, else on Warp's CPU device
overhead_fraction                CPU time of the environment beyond its physics, as a fraction of the latter (goal
                                 < 0.25): each step's rollout is timed again by itself, in turn with the step
learning_steps_per_s             PPO on the task, updates included; rsl_rl_...: rsl-rl-lib with the same settings
pendulum_return                  mean return of the last episodes on Pendulum-v1; rsl_rl_...: the peer's
parity_sigma                     their difference in its standard errors over the seeds (goal < 2)
"""

import os
import time
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from dexhot.errors import MissingExtraError
from dexhot.paths import share_dir
from dexhot.progress import progress
from dexhot_bench.pendulum import Pendulum
from dexhot_train.learners.ppo import PPO, PPOOptions
from dexhot_train.task.clips import TaskClip, load_task_clip
from dexhot_train.task.simulators import ThreadedMujoco
from dexhot_train.task.starts import StartOptions
from dexhot_train.task.tracking import TaskOptions, TrackingTask

WORLDS = 128
TASK = TaskOptions(starts=StartOptions(plans=8))
LEARNER = PPOOptions(steps=8, std=0.1, gain=0.1)
STANDARD = PPOOptions(steps=32, hidden=(64, 64), epochs=5, gamma=0.95, learning_rate=1e-3, std=0.6, entropy=0.0)
WARP_WORLDS = {"cuda": 4096, "cpu": 8}  # by device
SWING = 64  # pendulums
LAST = 128  # episodes at the end that count
WHOLE, QUICK = (200, 5, 150), (20, 2, 60)  # steps of the task; seeds of the pendulums, and their iterations


def run(quick: bool = False) -> dict[str, Any]:
    """The metrics. quick: fewer steps, seeds and iterations."""
    if find_spec("rsl_rl") is None:
        raise MissingExtraError("the comparison with rsl-rl-lib", "peers")
    if find_spec("mujoco_warp") is None:
        raise MissingExtraError("the throughput in MuJoCo Warp", "gpu")
    torch.set_num_threads(1)
    cores = os.cpu_count() or 1
    clip = load_task_clip(str(share_dir() / "policies" / "lift_box.npz"))
    steps, seeds, iterations = QUICK if quick else WHOLE
    stages = 4 + 2 * seeds
    with progress("measuring", stages, counted=True) as job:
        metrics = throughput(clip, steps, 1)
        job.advance()
        several = throughput(clip, steps, cores) if cores > 1 else metrics
        metrics["control_steps_per_s_per_core"] = several["control_steps_per_s"] / cores
        job.advance()
        warp, device = warp_throughput(clip, steps // 5)
        metrics |= warp
        job.advance()
        metrics |= learning(clip, 2 if quick else 8)
        job.advance()
        found = []
        for seed in range(seeds):
            found.append(pendulums(seed, iterations))
            job.advance(2)
    ours, peers = np.array(found).T
    spread = np.sqrt(ours.var(ddof=1) / seeds + peers.var(ddof=1) / seeds)
    metrics |= {"pendulum_return": float(ours.mean()), "rsl_rl_pendulum_return": float(peers.mean())}
    metrics["parity_sigma"] = float(abs(ours.mean() - peers.mean()) / spread)
    subset = {"clip": clip.name, "worlds": WORLDS, "steps": steps, "seeds": seeds, "iterations": iterations}
    subset |= {"warp_device": device, "warp_worlds": WARP_WORLDS[device]}
    return {"metrics": metrics, "subset": subset, "returns": {"ours": ours.tolist(), "rsl_rl": peers.tolist()}}


def throughput(clip: TaskClip, steps: int, threads: int) -> dict[str, float]:
    """Of the environment, and of its physics by itself: the same rollouts, in turn."""
    task, rng = TrackingTask([clip], WORLDS, TASK, threads=threads), np.random.default_rng(0)
    simulator = task.simulator
    assert isinstance(simulator, ThreadedMujoco)
    whole, bare = np.zeros(2), np.zeros(2)  # s of wall time and of CPU
    task.reset()
    for k in range(steps + 3):
        u = 0.3 * rng.standard_normal((WORLDS, task.action_size))
        states, chosen, late = simulator.states, list(simulator.chosen), task.command.copy()
        began = _now()
        task.step(u)
        between = _now()
        controls = np.repeat(late[:, None], simulator.substeps, axis=1)
        simulator.simulator.rollout(states, controls, chosen, np.ones(simulator.substeps, int))
        if k >= 3:  # the first ones warm up
            whole, bare = whole + between - began, bare + _now() - between
    return {
        "control_steps_per_s": float(WORLDS * steps / whole[0]),
        "physics_control_steps_per_s": float(WORLDS * steps / bare[0]),
        "overhead_fraction": float((whole[1] - bare[1]) / bare[1]),
    }


def warp_throughput(clip: TaskClip, steps: int) -> tuple[dict[str, float], str]:
    """Of the environment in MuJoCo Warp, kernels compiled before; and the kind of its device."""
    import warp as wp

    device = "cuda" if wp.is_cuda_available() else "cpu"
    size = WARP_WORLDS[device]
    task, rng = TrackingTask([clip], size, TASK, backend="warp"), np.random.default_rng(0)
    task.reset()
    took = 0.0
    for k in range(steps + 1):
        u = 0.3 * rng.standard_normal((size, task.action_size))
        began = time.perf_counter()
        task.step(u)
        took += (time.perf_counter() - began) * (k > 0)  # the first one loads the kernels
    return {"warp_control_steps_per_s": size * steps / took}, device


def _now() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def learning(clip: TaskClip, iterations: int) -> dict[str, float]:
    """Steps per second of PPO and of the peer on the task, with equal settings."""
    from dexhot_bench.rsl_rl_peer import train_peer

    learner = PPO(TrackingTask([clip], WORLDS, TASK), LEARNER)
    peer = TrackingTask([clip], WORLDS, TASK)
    list(learner.train(1))
    began = time.perf_counter()
    list(learner.train(1 + iterations))
    between = time.perf_counter()
    train_peer(peer, LEARNER, iterations, 0)
    steps = WORLDS * LEARNER.steps * iterations
    ours, theirs = steps / (between - began), steps / (time.perf_counter() - between)
    return {"learning_steps_per_s": ours, "rsl_rl_learning_steps_per_s": theirs}


def pendulums(seed: int, iterations: int) -> tuple[float, float]:
    """Mean return of the last episodes of a training with each learner."""
    from dexhot_bench.rsl_rl_peer import train_peer

    ours, theirs = Pendulum(SWING, seed), Pendulum(SWING, seed)
    list(PPO(ours, STANDARD, seed).train(iterations))
    train_peer(theirs, STANDARD, iterations, seed)
    return float(np.mean(ours.returns[-LAST:])), float(np.mean(theirs.returns[-LAST:]))
