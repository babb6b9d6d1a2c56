"""Action spaces: how a policy's output u, one number in [-1, 1] per joint, becomes position targets.

residual     target = baseline + scale * u
cumulative   total += rate * u, limited to +-scale; target = baseline + total (DexTrack, section 3.1)
full         target = center + scale * u: no baseline

An action beyond +-1 counts as +-1, so a residual never exceeds `scale`: the bound is part of the space, not of the
policy. The total of a cumulative space is a policy's explicit input and output; it is zero at the start.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dexhot.errors import NotFoundError

KINDS = ("residual", "cumulative", "full")
SCALE_POSITION, SCALE_ROTATION, SCALE_FINGER = 0.02, 0.15, 0.35  # m, rad, rad: largest correction of a baseline
RATE = 0.1  # per step, in units of the largest correction: ten steps of 60 Hz reach it


@dataclass(frozen=True)
class ActionSpace:
    """Sizes are those of the hand vector (6+n)."""

    kind: str
    scale: np.ndarray  # (6+n,) m and rad
    rate: np.ndarray  # (6+n,) m and rad per step; of a cumulative space
    center: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (6+n,) of a full space

    def target(self, u: np.ndarray, baseline: np.ndarray, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Targets (..., 6+n) of outputs u (..., 6+n), and the new totals."""
        u = np.clip(u, -1.0, 1.0)
        if self.kind == "cumulative":
            total = np.clip(total + self.rate * u, -self.scale, self.scale)
            return baseline + total, total
        return (self.center if self.kind == "full" else baseline) + self.scale * u, total

    def output(self, target: np.ndarray, baseline: np.ndarray, total: np.ndarray) -> np.ndarray:
        """The output u (..., 6+n) in [-1, 1] that comes nearest to `target`: the label of an expert's action."""
        if self.kind == "cumulative":
            u = (target - baseline - total) / self.rate
        else:
            u = (target - (self.center if self.kind == "full" else baseline)) / self.scale
        clipped: np.ndarray = np.clip(u, -1.0, 1.0)
        return clipped

    def described(self) -> dict[str, Any]:
        """As a policy's card states it."""
        return {
            "kind": self.kind,
            "scale": [round(float(x), 6) for x in self.scale],
            "rate": [round(float(x), 6) for x in self.rate] if self.kind == "cumulative" else [],
            "center": [round(float(x), 6) for x in self.center],
        }


def action_space(kind: str, fingers: int, factor: float = 1.0) -> ActionSpace:
    """The space `kind` for a hand of n finger joints about a baseline; `factor` scales the largest correction.

    Raises NotFoundError for an unknown kind, or "full", which needs joint ranges (`of_range`).
    """
    if kind not in KINDS[:2]:
        raise NotFoundError("action space", kind, KINDS[:2])
    scale = factor * np.r_[[SCALE_POSITION] * 3, [SCALE_ROTATION] * 3, [SCALE_FINGER] * fingers]
    return ActionSpace(kind, scale, RATE * scale)


def of_range(kind: str, lower: np.ndarray, upper: np.ndarray, fraction: float = 0.2) -> ActionSpace:
    """A residual of at most `fraction` of the range lower to upper (6+n,), or a full action over all of it."""
    half = 0.5 * (np.asarray(upper, float) - np.asarray(lower, float))
    if kind == "full":
        return ActionSpace(kind, half, half, np.asarray(lower, float) + half)
    if kind != "residual":
        raise NotFoundError("action space of a joint range", kind, ("residual", "full"))
    return ActionSpace(kind, 2.0 * fraction * half, 2.0 * fraction * half)
