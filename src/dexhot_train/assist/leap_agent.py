"""Training of the LEAP hand's agent, and its file.

The agent begins with the correction that goes back to the reference's targets; a network learns from the
demonstrations (DAgger) what of the user's offset is the user's own and not an error, and what the reference lacks.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dexhot.control.known_motion import observed_offsets
from dexhot.control.policy import ResidualNetwork
from dexhot.data.types import RATE, PolicyCard
from dexhot.errors import DexhotError
from dexhot.progress import Report
from dexhot.robots.robot_hand import load_hand
from dexhot.versions import versions
from dexhot_train.assist.leap import LeapHands
from dexhot_train.assist.leap_success import Corrector
from dexhot_train.assist.shipped import CorrectionNetwork
from dexhot_train.assist.training import correct
from dexhot_train.assist.user_input import EstimateError
from dexhot_train.export import export_policy
from dexhot_train.learners.dagger import DaggerOptions
from dexhot_train.learners.folder import claim
from dexhot_train.learners.networks import Actor, mlp
from dexhot_train.task.clips import TaskClip
from dexhot_train.terms import carried_terms, sources


@dataclass(frozen=True)
class LeapTraining:
    """Settings of a training; changed ones are refused when it resumes, all but the number of rounds."""

    corrections: int = 10  # rounds of DAgger
    worlds: int = 32
    seed: int = 0
    hidden: tuple[int, ...] = (64, 64)
    gain: float = 0.1  # of the network's output beside the offset
    error: EstimateError = field(default_factory=EstimateError)
    dagger: DaggerOptions = field(default_factory=lambda: DaggerOptions(steps=150, updates=300, batch=128))


class OffsetActor(Actor):
    """The user's offset from the reference minus what is learnt of it, joint by joint with one network for all: a
    filter that tells a drift from a motion carries over to clips that it never saw."""

    def __init__(self, layout: list[dict[str, Any]], hidden: Sequence[int], gain: float):
        """layout: that of `observed_offsets`."""
        self.joints = int(layout[0]["size"])
        self.kinds = sum(part["size"] == self.joints for part in layout)  # of numbers per joint
        rest = sum(part["size"] for part in layout) - self.kinds * self.joints
        super().__init__(self.kinds * self.joints + rest, self.joints, hidden, 0.1, gain=gain)
        self.net = mlp([self.kinds + rest + self.joints, *hidden, 1], 0.01)
        self.register_buffer("names", torch.eye(self.joints))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Observations (N, inputs) -> outputs (N, 6+n)."""
        seen, own = self.normaliser(x), self.kinds * self.joints
        each = seen[:, :own].reshape(-1, self.kinds, self.joints).transpose(1, 2)  # (N, 6+n, kinds)
        rest = seen[:, None, own:].expand(-1, self.joints, -1)
        names = self.get_buffer("names").expand(x.shape[0], -1, -1)
        learnt = self.net(torch.cat([each, rest, names], dim=-1)).squeeze(-1)
        offset: torch.Tensor = x[:, : self.joints] - self.gain * learnt
        return offset


def train_leap(
    clips: Sequence[TaskClip],
    options: LeapTraining,
    folder: Path,
    command: str = "",
    threads: int = 1,
    progress: Report | None = None,
) -> tuple[OffsetActor, dict[str, Any]]:
    """Train on the clips' demonstrations, or go on with what `folder` has; returns the actor and a summary. Raises
    DexhotError for another training's folder, FileFormatError for a damaged checkpoint."""
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    settings = {"options": asdict(options), "clips": [clip.name for clip in clips]}
    claim(folder, settings, command, ("options.corrections",))
    hands = LeapHands(clips, options.worlds, options.error, options.seed, threads)
    actor = OffsetActor(observed_offsets(hands.hand), options.hidden, options.gain)
    dagger = replace(options.dagger, rounds=options.corrections)
    row = correct(hands, actor, dagger, options.seed, folder, progress)
    return actor, {"folder": str(folder), "corrections": row}


def save_leap_agent(
    actor: OffsetActor, clips: Sequence[TaskClip], options: LeapTraining, path: Path, command: str, scores: Any
) -> Path:
    """Write the agent and its card; returns the .onnx file."""
    clip = clips[0]
    limit = LeapHands(clips[:1], 1).bound
    card = PolicyCard(
        name="assisted leap",
        hand=clip.reference.hand,
        joint_names=list(clip.reference.joint_names),
        rate=RATE,
        observation=observed_offsets(clip.setup.hand),
        action="residual",
        onnx_sha256="0" * 64,
        baseline="user_input",
        residual_limit=[float(x) for x in limit],
        residual_step=[float(2 * x) for x in limit],
        servo=clip.setup.physics.profile(clip.setup.hand),
        physics=clip.setup.physics.version,
        terms=carried_terms(sources(c.demonstration or c.reference for c in clips), "policy"),
        training_data=[c.name for c in clips],
        scores=scores,
        provenance={
            "command": command,
            "seed": options.seed,
            "error": asdict(options.error),
            "control_steps": options.worlds * options.dagger.steps * options.corrections,
            "versions": versions(),
        },
    )
    return export_policy(CorrectionNetwork(actor, limit), card, path)


def leap_agent_from(network: ResidualNetwork) -> Corrector:
    """The agent of a file, for leap_success. Raises DexhotError, naming every difference, for one that does not correct
    a user's LEAP hand as this version observes it."""
    card, hand = network.card, load_hand("leap_right")
    pairs = {
        "hand": (card.hand, hand.name),
        "what it corrects": (card.baseline, "user_input"),
        "rate, Hz": (card.rate, RATE),
        "observation": (card.observation, observed_offsets(hand)),
    }
    if differ := [name for name, (its, ours) in pairs.items() if its != ours]:
        raise DexhotError(
            f"{card.name} does not assist the LEAP hand ({', '.join(differ)} differ): give an agent of "
            "`dexhot train assist leap`."
        )
    limit = np.array(card.residual_limit)

    def agent(hands: LeapHands, seen: np.ndarray) -> np.ndarray:
        output: np.ndarray = -network(seen, np.zeros((len(seen), len(limit)))) / limit
        return output

    return agent


def leap_agent_of(actor: OffsetActor) -> Corrector:
    """The actor while it is trained, for leap_success."""

    @torch.no_grad()
    def agent(hands: LeapHands, seen: np.ndarray) -> np.ndarray:
        output: np.ndarray = actor(torch.as_tensor(seen)).numpy()
        return output

    return agent
