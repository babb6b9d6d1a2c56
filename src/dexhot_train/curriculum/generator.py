"""The homotopy path generator (DexTrack, section 3.2): a conditional diffusion model of a task's effective parents.

A task is a vector (task_vector): the motions of object, palm and fingers at PHASES phases, the object's size and mass,
and the durations. Pre-training learns what tasks look like; tuning on pairs (task, effective parent) what to change in
one. A drawn parent is made real by changing the task itself as the model changes its vector, so what the vector leaves
out, the fit of fingers to the object first of all, stays.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dexhot.control.time_warp import warp_reference
from dexhot.data.types import Reference
from dexhot.errors import DexhotError, FileFormatError
from dexhot.geometry.poses import compose, inverse, make_pose, transform
from dexhot.geometry.rotations import quat_conjugate, quat_multiply, quat_to_matrix, quat_to_rotvec, rotvec_to_quat
from dexhot.metrics.task_scores import phases
from dexhot.progress import Report
from dexhot.robots.kinematics.wrist import palm_poses, wrist_angles
from dexhot_train.curriculum.tasks import HomotopyTask, thicker, with_object
from dexhot_train.learners.checkpoint import load_checkpoint, save_checkpoint
from dexhot_train.learners.folder import CHECKPOINT, claim, recorded
from dexhot_train.learners.saving import Saving

PHASES = 8
# Largest change of a parent: factors of mass, thickness and duration; m and rad of motions.
MASS, THICKNESS, DURATION, MOVED, TURNED = (0.25, 1.5), (0.7, 1.5), (0.6, 2.0), 0.15, 0.6
LEAST_SEGMENT = 5  # frames


@dataclass(frozen=True)
class GeneratorOptions:
    """Size and length of a training; changed ones are refused when it resumes."""

    latents: int = 24  # principal components of task vectors
    hidden: tuple[int, ...] = (256, 256)
    noise_steps: int = 50
    pretraining: int = 2000  # updates on tasks
    tuning: int = 2000  # updates on pairs
    batch: int = 64
    rate: float = 1e-3  # Adam's
    save_every: int = 500
    seed: int = 0


def task_vector(task: HomotopyTask) -> np.ndarray:
    """(D,) m, rad, and logarithms of size, mass and durations; its parts are those of `_parts`."""
    r, asset = task.reference, task.setup.asset
    frames = np.rint(phases(r, PHASES)).astype(int)
    start, pose = r.object_pose[0], r.object_pose[frames]
    palm = palm_poses(r.base_quat, r.q[frames])
    turn = quat_to_rotvec(quat_multiply(pose[:, 3:], quat_conjugate(start[3:])))
    extents = np.ptp(transform(start, asset.corners), axis=0)
    durations = np.diff([0, r.grasp_start, r.grasp_end, len(r.q) - 1])
    parts = [
        pose[:, :3] - start[:3],
        turn,
        palm[:, :3] - pose[:, :3],
        quat_to_matrix(palm[:, 3:])[:, :, :2].reshape(PHASES, 6),
        r.q[frames, 6:],
        np.log(extents),
        [np.log(asset.mass)],
        np.log(np.maximum(durations, 1)),
    ]
    return np.concatenate([np.ravel(part) for part in parts])


@dataclass(frozen=True)
class VectorChange:
    """What a change (D,) of a task vector does."""

    moved: np.ndarray  # (PHASES, 3) m, of the object
    turned: np.ndarray  # (PHASES, 3) rad, of the object
    palm: np.ndarray  # (PHASES, 3) m, of the palm from the object
    fingers: np.ndarray  # (PHASES, n) rad
    thickness: float  # factor
    mass: float  # factor
    durations: np.ndarray  # (3,) factors


def _parts(change: np.ndarray, fingers: int) -> VectorChange:
    sizes = [3, 3, 3, 6, fingers]
    cuts = np.cumsum([0, *(PHASES * n for n in sizes)])
    motions = [change[a:b].reshape(PHASES, -1) for a, b in pairwise(cuts)]
    rest = change[cuts[-1] :]
    return VectorChange(
        np.clip(motions[0] - motions[0][0], -MOVED, MOVED),
        np.clip(motions[1] - motions[1][0], -TURNED, TURNED),
        np.clip(motions[2], -MOVED, MOVED),
        np.clip(motions[4], -TURNED, TURNED),
        float(np.clip(np.exp(rest[2]), *THICKNESS)),
        float(np.clip(np.exp(rest[3]), *MASS)),
        np.clip(np.exp(rest[4:7]), *DURATION),
    )


def changed(task: HomotopyTask, change: np.ndarray) -> HomotopyTask:
    """The task changed as `change` (D,) changes its vector, within limits: it starts where it did; the hand is carried
    with the object. Changes of width and of the palm's rotation are left out: fingers would not fit."""
    r = replace(task.reference, arm_q=np.zeros((0, 7)), arm_frames=np.zeros(0))
    c = _parts(change, r.q.shape[1] - 6)
    where = phases(r, PHASES)

    def at_frames(values: np.ndarray) -> np.ndarray:
        return np.stack([np.interp(np.arange(len(r.q)), where, column) for column in values.T], axis=1)

    pose = r.object_pose
    turn = rotvec_to_quat(at_frames(c.turned))
    new = make_pose(pose[:, :3] + at_frames(c.moved), quat_multiply(turn, pose[:, 3:]))
    new[:, 2] = np.maximum(new[:, 2], np.minimum(pose[:, 2], pose[0, 2]))  # not into the table
    carried = compose(new, inverse(pose))

    def hand(q: np.ndarray) -> np.ndarray:
        palm = compose(carried, palm_poses(r.base_quat, q))
        angles = wrist_angles(r.base_quat, palm[:, 3:])
        angles = q[:, 3:6] + np.mod(angles - q[:, 3:6] + np.pi, 2 * np.pi) - np.pi
        return np.concatenate([palm[:, :3] + at_frames(c.palm), angles, q[:, 6:] + at_frames(c.fingers)], axis=1)

    own = task.setup.hand
    q, target = hand(r.q), hand(r.target)
    for joints in (q, target):
        joints[:, 6:] = np.clip(joints[:, 6:], own.lower, own.upper)
    made = HomotopyTask(replace(r, name=f"{r.name}, generated", q=q, target=target, object_pose=new), task.setup)
    made = with_object(thicker(made, c.thickness), np.ones(3), c.mass)
    return replace(made, reference=warp_reference(made.reference, _frames(made.reference, c.durations)))


