"""The object's state from measured poses: the hand-object filter without a hand, of an object that moves freely.

Measurements come in the order of their stamps: a stamp that does not advance is rejected, and so is a residual outside
the gate. For an object with symmetry the equivalent pose nearest to the prediction is used: an estimator may flip
between equivalents, the state does not. After `lost_after` without an accepted measurement the next one restarts the
filter.
"""

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dexhot.errors import DexhotError
from dexhot.geometry import single
from dexhot.geometry.equivalents import nearest_equivalent
from dexhot.tracking.hand_object_filter import (
    HandObjectFilter,
    HandObjectOptions,
    LastSeen,
    update_one,
)
from dexhot.tracking.object_state import ObjectState
from dexhot.tracking.observations import SeenPose

if TYPE_CHECKING:
    from dexhot.geometry.equivalents import Symmetric

JUMP_TURN = np.radians(10.0)  # rad, smallest rotation of a jump that is reported
FLIP = np.cos(0.5 * np.radians(30.0))  # cosine of half the rotation to the equivalent above which a flip is counted


@dataclass(frozen=True)
class FilterOptions:
    """Noise and gates of the filter."""

    acceleration: float = 1.0  # m/s^2 per root Hz, for an object moved by a hand
    angular_acceleration: float = 10.0  # rad/s^2 per root Hz
    position_sigma: float = 0.001  # m, of a measurement without covariance
    rotation_sigma: float = 0.01  # rad
    gate: float = 30.0  # squared Mahalanobis distance of 6 dof; 22.5 is the 99.9 % quantile
    lost_after: float = 1.5  # s without an accepted measurement
    lost_sigma: float = 0.03  # m


@dataclass(frozen=True)
class Jump:
    """Deviation of a rejected measurement from the prediction: the object slipped, was knocked away, or was
    confused."""

    stamp: float  # s
    distance: float  # m
    turn: float  # rad, up to the object's symmetry


class ObjectFilter(HandObjectFilter):
    """See the module's docstring. Its own are when the object counts as lost, and why."""

    def __init__(self, limits: FilterOptions | None = None, symmetry: "Symmetric | None" = None):
        """`symmetry`: the object's."""
        self.limits = o = limits or FilterOptions()
        options = HandObjectOptions(
            acceleration=o.acceleration,
            angular_acceleration=o.angular_acceleration,
            motions=("free",),
            pose_gate=o.gate,
        )
        super().__init__(options, symmetry, keypoints=0)
        self._default_noise = np.diag([o.position_sigma**2] * 3 + [o.rotation_sigma**2] * 3)
        self.reset()

    def reset(self) -> None:
        """Forget the object: the next measurement restarts the filter."""
        self._forget(0)
        self.jump: Jump | None = None  # of the last measurement, if it was outside the gate
        self.flipped = 0  # measurements replaced by an equivalent since the last reset

    @property
    def started(self) -> bool:
        """Whether it was ever seen."""
        return self._state.object.started

    @property
    def stamp(self) -> float:
        """Of the last measurement, s; -inf before the first."""
        return self._state.stamp

    def update(self, stamp: float, pose: np.ndarray, covariance: np.ndarray | None = None) -> bool:
        """Process a measured pose (7,) with its covariance (6, 6); True if accepted. Raises DexhotError for a
        non-finite pose."""
        if not np.isfinite(pose).all():
            raise DexhotError("the measured object pose is not finite; the detector must not publish such a pose.")
        seen = SeenPose(pose, self._default_noise if covariance is None or not covariance.any() else covariance)
        last = self._state.object
        if not last.started or stamp - last.accepted > self.limits.lost_after:
            return self._restart(stamp, seen)
        if stamp <= self._state.stamp:
            return False
        s = self._predicted(self._state, stamp)
        accepted = update_one(s, seen.rows(s), self.limits.gate)
        if accepted:
            s.object = LastSeen(True, stamp)
        self._state, q, self.jump = s, s.q, None
        if accepted and (self.symmetry.kind == "none" or abs(single.dot(pose[3:].tolist(), q)) >= FLIP):
            return True
        pose = nearest_equivalent(self.symmetry, pose, q)
        self.flipped += bool(abs(seen.pose[3:] @ pose[3:]) < FLIP)
        if not accepted:
            turn = single.log(single.multiply(pose[3:].tolist(), single.conjugate(q)))
            self.jump = Jump(stamp, *(float(np.sqrt(d @ d)) for d in (pose[:3] - self._state.p, turn)))
        return accepted

    def missing(self, stamp: float) -> str:
        """Why there is no accepted measurement at `stamp`: the object jumped, or is not seen; "" if there
        is one."""
        if not self.started:
            return "it has not been seen yet"
        silent = stamp - self.object_accepted
        if self.jump is not None and stamp - self.jump.stamp <= 0.5 * silent:
            turn = f" and {np.degrees(self.jump.turn):.0f} deg" if self.jump.turn > JUMP_TURN else ""
            return f"it jumped by {100 * self.jump.distance:.0f} cm{turn}: its measurements are rejected"
        return f"it has not been seen for {silent:.1f} s" if silent > 0 else ""

    def lost(self, stamp: float) -> bool:
        """Whether at `stamp` there was no accepted measurement for `lost_after`, or the position sigma exceeds
        `lost_sigma`."""
        if not self.started or stamp - self.object_accepted > self.limits.lost_after:
            return True
        return max(self._state.P.item(k, k) for k in range(3)) > self.limits.lost_sigma**2

    def state(self, stamp: float | None = None) -> ObjectState:
        """The state at the last stamp, or predicted to a later one. Raises DexhotError before the first measurement."""
        if not self.started:
            raise DexhotError("the object filter has not received a measurement yet.")
        s = self._state if stamp is None else self._predicted(self._state, stamp)
        return ObjectState(s.stamp, np.concatenate([s.p, s.q]), s.twist, s.P)

    def ahead(self, stamp: float) -> "ObjectFilter":
        """A copy predicted to a later stamp; this filter is unchanged."""
        later = copy(self)
        later._state = self._predicted(self._state, stamp)
        return later

    def _restart(self, stamp: float, seen: SeenPose) -> bool:
        """Start on a pose, of a symmetric object on the branch that it was on."""
        pose = nearest_equivalent(self.symmetry, seen.pose, self._state.q) if self.started else seen.pose
        flipped = self.flipped
        self.reset()
        self.flipped = flipped
        return self._step(stamp, (SeenPose(pose, seen.covariance),))
