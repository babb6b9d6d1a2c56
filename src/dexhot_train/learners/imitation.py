"""Behaviour cloning: a network fitted to labelled observations, with the noise of DART in what it is shown.

Students do not see the hand's own state, their last command or residual (control.observation.check_student).
"""

from dataclasses import dataclass

import numpy as np
import torch

from dexhot.control.observation import check_student
from dexhot.data.types import PolicyCard
from dexhot.errors import DexhotError
from dexhot_train.network import PolicyNetwork

DART = (0.002, 0.015, 0.03)  # m, rad, rad: sigma of the first noise, of wrist position, rotation and fingers
PERSISTENCE = 0.9  # of the noise from frame to frame: what a servo cannot average away


@dataclass(frozen=True)
class FitOptions:
    """Size and length of a fit."""

    hidden: tuple[int, ...] = (256, 256)
    epochs: int = 150
    batch: int = 256
    rate: float = 1e-3  # Adam's, decaying to zero along a cosine
    jitter: float = 0.05  # of the normalised observation, sigma
    blend: float = 0.5  # of the network's proposal per tick: a student's error is smoothed


def dart_noise(shape: tuple[int, ...], sigma: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(N, T, 6+n) noise of the executed actions, `sigma` (6+n,) m and rad, correlated in time: a demonstrator who is
    disturbed shows how to recover (Laskey et al. 2017)."""
    drawn = rng.standard_normal(shape) * sigma
    noise = np.empty(shape)
    noise[:, 0] = drawn[:, 0]
    for t in range(1, shape[1]):
        noise[:, t] = PERSISTENCE * noise[:, t - 1] + np.sqrt(1.0 - PERSISTENCE**2) * drawn[:, t]
    return noise


def first_sigma(joints: int) -> np.ndarray:
    """(6+n,) of the first noise; later that of the student's own errors is used."""
    sigma: np.ndarray = np.r_[[DART[0]] * 3, [DART[1]] * 3, [DART[2]] * (joints - 6)]
    return sigma


def clone(
    card: PolicyCard, observations: np.ndarray, labels: np.ndarray, options: FitOptions, seed: int
) -> PolicyNetwork:
    """A network fitted to `labels` (M, 6+n), residuals in m and rad, of `observations` (M, F). The same seed gives the
    same weights. Raises DexhotError for no data, labels that are not finite, or a layout that students must not see."""
    check_student([part["name"] for part in card.observation])
    if len(observations) < 2:
        raise DexhotError("there is nothing to imitate: no demonstration succeeded.")
    if not (np.isfinite(observations).all() and np.isfinite(labels).all()):
        raise DexhotError("the observations or labels to imitate are not finite.")
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = PolicyNetwork(card, options.hidden, options.blend)
    network.normalise(observations)
    seen = torch.from_numpy(observations.astype(np.float32))
    wanted = torch.clamp(torch.from_numpy(labels.astype(np.float32)) / network.limit, -1.0, 1.0)
    optimizer = torch.optim.Adam(network.parameters(), lr=options.rate)
    batches = max(1, len(seen) // options.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.epochs * batches)
    jitter = options.jitter * network.scale
    for _ in range(options.epochs):
        order = torch.randperm(len(seen), generator=generator)
        for rows in torch.tensor_split(order, batches):
            shown = seen[rows] + jitter * torch.randn(seen[rows].shape, generator=generator)
            loss = ((network.raw(shown) - wanted[rows]) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    if not all(bool(torch.isfinite(p).all()) for p in network.parameters()):
        raise DexhotError("the network's weights are not finite: the labels or the learning rate are too large.")
    return network.eval()


def error_sigma(network: PolicyNetwork, observations: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(6+n,) root mean square error of the network, m and rad: the noise under which its states are likely."""
    with torch.no_grad():
        said = torch.clamp(network.raw(torch.from_numpy(observations.astype(np.float32))), -1.0, 1.0) * network.limit
    rms: np.ndarray = np.sqrt(np.square(said.numpy() - labels).mean(axis=0))
    return rms
