"""Success of an agent, or of the user input alone, on expert motions with noise."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from dexhot_train.assist.adroit import AdroitTask
from dexhot_train.assist.experts import Experts
from dexhot_train.assist.hands import AssistOptions, output_for
from dexhot_train.assist.user_input import seen_noise, user_input

WORKERS = 2  # threads; MuJoCo releases the interpreter's lock
LEVELS = np.linspace(0.0, 1.0, 201)  # at which distributions of velocities are compared
# state, user input and the noise seen in it, rad (S + A + 1,) -> output (A,) in -1 to 1
Agent = Callable[[np.ndarray], np.ndarray]


@dataclass
class Cell:
    """One cell of a table."""

    success: float  # fraction of episodes in which the goal was reached
    episodes: int
    deviation: float  # root mean square of applied - user input, in units of half the action range
    speed: float  # rad/s, root mean square of the hand's joint velocities
    quantiles: np.ndarray | None = field(default=None, repr=False, compare=False)  # (LEVELS, J) of these velocities

    @property
    def figures(self) -> dict[str, float]:
        """Without the quantiles."""
        return {name: getattr(self, name) for name in ("success", "episodes", "deviation", "speed")}


def unnaturalness(cell: Cell, experts: Cell) -> float:
    """How far the hand moves from the way the experts do: the 1-Wasserstein distance between the distributions of each
    joint's velocity, mean over the joints, rad/s."""
    assert cell.quantiles is not None and experts.quantiles is not None
    return float(np.abs(cell.quantiles - experts.quantiles).mean())


def success(
    experts: Experts,
    sigma: float,
    agent: Agent | None,
    options: AssistOptions,
    episodes: int,
    seed: int = 0,
    smoothing: float = 1.0,
    oracle: bool = False,
) -> Cell:
    """`episodes` seeded episodes over the motions in turn; agent: None for the user input alone. The same seed gives
    every agent the same noise. smoothing: of a low-pass filter on the user input, 1 is none. oracle: in place of an
    agent, one that knows the noise and takes away as much of it as the limit allows."""

    def stripe(first: int) -> list[tuple[bool, float, np.ndarray]]:
        world = AdroitTask(experts.task)
        return [
            _episode(world, experts, sigma, agent, options, [seed, k], smoothing, oracle)
            for k in range(first, episodes, WORKERS)
        ]

    with ThreadPoolExecutor(WORKERS) as pool:
        rows = [row for rows in pool.map(stripe, range(WORKERS)) for row in rows]
    reached, away = (np.array(column) for column in list(zip(*rows))[:2])
    speeds = np.concatenate([speed for *_, speed in rows])
    speed = float(np.sqrt((speeds**2).mean()))
    return Cell(
        float(reached.mean()), episodes, float(np.sqrt(away.mean())), speed, np.quantile(speeds, LEVELS, axis=0)
    )


def _episode(
    world: AdroitTask,
    experts: Experts,
    sigma: float,
    agent: Agent | None,
    options: AssistOptions,
    seed: list[int],
    smoothing: float,
    oracle: bool,
) -> tuple[bool, float, np.ndarray]:
    """Whether the goal was reached, mean square of applied - user input, and velocities (T, J)."""
    m, rng = seed[-1] % len(experts.seeds), np.random.default_rng(seed)
    inputs = user_input(experts, m, sigma, world.action_range, rng)
    for t in range(1, len(inputs) if smoothing < 1.0 else 0):
        inputs[t] = inputs[t - 1] + smoothing * (inputs[t] - inputs[t - 1])
    noise = seen_noise(inputs, world.action_range)
    state, reached, away, speeds = world.reset(experts.seeds[m]), False, 0.0, []
    for user, own, shaking in zip(inputs, experts.actions[m], noise):
        applied, output = user, None
        if oracle:
            output = output_for(own, user, options)
        elif agent is not None:
            output = np.clip(agent(np.concatenate([state, user, [shaking]]).astype(np.float32)), -1.0, 1.0)
        if output is not None:
            applied = user - options.limit * output if options.residual else output
        state, _, now = world.step(np.clip(applied, -1.0, 1.0))
        reached |= now
        away += float(np.mean((np.clip(applied, -1, 1) - np.clip(user, -1, 1)) ** 2))
        speeds.append(world.hand_speed().copy())
    return reached, away / len(inputs), np.array(speeds)