def _frames(r: Reference, factors: np.ndarray) -> np.ndarray:
    """Frames at which the three segments of the reference have `factors` times their durations."""
    marks = [0, r.grasp_start, r.grasp_end, len(r.q) - 1]
    parts = [np.zeros(1)]
    for (a, b), factor in zip(pairwise(marks), factors):
        if b > a:
            parts.append(np.linspace(a, b, 1 + max(min(LEAST_SEGMENT, b - a), round((b - a) * factor)))[1:])
    return np.concatenate(parts)


class Denoiser(nn.Module):
    """(N, L) noisy parents, (N,) noise levels, (N, L) tasks, (N, 1) whether there is a task -> (N, L) clean parents.
    A parent is its task, changed."""

    def __init__(self, latents: int, hidden: Sequence[int]):
        super().__init__()
        sizes = [2 * latents + 3, *hidden]
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b), nn.SiLU()]
        self.net = nn.Sequential(*layers, nn.Linear(sizes[-1], latents))

    def forward(self, noisy: Tensor, level: Tensor, task: Tensor, given: Tensor) -> Tensor:
        time = torch.stack([level, torch.sin(np.pi * level)], dim=1)
        out: Tensor = task * given + self.net(torch.cat([noisy, task * given, given, time], dim=1))
        return out


def signal(options: GeneratorOptions) -> Tensor:
    """(noise_steps + 1,) fraction of signal variance (cosine schedule, Nichol and Dhariwal 2021), from 1 to 0."""
    t = torch.linspace(0.0, 1.0, options.noise_steps + 1)
    return torch.cos(0.5 * np.pi * t).square().clamp(1e-4, 1.0)


