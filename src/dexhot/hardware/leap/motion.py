"""Does a LEAP hand move as its goals and its currents say? Encoders, motors and horns, judged by physics alone.

A motor's current limit is small, so an error of `driven` makes it work near that limit, and a sound joint then moves or
presses on something. A motor that takes no current there is limp, or runs away unseen because its encoder is frozen:
what it takes to turn freely is little. One that pulls hard
holds something, or is at its stop, and stays as it is: unless it has pulled both ways without a count of its encoder,
or pulls in the opening direction, where there is nothing to hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dexhot.robots.joints import Joint
from dexhot.robots.servos import profile

SERVO = profile("leap")
SLOWEST = 0.05  # s: the most that one reading counts for, however late it comes
BENDING = ("_forward", "_pip", "_dip")  # joints whose positive direction closes the hand


@dataclass(frozen=True)
class Bounds:
    """Beyond these, something is broken. Currents are fractions of the motors' current limit."""

    jump: float = 0.25  # rad between two readings, beyond what `speed` allows
    speed: float = 17.0  # rad/s: twice the no-load speed of the motors
    beyond: float = 0.5  # rad outside the joint table's limits; the fingers' stops are some 0.1 rad outside
    driven: float = 0.08  # rad from the goal
    lag: float = SERVO.damping / SERVO.stiffness  # s: rad behind its goal, per rad/s, when it moves without current
    strong: float = 0.8  # current of a motor that works at its limit
    weak: float = 0.55  # current that a motor so far from its goal must exceed
    pulls: float = 0.6  # current, one way and then the other, that must move a joint by a count
    slow: float = 1.0  # rad/s
    still: float = 0.3  # rad/s
    frozen_for: float = 0.05  # s
    limp_for: float = 0.1  # s
    blocked_for: float = 0.1  # s


@dataclass(frozen=True)
class Broken:
    """A joint's index and why; `distrusted`: its encoder is wrong, so its torque has to go."""

    index: int
    why: str
    distrusted: bool


class MotionCheck:
    """Readings in joint coordinates, one after the other. `patience` stretches all times, for a slow simulation."""

    def __init__(self, joints: Sequence[Joint], current: float, bounds: Bounds | None = None, patience: float = 1.0):
        """`current` (A): the motors' limit."""
        self.names = [j.name for j in joints]
        self.lower, self.upper = (np.array([getattr(j, end) for j in joints]) for end in ("lower", "upper"))
        self.closing = np.array([float(j.name.endswith(BENDING)) for j in joints])
        self.current, self.bounds, self.patience = current, bounds or Bounds(), patience
        self.restart()

    def restart(self) -> None:
        """What was read before counts no more: torque comes on, or the hand was given up for a while."""
        n = len(self.names)
        self._last: tuple[float, np.ndarray] | None = None  # steady time and q of the last plausible reading
        self._seen: tuple[float, np.ndarray, np.ndarray] | None = None  # time, q, current of the last `see`
        self._most, self._least = np.zeros((2, n))  # current since the position last changed
        self._frozen, self._limp, self._blocked = np.zeros((3, n))  # s that each has lasted

    def jump(self, now: float, q: np.ndarray) -> Broken | None:
        """Whether a joint cannot have come to q (n,) rad since the last reading that could be."""
        b, last = self.bounds, self._last
        if last is not None and np.abs(q - last[1]).max() <= b.jump:  # nearly always; cheap, for every cycle
            self._last = now, q
            return None
        wrong = np.maximum(self.lower - q, q - self.upper) > b.beyond
        if last is not None:
            wrong |= np.abs(q - last[1]) > b.jump + b.speed * (now - last[0])
        if not wrong.any():
            self._last = now, q
            return None
        index = int(wrong.argmax())
        was = "" if last is None else f"from {last[1][index]:.2f} "
        return Broken(
            index, f"its position jumps {was}to {q[index]:.2f} rad, which only a restart or a broken encoder does", True
        )

    def see(self, now: float, q: np.ndarray, qd: np.ndarray, current: np.ndarray, goal: np.ndarray) -> Broken | None:
        """What is wrong with a joint under torque: q, goal (n,) rad, qd (n,) rad/s, current (n,) A, positive closes.

        A reading that is the same as the last in every joint proves nothing: a slow simulation stands still.
        """
        b, last, share = self.bounds, self._seen, current / self.current
        self._seen = now, q, share
        if last is None:
            self._most = self._least = share
            return None
        moved = q != last[1]
        if not (moved.any() or (share != last[2]).any()):
            return None
        dt = min(now - last[0], SLOWEST) / self.patience
        error, strength, still = goal - q, np.abs(share), np.abs(qd) < b.still
        self._most = np.where(moved, share, np.maximum(self._most, share))
        self._least = np.where(moved, share, np.minimum(self._least, share))
        frozen = (strength >= b.pulls) & (np.minimum(self._most, -self._least) >= b.pulls)
        pulled = np.minimum(np.abs(error), np.abs(error - b.lag * qd)) >= b.driven
        limp = pulled & (np.abs(qd) < b.slow) & (strength < b.weak)
        blocked = still & (self.closing * error <= -b.driven) & (share <= -b.strong)
        self._frozen = np.where(frozen, self._frozen + dt, 0.0)
        self._limp = np.where(limp, self._limp + dt, 0.0)
        self._blocked = np.where(blocked, self._blocked + dt, 0.0)
        if (self._frozen >= b.frozen_for).any():
            index = int(self._frozen.argmax())
            return Broken(
                index, "its encoder stands still, pulled one way and the other: frozen, or the joint is stuck", True
            )
        if (self._limp >= b.limp_for).any():
            index = int(self._limp.argmax())
            far = f"{error[index]:+.2f} rad from its goal"
            return Broken(index, f"{far} its motor takes no current: it is limp, or its encoder is frozen", True)
        if (self._blocked >= b.blocked_for).any():
            index = int(self._blocked.argmax())
            return Broken(
                index,
                f"it does not open, {-error[index]:.2f} rad from its goal at full current, as after its horn has "
                "slipped, or with something in the way",
                False,
            )
        return None
