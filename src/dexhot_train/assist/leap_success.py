"""Strict success of an agent that assists the LEAP hand, of the user alone and of what a lab would try first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from dexhot.metrics.rollout import compute
from dexhot.rollouts.floating import floating_rollout
from dexhot.simulation.backend import MujocoSimulator
from dexhot_train.assist.leap import LeapHands
from dexhot_train.assist.user_input import EstimateError
from dexhot_train.task.clips import TaskClip

SEED = 20_000  # of the evaluation's errors; no training draws with it
Corrector = Callable[[LeapHands, np.ndarray], np.ndarray]  # of hands and observations (N, F) -> outputs (N, 6+n)


@dataclass
class LeapCell:
    """Success over all episodes."""

    success: float  # fraction of strict successes
    episodes: int
    by_clip: dict[str, float]


def no_correction(hands: LeapHands, seen: np.ndarray) -> np.ndarray:
    """The user input as it is."""
    return np.zeros((hands.size, hands.action_size))


def to_reference(hands: LeapHands, seen: np.ndarray) -> np.ndarray:
    """Back to the reference's own targets: nothing is learnt, and of the user nothing is left within the bound."""
    return hands.offset()


def to_expert(hands: LeapHands, seen: np.ndarray) -> np.ndarray:
    """The oracle: the demonstration's own action, within the bound."""
    return hands.expert()[0]


class Smoothed:
    """A low-pass filter on the user input, with the share `factor` of each new one."""

    def __init__(self, factor: float = 0.1):
        self.factor = factor
        self.state: np.ndarray | None = None

    def __call__(self, hands: LeapHands, seen: np.ndarray) -> np.ndarray:
        user = hands.user()
        self.state = user if self.state is None else self.state + self.factor * (user - self.state)
        return hands.outputs(self.state)


def leap_success(
    clips: Sequence[TaskClip],
    corrector: Corrector,
    episodes: int,
    error: EstimateError | None = None,
    seed: int = SEED,
    threads: int = 1,
) -> LeapCell:
    """`episodes` of each clip, judged by success_strict. The same seed gives every corrector the same errors."""
    assigned = np.array([[k, e] for k in range(len(clips)) for e in range(episodes)])
    hands = LeapHands(clips, len(assigned), error, seed, threads, assigned)
    longest = hands.table.q.shape[1]
    states = np.empty((hands.size, longest, hands.simulator.states.shape[1]))
    commands = np.empty((hands.size, longest, hands.action_size))
    states[:, 0] = hands.simulator.states
    for t in range(longest):
        commands[:, t] = hands.corrected(corrector(hands, hands.observed().policy))
        if t < longest - 1:
            hands.advance(commands[:, t])
            states[:, t + 1] = hands.simulator.states
    strict = np.zeros(hands.size, bool)
    for k, clip in enumerate(clips):
        simulator, length = MujocoSimulator(clip.scene), hands.table.length[k]
        judged = partial(_strict, clip, simulator)
        for n in np.flatnonzero(assigned[:, 0] == k):
            strict[n] = judged(commands[n, :length], states[n, :length])
    by_clip = strict.reshape(len(clips), episodes).mean(axis=1)
    return LeapCell(float(strict.mean()), hands.size, {c.name: float(x) for c, x in zip(clips, by_clip)})


def _strict(clip: TaskClip, simulator: MujocoSimulator, commands: np.ndarray, states: np.ndarray) -> bool:
    if not np.isfinite(states).all():
        return False
    rollout = floating_rollout(clip.reference, commands, states, simulator)
    return bool(compute(rollout, clip.asset, clip.setup.hand)["success_strict"])
