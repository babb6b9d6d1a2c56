"""The object's state from measured poses: an error-state extended Kalman filter with a constant-velocity model.

Nominal state: position p (3,), rotation q (world_R_mesh, wxyz), velocity v and angular velocity w (3,), all in the
world. Error state (12,): dp, dtheta (q_true = Exp(dtheta) q), dv, dw. Prediction over dt, with white accelerations:

    p += v dt,  q <- Exp(w dt) q,  F = [[I, 0, dt I, 0], [0, Exp(w dt), 0, dt I], [0, 0, I, 0], [0, 0, 0, I]]

A measured pose gives the residual (z_p - p, Log(z_q q^-1)) with H = [I 0]. For an object with symmetry the equivalent
pose
nearest to the prediction is used: an estimator may flip between equivalents, the state does not. A stamp that does not
advance is rejected, and so is a residual outside the gate; after `lost_after` without an accepted measurement the next
one restarts the filter.
"""

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dexhot.errors import DexhotError
from dexhot.geometry import single
from dexhot.geometry.equivalents import nearest_equivalent

if TYPE_CHECKING:
    from dexhot.objects.asset import Symmetry

EYE = np.eye(12)
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


@dataclass
class ObjectState:
    """An object at one stamp, in the world."""

    stamp: float  # s
    pose: np.ndarray  # (7,) world_T_mesh
    twist: np.ndarray  # (6,) linear m/s, then angular rad/s
    covariance: np.ndarray  # (12, 12) of the error state


@dataclass(frozen=True)
class Jump:
    """Deviation of a rejected measurement from the prediction: the object slipped, was knocked away, or was
    confused."""

    stamp: float  # s
    distance: float  # m
    turn: float  # rad, up to the object's symmetry


class ObjectFilter:
    """See the module's docstring. Measurements must be in the order of their stamps."""

    def __init__(self, options: FilterOptions | None = None, symmetry: "Symmetry | None" = None):
        """`symmetry`: the object's."""
        from dexhot.objects.asset import Symmetry  # not for those who only read states

        self.options, self.symmetry = options or FilterOptions(), symmetry or Symmetry()
        o = self.options
        self._default_noise = np.diag([o.position_sigma**2] * 3 + [o.rotation_sigma**2] * 3)
        self._density = np.array([o.acceleration**2] * 3 + [o.angular_acceleration**2] * 3)
        self.reset()

    def reset(self) -> None:
        """Forget the object: the next measurement restarts the filter."""
        self.started = False
        self.p, self.q = np.zeros(3), (1.0, 0.0, 0.0, 0.0)
        self.v, self.w, self.P = np.zeros(3), np.zeros(3), np.zeros((12, 12))
        self.stamp = self.accepted_stamp = -np.inf
        self.jump: Jump | None = None  # of the last measurement, if it was outside the gate
        self.flipped = 0  # measurements replaced by an equivalent since the last reset

    def update(self, stamp: float, pose: np.ndarray, covariance: np.ndarray | None = None) -> bool:
        """Process a measured pose (7,) with its covariance (6, 6); True if accepted. Raises DexhotError for a
        non-finite pose."""
        if not np.isfinite(pose).all():
            raise DexhotError("the measured object pose is not finite; the detector must not publish such a pose.")
        noise = self._default_noise if covariance is None or not covariance.any() else covariance
        if not self.started or stamp - self.accepted_stamp > self.options.lost_after:
            self._start(stamp, nearest_equivalent(self.symmetry, pose, self.q) if self.started else pose, noise)
            return True
        if stamp <= self.stamp:
            return False
        self._predict(stamp)
        measured, pose = pose, nearest_equivalent(self.symmetry, pose, self.q)
        self.flipped += bool(abs(measured[3:] @ pose[3:]) < FLIP)
        turn = single.multiply(pose[3:].tolist(), single.conjugate(self.q))
        residual = np.concatenate([pose[:3] - self.p, single.log(turn)])
        innovation = self.P[:6, :6] + noise
        gain_t = np.linalg.solve(innovation, self.P[:6])  # K^T (6, 12)
        if residual @ np.linalg.solve(innovation, residual) > self.options.gate:
            self.jump = Jump(stamp, *(float(np.sqrt(part @ part)) for part in (residual[:3], residual[3:])))
            return False
        dx = residual @ gain_t
        self.p = self.p + dx[:3]
        self.q = single.normalise(single.multiply(single.exp(dx[3:6].tolist()), self.q))
        self.v = self.v + dx[6:9]
        self.w = self.w + dx[9:]
        A = EYE.copy()
        A[:, :6] -= gain_t.T
        self.P = A @ self.P @ A.T + gain_t.T @ noise @ gain_t  # Joseph's form stays positive definite
        self.accepted_stamp, self.jump = stamp, None
        return True

    def missing(self, stamp: float) -> str:
        """Why there is no accepted measurement at `stamp`: the object jumped, or is not seen; "" if there
        is one."""
        if not self.started:
            return "it has not been seen yet"
        silent = stamp - self.accepted_stamp
        if self.jump is not None and stamp - self.jump.stamp <= 0.5 * silent:
            turn = f" and {np.degrees(self.jump.turn):.0f} deg" if self.jump.turn > JUMP_TURN else ""
            return f"it jumped by {100 * self.jump.distance:.0f} cm{turn}: its measurements are rejected"
        return f"it has not been seen for {silent:.1f} s" if silent > 0 else ""

    def lost(self, stamp: float) -> bool:
        """Whether at `stamp` there was no accepted measurement for `lost_after`, or the position sigma exceeds
        `lost_sigma`."""
        if not self.started or stamp - self.accepted_stamp > self.options.lost_after:
            return True
        return max(self.P.item(k, k) for k in range(3)) > self.options.lost_sigma**2

    def state(self) -> ObjectState:
        """The state at the last stamp. Raises DexhotError before the first measurement."""
        if not self.started:
            raise DexhotError("the object filter has not received a measurement yet.")
        return ObjectState(self.stamp, np.concatenate([self.p, self.q]), np.concatenate([self.v, self.w]), self.P)

    def ahead(self, stamp: float) -> "ObjectFilter":
        """A copy predicted to a later stamp; this filter is unchanged."""
        later = copy(self)
        later._predict(stamp)
        return later

    def _start(self, stamp: float, pose: np.ndarray, noise: np.ndarray) -> None:
        self.started, self.stamp, self.accepted_stamp, self.jump = True, stamp, stamp, None
        self.p, self.q = np.array(pose[:3], float), single.normalise(pose[3:].tolist())
        self.v, self.w = np.zeros(3), np.zeros(3)
        self.P = np.diag([0.0] * 6 + [0.25] * 3 + [4.0] * 3)  # an object at rest, or moved by hand
        self.P[:6, :6] = noise

    def _predict(self, stamp: float) -> None:
        dt = stamp - self.stamp
        turn = single.exp((self.w * dt).tolist())
        F = EYE.copy()
        F[3:6, 3:6] = single.matrix(turn)
        F.ravel()[6:72:13] = dt
        self.P = F @ self.P @ F.T
        P, cross = self.P.ravel(), self._density * dt**2 / 2  # views of the blocks' diagonals: no index arrays
        P[0:72:13] += self._density * dt**3 / 3
        P[6:78:13] += cross
        P[72:144:13] += cross
        P[78:144:13] += self._density * dt
        self.p = self.p + self.v * dt
        self.q = single.normalise(single.multiply(turn, self.q))
        self.stamp = stamp
