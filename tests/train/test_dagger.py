"""DAgger on a task whose expert is a known function of the state."""

import numpy as np
import pytest
import torch

from dexhot.errors import DexhotError
from dexhot_train.learners.dagger import Dagger, DaggerOptions
from dexhot_train.learners.networks import Actor
from dexhot_train.task.vector import Observations, Step

SHORT = DaggerOptions(rounds=3, steps=20, updates=150, batch=64, expert_rounds=2)


class Drift:
    """Points that the action must bring to the origin; the expert's action is -x."""

    size, policy_size, state_size, critic_size, action_size = 8, 3, 3, 3, 3

    def __init__(self, known: bool = True, bad: float = 1.0):
        self.rng, self.known, self.bad = np.random.default_rng(0), known, bad

    def reset(self):
        self.x = self.rng.uniform(-1, 1, (8, 3))
        return self.seen()

    def seen(self):
        return Observations(self.x.astype(np.float32), self.x.astype(np.float32))

    def step(self, actions):
        self.x = np.clip(self.x + 0.3 * np.clip(actions, -1, 1) + self.rng.normal(scale=0.2, size=(8, 3)), -1, 1)
        no = np.zeros(8, bool)
        return Step(self.seen(), np.zeros(8), no, no, self.x, np.clip(actions, -1, 1), [])

    def expert(self):
        return -self.x * self.bad, np.full(8, self.known)

    def snapshot(self):
        return {"x": self.x.copy(), "rng": self.rng.bit_generator.state["state"]}

    def restore(self, snapshot):
        self.x = snapshot["x"].copy()
        self.rng = np.random.default_rng(0)
        self.rng.bit_generator.state = {**self.rng.bit_generator.state, "state": snapshot["rng"]}


def actor():
    torch.manual_seed(0)
    return Actor(3, 3, (16,), 0.1)


def test_the_actor_learns_what_the_expert_does():
    made = actor()
    rows = list(Dagger(Drift(), made, SHORT).train())
    x = torch.tensor([[0.4, -0.3, 0.2]])
    assert rows[-1]["loss"] < 0.05 * rows[-1]["of_zero"]
    assert torch.allclose(made(x), -x, atol=0.1)


def test_a_state_is_normalised_once_also_where_the_expert_knows_a_part_of_the_worlds():
    class Half(Drift):
        def expert(self):
            return -self.x, np.arange(8) < 4

    made = actor()
    trained = Dagger(Half(), made, SHORT)
    list(trained.train())
    assert float(made.normaliser.count) == len(torch.cat(trained.seen)) == 3 * 20 * 4


def test_the_experts_share_of_the_worlds_falls_to_zero():
    followed = []

    class Watched(Drift):
        def step(self, actions):
            followed.append(np.isclose(actions, -self.x).all(axis=1).mean())
            return super().step(actions)

    list(Dagger(Watched(), actor(), DaggerOptions(rounds=3, steps=20, updates=1, expert_rounds=2)).train())
    by_round = np.mean(np.reshape(followed, (3, 20)), axis=1)
    assert by_round[0] == 1.0 and 0.3 < by_round[1] < 0.7 and by_round[2] == 0.0


def test_a_resumed_fit_is_the_uninterrupted_one():
    whole = actor()
    rows = list(Dagger(Drift(), whole, SHORT).train())
    first = Dagger(Drift(), actor(), SHORT)
    kept = [next(first.train())]
    second = Dagger(Drift(), actor(), SHORT)
    second.load(first.state())
    kept += list(second.train())
    assert kept == rows
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), second.actor.parameters()))


def test_there_must_be_an_expert_with_finite_actions():
    with pytest.raises(DexhotError, match="nothing to imitate"):
        list(Dagger(Drift(known=False), actor(), SHORT).train())
    with pytest.raises(DexhotError, match="not finite"):
        list(Dagger(Drift(bad=np.nan), actor(), SHORT).train())
