"""Limits of position, velocity, acceleration and jerk on what the arm is told, kept whatever is asked for.

A setpoint moves towards a goal in steps of one robot cycle. Each step first asks for what a smooth follower would do:
with e the goal's distance and u the goal's velocity,

    v_d = u + k2 e,   a_d = k1 (v_d - v)

both cut where the setpoint could not slow down again. The step is then taken only if, after it, braking as hard as
half the limits' slack allows would still end within the limits; else the setpoint brakes. So a step that leads out of
the limits is never taken, for any sequence of goals.
"""

from dataclasses import dataclass

import numpy as np

from dexhot.errors import DexhotError
from dexhot.hands.joint_table import joint_table

STEP = 1e-3  # s, one cycle of the robot
RATE1, RATE2 = (
    120.0,
    30.0,
)  # 1/s, k1 and k2: critically damped; lags by the goal's acceleration / 3600
KINDS = ("position", "velocity", "acceleration", "jerk")

# libfranka's rate_limiting.h (FR3) for joints 1 to 7: the velocity limits shrink towards the ends of the range, as
# sqrt(DECELERATION (end - q)) - OFFSET; Franka's control parameters for acceleration and jerk.
DECELERATION = np.array([12.0, 5.17, 7.0, 8.0, 34.0, 11.0, 34.0])  # rad/s2
OFFSET = np.array([0.30, 0.20, 0.20, 0.30, 0.35, 0.35, 0.35])  # rad/s
ACCELERATION = np.full(7, 10.0)  # rad/s2
JERK = np.full(7, 5000.0)  # rad/s3
MARGIN = 0.01  # rad from the ends of the range: there the velocity limits reach zero


@dataclass(frozen=True)
class MotionLimits:
    """Per joint (n,). `braking` (rad/s2, at most `acceleration`) and `reserve` (s) say how early to brake before the
    ends: a joint at velocity v must be able to stop with `braking`, `reserve` v before the end."""

    lower: np.ndarray  # rad
    upper: np.ndarray
    velocity: np.ndarray  # rad/s
    acceleration: np.ndarray  # rad/s2
    jerk: np.ndarray  # rad/s3
    braking: np.ndarray
    reserve: np.ndarray


def fr3_limits(velocity_scale: float = 1.0) -> MotionLimits:
    """The FR3's, with `velocity_scale` of its velocities."""
    joints = joint_table("fr3")
    lower, upper, velocity = (np.array([getattr(j, k) for j in joints]) for k in ("lower", "upper", "velocity"))
    return MotionLimits(
        lower + MARGIN,
        upper - MARGIN,
        0.95 * velocity_scale * velocity,  # the tracker's error is on top
        ACCELERATION,
        JERK,
        np.minimum(0.9 * ACCELERATION, 0.45 * DECELERATION),
        2.0 * OFFSET / DECELERATION,
    )


