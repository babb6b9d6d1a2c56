"""Action spaces: how a policy's output u, one number in [-1, 1] per joint, becomes position targets.

residual     the residual goes towards limit * u, by at most `step` per tick; target = baseline + residual
cumulative   residual += step * u (DexTrack, section 3.1); target = baseline + residual
full         target = center + limit * u: no baseline

A residual never exceeds +-limit, whatever the output: the bound is part of the space, not of the policy. It is a
policy's explicit input and output, zero at the start.
"""

from dataclasses import dataclass, field

import numpy as np

from dexhot.control.policy import RESIDUAL_LIMIT, RESIDUAL_STEP, limits
from dexhot.errors import NotFoundError

KINDS = ("residual", "cumulative", "full")


@dataclass(frozen=True)
class ActionSpace:
    """Sizes are those of the hand vector (6+n)."""

    kind: str
    limit: np.ndarray  # (6+n,) m and rad
    step: np.ndarray  # (6+n,) m and rad per tick
    center: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (6+n,) of a full space

    def residual(self, u: np.ndarray, residual: np.ndarray) -> np.ndarray:
        """The next residual (..., 6+n) after outputs u (..., 6+n)."""
        u = np.clip(u, -1.0, 1.0)
        change = self.step * u if self.kind == "cumulative" else self.limit * u - residual
        following: np.ndarray = np.clip(residual + np.clip(change, -self.step, self.step), -self.limit, self.limit)
        return following

    def target(self, u: np.ndarray) -> np.ndarray:
        """(..., 6+n) targets of a full space."""
        full: np.ndarray = self.center + self.limit * np.clip(u, -1.0, 1.0)
        return full

    def output(self, wanted: np.ndarray, residual: np.ndarray) -> np.ndarray:
        """The output u (..., 6+n) in [-1, 1] that leads nearest to the residual `wanted` (of a full space: the target):
        the label of an expert's action."""
        if self.kind == "cumulative":
            u = (wanted - residual) / self.step
        else:
            u = (wanted - self.center if self.kind == "full" else wanted) / self.limit
        clipped: np.ndarray = np.clip(u, -1.0, 1.0)
        return clipped


def action_space(kind: str, fingers: int, factor: float = 1.0) -> ActionSpace:
    """The space `kind` for a hand of n finger joints about a baseline; `factor` scales limits and steps.

    Raises NotFoundError for an unknown kind, or "full", which needs joint ranges (`of_range`).
    """
    if kind not in KINDS[:2]:
        raise NotFoundError("action space", kind, KINDS[:2])
    limit, step = (factor * np.array(limits(fingers, *x)) for x in (RESIDUAL_LIMIT, RESIDUAL_STEP))
    return ActionSpace(kind, limit, step)


def of_range(kind: str, lower: np.ndarray, upper: np.ndarray, fraction: float = 0.2) -> ActionSpace:
    """A residual of at most `fraction` of the range lower to upper (6+n,), reached at once (residual hand agent, IV),
    or a full action over all of it. Raises NotFoundError for another kind."""
    span = np.asarray(upper, float) - np.asarray(lower, float)
    at_once = np.full(len(span), np.inf)
    if kind == "full":
        return ActionSpace(kind, 0.5 * span, at_once, np.asarray(lower, float) + 0.5 * span)
    if kind != "residual":
        raise NotFoundError("action space of a joint range", kind, ("residual", "full"))
    return ActionSpace(kind, fraction * span, at_once)
