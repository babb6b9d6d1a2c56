"""Limits of position, velocity, acceleration and jerk on the arm's setpoint, for any command.

A setpoint moves towards a goal in steps of one robot cycle. Each step first asks for what a smooth follower would do:
with e the goal's distance and u the goal's velocity,

    v_d = u + k2 e,   a_d = k1 (v_d - v)

both cut where the setpoint could not slow down again. The step is then taken only if, after it, braking as hard as
half the limits' slack allows would still end within the limits; else the setpoint brakes. So a step that leads out of
the limits is never taken, for any sequence of goals.
"""

from dataclasses import dataclass, fields
from math import copysign, sqrt
from typing import NamedTuple

import numpy as np

from dexhot.errors import DexhotError
from dexhot.robots.joint_table import joint_table
from dexhot.robots.joints import columns

STEP = 1e-3  # s, one cycle of the robot
COAST = 0.05  # s that the goal moves on after a command, by the command's velocity
RATE1, RATE2 = 120.0, 30.0  # 1/s, k1 and k2: critically damped; lags by the goal's acceleration / 3600
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
    lower, upper, velocity = columns(joint_table("fr3"), "lower", "upper", "velocity")
    return MotionLimits(
        lower + MARGIN,
        upper - MARGIN,
        0.95 * velocity_scale * velocity,  # the tracker's error is on top
        ACCELERATION,
        JERK,
        np.minimum(0.9 * ACCELERATION, 0.45 * DECELERATION),
        2.0 * OFFSET / DECELERATION,
    )


class _Joint(NamedTuple):
    """One joint's row of MotionLimits. Plain numbers, because they are several times faster than arrays of seven."""

    lower: float
    upper: float
    velocity: float
    acceleration: float
    jerk: float
    braking: float
    reserve: float


class Setpoint:
    """The commanded motion of the arm: `q`, `v`, `a` (n,), on its way to the goal `goal` that moves at `goal_v`.
    `limited`: steps in which a limit held it back, by kind. `age`: cycles since the last command."""

    def __init__(self, limits: MotionLimits):
        columns = [getattr(limits, field.name).tolist() for field in fields(limits)]
        self.joints = [_Joint(*row) for row in zip(*columns)]
        self.limits = limits
        self.limited = dict.fromkeys(KINDS, 0)

    def reset(self, q: np.ndarray, v: np.ndarray | None = None, a: np.ndarray | None = None) -> None:
        """Be at q, at rest unless v and a are given. Outside the position limits it may stay, and move inward only."""
        check_finite(q)
        still = np.zeros(len(q))
        self.q, self.v, self.a = q.copy(), still if v is None else v.copy(), still if a is None else a.copy()
        self.command(q, still)
        self._states = list(zip(self.q.tolist(), self.v.tolist(), self.a.tolist()))
        self._ends = [(-np.inf, np.inf)] * len(q)

    def command(self, goal: np.ndarray, velocity: np.ndarray) -> None:
        """From now on towards `goal` (n,) rad, which moves on at `velocity` (n,) rad/s for COAST."""
        self.goal, self.goal_v, self.age = goal.copy(), velocity.copy(), 0

    def advance(self, cycles: int) -> None:
        """Take this number of steps towards the goal."""
        for _ in range(cycles):
            self.age += 1
            velocity = self.goal_v if self.age * STEP < COAST else np.zeros_like(self.goal_v)
            self.goal = self.goal + velocity * STEP
            self.step(self.goal, velocity)

    def step(self, goal: np.ndarray, velocity: np.ndarray) -> None:
        """One STEP towards `goal` (n,) rad that moves at `velocity` (n,) rad/s. Raises DexhotError if not finite."""
        check_finite(goal, velocity)
        held: set[str] = set()
        for k, joint in enumerate(self.joints):
            q, v, a = self._states[k]
            low, high = self._ends[k]  # once inside, it stays inside
            low, high = max(low, min(joint.lower, q)), min(high, max(joint.upper, q))
            a = _acceleration(joint, (q, v, a), (low, high), float(goal[k]), float(velocity[k]), held)
            v += a * STEP
            self._states[k] = q + v * STEP, v, a
            self._ends[k] = low, high
        self.q, self.v, self.a = np.array(self._states).T
        for kind in held:
            self.limited[kind] += 1

    def stopping_point(self, q: np.ndarray, qd: np.ndarray) -> np.ndarray:
        """(n,) where a joint at q that moves at qd comes to rest."""
        found: np.ndarray = q + 0.5 * qd * np.abs(qd) / self.limits.braking
        return found


