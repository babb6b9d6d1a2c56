"""Position and velocity limits of a joint group, applied to commands."""

from dataclasses import dataclass

import numpy as np

from dexhot.robots.joint_table import joint_table
from dexhot.robots.joints import columns


@dataclass
class Limits:
    """Limits of a joint group; `apply` clamps a command and counts the clamped entries."""

    lower: np.ndarray  # (n,) rad
    upper: np.ndarray  # (n,) rad
    velocity: np.ndarray  # (n,) rad/s
    effort: np.ndarray  # (n,) N m
    clamped: int = 0

    @classmethod
    def of(cls, robot: str, velocity_scale: float = 1.0) -> "Limits":
        """The limits in the joint table of `robot`, e.g. "leap_right" or "fr3"."""
        lower, upper, velocity, effort = columns(joint_table(robot), "lower", "upper", "velocity", "effort")
        return cls(lower, upper, velocity * velocity_scale, effort)

    def apply(self, command: np.ndarray, previous: np.ndarray, dt: float) -> np.ndarray:
        """`command` (n,) within the position limits and within velocity * dt of `previous`, the last command."""
        step = self.velocity * dt
        safe: np.ndarray = np.minimum(np.maximum(command, previous - step), previous + step)
        safe = np.minimum(np.maximum(safe, self.lower), self.upper)
        self.clamped += int((np.abs(safe - command) > 1e-9).sum())
        return safe
