"""A clip slowed down where the robot cannot keep up, and only there.

People move faster than an FR3 accelerates. The time map says which frame of the clip the robot shows at each of its own
60 Hz ticks. It begins at the person's speed; wherever a joint would pass its share of a limit of velocity, acceleration
or jerk, the clip around that frame is stretched, until no joint does.
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from dexhot.data.types import RATE
from dexhot.errors import UnreachableError
from dexhot.hardware.franka.limits import MotionLimits
from dexhot.robots.arm import FR3_JOINTS

SHARE = 0.8  # of the limits; what the controller adds to the reference needs the rest
START, STOP = 0.125, 0.1  # s: time in which the arm gets to the first frame's velocity, and rests after the last
NEAR, SMOOTH = 9, 3.0  # frames: how far around a fast frame the clip is stretched, and sigma of how smoothly
GROW = 0.7  # of the stretch that a frame asks for, per iteration: neighbours help
AHEAD = 0.01  # more than it asks for, so that the last hundredth does not take for ever
ITERATIONS = 100


@dataclass
class Demand:
    """What a motion asks of the joints, as fractions of `SHARE` of their limits: over 1 is too much."""

    stretch: np.ndarray  # (K,) by how much each tick would have to be longer
    kind: str  # limit that asks for most: "velocity", "acceleration" or "jerk"
    joint: str
    tick: int
    value: float  # rad/s, rad/s2 or rad/s3
    limit: float  # of the joint


def slow_where_needed(arm_q: np.ndarray, fingers: np.ndarray, arm: MotionLimits, speed: np.ndarray) -> np.ndarray:
    """(K,) clip frames, rising from 0 to T - 1, one per tick of the robot.

    arm_q (T, 7), fingers (T, n) rad at 60 Hz; `speed` (n,) rad/s the fingers' limit. Raises UnreachableError.
    """
    frames = np.arange(len(arm_q), dtype=float)
    along_arm, along_fingers = CubicSpline(frames, arm_q), CubicSpline(frames, fingers)
    slowness = np.ones(len(frames))
    for _ in range(ITERATIONS):
        ticks = np.concatenate([[0.0], np.cumsum(0.5 * (slowness[1:] + slowness[:-1]))])
        at: np.ndarray = CubicSpline(ticks, frames)(np.linspace(0.0, ticks[-1], 1 + int(np.ceil(ticks[-1] - 1e-9))))
        found = demand(along_arm(at), along_fingers(at), arm, speed)
        if found.stretch.max() <= 1.0 and (np.diff(at) > 0).all():
            at[[0, -1]] = frames[[0, -1]]
            return at
        asked = maximum_filter1d(np.where(found.stretch > 1.0, found.stretch + AHEAD, 1.0), 3)
        needed = np.interp(frames, at, asked) ** GROW
        slowness *= gaussian_filter1d(maximum_filter1d(needed, NEAR), SMOOTH, mode="nearest")
    raise UnreachableError(
        f"no time map keeps {found.joint} within its limit of {found.kind}: is its path broken? ({found.value:.0f} at "
        f"tick {found.tick}, limit {found.limit:.0f})"
    )


def demand(arm_q: np.ndarray, fingers: np.ndarray, arm: MotionLimits, speed: np.ndarray) -> Demand:
    """Of joints arm_q (K, 7) and fingers (K, n), one row per tick."""
    v, a, j = (np.diff(arm_q, n=n, axis=0) * RATE**n for n in (1, 2, 3))
    names_of_fingers = [f"finger joint {i}" for i in range(fingers.shape[1])]
    ends = np.stack([v[0] / START, v[-1] / STOP])
    rows = (  # joints, kind, values, limits, first tick, power of the time by which they fall
        (FR3_JOINTS, "velocity", v, arm.velocity, 1, 1),
        (FR3_JOINTS, "acceleration", a, arm.acceleration, 1, 2),
        (FR3_JOINTS, "acceleration", ends[:1], arm.acceleration, 0, 2),
        (FR3_JOINTS, "acceleration", ends[1:], arm.acceleration, len(arm_q) - 1, 2),
        (FR3_JOINTS, "jerk", j, arm.jerk, 2, 3),
        (names_of_fingers, "velocity", np.diff(fingers, axis=0) * RATE, speed, 1, 1),
    )
    found = Demand(np.zeros(len(arm_q)), "", "", 0, 0.0, 0.0)
    for names, kind, values, limits, first, power in rows:
        asked = (np.abs(values) / (SHARE * limits)) ** (1.0 / power)
        most, here = found.stretch.max(), found.stretch[first : first + len(asked)]
        np.maximum(here, asked.max(axis=1), out=here)
        tick, joint = np.unravel_index(int(asked.argmax()), asked.shape)
        if asked[tick, joint] > most:
            name = names[joint]
            found.kind, found.joint, found.tick = kind, name, first + int(tick)
            found.value, found.limit = float(np.abs(values[tick, joint])), float(limits[joint])
    return found
