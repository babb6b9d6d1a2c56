"""Time parametrization: a clip slowed down where the robot cannot keep up, and only there.

People accelerate faster than an FR3. The time map gives the clip's frame at each 60 Hz tick of the robot. It starts at
the person's speed; wherever a joint would exceed the planned fraction of a velocity, acceleration or jerk limit, the
clip around that frame is stretched, until no joint does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from dexhot.data.types import RATE
from dexhot.errors import UnreachableError
from dexhot.hardware.franka.limits import MotionLimits, fr3_limits
from dexhot.robots.arm import FR3_JOINTS
from dexhot.robots.robot_hand import RobotHand

PLANNED = 0.8  # fraction of the limits; the rest is for what the controller adds to the reference
START, STOP = 0.125, 0.1  # s: acceleration time to the first frame's velocity, and rest after the last
NEAR, SMOOTH = 9, 3.0  # frames: range around a fast frame that is stretched, and sigma of its smoothing
GROW = 0.7  # fraction of a frame's required stretch per iteration: neighbours contribute
AHEAD = 0.01  # over-relaxation, so that the last hundredth converges
ITERATIONS = 100
UNITS = {"velocity": "rad/s", "acceleration": "rad/s2", "jerk": "rad/s3"}


@dataclass
class Fingers:
    """Limits of the fingers' motors; n joints."""

    names: Sequence[str]
    velocity: np.ndarray  # (n,) rad/s


def limits_of(hand: RobotHand) -> tuple[MotionLimits, Fingers]:
    """The limits of the FR3 and of the hand's fingers."""
    return fr3_limits(), Fingers(hand.joint_names, hand.velocity)


@dataclass
class Peak:
    """The peak demand of a motion on one joint."""

    joint: str
    kind: str  # "velocity", "acceleration" or "jerk"
    tick: int
    value: float  # rad/s, rad/s2 or rad/s3
    limit: float
    stretch: float  # factor by which the tick would have to be longer to reach PLANNED of the limit

    def __str__(self) -> str:
        unit = UNITS[self.kind]
        asked = f"{self.joint}: {self.kind} {self.value:.3g} {unit} at {self.tick / RATE:.2f} s"
        return f"{asked} (limit {self.limit:.3g} {unit}, planned up to {PLANNED * self.limit:.3g})"


@dataclass
class Demand:
    """The demand of a motion on the joints."""

    stretch: np.ndarray  # (K,) factor by which each tick would have to be longer; over 1 is too fast
    peaks: list[Peak]  # one per joint, the worst first

    @property
    def too_fast(self) -> list[Peak]:
        """Peaks beyond the planned fraction of their limit."""
        return [peak for peak in self.peaks if peak.stretch > 1.0]


def slow_where_needed(arm_q: np.ndarray, finger_q: np.ndarray, arm: MotionLimits, fingers: Fingers) -> np.ndarray:
    """(K,) clip frames, increasing from 0 to T - 1, one per tick of the robot.

    arm_q (T, 7), finger_q (T, n) rad at 60 Hz. Raises UnreachableError.
    """
    frames = np.arange(len(arm_q), dtype=float)
    along_arm, along_fingers = CubicSpline(frames, arm_q), CubicSpline(frames, finger_q)
    slowness = np.ones(len(frames))
    for _ in range(ITERATIONS):
        ticks = np.concatenate([[0.0], np.cumsum(0.5 * (slowness[1:] + slowness[:-1]))])
        at: np.ndarray = CubicSpline(ticks, frames)(np.linspace(0.0, ticks[-1], 1 + int(np.ceil(ticks[-1] - 1e-9))))
        found = demand(along_arm(at), along_fingers(at), arm, fingers)
        if found.stretch.max() <= 1.0 and (np.diff(at) > 0).all():
            at[[0, -1]] = frames[[0, -1]]
            return at
        asked = maximum_filter1d(np.where(found.stretch > 1.0, found.stretch + AHEAD, 1.0), 3)
        needed = np.interp(frames, at, asked) ** GROW
        slowness *= gaussian_filter1d(maximum_filter1d(needed, NEAR), SMOOTH, mode="nearest")
    raise UnreachableError(f"no time map keeps the joints within their limits; {found.peaks[0]}. Is the path broken?")


def demand(arm_q: np.ndarray, finger_q: np.ndarray, arm: MotionLimits, fingers: Fingers) -> Demand:
    """The demand of joints arm_q (K, 7) and finger_q (K, n) rad, one row per 60 Hz tick."""
    v, a, j = (np.diff(arm_q, n=n, axis=0) * RATE**n for n in (1, 2, 3))
    ends = np.stack([v[0] / START, v[-1] / STOP])
    rows = (  # joints, kind, values, limits, first tick, power of the time by which they fall
        (FR3_JOINTS, "velocity", v, arm.velocity, 1, 1),
        (FR3_JOINTS, "acceleration", a, arm.acceleration, 1, 2),
        (FR3_JOINTS, "acceleration", ends[:1], arm.acceleration, 0, 2),
        (FR3_JOINTS, "acceleration", ends[1:], arm.acceleration, len(arm_q) - 1, 2),
        (FR3_JOINTS, "jerk", j, arm.jerk, 2, 3),
        (fingers.names, "velocity", np.diff(finger_q, axis=0) * RATE, fingers.velocity, 1, 1),
    )
    stretch, peaks = np.zeros(len(arm_q)), dict[str, Peak]()
    for names, kind, values, limits, first, power in rows:
        asked = (np.abs(values) / (PLANNED * limits)) ** (1.0 / power)
        here = stretch[first : first + len(asked)]
        np.maximum(here, asked.max(axis=1), out=here)
        for k, (name, tick) in enumerate(zip(names, asked.argmax(axis=0))):
            if name not in peaks or asked[tick, k] > peaks[name].stretch:
                most = float(np.abs(values[tick, k])), float(limits[k]), float(asked[tick, k])
                peaks[name] = Peak(name, kind, first + int(tick), *most)
    return Demand(stretch, sorted(peaks.values(), key=lambda peak: -peak.stretch))
