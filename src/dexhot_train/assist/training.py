"""Training of an assisted hand's agent: corrections learnt from the experts (DAgger), then PPO.

The residual agent begins with what the experts would have done instead of the user's noisy input, bounded as every
correction is; PPO with the task's and the adversarial reward goes on from there. `corrections=0` is the paper's agent,
PPO alone; the paper's baselines are settings too (hands.METHODS).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dexhot.errors import DexhotError
from dexhot.progress import Report
from dexhot_train.assist.experts import Experts
from dexhot_train.assist.hands import METHODS, AssistedHands, AssistOptions
from dexhot_train.assist.success import Agent
from dexhot_train.assist.user_input import fingerprint
from dexhot_train.learners.checkpoint import load_checkpoint
from dexhot_train.learners.dagger import Dagger, DaggerOptions
from dexhot_train.learners.discriminator import expert_pairs
from dexhot_train.learners.folder import CHECKPOINT, claim, kept_rows, recorded
from dexhot_train.learners.networks import Actor, mlp
from dexhot_train.learners.ppo import PPO, PPOOptions
from dexhot_train.learners.saving import Saving
from dexhot_train.task.vector import VectorTask

CORRECTIONS = "corrections.npz"  # DAgger's checkpoint
PPO_OPTIONS = PPOOptions(
    steps=128,
    epochs=5,
    gamma=0.99,
    reward_scale=0.005,
    hidden=(64, 64),
    std=0.1,
    fixed_std=True,
    learning_rate=1e-4,
    desired_kl=0.005,
    entropy=0.0,
)
ADVERSARIAL = {  # weight of the imitation reward, and lambda
    "il_no_user": (1.0, 0.0),
    "residual_imitation": (1.0, 0.0),
    "hybrid_no_residual": (1.0, 0.5),
    "hybrid_user_reward": (1.0, 0.5),
}
CONVERGED = 0.05  # of success: how far below its best a curve may be and count as converged


@dataclass(frozen=True)
class AssistTraining:
    """Settings of a training; changed ones are refused when it resumes, all but the lengths."""

    task: str = "door"
    method: str = "residual"
    sigma: float = 0.15  # rad
    mixed: bool = False  # sigma is the largest of the episodes'
    corrections: int = 10  # rounds of DAgger; 0: PPO alone
    steps: int = 0  # control steps of PPO in all worlds
    discriminator: float = 0.0  # weight of the adversarial reward (eq. 4)
    worlds: int = 16
    seed: int = 0
    dagger: DaggerOptions = field(default_factory=DaggerOptions)
    ppo: PPOOptions = PPO_OPTIONS

    @property
    def acting(self) -> AssistOptions:
        """How its agent acts, and what it is paid."""
        if self.method not in METHODS:
            raise DexhotError(f"no method {self.method!r}; one of {', '.join(METHODS)}.")
        return replace(METHODS[self.method], sigma=self.sigma, mixed=self.mixed)

    @property
    def iterations(self) -> int:
        """Of PPO, the last one whole."""
        return self.ppo.iterations(self.steps, self.worlds)


class ExpertActor(Actor):
    """Knows how an expert would act in a state, and corrects the user input towards that: (k - expert(s)) / limit.

    The plain network would have to learn to subtract, with a slope of 1 / limit in every actuator."""

    beyond = float("inf")  # the network is fitted to the expert's whole action, also where the limit hides it

    def __init__(self, states: int, actions: int, hidden: Sequence[int], std: float, limit: float):
        super().__init__(states + actions, actions, hidden, std, fixed_std=True)
        self.states, self.limit = states, limit
        self.net = mlp([states, *hidden, actions], 0.01)

    def forward(self, x: Tensor) -> Tensor:
        """State and user input (..., S + A) -> outputs (..., A)."""
        expert = self.net(self.normaliser(x)[..., : self.states])
        output: Tensor = (x[..., self.states :] - expert) / self.limit
        return output


class SteadiedActor(nn.Module):
    """An actor that weighs its corrections by 1 - (own_error / noise seen in the user input)^2, at least 0 (as the
    estimator of James and Stein does): a user who is steadier than the actor is exact is left alone, exactly."""

    def __init__(self, actor: Actor, own_error: float):
        """own_error: the actor's, rad."""
        super().__init__()
        self.actor, self.own_error, self.inputs = actor, own_error, actor.inputs + 1

    def forward(self, x: Tensor) -> Tensor:
        """State, user input and its noise, rad (..., S + A + 1) -> outputs (..., A)."""
        noise = x[..., -1:].clamp(min=1e-9)
        weight = (1.0 - (self.own_error / noise) ** 2).clamp(min=0.0)
        output: Tensor = weight * self.actor(x[..., :-1]).clamp(-1.0, 1.0)
        return output


