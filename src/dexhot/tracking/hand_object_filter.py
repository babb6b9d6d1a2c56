"""A hand and an object together: an error-state extended Kalman filter on the manifold (HandyPriors III-E).

Nominal state: K keypoints x (K, 3) and their velocities, the object's position p, rotation q and twist, all in the
world. Error state (6K + 12,): dx, dxdot, dp, dtheta (q_true = Exp(dtheta) q), dv, dw. The hand has white accelerations,
correlated between keypoints by their distance, so that a missing finger moves with its neighbours. Any set of points
will do: a person's 21 keypoints, a robot's links; none at all leaves an object filter.

The object's motion is one of three, chosen by what its measured poses did since the last one:

- carried: with the contact points, by Procrustes (contact_dynamics.py). The noise of their motion enters object and
  hand alike, so a hidden object stays with the hand that is seen; only slip makes it uncertain, as a random walk, a
  faster one while nobody sees it.
- rest: where it is.
- free: constant velocity with white accelerations.

A hidden object keeps the motion that it had, unless its last pose had just left its rest, beside a hand: then that hand
has taken it. Observations (observations.py) come in any mix, are gated group by group, and may be late: the last
`memory` seconds are kept and applied again in the order of their stamps.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import expm1, isfinite
from types import ModuleType
from typing import Literal, NamedTuple

import numpy as np

from dexhot.data.keypoints import NAMES
from dexhot.errors import DexhotError
from dexhot.geometry import single
from dexhot.geometry.equivalents import Symmetric, nearest_equivalent
from dexhot.tracking.bones import bone_lengths, bone_rows
from dexhot.tracking.contact_dynamics import Carried, carry
from dexhot.tracking.observations import (
    Observation,
    SeenKeypoints,
    SeenPose,
    Single,
    check_finite,
    in_image_of_hand,
    parts,
    whose,
)
from dexhot.tracking.rows import ObservedRows, What

Motion = Literal["rest", "carried", "free"]
Status = Literal["unknown", "tracked", "hidden", "lost"]
EYE = np.eye(12)
SHAKE = np.repeat([0.05**2, 0.5**2], 3)  # (m/s)^2, (rad/s)^2 of a carried object's twist about the contact points'
GATES = {1: 10.8, 2: 13.8, 3: 16.3, 6: 22.5}  # squared Mahalanobis distance: 99.9 % quantile by degrees of freedom
BONE_FRAMES = 60  # of the mean of a bone's length
UNKNOWN = 0.06  # m, sigma of a keypoint that was not seen with the others
HAND_WEIGHT = np.full(21, 0.15)  # of a keypoint in the contact fit; the palm settles what two fingers leave open
HAND_WEIGHT[1:].reshape(5, 4)[:, 1:] = np.outer(  # thumb to little finger, of which the last two often only follow
    [1.0, 1.0, 1.0, 0.5, 0.25],
    [0.3, 1.0, 1.0],  # PIP, DIP and tip
)


@dataclass(frozen=True)
class HandObjectOptions:
    """Noise, gates and limits. Slip and accelerations: chosen on real grasps (docs/perception.md)."""

    hand_acceleration: float = 1.5  # m/s^2 per root Hz, of the whole hand
    finger_acceleration: float = 0.5  # m/s^2 per root Hz, of keypoints against each other
    finger_alone: float = 0.05  # of that variance, of a keypoint by itself
    finger_length: float = 0.04  # m, distance over which keypoints move together
    bone: float = 0.003  # m, sigma of a bone's length where a person's hand is seen in images
    acceleration: float = 3.0  # m/s^2 per root Hz, of a free object
    angular_acceleration: float = 30.0  # rad/s^2 per root Hz
    slip: float = 0.01  # m per root s, of a carried object against a hand that moves at `pace`
    roll: float = 0.3  # rad per root s
    steady: float = 0.4  # of that variance, in a hand that is still; the remainder grows with its speed
    pace: float = 0.4  # m/s
    unwatched: float = 4.0  # times that variance while the object is hidden: real slip goes on as it began
    rest: float = 0.002  # m per root s, of an object at rest
    rest_turn: float = 0.014  # rad per root s
    stir: float = 0.1  # root s, more per m/s of the contact points within `reach`: it may just be picked up
    stir_turn: float = 1.5  # rad root s per m
    hasty: float = 0.4  # m/s from which on such a hand reaches or passes, but picks up nothing
    reach: float = 0.15  # m from the contact points' centre to the object's origin
    baseline: float = 0.1  # s over which a motion is judged
    evidence: float = 1.5  # log likelihood by which another motion must be better
    left_rest: float = 7.2  # squared distance of a pose from rest (70 %) from which on the hand has begun to move it
    touch: float = 0.015  # m from the object's surface within which a keypoint counts as contact
    motions: tuple[Motion, ...] = ("rest", "carried", "free")  # that the object may have
    pose_gate: float = GATES[6]  # squared Mahalanobis distance of a pose
    hand_memory: float = 0.0  # s over which errors of what is observed of the hand stay alike; 0: white noise
    object_memory: float = 0.0  # s, of the object
    memory: float = 0.5  # s that an observation may be late
    hidden_after: float = 0.1  # s without an accepted observation
    flight: float = 0.05  # s without one after which a free object beside a hand is taken to be in it
    first_speed: float = 1.0  # m/s
    first_sigma: float = 0.04  # m, added to the first sight of a hand: any keypoint of it may be an outlier
    confused_after: int = 3  # rejections in a row by which a keypoint, the hand or the object is lost
    hand_lost_sigma: float = 0.1  # m, mean over keypoints
    object_lost_sigma: float = 0.05  # m
    object_lost_turn: float = 0.8  # rad


@dataclass(frozen=True)
class HandObjectEstimate:
    """Hand and object at one stamp, in the world."""

    stamp: float  # s
    keypoints: np.ndarray  # (K, 3) m
    velocities: np.ndarray  # (K, 3) m/s
    object_pose: np.ndarray  # (7,) world_T_mesh
    object_twist: np.ndarray  # (6,) linear m/s, then angular rad/s
    covariance: np.ndarray  # (6K + 12, 6K + 12) of the error state
    motion: Motion
    hand: Status
    object: Status

    def keypoint_covariance(self) -> np.ndarray:
        """(3K, 3K) m^2."""
        n = self.keypoints.size
        return self.covariance[:n, :n]

    def object_covariance(self) -> np.ndarray:
        """(6, 6) of the object's position and rotation vector in the world."""
        n = 2 * self.keypoints.size
        return self.covariance[n : n + 6, n : n + 6]

    def wrist(self, side: str) -> tuple[np.ndarray, np.ndarray]:
        """Wrist pose (7,) of 21 keypoints in MediaPipe order, and its covariance (6, 6)."""
        from dexhot.data.keypoints import wrist_pose  # with SciPy, which an object alone does without

        step, n = 1e-5, self.keypoints.size
        pose = wrist_pose(self.keypoints, side)
        moved = wrist_pose(self.keypoints + step * np.eye(n).reshape(n, -1, 3), side)
        turns = np.array([single.log(single.multiply(q, single.conjugate(pose[3:]))) for q in moved[:, 3:]])
        J = np.hstack([moved[:, :3] - pose[:3], turns]).T / step
        return pose, J @ self.keypoint_covariance() @ J.T


