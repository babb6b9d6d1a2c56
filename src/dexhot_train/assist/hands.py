"""Many assisted hands at once, as a task for the learners (dexhot_train/task/vector.py).

An episode replays one expert motion as the user's input, with noise; the agent corrects it (eq. 1 and 2):
a = k - limit f, with the user input k, the agent's output f in -1 to 1, both per actuator in units of half its range.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from dexhot_train.assist.adroit import AdroitTask
from dexhot_train.assist.experts import Experts
from dexhot_train.assist.user_input import user_input
from dexhot_train.task.vector import Observations, Step

LIMIT = 0.2  # of the action range (paper, IV-A)


@dataclass(frozen=True)
class AssistOptions:
    """How an agent acts and what it is paid; the paper's baselines are settings of this (table II)."""

    sigma: float = 0.05  # rad, of the noise on each actuator
    mixed: bool = False  # each episode's sigma is drawn from 0 to `sigma`, so that a steady user is learnt from too
    residual: bool = True  # correct the user input; else the agent's output is the whole action
    limit: float = LIMIT  # largest correction, of half the action range
    task_reward: float = 1.0  # weight of eq. 3
    user_reward: float = 0.0  # weight of -||a - k||^2, which asks to follow the user


METHODS = {  # the learners' settings beside them are in training.py
    "residual": AssistOptions(),
    "residual_imitation": AssistOptions(task_reward=0.0),
    "rl_no_user": AssistOptions(residual=False),
    "il_no_user": AssistOptions(residual=False, task_reward=0.0),
    "hybrid_no_residual": AssistOptions(residual=False),
    "rl_user_reward": AssistOptions(residual=False, user_reward=1.0),
    "hybrid_user_reward": AssistOptions(residual=False, user_reward=1.0),
}


def output_for(wanted: np.ndarray, user: np.ndarray, options: AssistOptions) -> np.ndarray:
    """The agent's output (..., A) that comes nearest to applying the action `wanted`, beside the user input."""
    output: np.ndarray = np.clip((user - wanted) / options.limit if options.residual else wanted, -1.0, 1.0)
    return output


class AssistedHands:
    """`size` worlds of one Adroit task; each episode is a random motion of `experts` with fresh noise."""

    def __init__(
        self, experts: Experts, size: int, options: AssistOptions | None = None, seed: int = 0, workers: int = 2
    ):
        """workers: threads that simulate; the result does not depend on them."""
        self.experts, self.size, self.options, self.seed = experts, size, options or AssistOptions(), seed
        self.worlds = [AdroitTask(experts.task) for _ in range(size)]
        self.pool = ThreadPoolExecutor(workers)
        self.action_size, self.state_size = self.worlds[0].action_size, self.worlds[0].state_size
        self.policy_size = self.critic_size = self.state_size + self.action_size
        self.episode = np.zeros(size, int)  # number of the present episode, counted per world
        self.time, self.motion = np.zeros(size, int), np.zeros(size, int)
        self.reached, self.earned = np.zeros(size, bool), np.zeros(size)
        self.states = [np.empty(0)] * size
        self.inputs = [np.empty(0)] * size
        self.applied: list[list[np.ndarray]] = [[] for _ in range(size)]
        self._begin(range(size))

    def reset(self) -> Observations:
        """Begin new episodes in all worlds, spread over the motion: a batch of a few steps then sees all its phases."""
        self.episode += 1
        self._begin(range(self.size))
        for n in range(self.size):
            for _ in range(len(self.inputs[n]) * n // self.size):
                self._advance(n, np.clip(self.user_of(n), -1.0, 1.0))
        return self._observed()

    def step(self, actions: np.ndarray) -> Step:
        """One control step of 10 ms."""
        o = self.options
        user, correction = self.user(), np.clip(actions, -1.0, 1.0)
        applied = np.clip(user - o.limit * correction if o.residual else correction, -1.0, 1.0)
        reward = self._simulate(applied)
        reward = o.task_reward * reward - o.user_reward * ((applied - user) ** 2).sum(axis=1)
        truncated = np.array([self.time[n] == len(self.inputs[n]) for n in range(self.size)])
        last = self._observed().critic
        finished = [
            {"success": float(self.reached[n]), "return": self.earned[n], "motion": float(self.motion[n])}
            for n in np.flatnonzero(truncated)
        ]
        self.episode[truncated] += 1
        self._begin(np.flatnonzero(truncated))
        never = np.zeros(self.size, bool)
        return Step(self._observed(), reward, never, truncated, last, applied.astype(np.float32), finished)

    def user(self) -> np.ndarray:
        """The user's present input (N, A), in -1 to 1."""
        return np.stack([self.user_of(n) for n in range(self.size)])

    def user_of(self, n: int) -> np.ndarray:
        """That of world `n`, (A,); the last one where its motion has ended."""
        return _at(self.inputs[n], self.time[n])

    def expert(self) -> tuple[np.ndarray, np.ndarray]:
        """The agent's output (N, A) that comes nearest to applying the expert's action, and that all have one. With a
        policy, the expert's answer to the present state, also where it is beyond the limit; without, its own action at
        this time of the motion."""
        known, user = np.ones(self.size, bool), self.user()
        if self.experts.policy is None:
            own = np.stack([_at(self.experts.actions[m], t) for m, t in zip(self.motion, self.time)])
            return output_for(own, user, self.options), known
        own = self.experts.policy(np.stack(self.states))
        return ((user - own) / self.options.limit if self.options.residual else np.clip(own, -1.0, 1.0)), known

    def snapshot(self) -> dict[str, Any]:
        """The episodes' numbers and the actions applied in them: `restore` simulates these again."""
        return {"episode": self.episode.copy(), "applied": [np.array(a) for a in self.applied]}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Back to a snapshot, exactly: episodes depend on seed, world and number alone, physics on the actions."""
        self.episode = np.array(snapshot["episode"])
        self._begin(range(self.size))
        for n, actions in enumerate(snapshot["applied"]):
            for action in actions:
                self._advance(n, action)

    def _begin(self, which: Sequence[int] | np.ndarray | range) -> None:
        """Start the present episode of the worlds `which`."""
        for n in which:
            rng = np.random.default_rng([self.seed, int(n), int(self.episode[n])])
            self.motion[n] = m = int(rng.integers(len(self.experts.seeds)))
            world = self.worlds[n]
            sigma = self.options.sigma * (rng.random() if self.options.mixed else 1.0)
            self.inputs[n] = user_input(self.experts, m, sigma, world.action_range, rng)
            self.states[n] = world.reset(self.experts.seeds[m])
            self.time[n], self.reached[n], self.earned[n], self.applied[n] = 0, False, 0.0, []

    def _simulate(self, applied: np.ndarray) -> np.ndarray:
        """Rewards (N,) of one step of all worlds, in threads: MuJoCo releases the interpreter's lock."""
        return np.array(list(self.pool.map(self._advance, range(self.size), applied)))

    def _advance(self, n: int, action: np.ndarray) -> float:
        self.applied[n].append(action)
        self.states[n], reward, reached = self.worlds[n].step(action)
        self.time[n] += 1
        self.reached[n] |= reached
        self.earned[n] += reward
        return reward

    def _observed(self) -> Observations:
        """State and user input, (N, S + A); actor and critic see the same."""
        seen = np.concatenate([np.stack(self.states), self.user()], axis=1).astype(np.float32)
        return Observations(seen, seen)


def _at(rows: np.ndarray, t: int) -> np.ndarray:
    """The row of step t, the last one behind the end."""
    row: np.ndarray = rows[min(t, len(rows) - 1)]
    return row
