"""Motion that a body could make, from a clip: a hand of flesh around the object where the recording's cut through it.

Keypoints of a recording leave a fitted hand 6 to 15 mm deep in the object. Here each frame is fitted to the keypoints
with the object and the table as obstacles, with touching fingertips drawn to the surface, and then smoothed and pushed
out again.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import csr_matrix

from dexhot.data.keypoints import TIPS
from dexhot.data.types import HandObjectTrajectory
from dexhot.errors import ClipError
from dexhot.fitting.clip import convention_of, sightings_of
from dexhot.fitting.hand_fit import Sighting, fit_hand
from dexhot.fitting.normal_equations import ROBUST
from dexhot.fitting.solver import solve_pose
from dexhot.fitting.terms import JointLimits, Keypoints3D, LikelyPose, NearPose, Rows, Term
from dexhot.geometry.poses import inverse, transform
from dexhot.geometry.rotations import quat_to_matrix, slerp
from dexhot.geometry.sdf_volume import SdfVolume
from dexhot.humans.kernels import POSE_SIZE, exponential, logarithm
from dexhot.humans.skin import JOINTS, HandPose, PosedHand
from dexhot.humans.zones import contact_zones
from dexhot.synthesis.person import Person

KEYPOINT_SIGMA = 0.006  # m: the recording's hand is not the person's
OBSTACLE_SIGMA = 0.0004  # m
EASING = (0.004, 0.0012, OBSTACLE_SIGMA)  # m: how a hand that starts inside is eased out
PUSH_SIGMA = 0.0002  # m, after smoothing
CLEARANCE = 0.0008  # m, kept between skin and object: the drawn surface lies up to this far from the fitted one
TOUCH_SIGMA = 0.002  # m
TOUCHING, NEAR = 0.008, 0.016  # m from a recorded fingertip to the surface: touches, and is merely near
ITERATIONS = 10
ROUNDS = 2  # of smoothing and pushing out
SMOOTH = 1.5  # frames, standard deviation, of what the obstacles change
ASTRAY, FAR_ASTRAY = 0.015, 0.025  # m from the recorded keypoints (median): a frame is started anew; a clip is left out
DEEPEST = 0.002  # m: largest 95th percentile over the frames of the deepest point's depth


@dataclass
class PhysicalMotion:
    """A clip as it is drawn: at the camera's rate, in the clip's world."""

    time: np.ndarray  # (T,) s
    object_pose: np.ndarray  # (T, 7) world_T_mesh
    poses: dict[str, list[HandPose]]  # of each side's person
    touching: dict[str, np.ndarray]  # (T, 5) in [0, 1], fingertips: thumb first
    depth: dict[str, np.ndarray] = field(default_factory=dict)  # (T,) m, how deep the hand's skin is in the object
    astray: dict[str, float] = field(default_factory=dict)  # m, median distance of the keypoints from the recording's

    @property
    def deep(self) -> dict[str, float]:
        """95th percentile of the depth, by side, m."""
        return {side: float(np.percentile(depth, 95)) for side, depth in self.depth.items()}


@dataclass
class Obstacles:
    """Keeps skin out of the object and off the table."""

    volume: SdfVolume
    object_pose: np.ndarray  # (7,) world_T_mesh
    table: float  # m, height
    smooth: csr_matrix  # the skin that is drawn, by the hand's vertices: an edge must not poke in between those
    sigma: float = OBSTACLE_SIGMA  # m

    def object_distances(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (N, 3) -> distance (N,) to the object, negative inside, and its gradient (N, 3), all in the world."""
        value, slope = self.volume.distance(transform(inverse(self.object_pose), points))
        return value, slope @ quat_to_matrix(self.object_pose[3:]).T

    def distances(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same to the nearer of object and table."""
        value, slope = self.object_distances(points)
        above = points[:, 2] - self.table
        lower = above < value
        return np.where(lower, above, value), np.where(lower[:, None], [0.0, 0.0, 1.0], slope)

    def rows(self, posed: PosedHand, with_shape: bool = False) -> Rows:
        """One residual per point of the skin that is less than CLEARANCE away."""
        value, slope = self.distances(self.smooth @ posed.vertices)
        inside = np.flatnonzero(value < CLEARANCE)
        by_vertex = self.smooth[inside]
        ids = np.unique(by_vertex.indices)
        moved = by_vertex[:, ids] @ posed.point_jacobians(JOINTS + ids).reshape(len(ids), 3 * POSE_SIZE)
        off = value[inside] - CLEARANCE
        jacobian = np.einsum("vi,vij->vj", slope[inside], moved.reshape(-1, 3, POSE_SIZE))
        weight = np.full(len(inside), self.sigma**-2)
        return Rows(off, jacobian, weight, float(weight @ off**2))


@dataclass
class Touch:
    """Draws the nearest skin of each touching fingertip to the object's surface."""

    obstacles: Obstacles
    zones: list[np.ndarray]  # vertices of each fingertip's pad
    strength: np.ndarray  # (5,) in [0, 1]

    def rows(self, posed: PosedHand, with_shape: bool = False) -> Rows:
        """One residual per fingertip."""
        wanted = [k for k in range(5) if self.strength[k] > 0]
        near = np.zeros(len(wanted), int)
        value, slope = np.zeros(len(wanted)), np.zeros((len(wanted), 3))
        for row, k in enumerate(wanted):
            found, slopes = self.obstacles.object_distances(posed.vertices[self.zones[k]])
            best = int(np.argmin(found))
            near[row], value[row], slope[row] = self.zones[k][best], found[best], slopes[best]
        off = value - CLEARANCE
        jacobian = np.einsum("vi,vij->vj", slope, posed.point_jacobians(JOINTS + near))
        square = off**2 / TOUCH_SIGMA**2
        weight = self.strength[wanted] / TOUCH_SIGMA**2 * (ROBUST / (ROBUST + square)) ** 2
        return Rows(off, jacobian, weight, float(self.strength[wanted] @ (ROBUST * square / (ROBUST + square))))


def resampled(trajectory: HandObjectTrajectory, rate: float) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Times (N,) from 0 at `rate`, object poses (N, 7), and each hand's keypoints (N, 21, 3)."""
    source = trajectory.time - trajectory.time[0]
    time = np.arange(int(source[-1] * rate + 1e-3) + 1) / rate  # a clip's last stamp may be rounded down
    inside = np.minimum(time, source[-1])
    place = np.stack([np.interp(inside, source, trajectory.object_pose[:, a]) for a in range(3)], axis=1)
    object_pose = np.hstack([place, slerp(source, trajectory.object_pose[:, 3:], inside)])
    keypoints = {}
    for side, track in trajectory.hands.items():
        flat = track.keypoints.reshape(len(source), 63)
        rows = np.stack([np.interp(inside, source, flat[:, k]) for k in range(63)], axis=1)
        keypoints[side] = rows.reshape(-1, 21, 3)
    return time, object_pose, keypoints


def shape_of(trajectory: HandObjectTrajectory, side: str) -> np.ndarray:
    """(S,) the open hand's shape in a clip, as far as its keypoints tell."""
    from dexhot.humans.open_hand import open_hand

    hand = open_hand(side)
    seen = sightings_of(trajectory.hands[side])[:: max(1, len(trajectory.time) // 12)]
    return fit_hand(hand, hand.table(convention_of(trajectory, side)), seen, continuous=False).shape


def make_physical(
    trajectory: HandObjectTrajectory, people: dict[str, Person], volume: SdfVolume, rate: float
) -> PhysicalMotion:
    """The clip's motion with `people`, hands outside of the object. Raises ClipError where that fails."""
    time, object_pose, keypoints = resampled(trajectory, rate)
    motion = PhysicalMotion(time, object_pose, {}, {})
    for side, person in people.items():
        _fit(motion, trajectory, side, person, keypoints[side], volume)
    if bad := {side: deep for side, deep in motion.deep.items() if deep > DEEPEST}:
        what = ", ".join(f"the {side} hand is {1e3 * deep:.1f} mm deep in the object" for side, deep in bad.items())
        raise ClipError(
            f"{trajectory.name} cannot be made physical: {what} (95th percentile; {1e3 * DEEPEST:g} mm are allowed). "
            "Leave it out, or try another --seed: another hand may fit."
        )
    if bad := {side: far for side, far in motion.astray.items() if far > FAR_ASTRAY}:
        what = ", ".join(
            f"the {side} hand keeps {1e3 * far:.0f} mm away from where it was" for side, far in bad.items()
        )
        raise ClipError(f"{trajectory.name} cannot be made physical: {what} (median keypoint). Try another --seed.")
    return motion


def _fit(
    motion: PhysicalMotion,
    trajectory: HandObjectTrajectory,
    side: str,
    person: Person,
    keypoints: np.ndarray,
    volume: SdfVolume,
) -> None:
    hand = person.hand
    assert hand.prior is not None
    table = hand.table(convention_of(trajectory, side))
    confidence = trajectory.hands[side].confidence.mean(axis=0)
    zones = [zone for name, zone in contact_zones(hand).items() if name != "palm"]
    regular: list[Term] = [LikelyPose(hand.prior, 0.3), JointLimits(hand.prior)]
    around = [Obstacles(volume, pose, trajectory.table_height, person.subdivision[0]) for pose in motion.object_pose]
    tips = keypoints[:, TIPS]
    far = np.stack([volume.distance(transform(inverse(pose), p))[0] for pose, p in zip(motion.object_pose, tips)])
    touching = gaussian_filter1d(np.clip((NEAR - far) / (NEAR - TOUCHING), 0.0, 1.0), 1.0, axis=0)
    neutral = hand.shaped()
    data = [Keypoints3D(table, points, confidence, KEYPOINT_SIGMA) for points in keypoints]

    sightings = [Sighting(confidence, points=points) for points in keypoints]
    free = fit_hand(hand, table, sightings, KEYPOINT_SIGMA, shape=np.zeros(hand.shape_size))
    poses = [HandPose.from_vector(x) for x in free.poses]
    change = np.zeros(
        (len(poses), POSE_SIZE)
    )  # what the obstacles change of the free fit, which is as smooth as the motion

    def solve(t: int, expected: np.ndarray, near: NearPose, terms: list[Term]) -> None:
        start = changed(poses[t], expected)
        change[t] = difference(poses[t], solve_pose(neutral, start, [*terms, near], ITERATIONS).posed.pose)

    def stray(t: int) -> float:
        seen = neutral.posed(changed(poses[t], change[t])).keypoints(table)
        return float(np.median(np.linalg.norm(seen - keypoints[t], axis=1)))

    for t, obstacles in enumerate(around):  # the change of the frame before is expected: skin stays on its side
        expected = change[max(t - 1, 0)]
        near = NearPose(changed(poses[t], expected), turn=0.1, shift=0.006, bend=0.15)
        terms: list[Term] = [data[t], *regular, obstacles, Touch(obstacles, zones, touching[t])]
        solve(t, expected, near, terms)
        if stray(t) > ASTRAY:  # on the wrong side of something: as the recording has it, if that is clear of the object
            kept = change[t].copy()
            change[t] = 0.0
            for sigma in EASING:
                soft = replace(obstacles, sigma=sigma)
                near = NearPose(poses[t], turn=0.2, shift=0.02, bend=0.3)
                solve(t, change[t], near, [data[t], *regular, soft, Touch(obstacles, zones, touching[t])])
            skin = person.surface(neutral.posed(changed(poses[t], change[t])))
            if obstacles.distances(skin)[0].min() < -DEEPEST:
                change[t] = kept
    for _ in range(ROUNDS):
        change = gaussian_filter1d(change, SMOOTH, axis=0)
        for t, obstacles in enumerate(around):
            hard = replace(obstacles, sigma=PUSH_SIGMA)
            near = NearPose(changed(poses[t], change[t]), turn=0.03, shift=0.003, bend=0.06)
            solve(t, change[t], near, [hard, Touch(obstacles, zones, touching[t]), JointLimits(hand.prior)])
    motion.astray[side] = float(np.median([stray(t) for t in range(len(poses))]))
    poses = [changed(pose, c) for pose, c in zip(poses, change)]
    depth = np.zeros(len(poses))
    for t, pose in enumerate(poses):
        skin = person.surface(neutral.posed(pose))
        depth[t] = max(0.0, -volume.distance(transform(inverse(motion.object_pose[t]), skin))[0].min())
    motion.poses[side], motion.touching[side], motion.depth[side] = poses, touching, depth


def difference(pose: HandPose, other: HandPose) -> np.ndarray:
    """(51,) how `other` differs from `pose`, in the hand's own frame, so that it may be carried along a motion."""
    turn, shift = logarithm(pose.rotation.T @ other.rotation), pose.rotation.T @ (other.translation - pose.translation)
    return np.concatenate([turn, shift, (other.fingers - pose.fingers).ravel()])


def changed(pose: HandPose, by: np.ndarray) -> HandPose:
    """The inverse of `difference`."""
    turn = np.empty((3, 3))
    exponential(by[:3], turn)
    fingers = pose.fingers + by[6:].reshape(15, 3)
    return HandPose(pose.rotation @ turn, pose.translation + pose.rotation @ by[3:6], fingers)
