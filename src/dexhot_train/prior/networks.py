"""Priors over structured plans as networks: (1, F) features, (N, D) noise, (N, 1) choice -> (N, D) plans, (1, D) mean.

Each is fitted to what `tries` says of the training clips. Features are reduced to their principal components: there
are few clips.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from dexhot.errors import DexhotError
from dexhot.planning.prior import UNFITTED
from dexhot.planning.structured import plan_sigma
from dexhot_train.prior.tries import ClipTries

LATENTS = 12  # principal components of the features
NEAREST = 8  # clips of the library that a reference is given
NARROWEST = 0.1  # sigma: no direction of a spread is narrower
FAR = 3.0  # standard deviations of a key: beyond, a flow is not to be trusted
STEPS = 8  # of the flow's integration
HIDDEN, UPDATES, BATCH, RATE = (128, 128), 3000, 256, 1e-3  # of the flow's network and training
DRAWN = 512  # tries of each clip that the flow is shown
JITTER, WIDTH = 0.3, 0.3  # of the features shown to it, in standard deviations; of the averaged plans, in sigma


class Keys(nn.Module):
    """(N, F) features -> (N, L) principal components of unit variance over the training clips; a clip like none of them
    is taken for one at FAR."""

    center: Tensor
    weights: Tensor

    def __init__(self, features: np.ndarray):
        super().__init__()
        deviation = features.std(axis=0)
        scale = np.where(deviation < 1e-4, np.inf, deviation)  # what does not vary tells nothing
        _, values, basis = np.linalg.svd((features - features.mean(axis=0)) / scale, full_matrices=False)
        count = min(LATENTS, int((values > 1e-6).sum()) or 1)
        weights = basis[:count] / scale / np.maximum(values[:count, None] / np.sqrt(len(features)), 1e-9)
        self.register_buffer("center", _tensor(features.mean(axis=0)))
        self.register_buffer("weights", _tensor(weights))

    def forward(self, features: Tensor) -> Tensor:
        return torch.clamp((features - self.center) @ self.weights.T, -FAR, FAR)


class GaussianNetwork(nn.Module):
    """The same for every reference: mean (D,) and covariance (D, D) of plans."""

    middle: Tensor
    factor: Tensor

    def __init__(self, mean: np.ndarray, covariance: np.ndarray):
        super().__init__()
        self.register_buffer("middle", _tensor(mean))
        self.register_buffer("factor", _tensor(np.linalg.cholesky(covariance)))

    def forward(self, features: Tensor, noise: Tensor, choice: Tensor) -> tuple[Tensor, Tensor]:
        unused = 0.0 * features.sum() + 0.0 * choice  # every prior has the same inputs
        return self.middle + noise @ self.factor.T + unused, self.middle[None] + 0.0 * features.sum()


class LibraryNetwork(nn.Module):
    """The plans (P, D) of the clips whose keys are nearest, each in turn by choice, about them a spread (D, D); their
    mean."""

    known: Tensor
    labels: Tensor
    factor: Tensor

    def __init__(self, features: np.ndarray, plans: np.ndarray, covariance: np.ndarray):
        super().__init__()
        self.keys = Keys(features)
        self.count = min(NEAREST, len(plans))
        with torch.no_grad():
            self.register_buffer("known", self.keys(_tensor(features)))
        self.register_buffer("labels", _tensor(plans))
        self.register_buffer("factor", _tensor(np.linalg.cholesky(covariance)))

    def forward(self, features: Tensor, noise: Tensor, choice: Tensor) -> tuple[Tensor, Tensor]:
        apart = (self.known - self.keys(features)).square().sum(dim=1)
        near = self.labels[torch.topk(apart, self.count, largest=False).indices]
        which = torch.clamp((choice[:, 0] * self.count).long(), 0, self.count - 1)
        return near[which] + noise @ self.factor.T, near.mean(dim=0, keepdim=True)


class FlowNetwork(nn.Module):
    """A rectified flow (Liu et al. 2023) from the unfitted prior to plans, given the keys; its mean is where the
    bare reference, zero, flows to."""

    sigma: Tensor

    def __init__(self, features: np.ndarray, size: int, seed: int):
        super().__init__()
        torch.manual_seed(seed)
        self.keys = Keys(features)
        sizes = [size + len(self.keys.weights) + 1, *HIDDEN]
        layers: list[nn.Module] = []
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b), nn.SiLU()]
        self.body = nn.Sequential(*layers, nn.Linear(sizes[-1], size))
        self.register_buffer("sigma", _tensor(plan_sigma((size - 6) // 2)))

    def velocity(self, x: Tensor, time: Tensor, keys: Tensor) -> Tensor:
        """(N, D) in sigma, at (N, 1) time from 0 to 1."""
        out: Tensor = self.body(torch.cat([x, time, keys], dim=1))
        return out

    def flowed(self, x: Tensor, keys: Tensor) -> Tensor:
        """Where (N, D) noise, in sigma, arrives."""
        for k in range(STEPS):
            time = torch.full_like(x[:, :1], (k + 0.5) / STEPS)
            x = x + self.velocity(x, time, keys) / STEPS
        return x

    def forward(self, features: Tensor, noise: Tensor, choice: Tensor) -> tuple[Tensor, Tensor]:
        keys = self.keys(features)
        plans = self.flowed(UNFITTED * noise, keys.expand(noise.shape[0], -1)) * self.sigma + 0.0 * choice
        return plans, self.flowed(torch.zeros_like(noise[:1]), keys) * self.sigma


def fit_network(kind: str, clips: Sequence[ClipTries], seed: int = 0) -> nn.Module:
    """A prior of one of data.types.PRIORS. Raises DexhotError for fewer than two clips with a plan that survives."""
    clips = [clip for clip in clips if clip.kept]
    if len(clips) < 2:
        raise DexhotError(f"a prior is fitted to 2 plans or more, not {len(clips)}: give more clips.")
    plans, features = np.stack([clip.plan for clip in clips]), np.stack([clip.features for clip in clips])
    sigma = plan_sigma((plans.shape[1] - 6) // 2)
    if kind == "constant":
        return GaussianNetwork(plans.mean(axis=0), np.diag((UNFITTED * sigma) ** 2)).eval()
    if kind == "gaussian":
        return GaussianNetwork(plans.mean(axis=0), spread(plans, sigma)).eval()
    if kind == "library":
        return LibraryNetwork(features, plans, np.diag((WIDTH * sigma) ** 2)).eval()
    return _fit_flow(clips, features, kind == "flow_of_tries", seed).eval()


def spread(plans: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """(D, D) covariance of plans (P, D): half of it theirs, half the diagonal alone, and no direction narrower than
    NARROWEST of `sigma` (D,): there are fewer clips than directions."""
    covariance: np.ndarray = (
        0.5 * np.cov(plans.T) + 0.5 * np.diag(plans.var(axis=0)) + np.diag((NARROWEST * sigma) ** 2)
    )
    return covariance


def _fit_flow(clips: Sequence[ClipTries], features: np.ndarray, of_tries: bool, seed: int) -> FlowNetwork:
    """Flow matching: on a straight line from noise to a plan of a clip, the velocity is their difference."""
    rng, model = np.random.default_rng(seed), FlowNetwork(features, len(clips[0].plan), seed)
    with torch.no_grad():
        keys = model.keys(_tensor(features)).numpy()
    sigma = model.sigma.numpy()
    labels = _of_tries(clips, rng) / sigma if of_tries else np.stack([[clip.plan] for clip in clips]) / sigma
    width = 0.0 if of_tries else WIDTH
    optimiser = torch.optim.Adam(model.body.parameters(), lr=RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, UPDATES)
    for _ in range(UPDATES):
        rows = rng.integers(len(clips), size=BATCH)
        wanted = labels[rows, rng.integers(labels.shape[1], size=BATCH)]
        wanted = wanted + width * rng.standard_normal(wanted.shape)
        start = UNFITTED * rng.standard_normal(wanted.shape)
        time = rng.random((BATCH, 1))
        seen = keys[rows] + JITTER * rng.standard_normal((BATCH, keys.shape[1]))
        shown = [_tensor(values) for values in (start + time * (wanted - start), time, seen)]
        loss = (model.velocity(*shown) - _tensor(wanted - start)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model


def _of_tries(clips: Sequence[ClipTries], rng: np.random.Generator) -> np.ndarray:
    """(P, DRAWN, D) tries of each clip, drawn in proportion to what they are worth."""
    return np.stack([clip.plans[rng.choice(len(clip.plans), size=DRAWN, p=clip.worth())] for clip in clips])


def _tensor(values: np.ndarray) -> Tensor:
    return torch.as_tensor(np.asarray(values), dtype=torch.float32)
