"""Success of an agent, or of the user input alone, on expert motions with noise."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from dexhot_train.assist.adroit import AdroitTask
from dexhot_train.assist.experts import Experts
from dexhot_train.assist.hands import AssistOptions
from dexhot_train.assist.user_input import user_input

WORKERS = 2  # threads; MuJoCo releases the interpreter's lock
Agent = Callable[[np.ndarray], np.ndarray]  # state and user input (S + A,) -> output (A,) in -1 to 1


@dataclass
class Cell:
    """One cell of a table."""

    success: float  # fraction of episodes in which the goal was reached
    episodes: int
    deviation: float  # root mean square of applied - user input, in units of half the action range
    speed: float  # rad/s, root mean square of the hand's joint velocities


def success(
    experts: Experts,
    sigma: float,
    agent: Agent | None,
    options: AssistOptions,
    episodes: int,
    seed: int = 0,
    smoothing: float = 1.0,
) -> Cell:
    """`episodes` seeded episodes over the motions in turn; agent: None for the user input alone. The same seed gives
    every agent the same noise. smoothing: of a low-pass filter on the user input, 1 is none."""

    def stripe(first: int) -> list[tuple[bool, float, float]]:
        world = AdroitTask(experts.task)
        return [
            _episode(world, experts, sigma, agent, options, [seed, k], smoothing)
            for k in range(first, episodes, WORKERS)
        ]

    with ThreadPoolExecutor(WORKERS) as pool:
        rows = [row for rows in pool.map(stripe, range(WORKERS)) for row in rows]
    reached, away, speed = (np.array(column) for column in zip(*rows))
    return Cell(float(reached.mean()), episodes, float(np.sqrt(away.mean())), float(np.sqrt(speed.mean())))


def _episode(
    world: AdroitTask,
    experts: Experts,
    sigma: float,
    agent: Agent | None,
    options: AssistOptions,
    seed: list[int],
    smoothing: float,
) -> tuple[bool, float, float]:
    m, rng = seed[-1] % len(experts.seeds), np.random.default_rng(seed)
    inputs = user_input(experts, m, sigma, world.action_range, rng)
    for t in range(1, len(inputs) if smoothing < 1.0 else 0):
        inputs[t] = inputs[t - 1] + smoothing * (inputs[t] - inputs[t - 1])
    state, reached, away, speed = world.reset(experts.seeds[m]), False, 0.0, 0.0
    for user in inputs:
        applied = user
        if agent is not None:
            output = np.clip(agent(np.concatenate([state, user]).astype(np.float32)), -1.0, 1.0)
            applied = user - options.limit * output if options.residual else output
        state, _, now = world.step(np.clip(applied, -1.0, 1.0))
        reached |= now
        away += float(np.mean((np.clip(applied, -1, 1) - np.clip(user, -1, 1)) ** 2))
        speed += float(np.mean(world.hand_speed() ** 2))
    return reached, away / len(inputs), speed / len(inputs)
