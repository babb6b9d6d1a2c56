"""Plausibility of a LEAP hand's motion given goals and currents: detects faults of encoders, motors and horns.

A motor's current limit is small, so a position error of `driven` takes it near that limit, and a healthy joint then
moves or presses on something. A motor without current there is limp, or runs freely behind a frozen encoder, which
takes little current. A motor at high current holds something or is at its stop, which is no fault, unless it has
pulled in both directions without an encoder count, or pulls in the opening direction, where there is nothing to hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dexhot.robots.joints import Joint
from dexhot.robots.servos import profile

SERVO = profile("leap")
SLOWEST = 0.05  # s, largest time step credited to one reading
BENDING = ("_forward", "_pip", "_dip")  # joints that close the hand in their positive direction


@dataclass(frozen=True)
class Bounds:
    """Limits of plausible motion. Currents are fractions of the motors' current limit."""

    jump: float = 0.25  # rad between two readings, in addition to `speed`
    speed: float = 17.0  # rad/s: twice the no-load speed of the motors
    beyond: float = 0.5  # rad outside the joint table's limits; the mechanical stops are about 0.1 rad outside
    driven: float = 0.08  # rad, position error above which a motor must take current
    lag: float = SERVO.damping / SERVO.stiffness  # s: rad behind its goal, per rad/s, when it moves without current
    strong: float = 0.8  # current of a saturated motor
    weak: float = 0.55  # minimum current at a position error of `driven`
    pulls: float = 0.6  # current in both directions that must move a joint by a count
    slow: float = 1.0  # rad/s
    still: float = 0.3  # rad/s
    frozen_for: float = 0.05  # s
    limp_for: float = 0.1  # s
    blocked_for: float = 0.1  # s


@dataclass(frozen=True)
class Broken:
    """A faulty joint's index and the reason; `distrusted`: its encoder is faulty, so its torque must be off."""

    index: int
    why: str
    distrusted: bool


class MotionCheck:
    """Checks successive readings in joint coordinates. `patience` scales all times, for a slow simulation."""

    def __init__(self, joints: Sequence[Joint], current: float, bounds: Bounds | None = None, patience: float = 1.0):
        """current: the motors' current limit, A."""
        self.names = [j.name for j in joints]
        self.lower, self.upper = (np.array([getattr(j, end) for j in joints]) for end in ("lower", "upper"))
        self.closing = np.array([float(j.name.endswith(BENDING)) for j in joints])
        self.current, self.bounds, self.patience = current, bounds or Bounds(), patience
        self.restart()

    def restart(self) -> None:
        """Forget earlier readings: torque was switched on, or the hand had failed."""
        n = len(self.names)
        self._last: tuple[float, np.ndarray] | None = None  # of the last plausible reading: since when; q
        self._seen: tuple[float, np.ndarray, np.ndarray] | None = None  # time, q, current of the last `see`
        self._most, self._least = np.zeros((2, n))  # current since the position last changed
        self._frozen, self._limp, self._blocked = np.zeros((3, n))  # s, duration of each condition

    def jump(self, asked: float, now: float, q: np.ndarray) -> Broken | None:
        """A joint that cannot have reached q (n,) rad since the last plausible reading, or None.

        The servos measured q between `asked` and `now`, monotonic s: a busy host may read a reply long after it came.
        """
        b, last = self.bounds, self._last
        if last is not None and np.abs(q - last[1]).max() <= b.jump:  # the usual case; cheap, for every cycle
            self._last = asked, q
            return None
        wrong = np.maximum(self.lower - q, q - self.upper) > b.beyond
        if last is not None:
            wrong |= np.abs(q - last[1]) > b.jump + b.speed * (now - last[0])
        if not wrong.any():
            self._last = asked, q
            return None
        index = int(wrong.argmax())
        was = "" if last is None else f"from {last[1][index]:.2f} "
        return Broken(
            index, f"its position jumps {was}to {q[index]:.2f} rad: it restarted, or its encoder is faulty", True
        )

    def see(self, now: float, q: np.ndarray, qd: np.ndarray, current: np.ndarray, goal: np.ndarray) -> Broken | None:
        """A faulty joint under torque, or None: q, goal (n,) rad, qd (n,) rad/s, current (n,) A, positive closes.

        A reading equal to the last in every joint is no evidence: a slow simulation may pause.
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
                index,
                "its encoder does not change while the motor pulls in both directions: frozen encoder, or stuck joint",
                True,
            )
        if (self._limp >= b.limp_for).any():
            index = int(self._limp.argmax())
            far = f"{error[index]:+.2f} rad from its goal"
            return Broken(index, f"its motor takes no current {far}: limp motor, or frozen encoder", True)
        if (self._blocked >= b.blocked_for).any():
            index = int(self._blocked.argmax())
            return Broken(
                index,
                f"it does not open, {-error[index]:.2f} rad from its goal at full current: slipped horn, or an "
                "obstacle",
                False,
            )
        return None