class LastSeen(NamedTuple):
    """When one of the two was last seen."""

    started: bool = False
    accepted: float = -np.inf  # s, stamp of the last accepted observation
    rejected: int = 0  # observations in a row
    restarts: int = 0  # re-acquired after it was lost
    gap: float = np.inf  # s between the last two stamps with an accepted observation


class _State:
    """Everything that an observation changes. Its values are replaced, never written into, so that a copy is cheap."""

    def __init__(self, count: int, symmetry: Symmetric, weight: np.ndarray, motion: Motion):
        n = 6 * count + 12
        self.stamp = -np.inf
        self.keypoints, self.velocities = np.zeros((count, 3)), np.zeros((count, 3))
        self.refused = np.zeros(count, int)  # times in a row that each keypoint was outside its gate
        self.density = np.zeros((3 * count, 3 * count))  # of the hand's accelerations
        self.bones, self.measured = np.zeros(0), 0  # (B,) m, mean over so many frames in space
        self.p, self.q, self.twist = np.zeros(3), (1.0, 0.0, 0.0, 0.0), np.zeros(6)
        self.P = np.zeros((n, n))
        self.symmetry, self.weight = symmetry, weight
        self.motion: Motion = motion
        self.candidate: Motion | None = None  # another motion that the last pose was for
        self.anchors: tuple[_State, ...] = ()  # as it was after the last accepted poses
        self.leaving = False  # the last accepted pose was not where the object was at rest
        self.hand, self.object = LastSeen(), LastSeen()

    def copy(self) -> "_State":
        other = _State.__new__(_State)
        other.__dict__.update(self.__dict__)  # a sixth of copy's time, once a tick
        return other


