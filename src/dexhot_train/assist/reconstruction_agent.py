"""Training of experiment B's residual agent: PPO, no experts."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from dexhot.progress import Report
from dexhot_train.assist.reconstruction import Corrector, ReconstructedHands, Reconstruction, ReconstructionOptions
from dexhot_train.assist.training import PPO_OPTIONS, run_ppo
from dexhot_train.learners.folder import claim
from dexhot_train.learners.networks import Actor
from dexhot_train.learners.ppo import PPO, PPOOptions


@dataclass(frozen=True)
class ReconstructionTraining:
    """Settings; changed ones are refused when a training resumes, all but its length."""

    steps: int = 100_000  # control steps in all worlds
    worlds: int = 16
    seed: int = 0
    paid: ReconstructionOptions = field(default_factory=ReconstructionOptions)
    ppo: PPOOptions = field(default_factory=lambda: replace(PPO_OPTIONS, reward_scale=0.1))


def train_reconstruction(
    clips: Sequence[Reconstruction],
    options: ReconstructionTraining,
    folder: Path,
    command: str = "",
    threads: int = 1,
    progress: Report | None = None,
) -> Actor:
    """Train on fitted clips, or go on with what `folder` has. Raises DexhotError for another training's folder."""
    torch.set_num_threads(1)
    settings = {"options": asdict(options), "clips": [one.clip.name for one in clips]}
    claim(folder, settings, command, ("options.steps",))
    hands = ReconstructedHands(clips, options.worlds, options.paid, options.seed, threads)
    learner = PPO(hands, options.ppo, options.seed)
    run_ppo(learner, folder, options.ppo.iterations(options.steps, options.worlds), progress)
    return learner.actor


def corrector_of(actor: Actor) -> Corrector:
    """The mean policy, for reconstruction.outcomes."""

    @torch.no_grad()
    def corrected(hands: ReconstructedHands, seen: np.ndarray) -> np.ndarray:
        return hands.corrected(actor(torch.as_tensor(seen)).numpy())

    return corrected