def train_agent(
    experts: Experts,
    options: AssistTraining,
    folder: Path,
    command: str = "",
    progress: Report | None = None,
) -> tuple[Actor, dict[str, Any]]:
    """Train on `experts`, or go on with what `folder` has; returns the actor and a summary.

    Raises DexhotError for another training's folder, FileFormatError for a damaged checkpoint.
    """
    torch.set_num_threads(1)
    free = ("options.steps", "options.corrections")
    motions: list[Any] = [*experts.seeds, fingerprint(experts)] if experts.inputs else [*experts.seeds]
    motions += [experts.policy.digest] if experts.policy else []
    claim(folder, {"options": asdict(options), "seeds": motions}, command, free)
    hands = AssistedHands(experts, options.worlds, options.acting, options.seed)
    weight, share = ADVERSARIAL.get(options.method, (options.discriminator, 0.5))
    ppo = replace(options.ppo, discriminator=weight, task_share=share)
    learner = PPO(hands, ppo, options.seed, _pairs(experts, options) if weight else None, _actor(hands, options))
    dagger = replace(options.dagger, rounds=options.corrections)
    corrections = correct(hands, learner.actor, dagger, options.seed, folder, progress) if options.corrections else {}
    if not options.steps:
        return learner.actor, {"folder": str(folder), "corrections": corrections}
    row = run_ppo(learner, folder, options.iterations, progress)
    return learner.actor, {"folder": str(folder), "corrections": corrections, "ppo": row}


def run_ppo(learner: PPO, folder: Path, iterations: int, progress: Report | None) -> dict[str, float]:
    """PPO up to so many iterations in all, from the folder's checkpoint on; its last row of figures."""
    if (folder / CHECKPOINT).is_file():
        learner.load(load_checkpoint(folder / CHECKPOINT))
    row: dict[str, float] = {}
    with Saving(folder / CHECKPOINT, learner.state, every=20) as saving:
        for row in recorded(learner.train(iterations), folder, learner.iteration):
            if progress:
                progress(learner.iteration, iterations, f"success {row.get('success', 0.0):.2f}")
            saving.after(learner.iteration, iterations)
    return row


def curve(folder: Path) -> list[tuple[int, float]]:
    """Control steps and success (the training's last 100 episodes, with its exploration) of each iteration of PPO."""
    rows = kept_rows(folder, np.iinfo(np.int64).max)
    return [(int(row["steps"]), float(row["success"])) for row in rows if "success" in row]


def samples_to_convergence(points: list[tuple[int, float]]) -> int | None:
    """Control steps after which the success of a curve stays within CONVERGED of its last value; None for a curve that
    does so at its end only, or that never succeeds."""
    last = points[-1][1] if points else 0.0
    off = [steps for steps, success in points if abs(success - last) > CONVERGED]
    later = [steps for steps, _ in points if not off or steps > off[-1]]
    return later[0] if last > 0.0 and len(later) > 1 else None


def agent_of(actor: Actor | SteadiedActor) -> Agent:
    """The mean policy, for success.success."""

    @torch.no_grad()
    def agent(seen: np.ndarray) -> np.ndarray:
        output: np.ndarray = actor(torch.as_tensor(seen[..., : actor.inputs])).numpy()
        return output

    return agent


def correct(
    hands: VectorTask,
    actor: Actor,
    options: DaggerOptions,
    seed: int,
    folder: Path,
    progress: Report | None,
) -> dict[str, float]:
    """DAgger on `actor`, resumed from the folder's checkpoint; figures of the last round."""
    dagger = Dagger(hands, actor, options, seed)
    path, row = folder / CORRECTIONS, {}
    if path.is_file():
        dagger.load(load_checkpoint(path))
    with Saving(path, dagger.state) as saving:
        for row in dagger.train():
            if progress:
                progress(dagger.round, options.rounds, f"success {row.get('success', 0.0):.2f}")
            saving.after(dagger.round, options.rounds)
    return row


def _actor(hands: AssistedHands, options: AssistTraining) -> Actor | None:
    """That of a residual agent whose expert answers for any state; else None: the plain one."""
    if hands.experts.policy is None or not hands.options.residual:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        o, limit = options.ppo, hands.options.limit
        return ExpertActor(hands.state_size, hands.action_size, o.hidden, o.std, limit)


def _pairs(experts: Experts, options: AssistTraining) -> tuple[np.ndarray, np.ndarray]:
    """The experts' states and actions, without noise: every motion once."""
    clean = AssistedHands(
        replace(experts, inputs=[]), len(experts.seeds), replace(options.acting, sigma=0.0), options.seed + 1
    )
    return expert_pairs(clean, len(experts.actions[0]))
