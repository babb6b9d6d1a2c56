"""Agents as files: an ONNX network with its card, run by the policy code of the tracking controller."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dexhot.control.policy import ResidualNetwork
from dexhot.data.types import PolicyCard
from dexhot.errors import DexhotError
from dexhot.paths import share_dir
from dexhot.versions import versions
from dexhot_train.assist.adroit import AdroitTask
from dexhot_train.assist.success import Agent
from dexhot_train.assist.training import AssistTraining, SteadiedActor
from dexhot_train.export import export_policy
from dexhot_train.learners.networks import Actor

HAND, RATE = "adroit", 100.0  # Hz


class CorrectionNetwork(nn.Module):
    """An actor as control.policy runs it: (what it sees, last residual) -> the residual on the user input, in
    rad (m for sliding actuators). The last residual has no effect."""

    limit: torch.Tensor

    def __init__(self, actor: Actor | SteadiedActor, limit: np.ndarray):
        super().__init__()
        self.actor = actor
        self.register_buffer("limit", torch.as_tensor(limit, dtype=torch.float32))

    def forward(self, observation: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        """(N, S + A), with the noise of the user input (N, S + A + 1), and (N, A) -> (N, A)."""
        return 0.0 * residual - torch.clamp(self.actor(observation), -1.0, 1.0) * self.limit


def shipped(task: str) -> Path:
    """The shipped agent of a task; the file need not exist."""
    return share_dir() / "policies" / f"assist_{task}.onnx"


def save_agent(
    actor: Actor | SteadiedActor,
    options: AssistTraining,
    path: Path,
    command: str,
    scores: dict[str, Any],
    motions: int,
    terms: str = "",
    inputs: str = "",
    answers: str = "",
) -> Path:
    """Write the agent of a training and its card; returns the .onnx file. Only a residual agent is exported.

    inputs: how its user inputs were made, with the terms of what they were made from. answers: the file of the expert
    policies that answered for what it saw."""
    if not options.acting.residual:
        raise DexhotError(f"only residual agents are exported, not {options.method}.")
    world = AdroitTask(options.task)
    limit = options.acting.limit * world.action_range
    card = PolicyCard(
        name=f"assisted {options.task}",
        hand=HAND,
        joint_names=world.actuators,
        rate=RATE,
        observation=[
            {"name": f"{options.task} state", "size": world.state_size},
            {"name": "user input", "size": world.action_size},
            *([{"name": "noise of the user input", "size": 1}] if isinstance(actor, SteadiedActor) else []),
        ],
        action="residual",
        onnx_sha256="0" * 64,
        baseline="user_input",
        residual_limit=[float(x) for x in limit],
        residual_step=[float(2 * x) for x in limit],
        servo="adroit",
        physics="gymnasium-robotics 1.4.2",
        training_data=[
            f"{motions} expert motions of {options.task}, noise {options.sigma} rad",
            *([f"user inputs: {inputs}"] if inputs else []),
            *([f"corrections from the expert policies of {answers}"] if answers else []),
        ],
        terms=terms,
        scores=scores,
        provenance={"command": command, "seed": options.seed, "versions": versions()},
    )
    return export_policy(CorrectionNetwork(actor, limit), card, path)


def agent_from(network: ResidualNetwork) -> Agent:
    """The agent of a file, for success.success. Raises DexhotError for a network that corrects no user input."""
    card = network.card
    if card.baseline != "user_input":
        raise DexhotError(f"{card.name} corrects no user input but {card.baseline}: give an agent of `train assist`.")
    limit, none = np.array(card.residual_limit), np.zeros((1, len(card.residual_limit)))
    size = sum(int(part["size"]) for part in card.observation)

    def agent(seen: np.ndarray) -> np.ndarray:
        output: np.ndarray = -network(seen[None, :size], none)[0] / limit
        return output

    return agent