def _acceleration(
    joint: _Joint,
    state: tuple[float, float, float],
    ends: tuple[float, float],
    goal: float,
    velocity: float,
    held: set[str],
) -> float:
    """Of the next step; adds to `held` what kinds of limits it ran into."""
    q, v, a = state
    inside = min(max(goal, joint.lower), joint.upper)
    if inside != goal:
        held.add("position")
        velocity = 0.0
    error = inside - q
    asked = velocity + copysign(min(RATE2 * abs(error), sqrt(joint.braking * abs(error))), error)
    if abs(asked) > joint.velocity:
        held.add("velocity")
    up, down = (min(joint.velocity, _safe_speed(joint, room)) for room in (ends[1] - q, q - ends[0]))
    lack = max(-down, min(up, asked)) - v
    sharp = copysign(min(RATE1 * abs(lack), sqrt(joint.jerk * abs(lack))), lack)
    dull = max(-joint.acceleration, min(joint.acceleration, sharp))
    if dull != sharp:
        held.add("acceleration")
    change = joint.jerk * STEP
    new = max(a - change, min(a + change, dull))
    if new != dull:
        held.add("jerk")
    v_new = v + new * STEP
    q_new = q + v_new * STEP
    if _fits(joint, v_new, new, ends[1] - q_new) and _fits(joint, -v_new, -new, q_new - ends[0]):
        return new
    return max(a - change, min(a + change, _brake(joint, v, a)))


def _safe_speed(joint: _Joint, room: float) -> float:
    """Speed from which to stop within `room` with 0.8 of `braking`, smoothly."""
    b = 0.8 * joint.braking
    lead = b * (joint.reserve + b / joint.jerk + 4 * STEP)
    return sqrt(lead * lead + 2 * b * max(room, 0.0)) - lead


def _fits(joint: _Joint, v: float, a: float, room: float) -> bool:
    """Whether a joint that moves at v towards an end, `room` away, can still keep the limits there."""
    peak = v + max(a, 0.0) ** 2 / (2 * joint.jerk)
    if peak <= 0.0:
        return True
    reserve = (joint.reserve + 2 * STEP) * peak
    return peak <= joint.velocity and stopping_distance(v, a, joint.braking, joint.jerk) + reserve <= room


def _brake(joint: _Joint, v: float, a: float) -> float:
    """The acceleration that stops the joint soonest."""
    side = 1.0 if v + a * abs(a) / (2 * joint.jerk) >= 0.0 else -1.0  # direction of motion once a is zero
    least = sqrt(max(2 * joint.jerk * side * v, 0.0))  # the deceleration that ends with the velocity
    return -side * min(least, joint.acceleration)


def stopping_distance(v: float, a: float, braking: float, jerk: float) -> float:
    """Distance that a joint at velocity v with acceleration a travels until it stops, within `braking` and `jerk`.

    Jerk down to -p, hold, jerk up to zero: p^2 = jerk v + a^2 / 2 if that is no more than braking^2.
    """
    if a < 0.0 and v <= a * a / (2 * jerk):  # it brakes too hard already: it reverses before it stops
        return max(v, 0.0) * -a / jerk
    reach = max(jerk * v + 0.5 * a * a, 0.0)
    p = max(min(sqrt(reach), braking), -a)
    if p == 0.0:
        return 0.0
    t1, t2, t3 = (a + p) / jerk, max(reach - p * p, 0.0) / (jerk * p), p / jerk
    v1 = v + (a * a - p * p) / (2 * jerk)
    v2 = v1 - p * t2
    first = v * t1 + a * t1**2 / 2 - jerk * t1**3 / 6
    second = v1 * t2 - p * t2**2 / 2
    third = v2 * t3 - p * t3**2 / 2 + jerk * t3**3 / 6
    return max(first + second + third, 0.0)


def check_finite(*values: np.ndarray) -> None:
    """Raises DexhotError when a value is not finite."""
    if not all(np.isfinite(value).all() for value in values):
        raise DexhotError("a command for the arm is not finite and is rejected.")