class Setpoint:
    """Where the arm is told to be: `q`, `v`, `a` (n,). `limited`: steps in which a limit held it back, by kind."""

    def __init__(self, limits: MotionLimits):
        self.limits = limits
        self.limited = dict.fromkeys(KINDS, 0)

    def reset(self, q: np.ndarray) -> None:
        """Stand still at q. Outside the position limits it may stay, and move inward only."""
        check_finite(q)
        self.q, self.v, self.a = q.copy(), np.zeros(len(q)), np.zeros(len(q))
        self.low = np.minimum(self.limits.lower, q)
        self.high = np.maximum(self.limits.upper, q)

    def step(self, goal: np.ndarray, velocity: np.ndarray) -> None:
        """One STEP towards `goal` (n,) rad that moves at `velocity` (n,) rad/s. Raises DexhotError if not finite."""
        check_finite(goal, velocity)
        L = self.limits
        self.low = np.maximum(self.low, np.minimum(L.lower, self.q))  # what has come inside stays inside
        self.high = np.minimum(self.high, np.maximum(L.upper, self.q))
        inside = np.clip(goal, L.lower, L.upper)
        velocity = np.where(inside == goal, velocity, 0.0)
        error = inside - self.q
        approach = np.sign(error) * np.minimum(RATE2 * np.abs(error), np.sqrt(L.braking * np.abs(error)))
        asked = velocity + approach
        room = np.maximum([self.high - self.q, self.q - self.low], 0.0)
        slow = self._safe_speed(room)
        wanted = np.clip(np.clip(asked, -L.velocity, L.velocity), -slow[1], slow[0])
        lack = wanted - self.v
        sharp = np.sign(lack) * np.minimum(RATE1 * np.abs(lack), np.sqrt(L.jerk * np.abs(lack)))
        dull = np.clip(sharp, -L.acceleration, L.acceleration)
        a = np.clip(dull, self.a - L.jerk * STEP, self.a + L.jerk * STEP)
        self._count(inside != goal, np.abs(asked) > L.velocity, dull != sharp, a != dull)
        a = np.where(self._viable(a), a, self._brake())
        self.v = self.v + a * STEP
        self.q = self.q + self.v * STEP
        self.a = a

    def stopping_point(self, q: np.ndarray, qd: np.ndarray) -> np.ndarray:
        """(n,) where a joint at q that moves at qd comes to rest."""
        return q + 0.5 * qd * np.abs(qd) / self.limits.braking

    def _safe_speed(self, room: np.ndarray) -> np.ndarray:
        """(2, n) speed towards each end from which to stop in `room` (2, n) with 0.8 of `braking`, smoothly."""
        b, r = 0.8 * self.limits.braking, self.limits.reserve + 0.8 * self.limits.braking / self.limits.jerk + 4 * STEP
        return np.sqrt((b * r) ** 2 + 2 * b * room) - b * r

    def _viable(self, a: np.ndarray) -> np.ndarray:
        """(n,) whether, after a step with `a`, the limits can still be kept."""
        L = self.limits
        v = self.v + a * STEP
        q = self.q + v * STEP
        side = np.array([[1.0], [-1.0]])  # towards the upper end, towards the lower end
        toward, push = side * v, side * a
        peak = toward + np.maximum(push, 0.0) ** 2 / (2 * L.jerk)
        room = np.stack([self.high - q, q - self.low])
        stop = stopping_distance(toward, push, L.braking, L.jerk) + (L.reserve + 2 * STEP) * np.maximum(peak, 0.0)
        fits = (peak <= L.velocity) & ((stop <= room) | (peak <= 0.0))
        return fits.all(axis=0)

    def _brake(self) -> np.ndarray:
        """(n,) the acceleration that leads to rest soonest."""
        L = self.limits
        s = np.where(self.v + self.a * np.abs(self.a) / (2 * L.jerk) >= 0.0, 1.0, -1.0)  # where it would come to drift
        least = np.sqrt(np.maximum(2 * L.jerk * s * self.v, 0.0))  # the deceleration that ends with the velocity
        aim = -s * np.minimum(least, L.acceleration)
        return np.clip(aim, self.a - L.jerk * STEP, self.a + L.jerk * STEP)

    def _count(self, *held: np.ndarray) -> None:
        for kind, which in zip(KINDS, held):
            self.limited[kind] += bool(which.any())


def stopping_distance(v: np.ndarray, a: np.ndarray, braking: np.ndarray, jerk: np.ndarray) -> np.ndarray:
    """How far a joint at velocity v > 0 with acceleration a goes until it rests, at most `braking` and `jerk`.

    Jerk down to -p, hold, jerk up to zero: p^2 = jerk v + a^2 / 2 if that is no more than braking^2.
    """
    reach = jerk * v + 0.5 * a * a
    p = np.maximum(np.minimum(np.sqrt(np.maximum(reach, 0.0)), braking), -a)
    t1, t3 = (a + p) / jerk, p / jerk
    t2 = np.maximum(reach - p * p, 0.0) / (jerk * p + 1e-12)
    v1 = v + (a * a - p * p) / (2 * jerk)
    v2 = v1 - p * t2
    far = (
        v * t1 + a * t1**2 / 2 - jerk * t1**3 / 6 + v1 * t2 - p * t2**2 / 2 + v2 * t3 - p * t3**2 / 2 + jerk * t3**3 / 6
    )
    short = np.maximum(v, 0.0) * np.abs(a) / jerk  # it is braking too hard already: reverses before it rests
    reverses = (a < 0) & (v <= a * a / (2 * jerk))
    return np.maximum(np.where(reverses, short, far), 0.0)


def check_finite(*values: np.ndarray) -> None:
    """Raises DexhotError when a value is not finite."""
    if not all(np.isfinite(value).all() for value in values):
        raise DexhotError("a command of the arm is not finite: it is refused.")
