"""The agent that knows the motion which its user repeats: where in it the user is, what it sees, and its card."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.control.assist_agents import agent_file, agent_of, check_agent_of
from dexhot.control.assistance import AssistState
from dexhot.control.known_motion import AGO, KnownMotionAgent, observed_offsets
from dexhot.control.policy import OnnxNetwork
from dexhot.errors import DexhotError

STATE = AssistState(np.zeros(22), np.array([0.0, 0, 0, 1, 0, 0, 0]), np.zeros(6))


@pytest.fixture
def card():
    return OnnxNetwork(agent_file("assist_leap")).card


class Back:
    """A network that goes back to the reference: its output is the user's offset, as the agent begins in training."""

    def __init__(self, card):
        self.card, self.seen = card, []

    def __call__(self, observation, residual):
        self.seen.append(observation[0])
        return -np.clip(observation[:, :22], -1.0, 1.0) * np.array(self.card.residual_limit)


@pytest.fixture
def agent(card, lift_reference, lift_setup):
    return KnownMotionAgent(Back(card), lift_reference, lift_setup.physics)


def test_a_user_at_the_references_targets_is_not_corrected_and_one_beside_them_is_taken_back(agent):
    middle = agent.grasp_start[0]
    np.testing.assert_allclose(agent(STATE, agent.targets[middle]), 0.0, atol=1e-7)
    agent.reset()
    off = np.r_[0.004, -0.003, 0.002, 0.02, 0.01, -0.02, np.full(16, 0.03)]
    user = agent.targets[middle] + off
    np.testing.assert_allclose(user - agent(STATE, user), agent.targets[agent.frame], atol=1e-6)


@pytest.mark.parametrize("pace", [0.5, 1.0, 2.0])
def test_it_follows_a_user_in_the_users_own_time(agent, pace):
    count = len(agent.targets)
    for t in np.arange(0.0, count - 1, pace):
        low = int(t)
        agent(STATE, agent.targets[low] + (t - low) * (agent.targets[low + 1] - agent.targets[low]))
    away = np.abs((agent.targets[agent.frame] - agent.targets[-1]) / agent.bound).max()
    assert away < 0.3


@pytest.mark.parametrize("pace", [0.4, 1.0, 2.0])
def test_on_the_way_up_it_is_not_on_the_way_down(agent, pace):
    """Up and down again through the same places, with a rest before, and a user who is off by as much as may be."""
    height = 0.1 * np.concatenate([np.zeros(30), np.linspace(0, 1, 40), np.linspace(1, 0, 40), np.zeros(20)])
    agent.targets = np.zeros((len(height), 22))
    agent.targets[:, 2] = height
    off, rng = np.r_[0.01, 0.0, 0.0, np.zeros(19)], np.random.default_rng(0)
    found = []
    for t in [*np.zeros(60), *np.arange(0.0, len(height) - 1, pace)]:
        user = np.zeros(22)
        user[2] = np.interp(t, np.arange(len(height)), height)
        found.append((t, agent.follow(user + off + 0.002 * rng.standard_normal(22))))
    assert all(abs(frame - t) < 8 for t, frame in found if 35 < t < 105)


def test_a_wrist_that_was_turned_all_the_way_round_is_where_it_was(agent):
    user = agent.targets[20].copy()
    user[5] += 2.0 * np.pi
    np.testing.assert_allclose(agent(STATE, user), 0.0, atol=1e-6)


def test_what_was_seen_before_a_reset_does_not_count(agent):
    for k in range(5):
        agent(STATE, agent.targets[30] + 0.01 * k)
    agent.reset()
    agent(STATE, agent.targets[30] + 0.01)
    seen = agent.network.seen[-1]
    np.testing.assert_array_equal(seen[22 : 22 * (2 + len(AGO))], 0.0)  # no change, and no deviation from the mean


def test_the_shipped_agent_takes_most_of_a_constant_offset_away(card, lift_reference, lift_setup):
    agent = KnownMotionAgent(OnnxNetwork(agent_file("assist_leap")), lift_reference, lift_setup.physics)
    off = np.r_[np.full(3, 0.005), np.full(3, 0.05), np.full(16, 0.1)]
    for target in agent.targets[:60]:
        user = target + off
        left = user - agent(STATE, user) - agent.targets[agent.frame]
    assert np.abs(left / off).mean() < 0.4


@pytest.mark.parametrize(
    "change, why",
    [
        ({"hand": "leap_left"}, "hand: leap_left, not leap_right"),
        ({"servo": "ideal"}, "servo profile: ideal, not"),
        ({"rate": 30.0}, "rate, Hz: 30.0, not 60"),
        ({"physics": "1"}, "physics version: 1, not"),
    ],
)
def test_a_card_of_another_rig_is_refused_by_the_difference(card, lift_reference, lift_setup, change, why):
    with pytest.raises(DexhotError, match=why):
        check_agent_of(replace(card, **change), lift_reference, lift_reference, lift_setup.physics)


def test_an_older_layout_is_refused(card, lift_reference, lift_setup):
    with pytest.raises(DexhotError, match="observes 22 numbers"):
        check_agent_of(
            replace(card, observation=card.observation[:1]), lift_reference, lift_reference, lift_setup.physics
        )


def test_without_its_motion_it_is_refused(card, lift_reference, lift_setup):
    with pytest.raises(DexhotError, match="give that motion by reference:=FILE"):
        check_agent_of(card, lift_reference, None, lift_setup.physics)


def test_its_name_gives_the_shipped_agent_and_its_layout_is_this_versions(card, lift_reference):
    assert isinstance(agent_of(agent_file("assist_leap"), lift_reference, lift_reference), KnownMotionAgent)
    from dexhot.robots.robot_hand import load_hand

    assert card.observation == observed_offsets(load_hand("leap_right"))
    assert agent_file("elsewhere.onnx") == "elsewhere.onnx"
