"""The supervisor's checks of the arm's and hand's joints: plausible, within limits, and following their commands.

Times are those of the messages' stamps, so that a simulated rig may run slower than real time.
"""

from dataclasses import dataclass

import numpy as np

from dexhot.robots.joint_table import joint_table
from dexhot.robots.joints import columns
from dexhot.safety.machine import Event

STRAIN = (
    0.95  # of a joint's mechanical effort (joint table); the servos' current limit is below it, so that a grip may last
)


@dataclass
class Sustained:
    """A condition that triggers after lasting for `patience` s."""

    patience: float
    since: float | None = None

    def see(self, bad: bool, stamp: float) -> bool:
        """Update the condition at `stamp` (s); True when it has triggered."""
        if not bad:
            self.since = None
            return False
        if self.since is None or stamp < self.since:
            self.since = stamp
        return stamp - self.since >= self.patience


@dataclass(frozen=True)
class JointBounds:
    """Bounds of a joint group: tracking error (rad), limit violation (rad), and duration of torque saturation (s). The
    first two trigger after `patience` s."""

    divergence: float
    margin: float
    strain_time: float
    patience: float = 0.2


@dataclass(frozen=True)
class HandBounds(JointBounds):
    """Of the fingers, unless the supervisor is told otherwise: squeezing causes a smaller error."""

    divergence: float = 1.2
    margin: float = 0.2
    strain_time: float = 20.0


class JointWatch:
    """Monitors a joint group of the joint table, e.g. "fr3"."""

    def __init__(self, robot: str, bounds: JointBounds):
        joints = joint_table(robot)
        self.names = [j.name for j in joints]
        self.lower, self.upper, self.effort = columns(joints, "lower", "upper", "effort")
        self.bounds = bounds
        self.command: np.ndarray | None = None
        self._diverged, self._outside = Sustained(bounds.patience), Sustained(bounds.patience)
        self._strained = Sustained(bounds.strain_time)

    def commanded(self, q: np.ndarray | None) -> None:
        """Set the last command (n,) rad; None without one."""
        self.command = q

    def see(self, stamp: float, q: np.ndarray, effort: np.ndarray) -> tuple[Event, str] | None:
        """Process a measured state (n,); returns a problem or None."""
        error = np.zeros(len(q)) if self.command is None else np.abs(q - np.clip(self.command, self.lower, self.upper))
        if self._diverged.see(bool(error.max() > self.bounds.divergence), stamp):
            worst = int(error.argmax())
            return Event.DIVERGED, f"{self.names[worst]} has a tracking error of {error[worst]:.2f} rad"
        beyond = np.maximum(self.lower - q, q - self.upper)
        if self._outside.see(bool(beyond.max() > self.bounds.margin), stamp):
            worst = int(beyond.argmax())
            return Event.OUT_OF_LIMITS, f"{self.names[worst]} is {beyond[worst]:.2f} rad beyond its limit"
        strain = np.abs(effort) / self.effort
        driven = self.command is not None  # while holding, saturation in contact is allowed: a start resolves it
        if self._strained.see(driven and bool(strain.max() > STRAIN), stamp):
            name = self.names[int(strain.argmax())]
            return Event.STRAINED, f"{name} has been torque-saturated for {self.bounds.strain_time:g} s"
        return None


def finger_problem(robot: str, time: np.ndarray, q: np.ndarray, command: np.ndarray) -> str:
    """Why the supervisor would stop a hand at positions q (T, n) rad under a command (T, n) rad, at times (T,) s; "" if
    it would not. Torques are not looked at."""
    watch = JointWatch(robot, HandBounds())
    for stamp, measured, commanded in zip(time, q, command):
        watch.commanded(commanded)
        if problem := watch.see(float(stamp), measured, np.zeros(len(measured))):
            return problem[1]
    return ""
