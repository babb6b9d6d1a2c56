"""The prior over structured plans: what the search tries first.

A fitted one is a network, features of the reference and noise to plans, as an ONNX file with its card: `dexhot train
prior`. Nothing fitted: a Gaussian about the bare reference.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from dexhot.control.onnx_file import check_sizes, load_card, onnx_files, open_onnx
from dexhot.data.types import PriorCard, Reference
from dexhot.errors import DexhotError
from dexhot.objects.asset import ObjectAsset
from dexhot.paths import share_dir
from dexhot.planning.plan_features import plan_features, plan_layout
from dexhot.planning.structured import plan_sigma
from dexhot.robots.robot_hand import load_hand

UNFITTED = 0.6  # sigma of a prior that nothing was fitted to
SHIPPED = "plan_prior.onnx"
# (1, F) features of the reference, (N, D) normal and (N, 1) uniform noise -> (N, D) plans, (1, D) their mean
PlanNetwork = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


class Prior(Protocol):
    """Proposes plans of one reference."""

    @property
    def mean(self) -> np.ndarray:
        """(D,) alone it is the constant correction, or what is expected of this reference."""

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """(count, D) plans to try: the bare reference, the mean, then draws."""


@dataclass(frozen=True)
class Gaussian:
    """The same for every reference."""

    mean: np.ndarray  # (D,)
    covariance: np.ndarray  # (D, D)

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """As of Prior."""
        plans = rng.multivariate_normal(self.mean, self.covariance, max(count, 2), method="cholesky")
        plans[0], plans[1] = 0.0, self.mean
        return plans[:count]


class NetworkPrior:
    """A network's proposals for one reference."""

    def __init__(self, network: PlanNetwork, features: np.ndarray, size: int):
        """features (F,) of the reference; size D of a plan."""
        self.network, self.features, self.size = network, features[None].astype(np.float32), size
        self.mean = self._asked(np.zeros((1, size)), np.zeros((1, 1)))[1][0]

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """As of Prior."""
        rows = max(count, 2)
        plans, _ = self._asked(rng.standard_normal((rows, self.size)), rng.random((rows, 1)))
        plans[0], plans[1] = 0.0, self.mean
        return plans[:count]

    def _asked(self, noise: np.ndarray, choice: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        plans, mean = self.network(self.features, noise.astype(np.float32), choice.astype(np.float32))
        return np.array(plans, float), np.array(mean, float)


def unfitted(fingers: int) -> Gaussian:
    """About the bare reference, as wide as the search begins."""
    sigma = UNFITTED * plan_sigma(fingers)
    return Gaussian(np.zeros(len(sigma)), np.diag(sigma**2))


def load_prior(path: str, reference: Reference, asset: ObjectAsset) -> Prior:
    """From a file, or "" for the shipped one; for a hand that this was not fitted for, an unfitted one. "none": the
    unfitted one. Raises DexhotError for a file that is for another hand or other features, FileFormatError."""
    fingers = reference.q.shape[1] - 6
    if (found := _chosen(path, reference.hand)) is None:
        return unfitted(fingers)
    network, fitted = found
    if fitted.features != plan_layout(load_hand(reference.hand)):
        raise DexhotError(
            f"prior {fitted.name} knows other features of a clip than this version computes: fit it again with "
            "`dexhot train prior`, or give prior:=none."
        )
    session, size = open_onnx(network, fitted.name, fitted.onnx_sha256), len(plan_sigma(fingers))
    known = sum(int(part["size"]) for part in fitted.features)
    check_sizes(network, session, {"features": known, "noise": size, "choice": 1}, {"plans": size, "mean": size})

    def run(features: np.ndarray, noise: np.ndarray, choice: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        plans, mean = session.run(["plans", "mean"], {"features": features, "noise": noise, "choice": choice})
        return plans, mean

    return NetworkPrior(run, plan_features(reference, asset), size)


def _chosen(path: str, hand: str) -> tuple[Path, PriorCard] | None:
    """The .onnx file of the prior of `load_prior` and its card; None for the unfitted one."""
    shipped = share_dir() / "policies" / SHIPPED
    if path == "none" or (not path and not shipped.is_file()):
        return None
    network, card = prior_files(path or shipped)
    fitted = load_card(network, card, PriorCard)
    if fitted.joint_names == list(load_hand(hand).joint_names):
        return network, fitted
    if not path:
        return None
    raise DexhotError(
        f"prior {path} is for {fitted.hand}, the reference for {hand}: fit one with `dexhot train prior` or give "
        "prior:=none."
    )


def prior_named(path: str, hand: str) -> str:
    """Which prior `load_prior` takes for references of `hand`, for people to read."""
    if (found := _chosen(path, hand)) is None:
        return "unfitted"
    network, card = found
    return f"{card.name} ({'' if path else 'shipped, '}{network.name}, sha256 {card.onnx_sha256[:12]})"


def prior_files(path: str | Path) -> tuple[Path, Path]:
    """(.onnx, .json) of a fitted prior named by either. Raises FileFormatError where one of them is missing."""
    return onnx_files(path, "prior")
