"""PPO on a task of three lines: it learns, imitates, resumes, and keeps away from NaN."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dexhot.errors import DexhotError, FileFormatError  # noqa: E402
from dexhot_train.learners.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from dexhot_train.learners.discriminator import Discriminator, expert_pairs  # noqa: E402
from dexhot_train.learners.networks import Actor, Normaliser  # noqa: E402
from dexhot_train.learners.ppo import BAD, PPO, PPOOptions  # noqa: E402
from dexhot_train.task.vector import Observations, Step  # noqa: E402

SMALL = PPOOptions(steps=16, hidden=(16,), epochs=2, minibatches=2, learning_rate=3e-3, reward_scale=1.0, gamma=0.9)


class Matching:
    """Say the number that is shown, negated and halved; an episode has five steps."""

    policy_size, state_size, critic_size, action_size = 2, 2, 3, 1

    def __init__(self, size: int = 16, seed: int = 0, broken: int = 0):
        self.size, self.rng, self.broken = size, np.random.default_rng(seed), broken
        self.shown, self.steps = np.zeros((size, 2)), np.zeros(size, int)
        self.seen: list[np.ndarray] = []

    def observe(self) -> Observations:
        shown = self.shown.astype(np.float32)
        return Observations(shown, np.concatenate([shown, self.steps[:, None]], 1).astype(np.float32))

    def reset(self) -> Observations:
        self.shown, self.steps = self.rng.uniform(-1, 1, (self.size, 2)), np.zeros(self.size, int)
        return self.observe()

    def expert(self) -> tuple[np.ndarray, np.ndarray]:
        return -0.5 * self.shown[:, :1], np.arange(self.size) % 2 == 0

    def step(self, actions: np.ndarray) -> Step:
        self.seen.append(actions)
        reward = 1.0 - np.abs(actions[:, 0] + 0.5 * self.shown[:, 0])
        if self.broken:
            self.broken -= 1
            reward[:] = np.nan
        self.steps += 1
        last = self.observe().critic
        truncated = self.steps == 5
        self.shown = self.rng.uniform(-1, 1, (self.size, 2))
        self.steps[truncated] = 0
        finished = [{"return": float(r), "length": 5.0} for r in reward[truncated]]
        applied = np.clip(actions, -1, 1)
        return Step(self.observe(), reward, np.zeros(self.size, bool), truncated, last, applied, finished)

    def snapshot(self) -> dict[str, Any]:
        return {"shown": self.shown.copy(), "steps": self.steps.copy(), "rng": self.rng.bit_generator.state}

    def restore(self, snapshot: dict[str, Any]) -> None:
        self.shown, self.steps = snapshot["shown"].copy(), snapshot["steps"].copy()
        self.rng.bit_generator.state = snapshot["rng"]


def mean_error(learner: PPO) -> float:
    shown = np.random.default_rng(9).uniform(-1, 1, (200, 2)).astype(np.float32)
    with torch.no_grad():
        said = learner.actor(torch.as_tensor(shown)).numpy()
    return float(np.abs(said[:, 0] + 0.5 * shown[:, 0]).mean())


def test_it_learns():
    learner = PPO(Matching(), SMALL)
    rows = list(learner.train(40))
    assert rows[-1]["return"] > rows[0]["return"] + 0.1 and mean_error(learner) < 0.1
    assert rows[-1]["steps"] == 40 * 16 * 16


def test_the_same_seed_gives_the_same_curve():
    a, b, c = (list(PPO(Matching(seed=s), SMALL, seed=s).train(3)) for s in (0, 0, 1))
    assert a == b and a != c


@pytest.mark.parametrize("discriminator", [0.0, 0.5])
def test_a_killed_training_resumes_to_the_same_curve(discriminator, tmp_path):
    options = PPOOptions(**(SMALL.__dict__ | {"imitation": 0.5, "discriminator": discriminator}))
    pairs = expert_pairs(Matching(seed=3), 8)
    whole = list(PPO(Matching(), options, 0, pairs).train(6))
    first = PPO(Matching(), options, 0, pairs)
    rows = list(first.train(3))
    save_checkpoint(first.state(), tmp_path / "c.npz")
    rows += list(first.train(4))[:0]  # what it did after the checkpoint is lost
    second = PPO(Matching(seed=7), options, 5, pairs)
    second.load(load_checkpoint(tmp_path / "c.npz"))
    rows += list(second.train(6))
    assert rows == whole


def test_imitation_alone_finds_the_expert_where_there_is_one():
    """Without any reward. Only half of the worlds have an expert; the others must not pull to zero."""
    quiet = PPOOptions(**(SMALL.__dict__ | {"imitation": 1.0, "std": 0.05, "desired_kl": 0.0, "reward_scale": 0.0}))
    learner = PPO(Matching(), quiet)
    rows = list(learner.train(60))
    assert mean_error(learner) < 0.06 and rows[-1]["imitation_loss"] < rows[0]["imitation_loss"]
    without = PPO(Matching(), PPOOptions(**(quiet.__dict__ | {"imitation": 0.0})))
    list(without.train(10))
    assert mean_error(without) > 0.15


def test_the_learning_rate_follows_the_divergence_of_whole_iterations():
    """Within one the divergence only grows: a rate that followed it there would end every iteration cut."""
    options = PPOOptions(**(SMALL.__dict__ | {"desired_kl": 0.01, "learning_rate": 1e-3}))
    rows = list(PPO(Matching(), options).train(30))
    rates, changes = np.array([row["learning_rate"] for row in rows]), np.array([row["kl"] for row in rows])
    factor = rates[1:] / rates[:-1]
    assert (np.isclose(factor[:, None], [1 / 1.5, 1.0, 1.5]).any(axis=1) | (rates[1:] == 1e-2)).all()
    assert 0.01 / 2 < np.median(changes[3:9]) < 2 * 0.01
    wild = PPO(Matching(), PPOOptions(**(options.__dict__ | {"learning_rate": 1e-1, "epochs": 50})))
    calls, step = [], wild._step
    wild._step = lambda *a: (calls.append(1), step(*a))
    (row,) = wild.train(1)
    assert row["kl"] > 1.5 * 0.01 and len(calls) < 50 and row["learning_rate"] == pytest.approx(1e-1 / 1.5)


def test_a_fixed_covariance_stays():
    learner = PPO(Matching(), PPOOptions(**(SMALL.__dict__ | {"fixed_std": True, "std": 0.2})))
    assert list(learner.train(3))[-1]["std"] == pytest.approx(0.2)
    free = PPO(Matching(), SMALL)
    assert list(free.train(3))[-1]["std"] != pytest.approx(SMALL.std, abs=1e-6)


def test_a_truncated_step_is_paid_the_value_that_follows():
    learner = PPO(Matching(), SMALL)
    learner.observations = learner.task.reset()
    torch.nn.init.constant_(learner.critic.net[-1].bias, 10.0)
    torch.nn.init.zeros_(learner.critic.net[-1].weight)
    experience = learner._collect()
    at_end = experience.ended.bool()
    assert at_end[4].all() and not at_end[:4].any()
    assert experience.reward[4].min() > 0.9 * 10 - 1.0 and experience.reward[:4].max() <= 1.0


def test_advantages_do_not_cross_an_episodes_end():
    learner = PPO(Matching(), SMALL)
    learner.observations = learner.task.reset()
    experience = learner._collect()
    before, _ = learner._advantages(experience)
    experience.reward[5:] += 100.0
    after, target = learner._advantages(experience)
    torch.testing.assert_close(after[:5], before[:5])
    assert (after[5] > before[5] + 50).all()
    torch.testing.assert_close(target, after + experience.value)


def test_a_short_time_of_nan_is_survived():
    learner = PPO(Matching(broken=3), SMALL)
    rows = list(learner.train(3))
    assert np.isfinite([[row["policy_loss"], row["value_loss"]] for row in rows]).all()
    assert all(torch.isfinite(p).all() for p in learner.actor.parameters())


def test_non_finite_losses_are_skipped_then_end_the_training(monkeypatch):
    learner = PPO(Matching(), SMALL)
    list(learner.train(1))
    kept = [p.detach().clone() for p in learner.actor.parameters()]
    monkeypatch.setattr(learner, "_value_loss", lambda value, old, target: (value * torch.nan).mean())
    with pytest.raises(DexhotError, match=f"{BAD} updates in a row"):
        list(learner.train(50))
    assert learner.skipped == BAD
    for now, before in zip(learner.actor.parameters(), kept):
        torch.testing.assert_close(now, before)


def test_one_bad_update_is_only_skipped(monkeypatch):
    learner, inner, calls = PPO(Matching(), SMALL), PPO._value_loss, []

    def once(self, value, old, target):
        calls.append(1)
        loss = inner(self, value, old, target)
        return loss * torch.nan if len(calls) == 2 else loss

    monkeypatch.setattr(PPO, "_value_loss", once)
    rows = list(learner.train(2))
    assert rows[-1]["skipped"] == 1.0 and all(torch.isfinite(p).all() for p in learner.critic.parameters())


def test_the_normaliser_has_the_statistics_of_all_samples():
    x = torch.randn(300, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 2.0, 0.1, 5.0]) + 3.0
    normaliser = Normaliser(4)
    for part in x.split([10, 90, 200]):
        normaliser.update(part)
    torch.testing.assert_close(normaliser.mean, x.mean(0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(normaliser.variance, x.var(0, unbiased=False), rtol=1e-4, atol=1e-4)
    assert normaliser(x + 1e6).max() <= normaliser.limit


def test_log_probabilities_are_those_of_a_gaussian():
    actor = Actor(2, 3, (8,), 0.4)
    mean, action = torch.zeros(5, 3), torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    wanted = torch.distributions.Normal(mean, 0.4).log_prob(action).sum(-1)
    torch.testing.assert_close(actor.log_probability(mean, action), wanted)
    torch.testing.assert_close(actor.entropy(), torch.distributions.Normal(mean[0], 0.4).entropy().sum())


def trained_discriminator(expert: torch.Tensor, policy: torch.Tensor) -> Discriminator:
    torch.manual_seed(0)
    judge = Discriminator(1, 1, (16,))
    optimiser = torch.optim.Adam(judge.parameters(), lr=3e-3)
    for _ in range(300):
        optimiser.zero_grad()
        loss = judge.loss((expert[:, :1], expert[:, 1:]), (policy[:, :1], policy[:, 1:]))
        loss.backward()
        optimiser.step()
    return judge


def test_expert_like_actions_earn_more_imitation_reward():
    """Eq. 4 with its sign corrected: as printed, the policy would be paid for being told apart."""
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(500, 1, generator=generator)
    expert = torch.cat([states, -0.5 * states], 1)
    policy = torch.cat([states, 0.5 * states + 0.3], 1)
    judge = trained_discriminator(expert, policy)
    paid = [judge.reward(x[:, :1], x[:, 1:], 0.5).mean() for x in (expert, policy)]
    assert paid[0] > 2 * paid[1] > 0
    assert judge.reward(expert[:, :1], expert[:, 1:], 1.0).abs().max() == 0.0  # lambda 1: the task's reward alone


def test_identical_distributions_end_near_one_half():
    generator = torch.Generator().manual_seed(0)
    same = [torch.randn(2000, 2, generator=generator) for _ in range(2)]
    judge = trained_discriminator(*same)
    with torch.no_grad():
        d = torch.sigmoid(judge(same[0][:, :1], same[0][:, 1:]))
    assert d.mean() == pytest.approx(0.5, abs=0.02)


def test_the_discriminator_sees_the_action_as_applied():
    """Not the policy's own output: a task may have bounded it, or added a correction."""

    class Doubling(Matching):
        def step(self, actions):
            step = super().step(actions)
            step.applied = 2.0 * actions
            return step

    learner = PPO(Doubling(), PPOOptions(**(SMALL.__dict__ | {"discriminator": 1.0})), 0, expert_pairs(Doubling(), 2))
    learner.observations = learner.task.reset()
    experience = learner._collect()
    torch.testing.assert_close(experience.applied, 2.0 * experience.action)
    judge, before, judged = learner.discriminator, experience.reward.clone(), []
    loss, reward = judge.loss, judge.reward
    judge.loss = lambda expert, policy: judged.append(policy[1]) or loss(expert, policy)
    judge.reward = lambda state, action, part: judged.append(action) or reward(state, action, part)
    figures = learner._judge(experience)
    assert (experience.reward > before).all() and figures["imitation_reward"] > 0
    applied = experience.applied.flatten(0, 1)
    torch.testing.assert_close(judged[-1], applied)  # what is paid
    torch.testing.assert_close(torch.cat(judged[:-1]).sort(dim=0).values, applied.sort(dim=0).values)  # what is learnt


