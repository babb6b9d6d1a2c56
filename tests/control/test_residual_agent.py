"""A trained residual agent in teleoperation: its card against the scene, and its output as a correction."""

import numpy as np
import pytest

from dexhot.control.assistance import Assistance, AssistState
from dexhot.control.policy import OnnxNetwork
from dexhot.control.residual_agent import ResidualAgent, check_agent
from dexhot.errors import DexhotError
from tiny_policy import network_bytes, write_policy

JOINTS = 22


class Network:
    """Residual = a fixed one, for the card of a file."""

    def __init__(self, card, residual):
        self.card, self.residual, self.seen = card, residual, []

    def __call__(self, observation, residual):
        self.seen.append(observation[0])
        return np.broadcast_to(self.residual, residual.shape)


@pytest.fixture
def card(tmp_path, lift_reference, lift_setup):
    path = write_policy(tmp_path / "tiny", lift_reference, lift_setup.physics, layout=["hand", "object"])
    found = OnnxNetwork(path).card
    found.observation = [*found.observation, {"name": "user_input", "size": JOINTS}]
    found.baseline = "user_input"
    return found


def test_it_sees_the_user_input_last_and_its_residual_is_added(card, lift_reference, lift_setup):
    network = Network(card, np.full(JOINTS, 0.003))
    agent = ResidualAgent(network, lift_reference, lift_setup.asset, lift_setup.physics)
    q, user = lift_reference.q[0], lift_reference.q[0] + 0.01
    correction = agent(AssistState(q, lift_reference.object_pose[0], np.zeros(6)), user)
    np.testing.assert_allclose(user - correction, user + 0.003)
    assert len(network.seen[0]) == JOINTS + 7 + JOINTS
    np.testing.assert_allclose(network.seen[0][-JOINTS:], user)


def test_an_output_that_must_not_move_a_robot_switches_the_assistance_off(card, lift_reference, lift_setup):
    agent = ResidualAgent(Network(card, np.nan), lift_reference, lift_setup.asset, lift_setup.physics)
    assist = Assistance(agent, np.full(JOINTS, 0.1), 0.1)
    assist.switch(True)
    user = lift_reference.q[0]
    out = assist(AssistState(user, lift_reference.object_pose[0], np.zeros(6)), user)
    np.testing.assert_array_equal(out, user)
    assert "not finite" in assist.failure and not assist.wanted


@pytest.mark.parametrize(
    "change, why",
    [
        ({"baseline": "targets"}, "corrects no user input but targets"),
        ({"hand": "allegro_right"}, "hand: allegro_right, not leap_right"),
        ({"rate": 30.0}, "rate, Hz: 30.0, not 60"),
        ({"observation": [{"name": "goal_hand", "size": JOINTS}, {"name": "user_input", "size": JOINTS}]}, "goal_hand"),
        ({"observation": [{"name": "hand", "size": JOINTS}]}, "no user_input at the end"),
    ],
)
def test_a_card_that_does_not_fit_is_refused_by_name(card, lift_reference, lift_setup, change, why):
    for name, value in change.items():
        setattr(card, name, value)
    with pytest.raises(DexhotError, match=why):
        check_agent(card, lift_reference, lift_setup.physics)


def test_a_file_runs_as_the_scenes_agent(tmp_path, lift_reference, lift_setup, card):
    import hashlib
    from dataclasses import replace

    from dexhot.control.assist_agents import agent_of
    from dexhot.data.files import save

    content = network_bytes(sum(p["size"] for p in card.observation), JOINTS, np.full(JOINTS, 0.002), keep=0.0)
    (tmp_path / "agent.onnx").write_bytes(content)
    save(replace(card, onnx_sha256=hashlib.sha256(content).hexdigest()), tmp_path / "agent.json")
    agent = agent_of(str(tmp_path / "agent.onnx"), lift_reference)
    user = lift_reference.q[0]
    found = agent(AssistState(user, lift_reference.object_pose[0], np.zeros(6)), user)
    np.testing.assert_allclose(found, -0.002, atol=1e-6)
