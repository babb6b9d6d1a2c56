"""Training of an assisted hand's agent, at a tiny size."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dexhot.errors import DexhotError
from dexhot_train.assist.experts import load_expert_policy, load_experts
from dexhot_train.assist.hands import AssistedHands, AssistOptions
from dexhot_train.assist.success import success
from dexhot_train.assist.training import (
    PPO_OPTIONS,
    AssistTraining,
    ExpertActor,
    SteadiedActor,
    agent_of,
    curve,
    samples_to_convergence,
    train_agent,
)
from dexhot_train.learners.dagger import DaggerOptions
from dexhot_train.learners.networks import Actor

TINY = AssistTraining(
    corrections=2,
    steps=32,
    worlds=4,
    dagger=DaggerOptions(steps=10, updates=20, batch=32, expert_rounds=1),
    ppo=replace(PPO_OPTIONS, steps=4, epochs=1, minibatches=2),
)


@pytest.fixture(scope="module")
def experts(shared_data):
    """The training half of the door's motions."""
    return load_experts("door", shared_data / "adroit" / "experts.npz").split("train")


def test_corrections_bring_the_hand_nearer_to_the_expert(experts, tmp_path):
    """With its few updates the output must explain part of the noise, in worlds of fresh noise."""
    options = replace(TINY, corrections=3, steps=0, dagger=DaggerOptions(steps=50, updates=400, batch=256))
    _, summary = train_agent(experts, options, tmp_path / "run")
    assert summary["corrections"]["loss"] < 0.5 * summary["corrections"]["of_zero"]


def test_a_resumed_training_is_the_uninterrupted_one(experts, tmp_path):
    whole, _ = train_agent(experts, TINY, tmp_path / "whole")
    train_agent(experts, replace(TINY, steps=0, corrections=1), tmp_path / "parts")
    train_agent(experts, replace(TINY, steps=0), tmp_path / "parts")
    train_agent(experts, replace(TINY, steps=16), tmp_path / "parts")
    parts, _ = train_agent(experts, TINY, tmp_path / "parts")
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters()))
    assert (tmp_path / "whole/curve.jsonl").read_text() == (tmp_path / "parts/curve.jsonl").read_text()


def test_the_discriminator_sees_the_state_and_the_corrected_action(experts, tmp_path):
    options = replace(TINY, corrections=0, discriminator=1.0, sigma=0.3)
    actor, summary = train_agent(experts, options, tmp_path / "run")
    assert 0.0 < summary["ppo"]["discriminator_policy"] < 1.0
    assert actor.normaliser.mean.shape == (67 + 28,)


def test_a_folder_of_other_settings_is_refused(experts, tmp_path):
    train_agent(experts, replace(TINY, steps=0, corrections=1), tmp_path / "run")
    with pytest.raises(DexhotError, match=r"options\.sigma"):
        train_agent(experts, replace(TINY, sigma=0.05), tmp_path / "run")
    with pytest.raises(DexhotError, match="rl_no_user"):
        train_agent(experts, replace(TINY, method="rl"), tmp_path / "other")


def test_imitation_alone_is_paid_by_the_discriminator_alone(experts, tmp_path):
    options = replace(TINY, corrections=0, method="residual_imitation")
    assert options.acting.task_reward == 0.0 and options.acting.residual
    _, summary = train_agent(experts, options, tmp_path / "run")
    assert summary["ppo"]["imitation_reward"] > 0.0


def test_other_experts_answers_are_another_training(experts, shared_data, tmp_path):
    policy = load_expert_policy("door", shared_data / "adroit" / "policies.npz")
    options = replace(TINY, steps=0, corrections=1)
    train_agent(replace(experts, policy=policy), options, tmp_path / "run")
    with pytest.raises(DexhotError, match="seeds"):
        train_agent(experts, options, tmp_path / "run")