class Generator:
    """A trained model."""

    def __init__(self, options: GeneratorOptions, mean: np.ndarray, basis: np.ndarray, spread: np.ndarray):
        """mean (D,), basis (L, D) and spread (L,) of task vectors: their principal components."""
        self.options, self.mean, self.basis, self.spread = options, mean, basis, spread
        torch.manual_seed(options.seed)
        self.net = Denoiser(len(basis), options.hidden)

    def encode(self, vectors: np.ndarray) -> np.ndarray:
        """(N, D) -> (N, L) of unit variance."""
        latent: np.ndarray = (np.atleast_2d(vectors) - self.mean) @ self.basis.T / self.spread
        return latent

    def decode(self, latent: np.ndarray) -> np.ndarray:
        """(N, L) -> (N, D)."""
        vectors: np.ndarray = self.mean + (latent * self.spread) @ self.basis
        return vectors

    @torch.no_grad()
    def draw(self, latent: np.ndarray, count: int, seed: int) -> np.ndarray:
        """(count, L) parents of a task (L,), by DDIM (Song et al. 2021) from seeded noise."""
        random = torch.Generator().manual_seed(seed)
        alpha, steps = signal(self.options), self.options.noise_steps
        x = torch.randn((count, len(latent)), generator=random)
        task = torch.as_tensor(np.repeat(latent[None], count, axis=0), dtype=torch.float32)
        given = torch.ones((count, 1))
        for k in range(steps, 0, -1):
            clean = self.net(x, torch.full((count,), k / steps), task, given)
            noise = (x - alpha[k].sqrt() * clean) / (1 - alpha[k]).clamp(min=1e-6).sqrt()
            x = alpha[k - 1].sqrt() * clean + (1 - alpha[k - 1]).clamp(min=0.0).sqrt() * noise
        drawn: np.ndarray = x.numpy().astype(float)
        return drawn

    def parents(self, task: HomotopyTask, count: int, seed: int = 0) -> list[HomotopyTask]:
        """`count` parents of a task, drawn and made real."""
        own = self.encode(task_vector(task))[0]
        changes = self.decode(self.draw(own, count, seed)) - self.decode(own[None])
        return [changed(task, change) for change in changes]

    def path(self, task: HomotopyTask, length: int, seed: int = 0) -> list[HomotopyTask]:
        """(T_K, ..., T_1): parents of parents, K = `length`."""
        found, here = [], task
        for k in range(length):
            here = self.parents(here, 1, seed + k)[0]
            here = replace(here, reference=replace(here.reference, name=f"{task.reference.name}, parent {k + 1}"))
            found.append(here)
        return found[::-1]

    def state(self) -> dict[str, Any]:
        """All that `load_generator` needs."""
        arrays = {"mean": self.mean, "basis": self.basis, "spread": self.spread}
        return arrays | {"options": asdict(self.options), "net": dict(self.net.state_dict())}


