"""Limits of position, velocity, acceleration and jerk on the arm's setpoint, for any command.

A setpoint moves towards a goal in steps of one robot cycle. Each step first asks for what a smooth follower would do:
with e the goal's distance and u the goal's velocity,

    v_d = u + k2 e,   a_d = k1 (v_d - v)

both cut where the setpoint could not slow down again. The step is then taken only if, after it, braking as hard as
half the limits' slack allows would still end within the limits; else the setpoint brakes. So a step that leads out of
the limits is never taken, for any sequence of goals.
"""

from collections.abc import Sequence
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
POSITION, VELOCITY, ACCELERATION_FLAG, JERK_FLAG = 1, 2, 4, 8
FLAGS = {"position": POSITION, "velocity": VELOCITY, "acceleration": ACCELERATION_FLAG, "jerk": JERK_FLAG}
KINDS = tuple(FLAGS)

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
        """Take `cycles` steps towards the goal. Raises DexhotError, and moves nothing, if the goal is not finite."""
        check_finite(self.goal, self.goal_v)
        ages = range(self.age + 1, self.age + 1 + cycles)
        paths: list[list[tuple[float, float]]] = []
        for goal, velocity in zip(self.goal.tolist(), self.goal_v.tolist()):
            path = []
            for age in ages:
                moving = velocity if age * STEP < COAST else 0.0
                goal += moving * STEP
                path.append((goal, moving))
            paths.append(path)
        if cycles:
            self.age += cycles
            self.goal = np.array([path[-1][0] for path in paths])
            self._walk(paths)

    def step(self, goal: np.ndarray, velocity: np.ndarray) -> None:
        """One STEP towards `goal` (n,) rad that moves at `velocity` (n,) rad/s. Raises DexhotError if not finite."""
        check_finite(goal, velocity)
        self._walk([[there] for there in zip(goal.tolist(), velocity.tolist())])

    def _walk(self, paths: list[list[tuple[float, float]]]) -> None:
        """Steps of every joint towards its goals, (rad, rad/s) each; the joints do not depend on each other."""
        held = [0] * len(paths[0])
        for k, (joint, path) in enumerate(zip(self.joints, paths)):
            self._states[k], self._ends[k] = _walk(joint, self._states[k], self._ends[k], path, held)
        self.q, self.v, self.a = np.array(self._states).T
        for flags in filter(None, held):
            for kind, flag in FLAGS.items():
                self.limited[kind] += bool(flags & flag)

    def stopping_point(self, q: np.ndarray, qd: np.ndarray) -> np.ndarray:
        """(n,) where a joint at q that moves at qd comes to rest."""
        found: np.ndarray = q + 0.5 * qd * np.abs(qd) / self.limits.braking
        return found


def _walk(
    joint: _Joint,
    state: tuple[float, float, float],
    ends: tuple[float, float],
    path: Sequence[tuple[float, float]],
    held: list[int],
) -> tuple[tuple[float, float, float], tuple[float, float]]:
    """A step of STEP towards each goal (rad, rad/s) of `path`: the state (q, v, a) and the ends afterwards; adds to
    `held` by step which limits (FLAGS) held it back.

    It runs 7000 times a second, so it is one loop, with comparisons in place of min and max.
    """
    q, v, a = state
    low, high = ends
    lower, upper, limit, acceleration, jerk, braking, _ = joint
    change = jerk * STEP
    for k, (goal, velocity) in enumerate(path):
        low, high = max(low, min(lower, q)), min(high, max(upper, q))  # once inside, it stays inside
        flags = 0
        inside = lower if goal < lower else upper if goal > upper else goal
        if inside != goal:
            flags, velocity = POSITION, 0.0
        error = inside - q
        far = error if error >= 0.0 else -error
        smooth, sharp = RATE2 * far, sqrt(braking * far)
        asked = velocity + copysign(smooth if smooth <= sharp else sharp, error)
        if not -limit <= asked <= limit:
            flags |= VELOCITY
        if asked >= 0.0:  # no faster than it can stop before the end ahead of it
            lack = min(limit, _safe_speed(joint, high - q), asked) - v
        else:
            lack = max(-limit, -_safe_speed(joint, q - low), asked) - v
        far = lack if lack >= 0.0 else -lack
        smooth, sharp = RATE1 * far, sqrt(jerk * far)
        wanted = copysign(smooth if smooth <= sharp else sharp, lack)
        cut = acceleration if wanted > acceleration else -acceleration if wanted < -acceleration else wanted
        if cut != wanted:
            flags |= ACCELERATION_FLAG
        least, most = a - change, a + change
        new = least if cut < least else most if cut > most else cut
        if new != cut:
            flags |= JERK_FLAG
        v_new = v + new * STEP
        q_new = q + v_new * STEP
        if not (_fits(joint, v_new, new, high - q_new) and _fits(joint, -v_new, -new, q_new - low)):
            new = max(least, min(most, _brake(joint, v, a)))
            v_new = v + new * STEP
            q_new = q + v_new * STEP
        q, v, a = q_new, v_new, new
        held[k] |= flags
    return (q, v, a), (low, high)


def _safe_speed(joint: _Joint, room: float) -> float:
    """Speed from which to stop within `room` with 0.8 of `braking`, smoothly."""
    b = 0.8 * joint.braking
    lead = b * (joint.reserve + b / joint.jerk + 4 * STEP)
    return sqrt(lead * lead + 2 * b * max(room, 0.0)) - lead


def _fits(joint: _Joint, v: float, a: float, room: float) -> bool:
    """Whether a joint that moves at v towards an end, `room` away, can still keep the limits there."""
    peak = v + a**2 / (2 * joint.jerk) if a > 0.0 else v
    if peak <= 0.0:
        return True
    if peak > joint.velocity:
        return False
    reserve = (joint.reserve + 2 * STEP) * peak
    return _surely_fits(joint, peak, a, room) or (stopping_distance(v, a, joint.braking, joint.jerk) + reserve <= room)


def _surely_fits(joint: _Joint, peak: float, a: float, room: float) -> bool:
    """A cheaper condition that implies the exact one: the phases of `stopping_distance` all at the peak velocity, each
    as long as it can be. Far from the ends it decides."""
    hardest = joint.braking if joint.braking > abs(a) else abs(a)
    longest = 3 * hardest / joint.jerk + (peak + hardest * hardest / (2 * joint.jerk)) / joint.braking
    return 1.001 * peak * (longest + joint.reserve + 2 * STEP) < room


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