def test_an_expert_actor_corrects_towards_the_answer_of_a_state_alone():
    torch.manual_seed(0)
    actor = ExpertActor(5, 3, (8,), 0.1, limit=0.2)
    torch.nn.init.normal_(actor.net[-1].weight)
    state, user = torch.randn(4, 5), torch.randn(4, 3)
    with torch.no_grad():
        output = actor(torch.cat([state, user], dim=1))
        answer = user - 0.2 * output
        other = actor(torch.cat([state, answer], dim=1))
    assert torch.allclose(other, torch.zeros(()), atol=1e-5)  # a user who acts so is left alone
    with torch.no_grad():
        moved = actor(torch.cat([state, user + 0.1], dim=1))
    assert torch.allclose(moved - output, torch.full((4, 3), 0.5), atol=1e-5)


def test_corrections_towards_an_experts_policy_are_learnt_beyond_the_limit_too(experts, shared_data, tmp_path):
    """At first nearly all outputs are beyond the limit: clipped in the loss, they would have no gradient."""
    taught = replace(experts, policy=load_expert_policy("door", shared_data / "adroit" / "policies.npz"))
    options = replace(TINY, steps=0, dagger=DaggerOptions(steps=50, updates=300, batch=128), sigma=0.05)
    actor, summary = train_agent(taught, options, tmp_path / "run")
    assert isinstance(actor, ExpertActor) and summary["corrections"]["loss"] < 0.1 * summary["corrections"]["of_zero"]
    agent = agent_of(actor)
    world_state = AssistedHands(taught, 1, options.acting).reset().policy[0]
    policy = taught.policy(world_state[:39].astype(float))
    assert np.abs(world_state[67:] - 0.2 * agent(world_state) - policy).mean() < 0.1


@pytest.mark.parametrize(
    ("success", "after"),
    [
        ([0.1, 0.5, 0.8, 0.82, 0.8], 3),
        ([0.8, 0.1, 0.8, 0.8], 3),
        ([0.1, 0.2, 0.9], None),
        ([0.0, 0.0], None),
        ([], None),
    ],
)
def test_a_curve_has_converged_where_it_stays_near_its_end(success, after):
    assert samples_to_convergence([(k + 1, x) for k, x in enumerate(success)]) == after


def test_the_curve_is_that_of_the_trainings_folder(experts, tmp_path):
    options = replace(TINY, corrections=0, steps=960, ppo=replace(TINY.ppo, steps=60))
    train_agent(experts, options, tmp_path / "run")
    points = curve(tmp_path / "run")
    assert points and points[-1][0] == 960 and 0.0 <= points[-1][1] <= 1.0


@pytest.fixture
def actor() -> Actor:
    """One whose outputs exceed 1 here and there."""
    found = Actor(95, 28, (8,), 0.1)
    torch.nn.init.normal_(found.net[-1].weight, std=0.5, generator=torch.Generator().manual_seed(0))
    return found


def test_an_actor_is_weighed_by_the_noise_that_shows(actor):
    seen = np.random.default_rng(0).normal(size=96).astype(np.float32)
    raw, weighed = agent_of(actor)(seen), {}
    whole = raw.clip(-1, 1)
    for noise in (0.0, 0.005, 0.01, 0.02, 1.0):
        weighed[noise] = agent_of(SteadiedActor(actor, 0.01))(np.r_[seen[:95], np.float32(noise)])
    assert not (weighed[0.0].any() or weighed[0.005].any() or weighed[0.01].any()) and np.abs(raw).max() > 1.1
    assert np.allclose(weighed[0.02], 0.75 * whole) and np.allclose(weighed[1.0], whole, atol=1e-3)
    still = agent_of(SteadiedActor(actor, 0.0))(np.r_[seen[:95], np.float32(0.0)])
    assert np.allclose(still, whole)  # an exact one corrects all, also where nothing shows


def test_a_user_steadier_than_the_agent_is_exact_is_left_alone(experts, actor):
    steadied = agent_of(SteadiedActor(actor, 0.01))
    assert success(experts, 0.0, steadied, AssistOptions(), 2).deviation == 0.0
    assert success(experts, 0.15, steadied, AssistOptions(), 2).deviation > 0.01


def test_the_agent_is_the_mean_policy(experts, tmp_path):
    actor, _ = train_agent(experts, replace(TINY, steps=0, corrections=1), tmp_path / "run")
    agent, seen = agent_of(actor), np.ones(95, np.float32)
    assert np.array_equal(agent(seen), agent(seen)) and agent(seen).shape == (28,)
    assert success(experts, 0.05, agent, TINY.acting, 2).deviation > 0
