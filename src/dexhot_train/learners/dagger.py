"""DAgger (Ross et al. 2011) for any vectorised task with an expert: the actor acts, the expert labels what it saw.

In the first rounds a part of the worlds follows the expert, so that there are whole episodes to learn from.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dexhot.errors import DexhotError
from dexhot_train.learners.networks import Actor
from dexhot_train.task.vector import VectorTask


@dataclass(frozen=True)
class DaggerOptions:
    """Length of the fit."""

    rounds: int = 10
    steps: int = 100  # per world and round
    updates: int = 1500  # of the network, per round
    batch: int = 512
    rate: float = 1e-3  # Adam's
    expert_rounds: int = 4  # over which the expert's share of the worlds falls from 1 to 0


class Dagger:
    """An actor, all that it was shown, and the loop: `for row in dagger.train()`."""

    def __init__(self, task: VectorTask, actor: Actor, options: DaggerOptions | None = None, seed: int = 0):
        self.task, self.actor, self.options, self.seed = task, actor, options or DaggerOptions(), seed
        self.optimiser = torch.optim.Adam(actor.net.parameters(), lr=self.options.rate)
        self.generator = torch.Generator().manual_seed(seed)
        self.round, self.observation = 0, np.empty(0)
        self.seen: list[Tensor] = []  # (N, P) of each step
        self.labels: list[Tensor] = []  # (N, A)

    def train(self, progress: Callable[[int, int], object] | None = None) -> Iterator[dict[str, float]]:
        """Rounds of acting and fitting; yields a row of figures after each. Raises DexhotError for labels that are not
        finite, or a task whose expert knows nothing."""
        o = self.options
        if not self.round:
            self.observation = self.task.reset().policy
        while self.round < o.rounds:
            before = len(self.seen)
            finished = self._act()
            loss, still = self._fit(before)
            self.round += 1
            if progress:
                progress(self.round, o.rounds)
            row = {"round": self.round, "steps": self.task.size * o.steps * self.round, "loss": loss, "of_zero": still}
            names = finished[0] if finished else {}
            yield row | {name: float(np.mean([f[name] for f in finished])) for name in names}

    @torch.no_grad()
    def _act(self) -> list[dict[str, float]]:
        """One round of steps; each world follows the expert with a probability that falls to zero."""
        o, finished = self.options, []
        probability = max(0.0, 1.0 - self.round / o.expert_rounds) if o.expert_rounds else 0.0
        rng = np.random.default_rng([self.seed, self.round])
        for _ in range(o.steps):
            label, known = self.task.expert()
            self.seen.append(torch.as_tensor(self.observation[known]))
            self.labels.append(torch.as_tensor(label[known], dtype=torch.float32))
            own = self.actor(torch.as_tensor(self.observation)).numpy()
            follows = (rng.random(self.task.size) < probability) & known
            step = self.task.step(np.where(follows[:, None], label, own))
            self.observation = step.observations.policy
            finished += step.finished
        return finished

    def _fit(self, before: int) -> tuple[float, float]:
        """Fit to everything seen so far, the parts from `before` on for the first time; mean squared error at the end,
        and that of an output of zero."""
        o = self.options
        seen, labels = torch.cat(self.seen), torch.cat(self.labels)
        if not len(seen):
            raise DexhotError("the task's expert knows no action: there is nothing to imitate.")
        if not torch.isfinite(labels).all():
            raise DexhotError("the expert's actions are not finite.")
        if len(new := torch.cat(self.seen[before:])):
            self.actor.normaliser.update(new)
        losses = []
        for _ in range(o.updates):
            drawn = torch.randint(len(seen), (o.batch,), generator=self.generator)
            loss = _loss(self.actor(seen[drawn]), labels[drawn], self.actor.beyond)
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            losses.append(float(loss.detach()))
        return float(np.mean(losses[-50:])), float((labels**2).mean())

    def state(self) -> dict[str, Any]:
        """All that `load` needs to go on exactly."""
        return {
            "actor": dict(self.actor.state_dict()),
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
            "round": self.round,
            "seen": torch.cat(self.seen),
            "labels": torch.cat(self.labels),
            "observation": self.observation,
            "task": self.task.snapshot(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from `state`. Raises DexhotError for one of another network."""
        try:
            self.actor.load_state_dict(state["actor"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (KeyError, RuntimeError, ValueError) as e:
            raise DexhotError(f"the checkpoint is of another network: {e}. Resume with its own settings.") from e
        self.generator.set_state(state["generator"])
        self.round, self.seen, self.labels = state["round"], [state["seen"]], [state["labels"]]
        self.observation = state["observation"]
        self.task.restore(state["task"])


def _loss(output: Tensor, label: Tensor, beyond: float) -> Tensor:
    return ((output.clamp(-beyond, beyond) - label) ** 2).mean()