def fit_vectors(vectors: np.ndarray, latents: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, principal components and spread of task vectors (N, D). Raises DexhotError for fewer than two."""
    if len(vectors) < 2:
        raise DexhotError(f"the generator is pre-trained on 2 tasks or more, not {len(vectors)}: give more.")
    mean = vectors.mean(axis=0)
    _, values, basis = np.linalg.svd(vectors - mean, full_matrices=False)
    keep = min(latents, int((values > 1e-6 * max(values[0], 1e-12)).sum()) or 1)
    return mean, basis[:keep], np.maximum(values[:keep] / np.sqrt(len(vectors)), 1e-6)


def train_generator(
    tasks: np.ndarray,
    pairs: np.ndarray,
    options: GeneratorOptions,
    folder: Path,
    command: str = "",
    progress: Report | None = None,
) -> Generator:
    """Train on task vectors (N, D) and pairs (P, 2, D) of tasks and their parents, or go on with what `folder` has.

    The same seed gives the same weights, also when resumed. Raises DexhotError for no pairs or values that are not
    finite, FileFormatError for a damaged checkpoint.
    """
    if not len(pairs):
        raise DexhotError("the generator needs pairs of tasks and effective parents: search paths first.")
    if not (np.isfinite(tasks).all() and np.isfinite(pairs).all()):
        raise DexhotError("task vectors are not finite.")
    digest = [len(tasks), len(pairs), float(np.abs(tasks).sum()), float(np.abs(pairs).sum())]
    claim(folder, {"options": asdict(options), "data": digest}, command)
    model = Generator(
        options, *fit_vectors(np.concatenate([tasks, pairs.reshape(-1, tasks.shape[1])]), options.latents)
    )
    learner = _Learner(model, model.encode(tasks), np.stack([model.encode(side) for side in np.swapaxes(pairs, 0, 1)]))
    if (folder / CHECKPOINT).is_file():
        learner.load(load_checkpoint(folder / CHECKPOINT))
    total = (options.pretraining + options.tuning) // options.save_every or 1
    with Saving(folder / CHECKPOINT, learner.state) as saving:
        for row in recorded(learner.train(), folder, learner.iteration):
            saving.after(learner.iteration, total)
            if progress:
                progress(learner.iteration, total, f"loss {row['loss']:.3f}")
    save_checkpoint(model.state(), folder / "generator.npz")
    return model


class _Learner:
    """The loop over updates, and its state."""

    def __init__(self, model: Generator, tasks: np.ndarray, pairs: np.ndarray):
        """tasks (N, L), pairs (2, P, L)."""
        self.model, self.options = model, model.options
        self.tasks, self.pairs = (torch.as_tensor(x, dtype=torch.float32) for x in (tasks, pairs))
        self.optimiser = torch.optim.Adam(model.net.parameters(), lr=self.options.rate)
        self.random = torch.Generator().manual_seed(self.options.seed)
        self.alpha = signal(self.options)
        self.update = self.iteration = 0

    def train(self) -> Iterator[dict[str, float]]:
        """Updates to the end; yields a row every `save_every` ones."""
        o, losses = self.options, []
        last = o.pretraining + o.tuning
        while self.update < last:
            losses.append(self._step(tuning=self.update >= o.pretraining))
            self.update += 1
            if self.update % o.save_every == 0 or self.update == last:
                self.iteration += 1
                yield {"iteration": self.iteration, "steps": self.update, "loss": float(np.mean(losses))}
                losses = []

    def _step(self, tuning: bool) -> float:
        """One update: of the clean parent's squared error."""
        o, random = self.options, self.random
        rows = torch.randint(self.pairs.shape[1] if tuning else len(self.tasks), (o.batch,), generator=random)
        task, clean = (self.pairs[0][rows], self.pairs[1][rows]) if tuning else (self.tasks[rows], self.tasks[rows])
        given = torch.full((o.batch, 1), float(tuning))
        k = torch.randint(1, o.noise_steps + 1, (o.batch,), generator=random)
        alpha = self.alpha[k][:, None]
        noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * torch.randn(clean.shape, generator=random)
        loss = (self.model.net(noisy, k / o.noise_steps, task, given) - clean).square().mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return float(loss.detach())

    def state(self) -> dict[str, Any]:
        return {
            "net": dict(self.model.net.state_dict()),
            "optimiser": self.optimiser.state_dict(),
            "random": self.random.get_state(),
            "update": self.update,
            "iteration": self.iteration,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.model.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.random.set_state(state["random"])
        self.update, self.iteration = state["update"], state["iteration"]


def load_generator(path: Path) -> Generator:
    """Read one that `train_generator` wrote. Raises FileFormatError."""
    state = load_checkpoint(path)
    try:
        options = GeneratorOptions(**{**state["options"], "hidden": tuple(state["options"]["hidden"])})
        model = Generator(options, state["mean"], state["basis"], state["spread"])
        model.net.load_state_dict(state["net"])
    except (KeyError, TypeError, RuntimeError) as e:
        raise FileFormatError(
            f"{path} is not a homotopy path generator ({e}); train one with `dexhot train generator`."
        ) from e
    return model