class HandObjectFilter:
    """See the module's docstring."""

    def __init__(
        self,
        options: HandObjectOptions | None = None,
        symmetry: Symmetric | None = None,
        keypoints: int = 21,
        weight: np.ndarray | None = None,
        surface: Callable[[np.ndarray], np.ndarray] | None = None,
    ):
        """`keypoints`: K, 0 for an object without a hand. `weight` (K,): each one's part in carrying the object.
        `surface`: distances (N,) m of points (N, 3) in the mesh frame from the object, for contact by distance."""
        self.options, self._surface = options or HandObjectOptions(), surface
        if weight is None:
            weight = HAND_WEIGHT if keypoints == 21 else np.ones(keypoints)
        if np.shape(weight) != (keypoints,):
            raise DexhotError(f"{keypoints} keypoints need as many contact weights, not {np.size(weight)}.")
        self._weight = np.asarray(weight, float)
        if symmetry is None:
            from dexhot.objects.asset import Symmetry  # not for those who only import the class

            symmetry = Symmetry()
        self.symmetry = symmetry
        self._gates = GATES | {6: self.options.pose_gate}
        o = self.options
        self._slip, self._density = _six(o.slip, o.roll) ** 2, _six(o.acceleration, o.angular_acceleration) ** 2
        self._slips, self._densities = np.diag(self._slip), np.diag(self._density)
        self._forget(keypoints)

    def _forget(self, keypoints: int) -> None:
        self._state = _State(keypoints, self.symmetry, self._weight, self.options.motions[0])
        self._history: deque[tuple[float, tuple[Observation, ...], _State]] = deque()  # and the state before

    def observe(self, stamp: float, *observations: Observation) -> bool:
        """Apply observations of one stamp, s, also a late one; True if any of them was accepted. Raises DexhotError
        for numbers that are not finite where they must be."""
        if not isfinite(stamp):
            raise DexhotError(f"the stamp of an observation is {stamp}.")
        for observation in observations:
            check_finite(observation)
        later = []
        while self._history and self._history[-1][0] > stamp:
            later.append(self._history.pop())
        if later:
            if not self._history and stamp < self._state.stamp - self.options.memory:
                self._history.extend(reversed(later))
                return False  # older than what is remembered
            self._state = later[-1][2]
        accepted = self._apply(stamp, observations)
        for when, what, _ in reversed(later):
            self._apply(when, what)
        while self._history and self._history[0][0] < self._state.stamp - self.options.memory:
            self._history.popleft()
        return accepted

    def estimate(self, stamp: float | None = None) -> HandObjectEstimate:
        """The state at the last stamp, or predicted to a later one; the filter is unchanged. Raises DexhotError before
        the first accepted observation."""
        if not (self._state.hand.started or self._state.object.started):
            raise DexhotError("the hand-object filter has not received a hand or an object yet.")
        s = self._state
        if stamp is not None and stamp > s.stamp:
            s = self._predicted(s, stamp)
        return HandObjectEstimate(
            s.stamp,
            s.keypoints,
            s.velocities,
            np.concatenate([s.p, s.q]),
            s.twist,
            s.P,
            s.motion,
            self._status(s, "hand"),
            self._status(s, "object"),
        )

    @property
    def restarts(self) -> tuple[int, int]:
        """How often hand and object were re-acquired after they were lost."""
        return self._state.hand.restarts, self._state.object.restarts

    @property
    def hand_started(self) -> bool:
        """Whether a hand was ever seen."""
        return self._state.hand.started

    @property
    def object_accepted(self) -> float:
        """Stamp of the object's last accepted observation, s; -inf before the first."""
        return self._state.object.accepted

    # One observation -------------------------------------------------------------------------------------------------

    def _apply(self, stamp: float, observations: tuple[Observation, ...]) -> bool:
        self._history.append((stamp, observations, self._state))
        return self._step(stamp, observations)

    def _step(self, stamp: float, observations: tuple[Observation, ...]) -> bool:
        s = self._predicted(self._state, stamp)
        if s.measured and any(in_image_of_hand(o) for o in observations):
            rows = bone_rows(s.keypoints, s.bones, self.options.bone)
            _correct(s, *_innovation(s, rows), rows.residual)
        accepted = False
        for observation in observations:
            for part in parts(observation):
                accepted |= self._use(s, part)
        self._state = s
        return accepted

    def _use(self, s: _State, observation: Single) -> bool:
        what = whose(observation)
        if self._status(s, what) in ("unknown", "lost"):
            if self._start(s, observation):
                return True
            before = s.hand if what == "hand" else s.object
            if not before.started or before.rejected >= self.options.confused_after:
                return False  # what is only uncertain is still corrected by what it cannot be started from
        leaving = isinstance(observation, SeenPose) and self._choose_motion(s, observation)
        rows = observation.rows(s)
        seen: LastSeen = getattr(s, what)
        gap = s.stamp - seen.accepted or seen.gap  # of one stamp, such as of two cameras: that of the stamp before
        inside = _update(s, rows, self._gates[rows.size], self._alike(what, gap))
        accepted = bool(inside.any())
        if isinstance(observation, SeenKeypoints):
            assert isinstance(rows.columns, np.ndarray)
            self._doubt(s, observation.points, rows.columns[::3] // 3, inside)
            if 2 * inside.sum() > len(s.keypoints):
                _measure_bones(s)
        if accepted:
            setattr(s, what, LastSeen(True, s.stamp, 0, seen.restarts, gap))
            if isinstance(observation, SeenPose):
                s.leaving = leaving
                self._remember(s)
        elif len(inside):
            setattr(s, what, seen._replace(rejected=seen.rejected + 1))
        return accepted

    def _alike(self, what: What, gap: float) -> float:
        """Over how many observations that are `gap` s apart their errors stay alike."""
        return (self.options.hand_memory if what == "hand" else self.options.object_memory) / gap

    def _doubt(self, s: _State, points: np.ndarray, which: np.ndarray, inside: np.ndarray) -> None:
        """A keypoint that was rejected too often in a row restarts where it is seen: its estimate was the outlier."""
        if inside.all() and len(inside) == len(s.refused):  # in most frames
            s.refused = np.zeros_like(s.refused)
            return
        refused = s.refused.copy()
        refused[which] = np.where(inside, 0, refused[which] + 1)
        wrong = refused >= self.options.confused_after
        if wrong.any():
            n, P = s.keypoints.size, s.P.copy()
            k = np.flatnonzero(np.repeat(wrong, 3))
            for at, sigma in ((k, self.options.first_sigma), (n + k, 1.0)):
                P[at], P[:, at] = 0.0, 0.0
                P[at, at] = sigma**2
            s.keypoints = np.where(wrong[:, None], points, s.keypoints)
            if not wrong.all():
                s.velocities = np.where(wrong[:, None], s.velocities[~wrong].mean(axis=0), s.velocities)
            s.P, refused = P, np.where(wrong, 0, refused)
        s.refused = refused

    def _start(self, s: _State, observation: Single) -> bool:
        """Start the hand on most of its keypoints in space, or the object on a pose; True if it could."""
        o, P = self.options, s.P.copy()
        n = 2 * s.keypoints.size
        if isinstance(observation, SeenPose):
            pose = nearest_equivalent(s.symmetry, observation.pose, s.q) if s.object.started else observation.pose
            s.p, s.q, s.twist = np.array(pose[:3], float), single.normalise(pose[3:]), np.zeros(6)
            block = np.diag([0.0] * 6 + [0.25] * 3 + [4.0] * 3)
            block[:6, :6] = observation.covariance
            P[n:], P[:, n:] = 0.0, 0.0
            P[n:, n:] = block
            s.motion, s.candidate, s.anchors = o.motions[0], None, ()
            s.object = LastSeen(True, s.stamp, 0, s.object.restarts + s.object.started)
        elif isinstance(observation, SeenKeypoints):
            rows = observation.rows(s)
            assert isinstance(rows.columns, np.ndarray)
            if 2 * len(rows.columns) < s.keypoints.size:
                return False
            seen_here = np.isfinite(observation.points).all(axis=1)
            known = np.repeat(seen_here, 3)
            x = np.where(seen_here[:, None], observation.points, np.nan)
            s.keypoints = np.where(np.isfinite(x), x, np.nanmean(x, axis=0))
            s.velocities = np.zeros_like(s.keypoints)
            P[:n], P[:, :n] = 0.0, 0.0
            half = n // 2
            P[:half, :half] = np.diag(np.where(known, o.first_sigma, UNKNOWN) ** 2)
            P[np.ix_(rows.columns, rows.columns)] += rows.noise
            s.density, s.anchors = self._hand_density(s.keypoints), ()
            P[half:n, half:n] = o.first_speed**2 / s.density[0, 0] * s.density  # moves together
            s.measured = 0  # it may be another person's
            s.hand = LastSeen(True, s.stamp, 0, s.hand.restarts + s.hand.started)
        else:
            return False
        s.P = P
        if s.object.started:
            self._remember(s)
        return True

    def _hand_density(self, keypoints: np.ndarray) -> np.ndarray:
        """(3K, 3K) of white accelerations: the whole hand's, and each keypoint's, less apart the nearer they are."""
        o = self.options
        square = ((keypoints[:, None] - keypoints) ** 2).sum(-1)
        near = np.exp(-0.5 * square / o.finger_length**2) + o.finger_alone * np.eye(len(keypoints))
        return np.kron(o.hand_acceleration**2 + o.finger_acceleration**2 * near, np.eye(3))

    def _status(self, s: _State, what: What) -> Status:
        o, seen = self.options, s.hand if what == "hand" else s.object
        if not seen.started:
            return "unknown"
        if seen.rejected >= o.confused_after:
            return "lost"
        n = s.keypoints.size
        if what == "hand":
            lost = bool(s.P.diagonal()[:n].mean() > o.hand_lost_sigma**2)
        else:
            variance = [s.P.item(k, k) for k in range(2 * n, 2 * n + 6)]  # in plain floats: a tick of an object alone
            lost = max(variance[:3]) > o.object_lost_sigma**2 or max(variance[3:]) > o.object_lost_turn**2
        if lost:
            return "lost"
        return "hidden" if s.stamp - seen.accepted > o.hidden_after else "tracked"

    # Dynamics --------------------------------------------------------------------------------------------------------

    def _predicted(self, before: _State, stamp: float) -> _State:
        s = before.copy()
        if not isfinite(s.stamp):
            s.stamp = stamp
        dt = stamp - s.stamp
        s.stamp = stamp
        if dt <= 0:
            return s
        x0 = s.keypoints
        if len(x0):
            s.keypoints, s.P = x0 + dt * s.velocities, _kernels().spread(s.P, s.density, dt)
        if s.object.started:
            # free flight beside a hand is soon over, and too uncertain to wait for the next picture
            wait = self.options.flight if s.motion == "free" else self.options.hidden_after
            gone = s.leaving and s.motion != "carried" and stamp - s.object.accepted > wait
            s.leaving = s.leaving and not gone  # asked once: a hand that comes later has not taken it
            if gone and self._can_carry(s) and self._reaches(s):
                self._taken(s)
            elif s.motion == "carried":
                self._carried(s, self._carry(x0, s.keypoints, s), before.P, dt)
            else:
                self._alone(s, dt)
        return s

    def _carry(self, before: np.ndarray, after: np.ndarray, s: _State, position: np.ndarray | None = None) -> Carried:
        """How keypoints (K, 3) that move from `before` to `after` carry an object, by default at the state's place."""
        return carry(before, after, s.weight, s.p if position is None else position)

    def _carried(self, s: _State, c: Carried, P0: np.ndarray, dt: float) -> None:
        """The object moves with the contact points, and so does its error."""
        o = self.options
        growth = o.unwatched if s.stamp - s.object.accepted > o.hidden_after else 1.0
        speed = self._speed(s)
        slip = growth * (o.steady + (1.0 - o.steady) * speed / o.pace) * dt * self._slip
        _kernels().carry_object(P0, s.P, s.density, c.turn, c.by_before, c.by_after, dt, slip, SHAKE)
        s.p, s.q = c.position, _turned(c.turn, s.q)
        s.twist = c.by_after @ s.velocities.ravel()

    def _taken(self, s: _State) -> None:
        """A hidden object that had left its rest, beside a hand, went with it, from where it was last seen."""
        a, at = s.anchors[-1], 2 * s.keypoints.size
        carried = self._carry(a.keypoints, s.keypoints, s, a.p)
        dt = s.stamp - a.stamp
        noise = dt * self._slips
        n = s.keypoints.size
        block = a.P[at : at + 6, at : at + 6] + noise + carried.by_after @ s.P[:n, :n] @ carried.by_after.T
        self._begin(s, "carried", (carried.position, _turned(carried.turn, a.q), block))
        s.twist = carried.by_after @ s.velocities.ravel()

    def _can_carry(self, s: _State) -> bool:
        """Whether the hand's motion is known well enough to carry the object."""
        return s.hand.started and self._status(s, "hand") != "lost" and len(s.keypoints) > 2 and self._touches(s)

    def _speed(self, s: _State) -> float:
        """Of the contact points' centre, m/s."""
        velocity = s.weight @ s.velocities / s.weight.sum()
        return float(np.sqrt(velocity @ velocity))

    def _reaches(self, s: _State) -> bool:
        """Whether the contact points' centre is near the object."""
        near = s.weight @ s.keypoints / s.weight.sum() - s.p
        return bool(near @ near < self.options.reach**2)

    def _begin(self, s: _State, motion: Motion, where: tuple[np.ndarray, single.Quaternion, np.ndarray]) -> None:
        """Another motion, from position, rotation and their covariance (6, 6)."""
        s.motion, s.candidate, s.anchors = motion, None, ()
        s.p, s.q, block = np.array(where[0], float), where[1], where[2]
        at, P = 2 * s.keypoints.size, s.P.copy()
        P[at:], P[:, at:] = 0.0, 0.0
        P[at : at + 6, at : at + 6] = block
        P[at + 6 :, at + 6 :] = np.diag([0.25] * 3 + [4.0] * 3)
        s.P = P

    def _alone(self, s: _State, dt: float) -> None:
        """At rest, or with constant velocity."""
        if s.motion == "free":
            return self._free(s, dt)
        o, at = self.options, 2 * s.keypoints.size
        s.P = P = s.P.copy() if not at else s.P
        k, w = at + np.arange(6), at + 6 + np.arange(6)
        P[k, k] += dt * _six(o.rest, o.rest_turn) ** 2
        if s.hand.started and self._reaches(s) and (speed := self._speed(s)) < o.hasty:
            P[k, k] += dt * speed**2 * _six(o.stir, o.stir_turn) ** 2
        P[w, :], P[:, w] = 0.0, 0.0
        P[w, w] = _six(0.02, 0.2) ** 2
        s.twist = np.zeros(6)
        return None

    def _free(self, s: _State, dt: float) -> None:
        """p += v dt, q <- Exp(w dt) q, F = [[I, 0, dt I, 0], [0, Exp(w dt), 0, dt I], [0, 0, I, 0], [0, 0, 0, I]], and
        white accelerations. In flat views: a tick of an object alone is little else."""
        at, size = 2 * s.keypoints.size, len(s.P)
        turn = single.exp((s.twist[3:] * dt).tolist())
        F = EYE.copy()
        F[3:6, 3:6] = single.matrix(turn)
        F.ravel()[6:72:13] = dt
        if at:
            s.P[at:] = F @ s.P[at:]
            s.P[:, at:] = s.P[:, at:] @ F.T
        else:
            s.P = F @ s.P @ F.T
        density, P = self._density, s.P.ravel()
        cross = density * (dt**2 / 2)
        step, rows = size + 1, 6 * size  # along the diagonal; from position and rotation to their velocities
        begin, end = at * step, at * step + 6 * step
        P[begin:end:step] += density * (dt**3 / 3)
        P[begin + 6 : end + 6 : step] += cross
        P[begin + rows : end + rows : step] += cross
        P[begin + rows + 6 : end + rows + 6 : step] += density * dt
        s.p = s.p + dt * s.twist[:3]
        s.q = single.normalise(single.multiply(turn, s.q))

    # Which motion ----------------------------------------------------------------------------------------------------

    def _remember(self, s: _State) -> None:
        """Keep the state as the start of later comparisons, and weigh the contact points anew."""
        if len(self.options.motions) == 1:
            return
        here = s.copy()
        here.anchors = ()
        s.anchors = (*(a for a in s.anchors if s.stamp - a.stamp < self.options.baseline), here)
        if self._surface is not None and s.hand.started:
            distance = self._surface(single.transform(single.inverse(np.concatenate([s.p, s.q])), s.keypoints))
            s.weight = self._weight * (np.exp(-((np.maximum(distance, 0.0) / self.options.touch) ** 2)) + 0.01)

    def _choose_motion(self, s: _State, seen: SeenPose) -> bool:
        """Compare the measured pose with where each motion would have brought the object since `baseline` ago. Rest and
        carried have one covariance, so that a hand that does not move decides nothing; free costs its own. What no
        motion explains is an outlier, unless the next pose says so too. True for a pose that is not one of rest."""
        if len(self.options.motions) == 1 or not s.anchors or s.stamp <= s.anchors[0].stamp:
            return s.leaving
        a, o, at = s.anchors[0], self.options, 2 * s.keypoints.size
        dt = s.stamp - a.stamp
        start = a.P[at : at + 6, at : at + 6]
        noise = start + dt * self._slips
        carried = None
        if self._can_carry(s):
            carried = self._carry(a.keypoints, s.keypoints, s, a.p)
            n = s.keypoints.size
            noise = noise + carried.by_after @ s.P[:n, :n] @ carried.by_after.T
        free = noise + dt**3 / 3 * self._densities
        free += dt**2 * a.P[at + 6 : at + 12, at + 6 : at + 12]
        turn = single.exp(dt * a.twist[3:])
        ways: dict[Motion, tuple[np.ndarray, single.Quaternion, np.ndarray]] = {
            "rest": (a.p, a.q, noise),
            "free": (a.p + dt * a.twist[:3], single.normalise(single.multiply(turn, a.q)), free),
        }
        if carried is not None:
            ways["carried"] = (carried.position, _turned(carried.turn, a.q), noise)
        fit: dict[Motion, float] = {}
        distance: dict[Motion, float] = {}
        for name, (p, q, covariance) in ways.items():
            pose = nearest_equivalent(s.symmetry, seen.pose, q)
            residual = np.concatenate([pose[:3] - p, single.log(single.multiply(pose[3:], single.conjugate(q)))])
            distance[name], fit[name] = _kernels().likelihood(covariance + seen.covariance, residual)
        chosen = max(fit, key=fit.__getitem__)
        leaving = distance["rest"] > o.left_rest
        if chosen == s.motion or fit[chosen] < fit.get(s.motion, -np.inf) + o.evidence:
            s.candidate = None
            return leaving
        if chosen != s.candidate and (chosen == "free" or distance[chosen] > GATES[6]):
            s.candidate = chosen
            return leaving
        # the motion changed meanwhile: the object is where the new one brings it
        where = ways[chosen]
        if distance[chosen] > GATES[6]:  # or where it was seen, if no motion explains that
            pose = nearest_equivalent(s.symmetry, seen.pose, s.q)
            where = pose[:3], single.normalise(pose[3:]), 4.0 * seen.covariance
        self._begin(s, chosen, where)
        s.twist = np.zeros(6) if chosen == "rest" else a.twist
        if carried is not None and chosen == "carried":
            s.twist = carried.by_after @ s.velocities.ravel()
        return leaving

    def _touches(self, s: _State) -> bool:
        """Whether at least two contact points are at the surface; without a surface they may be."""
        return self._surface is None or bool((s.weight > 0.3 * self._weight.max()).sum() >= 2)


def _update(s: _State, rows: ObservedRows, gate: float, alike: float = 0.0) -> np.ndarray:
    """Kalman update with the groups inside their gate: which those are (groups,). `alike`: over how many observations
    errors stay so; 0: each has its own."""
    groups, size = len(rows.residual) // rows.size, rows.size
    if not groups:
        return np.zeros(0, bool)
    if groups == 1 and not alike:
        return np.array([update_one(s, rows, gate)])
    HP, S = _innovation(s, rows)
    inside: np.ndarray = _kernels().distances(S, rows.residual, size) <= gate
    if rows.least and inside.mean() < rows.least:
        inside = np.zeros(groups, bool)
    if inside.any():
        keep = np.repeat(inside, size)
        if alike:
            S = S - rows.noise + _repeated(S, rows.noise, alike)
        if not inside.all():
            HP, S = HP[keep], S[np.ix_(keep, keep)]
        _correct(s, HP, S, rows.residual[keep])
    return inside


def _repeated(S: np.ndarray, noise: np.ndarray, alike: float) -> np.ndarray:
    """How much larger noise (m, m), a part of S (m, m), has to be if it is not white, (m, m).

    With the correlation r of one error with the next, the mean of many observations has the variance of that of white
    ones with f = (1 + r) / (1 - r) times theirs. A filter forgets: of its estimate the part k = f n / (h + f n) is left
    after the next observation, with the noise's variance n and that of what it predicts, h. Its error then has that of
    white ones with f = (1 + k r) / (1 - k r), and these two equations give f, for each residual.
    """
    n, apart = noise.diagonal(), -expm1(-1.0 / alike)  # apart: 1 - r
    h = S.diagonal() - n
    half = 0.5 * (n * (2.0 - apart) - h)
    f = np.sqrt((half + np.sqrt(half**2 + n * h * apart)) / (n * apart))
    larger: np.ndarray = noise * np.outer(f, f)
    return larger


def update_one(s: _State, rows: ObservedRows, gate: float) -> bool:
    """Kalman update with a single group: whether it is inside its gate."""
    return _correct(s, *_innovation(s, rows), rows.residual, gate)


def _innovation(s: _State, rows: ObservedRows) -> tuple[np.ndarray, np.ndarray]:
    """H P (m, N), and the covariance (m, m) of the residuals."""
    J, columns = rows.jacobian, rows.columns
    HP = s.P[columns] if J is None else J @ s.P[columns]
    return HP, (HP[:, columns] if J is None else HP[:, columns] @ J.T) + rows.noise


def _correct(s: _State, HP: np.ndarray, S: np.ndarray, residual: np.ndarray, gate: float = np.inf) -> bool:
    """Correct state and covariance by a residual (m,), unless its squared Mahalanobis distance is beyond `gate`.

    With S = L L^T and W = L^-1 H P: dx = W^T L^-1 residual and P - W^T W, which costs a third of Joseph's form. The
    least noise is far above the rounding of the largest variance (1e-7 against 1e-16), so nothing is lost by it.
    """
    size = len(s.P)
    right = np.empty((len(S), size + 1))
    right[:, :size], right[:, size] = HP, residual
    if len(s.keypoints):
        _kernels().forward(S, right)
    else:
        right[:] = np.linalg.solve(np.linalg.cholesky(S), right)
    W, white = right[:, :size], right[:, size]
    if white @ white > gate:
        return False
    dx = white @ W
    s.P = s.P - W.T @ W
    at = 2 * s.keypoints.size
    if at:
        n = at // 2
        s.keypoints = s.keypoints + dx[:n].reshape(-1, 3)
        s.velocities = s.velocities + dx[n:at].reshape(-1, 3)
    s.p, s.twist = s.p + dx[at : at + 3], s.twist + dx[at + 6 :]
    s.q = single.normalise(single.multiply(single.exp(dx[at + 3 : at + 6].tolist()), s.q))
    return True


def _measure_bones(s: _State) -> None:
    """Take the lengths of a person's bones into their mean."""
    if len(s.keypoints) == len(NAMES):
        s.measured = min(s.measured + 1, BONE_FRAMES)
        now = bone_lengths(s.keypoints)
        s.bones = now if s.measured == 1 else s.bones + (now - s.bones) / s.measured


def _six(position: float, rotation: float) -> np.ndarray:
    """(6,): of each coordinate of a position and of a rotation vector."""
    return np.array([position] * 3 + [rotation] * 3)


def _turned(turn: np.ndarray, q: single.Quaternion) -> single.Quaternion:
    """The rotation `turn` (3, 3) after q."""
    return single.normalise(single.multiply(single.from_matrix(turn), q))


def _kernels() -> ModuleType:
    """Compiled, for a hand: not imported for an object alone."""
    from dexhot.tracking import kernels

    return kernels
