"""The prior over structured plans: what the search tries first, fitted to plans of training clips."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dexhot.data.files import load
from dexhot.data.types import PlanPrior, Reference
from dexhot.errors import DexhotError
from dexhot.paths import share_dir
from dexhot.planning.structured import plan_sigma

UNFITTED = 0.6  # sigma of a prior that nothing was fitted to
SHIPPED = "plan_prior.npz"


@dataclass(frozen=True)
class Prior:
    """A Gaussian over plans (D,): its mean alone is the constant correction."""

    mean: np.ndarray  # (D,)
    covariance: np.ndarray  # (D, D)

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """(count, D) plans to try: the bare reference, the mean, then draws."""
        plans = rng.multivariate_normal(self.mean, self.covariance, max(count, 2), method="cholesky")
        plans[0], plans[1] = 0.0, self.mean
        return plans[:count]


def unfitted(fingers: int) -> Prior:
    """About the bare reference, as wide as the search begins."""
    sigma = UNFITTED * plan_sigma(fingers)
    return Prior(np.zeros(len(sigma)), np.diag(sigma**2))


def fit(plans: np.ndarray, sigma: np.ndarray) -> Prior:
    """A Gaussian of plans (P, D): half of its covariance is theirs, half the diagonal alone, and no direction is
    narrower than a tenth of `sigma` (D,)."""
    if len(plans) < 2:
        raise DexhotError(f"a prior is fitted to 2 plans or more, not {len(plans)}: give more clips.")
    covariance = 0.5 * np.cov(plans.T) + 0.5 * np.diag(plans.var(axis=0)) + np.diag((0.1 * sigma) ** 2)
    return Prior(plans.mean(axis=0), covariance)


def load_prior(path: str, reference: Reference) -> Prior:
    """From a file, or "" for the shipped one; for a hand that this was not fitted for, an unfitted one. "none": the
    unfitted one. Raises DexhotError for a file that is for another hand, FileFormatError."""
    fingers = reference.q.shape[1] - 6
    shipped = share_dir() / "policies" / SHIPPED
    if path == "none" or (not path and not shipped.is_file()):
        return unfitted(fingers)
    fitted = load(Path(path) if path else shipped, PlanPrior)
    if fitted.joint_names != reference.joint_names[6:]:
        if not path:
            return unfitted(fingers)
        raise DexhotError(
            f"prior {path} is for {fitted.hand}, the reference for {reference.hand}: fit one with `dexhot train prior` "
            "or give prior:=none."
        )
    return Prior(fitted.mean, fitted.covariance)
