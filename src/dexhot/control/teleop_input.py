"""The operator's hand as it arrives: 21 keypoints at a camera's rate -> a smoothed hand, or why there is none.

Time is counted in the robot's ticks, and between keypoints by their own stamps: no clock is read, so a replay decides
as the run did.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from dexhot.data.keypoints import INDEX_MCP, LITTLE_MCP, MIDDLE_MCP, PALM_LENGTH, TIPS, WRIST
from dexhot.data.types import RATE

STILL = 1e-9  # m: images of a real hand differ by more than rounding
FROZEN = 10  # equal keypoints in a row that no camera sees
RECENT = 6  # intervals that the rate is the median of
STEADY = 5  # good keypoints in a row before a hand may drive anything


@dataclass(frozen=True)
class HandLimits:
    """What keypoints must be like to move a robot."""

    confidence: float = 0.6  # least confidence of the hand
    hand_lost_after: float = 0.3  # s without keypoints after which the hand is lost
    jump: float = 0.12  # m, largest motion of the wrist between two images; a hand that jumps is lost, then a new one
    min_rate: float = 10.0  # Hz, least rate of the keypoints
    smooth: float = 1.5  # Hz, cut-off for a hand at rest
    swift: float = 8.0  # Hz more per m/s of the hand


class OneEuro:
    """The 1-euro filter (Casiez 2012) of points: a low-pass whose cut-off rises with the speed."""

    def __init__(self, smooth: float, swift: float, speed_cutoff: float = 1.0):
        """`smooth`: Hz at rest; `swift`: Hz per unit/s; `speed_cutoff`: Hz, of the speed."""
        self.smooth, self.swift, self.speed_cutoff = smooth, swift, speed_cutoff
        self.reset()

    def reset(self) -> None:
        """Start from the next value."""
        self.value: np.ndarray | None = None
        self.before = self.speed = np.zeros(0)

    def __call__(self, value: np.ndarray, dt: float) -> np.ndarray:
        """`value` (N, D) `dt` s after the last one -> filtered."""
        if self.value is None:
            self.value, self.before, self.speed = value.copy(), value.copy(), np.zeros_like(value)
            return self.value.copy()
        self.speed = self.speed + _gain(self.speed_cutoff, dt) * ((value - self.before) / dt - self.speed)
        self.before = value.copy()
        cutoff = self.smooth + self.swift * np.linalg.norm(self.speed, axis=-1, keepdims=True)
        self.value = self.value + _gain(cutoff, dt) * (value - self.value)
        out: np.ndarray = self.value.copy()
        return out


def _gain(cutoff: np.ndarray | float, dt: float) -> np.ndarray:
    turn = 2.0 * np.pi * np.asarray(cutoff) * dt
    out: np.ndarray = turn / (1.0 + turn)
    return out


class OperatorHand:
    """Call `see` with each message, and `tick` with each tick of the robot, which says why the hand may not drive."""

    def __init__(self, limits: HandLimits, palm_length: float):
        """`palm_length`: of the hand that the points are scaled to, wrist to middle knuckle, m."""
        self.limits, self.palm_length = limits, palm_length
        self.filter = OneEuro(limits.smooth, limits.swift)
        self.reset()

    def reset(self) -> None:
        """Forget the hand."""
        self.filter.reset()
        self.points: np.ndarray | None = None  # (21, 3) m, camera frame, filtered, of the operator's size
        self.raw: np.ndarray | None = None  # of the last used image
        self.stamp = self.newest = -np.inf  # s, of the last used image, and of the last one
        self.ticks = 0  # since the last used keypoints
        self.good = 0  # used keypoints in a row
        self.equal = 0
        self.gap = 0.0  # s, of a loss that has just ended
        self.intervals: deque[float] = deque(maxlen=RECENT)
        self.refused = "no keypoints have arrived"
        self.problem = f"the hand is lost: {self.refused}"

    @property
    def lost(self) -> bool:
        """Whether no keypoints were used for `hand_lost_after` s."""
        return self.points is None or self.ticks > self.limits.hand_lost_after * RATE

    def see(self, stamp: float, rows: np.ndarray) -> bool:
        """Keypoints (21, 6), x y z u v confidence, of the image at `stamp` (s); whether they are used.

        After a loss any hand is a new one, wherever it is and whatever its clock says.
        """
        dt, newer = stamp - self.stamp, stamp > self.newest
        self.newest = stamp
        if newer and self.lost:
            dt = np.inf
        self.refused = self._why_not(dt, rows)
        if self.refused:
            self.good = 0
            return False
        if dt > self.limits.hand_lost_after:
            self.gap = self.ticks / RATE if self.points is not None else 0.0
            self.filter.reset()
            self.intervals.clear()
            self.good = 0
        else:
            self.intervals.append(dt)
        self.raw, self.stamp, self.ticks = rows[:, :3].copy(), stamp, 0
        self.points = self.filter(self.raw, dt)
        self.good += 1
        return True

    def _why_not(self, dt: float, rows: np.ndarray) -> str:
        points, limits = rows[:, :3], self.limits
        if dt <= 0.0:
            return "the stamps of its keypoints do not increase"
        if not np.isfinite(points).all():
            return f"{int((~np.isfinite(points)).any(axis=1).sum())} of its keypoints are not finite"
        confidence = float(np.median(rows[:, 5]))
        if not confidence >= limits.confidence:
            return f"its confidence is {confidence:.2f}; at least {limits.confidence:g} is needed"
        palm = palm_size(points)
        if not PALM_LENGTH[0] <= palm <= PALM_LENGTH[1]:
            return (
                f"its palm is {100 * palm:.1f} cm long, a person's is {100 * PALM_LENGTH[0]:g} to "
                f"{100 * PALM_LENGTH[1]:g} cm: check the camera's intrinsics and palm_length"
            )
        if self.raw is None:
            return ""
        self.equal = self.equal + 1 if np.abs(points - self.raw).max() <= STILL else 0
        if self.equal >= FROZEN:
            return f"its keypoints are frozen: the last {self.equal + 1} images have the same"
        moved = float(np.linalg.norm(points[WRIST] - self.raw[WRIST]))
        if dt <= limits.hand_lost_after and moved > limits.jump:
            return f"it jumped by {100 * moved:.0f} cm"
        return ""

    @property
    def rate(self) -> float:
        """Hz, of the last keypoints; 0 before there are enough of them."""
        return 1.0 / float(np.median(self.intervals)) if len(self.intervals) == RECENT else 0.0

    def tick(self) -> str:
        """One tick of the robot has passed. Why the hand must not drive anything now; "" if it may."""
        self.ticks += 1
        gap, self.gap = self.gap, 0.0
        self.problem = ""
        if self.lost:
            seen = "" if self.points is None else f" for {self.ticks / RATE:.1f} s"
            self.problem = f"the hand is lost{seen}: {self.refused or 'no keypoints arrive'}"
        elif gap:
            self.problem = f"the hand was lost for {gap:.1f} s"
        elif 0.0 < self.rate < self.limits.min_rate:
            self.problem = f"keypoints arrive at {self.rate:.1f} Hz; at least {self.limits.min_rate:g} Hz are needed"
        return self.problem

    @property
    def steady(self) -> bool:
        """Whether the hand may take over."""
        return not self.problem and self.good >= STEADY and len(self.intervals) == RECENT

    def scaled(self) -> np.ndarray:
        """(21, 3) the filtered points, scaled about the wrist to `palm_length`: fingers of every size close alike."""
        assert self.points is not None
        return scaled_to(self.points, self.palm_length)


def scaled_to(points: np.ndarray, palm_length: float) -> np.ndarray:
    """(21, 3) scaled about the wrist until the palm has this length, m."""
    wrist = points[WRIST]
    scaled: np.ndarray = wrist + (points - wrist) * (palm_length / palm_size(points))
    return scaled


def palm_size(points: np.ndarray) -> float:
    """m, wrist to the middle finger's knuckle."""
    return float(np.linalg.norm(points[MIDDLE_MCP] - points[WRIST]))


def is_open(points: np.ndarray, straight: float = 0.6) -> bool:
    """Whether the four fingers are stretched (bent by less than `straight` rad) and spread from the palm: the gesture
    that engages."""
    for tip in TIPS[1:]:
        knuckle, middle = points[tip - 3], points[tip - 2]
        first, last = middle - knuckle, points[tip] - middle
        bend = np.arccos(np.clip(first @ last / (np.linalg.norm(first) * np.linalg.norm(last)), -1.0, 1.0))
        palm = knuckle - points[WRIST]
        lift = np.arccos(np.clip(palm @ first / (np.linalg.norm(palm) * np.linalg.norm(first)), -1.0, 1.0))
        if bend > straight or lift > straight:
            return False
    thumb = np.linalg.norm(points[TIPS[0]] - points[INDEX_MCP])
    across = np.linalg.norm(points[INDEX_MCP] - points[LITTLE_MCP])
    return bool(thumb > 0.7 * across)