def test_a_discriminator_without_an_expert_is_refused():
    with pytest.raises(DexhotError, match="demonstration"):
        PPO(Matching(), PPOOptions(discriminator=1.0))


def test_expert_pairs_are_of_worlds_with_an_expert():
    states, actions = expert_pairs(Matching(), 4)
    assert states.shape == (32, 2) and np.allclose(actions, -0.5 * states[:, :1], atol=1e-6)


def test_a_checkpoint_keeps_every_kind_of_value(tmp_path):
    state = {"a": np.arange(3), "b": {1: torch.tensor([2.0]), "c": [1, 2.5, "x", None]}, "big": {"rng": 2**100}}
    save_checkpoint(state, tmp_path / "c.npz")
    back = load_checkpoint(tmp_path / "c.npz")
    np.testing.assert_array_equal(back["a"], state["a"])
    assert torch.equal(back["b"][1], state["b"][1]) and back["b"]["c"] == [1, 2.5, "x", None]
    assert back["big"]["rng"] == 2**100


def test_bad_checkpoints_are_refused(tmp_path):
    path = tmp_path / "c.npz"
    with pytest.raises(FileFormatError, match="does not exist"):
        load_checkpoint(path)
    learner = PPO(Matching(), SMALL)
    list(learner.train(1))
    save_checkpoint(learner.state(), path)
    other = PPO(Matching(), PPOOptions(**(SMALL.__dict__ | {"hidden": (8, 8)})))
    with pytest.raises(DexhotError, match="another network"):
        other.load(load_checkpoint(path))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(FileFormatError, match="damaged"):
        load_checkpoint(path)
    np.savez(path, header=np.array('{"schema": "other"}'))
    with pytest.raises(FileFormatError, match="not a checkpoint"):
        load_checkpoint(path)


def test_a_large_error_of_the_critic_does_not_silence_the_actor():
    """Each network's gradient has its own limit; under a common one the actor would hardly move."""
    learner = PPO(Matching(), SMALL)
    before = [p.detach().clone() for p in learner.actor.net.parameters()]
    x = torch.ones(4, 2)
    for scale in (1.0, 1e6):
        plain = torch.optim.SGD([*learner.actor.parameters(), *learner.critic.parameters()], lr=0.1)
        with torch.no_grad():
            for p, old in zip(learner.actor.net.parameters(), before):
                p.copy_(old)
        loss = 100.0 * learner.actor(x).sum() + scale * learner.critic(torch.ones(4, 3)).sum()
        learner._step(plain, loss, learner.actor, learner.critic)
        moved = sum(float((p - old).detach().norm()) for p, old in zip(learner.actor.net.parameters(), before))
        assert moved > 0.05
