"""A trained residual agent as teleoperation's assistance: an ONNX network with its card (policy.py).

It sees the hand, the object and the user input, and gives the residual on the user input: no future is known here, so
features of a reference's coming frames are refused.
"""

from dataclasses import replace

import numpy as np

from dexhot.control.assistance import AssistState
from dexhot.control.observation import ClipToTrack, Observed, Observer, joint_velocity
from dexhot.control.policy import ResidualNetwork, check_card, checked
from dexhot.data.types import PolicyCard, Reference
from dexhot.errors import DexhotError
from dexhot.objects.asset import ObjectAsset
from dexhot.simulation.physics import Physics

USER_INPUT = "user_input"  # the baseline of such a policy, and the last part of its observation
LIVE = ("hand", "hand_velocity", "object", "object_velocity", "last_command", "fingertips", "object_size")


def check_agent(card: PolicyCard, scene: Reference, physics: Physics) -> None:
    """Raise DexhotError, naming every difference, unless the card is of a residual agent for this scene."""
    names = [part["name"] for part in card.observation]
    if card.baseline != USER_INPUT:
        raise DexhotError(
            f"policy {card.name} corrects no user input but {card.baseline}: give policy:=assist_leap, a residual "
            "agent of `dexhot train assist leap`, policy:=grasp, or policy:=none."
        )
    if names[-1:] != [USER_INPUT] or (unknown := [name for name in names[:-1] if name not in LIVE]):
        wrong = ", ".join(unknown) if names[-1:] == [USER_INPUT] else f"no {USER_INPUT} at the end"
        raise DexhotError(
            f"policy {card.name} observes what a live hand does not have ({wrong}): known are {', '.join(LIVE)}, and "
            f"{USER_INPUT} last."
        )
    played = scene.provenance.get("teleop", {}).get("scene", scene.name)
    check_card(replace(card, observation=card.observation[:-1]), replace(scene, name=played), physics, timed=False)


class ResidualAgent:
    """The network as an assistance.Agent."""

    def __init__(self, network: ResidualNetwork, scene: Reference, asset: ObjectAsset, physics: Physics):
        """Raises DexhotError when the network's card does not fit."""
        check_agent(network.card, scene, physics)
        self.network, self.card = network, network.card
        self.observer = Observer([ClipToTrack(scene, asset)], [p["name"] for p in self.card.observation[:-1]])
        self.reset()

    def reset(self) -> None:
        """Nothing has been corrected yet."""
        self.residual = np.zeros(len(self.card.joint_names))
        self.before: np.ndarray | None = None  # (6+n,) hand vector of the last tick
        self.command: np.ndarray | None = None

    def __call__(self, state: AssistState, user: np.ndarray) -> np.ndarray:
        """The correction (6+n,). Raises UnsafePolicyError for an output that is not finite, or that jumps."""
        before = state.q if self.before is None else self.before
        command = user if self.command is None else self.command
        velocity = joint_velocity(state.q, before)
        seen = Observed(np.array(0), state.object_pose, state.object_twist, state.q, velocity, command, self.residual)
        observation = np.concatenate([self.observer(seen), user])
        self.residual = checked(self.card, self.residual, self.network(observation[None], self.residual[None])[0])
        self.before, self.command = state.q.copy(), user + self.residual
        return -self.residual
