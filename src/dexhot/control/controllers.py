"""Tracking controllers: at 60 Hz, the position targets of the floating hand (6 wrist joints and the fingers).

A controller is a deterministic function of the frame index and the stamped states so far: no clocks, no threads, so
that a replayed bag gives the same targets. `Tracker` maps stamps to frame indices and ramps the hand in from its
measured pose.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dexhot.control.sampling import base_actions
from dexhot.data.types import RATE, Demonstration, Reference
from dexhot.errors import DexhotError
from dexhot.geometry.rotations import rotvec_to_quat
from dexhot.objects.asset import Symmetry
from dexhot.objects.object_offset import object_offset
from dexhot.robots.kinematics.wrist import moved_wrists
from dexhot.simulation.physics import Physics
from dexhot.tracking.object_state import ObjectState


@dataclass
class HandState:
    """The floating hand's measured joints at one stamp."""

    stamp: float  # s
    q: np.ndarray  # (6+n,)


class Controller(Protocol):
    """The interface that Tracker calls."""

    reference: Reference

    def start(self, observed: ObjectState) -> None:
        """Start a clip with the observed object; all state of an earlier clip is reset."""

    def step(self, index: int, observed: ObjectState, hand: HandState) -> np.ndarray:
        """The target (6+n,) from frame `index` (0 <= index < T) to the next."""


class Kinematic:
    """The reference's own targets with velocity feed-forward: target + lag dq/dt."""

    def __init__(self, reference: Reference, physics: Physics):
        self.reference = reference
        self.targets = base_actions(reference, physics)

    def start(self, observed: ObjectState) -> None:
        pass

    def step(self, index: int, observed: ObjectState, hand: HandState) -> np.ndarray:
        target: np.ndarray = self.targets[index]
        return target


class Playback:
    """A demonstration's actions, object-relative.

    Until the grasp the wrist targets are shifted rigidly by the object's observed offset from the reference (position,
    and rotation about its centre); from `grasp_start` on the offset fades out linearly within `fade` seconds.
    """

    def __init__(
        self,
        demonstration: Demonstration,
        fade: float = 1.0,
        object_relative: bool = True,
        symmetry: Symmetry | None = None,
    ):
        """`symmetry`: the object's; the offset is the smallest over symmetry-equivalent poses."""
        self.reference = demonstration.reference
        self.targets = demonstration.actions
        self.fade, self.object_relative, self.symmetry = fade, object_relative, symmetry or Symmetry()
        self.played = self.targets

    def start(self, observed: ObjectState) -> None:
        self.played = self.targets
        if self.object_relative:
            offset = object_offset(self.symmetry, self.reference.object_pose[0], observed.pose)
            self.played = following_object(self.reference, self.targets, offset, self.fade)

    def step(self, index: int, observed: ObjectState, hand: HandState) -> np.ndarray:
        target: np.ndarray = self.played[index].copy()
        return target


def following_object(
    reference: Reference,
    targets: np.ndarray,
    offset: tuple[np.ndarray, ...],
    fade: float = 1.0,
) -> np.ndarray:
    """Targets (T, 6+n) with the wrist moved by the object's `offset` (centre, shift and turn of `object_offset`) from
    the reference: rigidly until `grasp_start`, then fading out linearly within `fade` seconds."""
    center, shift, turn = offset
    after = np.arange(len(targets)) - reference.grasp_start
    weight = np.clip(1.0 - after / (fade * RATE), 0.0, 1.0)[:, None]
    here = slice(0, int((weight > 0.0).sum()))
    out = targets.copy()
    if here.stop and (shift.any() or turn.any()):
        turned = rotvec_to_quat(weight[here] * turn)
        out[here, :6] = moved_wrists(targets[here, :6], reference.base_quat, center, turned, weight[here] * shift)
    return out


class Tracker:
    """Maps stamps to frames: frame 0 of the reference is at `t0`. In the `ramp` (s) before it the hand follows a cubic
    from its measured pose to the reference's first pose and velocity. After the last frame the last target is held.

    `look_ahead` frames are added to the index, for a robot with that much more delay than the demonstration's hand.
    """

    def __init__(self, controller: Controller, physics: Physics, ramp: float, look_ahead: int):
        if ramp <= 0 or look_ahead < 0:
            raise DexhotError(f"a tracker needs ramp > 0 s and look_ahead >= 0 frames, not {ramp} and {look_ahead}.")
        self.controller, self.ramp, self.look_ahead = controller, ramp, look_ahead
        q = controller.reference.q
        self._lead = physics.servo_lag(controller.reference.hand)
        self._goal, self._goal_velocity = q[0], (q[1] - q[0]) * RATE
        self.t0: float | None = None
        self._begun, self._from, self._from_index = False, q[0], -1

    def begin(self, t0: float) -> None:
        """Set the stamp of frame 0, `t0` (s)."""
        self.t0, self._begun = t0, False

    def stop(self) -> None:
        """No targets until the next `begin`."""
        self.t0 = None

    def index(self, stamp: float) -> int:
        """The frame of a state with this stamp (s); negative during the ramp."""
        assert self.t0 is not None, "call begin() first"
        return round((stamp - self.t0) * RATE) + self.look_ahead

    def step(self, stamp: float, observed: ObjectState, hand: HandState) -> np.ndarray | None:
        """The target (6+n,) for the state at `stamp` (s); None before the ramp, or before `begin`."""
        if self.t0 is None:
            return None
        i = self.index(stamp)
        if i < -round(self.ramp * RATE):
            return None
        if not self._begun:
            self._begun, self._from, self._from_index = True, hand.q.copy(), min(i, -1)
            self.controller.start(observed)
        if i < 0:
            return self._ramp_target(i)
        return self.controller.step(min(i, len(self.controller.reference.q) - 1), observed, hand)

    def _ramp_target(self, i: int) -> np.ndarray:
        """Hermite cubic from (q, 0) at the ramp's start to (goal, goal velocity) at frame 0, with feed-forward."""
        span = -self._from_index
        s, h = (i + 1 - self._from_index) / span, span / RATE
        a, b, v = self._from, self._goal, self._goal_velocity * h
        position = (2 * s**3 - 3 * s**2 + 1) * a + (3 * s**2 - 2 * s**3) * b + (s**3 - s**2) * v
        velocity = ((6 * s**2 - 6 * s) * (a - b) + (3 * s**2 - 2 * s) * v) / h
        target: np.ndarray = position + self._lead * velocity
        return target
