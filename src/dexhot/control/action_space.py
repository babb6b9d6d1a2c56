"""Action spaces: how a policy's output u, one number in [-1, 1] per joint, becomes position targets.

residual     the residual goes towards limit * u, by at most `step` per tick; target = baseline + residual
cumulative   residual += step * u (DexTrack, section 3.1); target = baseline + residual

A residual never exceeds +-limit, whatever the output: the bound is part of the space, not of the policy. It is a
policy's explicit input and output, zero at the start.
"""

from dataclasses import dataclass

import numpy as np

from dexhot.control.policy import RESIDUAL_LIMIT, RESIDUAL_STEP, limits
from dexhot.errors import NotFoundError

KINDS = ("residual", "cumulative")


@dataclass(frozen=True)
class ActionSpace:
    """Sizes are those of the hand vector (6+n)."""

    kind: str
    limit: np.ndarray  # (6+n,) m and rad
    step: np.ndarray  # (6+n,) m and rad per tick

    def residual(self, u: np.ndarray, residual: np.ndarray) -> np.ndarray:
        """The next residual (..., 6+n) after outputs u (..., 6+n)."""
        u = np.clip(u, -1.0, 1.0)
        change = self.step * u if self.kind == "cumulative" else self.limit * u - residual
        following: np.ndarray = np.clip(residual + np.clip(change, -self.step, self.step), -self.limit, self.limit)
        return following

    def output(self, wanted: np.ndarray, residual: np.ndarray) -> np.ndarray:
        """The output u (..., 6+n) in [-1, 1] that leads nearest to the residual `wanted`: the label of an expert's
        action."""
        u = (wanted - residual) / self.step if self.kind == "cumulative" else wanted / self.limit
        clipped: np.ndarray = np.clip(u, -1.0, 1.0)
        return clipped


def action_space(kind: str, fingers: int, factor: float = 1.0) -> ActionSpace:
    """The space `kind` for a hand of n finger joints about a baseline; `factor` scales limits and steps.

    Raises NotFoundError for an unknown kind.
    """
    if kind not in KINDS:
        raise NotFoundError("action space", kind, KINDS)
    limit, step = (factor * np.array(limits(fingers, *x)) for x in (RESIDUAL_LIMIT, RESIDUAL_STEP))
    return ActionSpace(kind, limit, step)
