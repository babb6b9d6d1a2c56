"""Fits one hand to a clip's keypoints: the shape from some frames, then the pose of each frame in sequence."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dexhot.data.keypoints import MIDDLE_MCP, WRIST, check_size
from dexhot.errors import ClipError
from dexhot.fitting.solver import Fitted, solve_pose, solve_shape
from dexhot.fitting.terms import (
    JointLimits,
    KeypointDepth,
    Keypoints2D,
    Keypoints3D,
    LikelyPose,
    NearPose,
    RelativeDepth,
    Term,
)
from dexhot.geometry.cameras import pinhole_rays
from dexhot.humans.skin import HandPose, KeypointTable, PosedHand, PosePrior, SkinnedHand

DataTerm = Keypoints3D | Keypoints2D | KeypointDepth | RelativeDepth
PALM = np.array([0, 1, 5, 9, 13, 17])  # wrist, thumb's base and knuckles: nearly rigid
SHAPE_FRAMES = 12
SIDE_FRAMES, OTHER_SIDE = 6, 0.5  # frames for checking the side; cost ratio below which the other side is inferred
PRIOR_STRENGTH = 0.3
FIRST_ITERATIONS, ITERATIONS = 40, 6
LOST = 5.0  # cost per seen keypoint above which a frame is reinitialized; about 1 for a good fit
LEAST_SEEN = 6  # minimum keypoints per frame; with fewer the last pose is kept


@dataclass
class Sighting:
    """Observation of a hand in one frame: 3D keypoints, or 2D ones with a camera and optional depth."""

    confidence: np.ndarray  # (21,) in [0, 1]
    points: np.ndarray | None = None  # (21, 3) m
    pixels: np.ndarray | None = None  # (21, 2) px
    depth: np.ndarray | None = None  # (21,) m, 0 where not measured
    camera: np.ndarray | None = None  # (4,) fx fy cx cy, px
    relative_depth: np.ndarray | None = None  # (21,) px, of the keypoints from the wrist; None: not estimated


@dataclass
class HandFit:
    """A hand model fitted to a clip."""

    hand: SkinnedHand
    table: KeypointTable
    shape: np.ndarray  # (S,)
    poses: np.ndarray  # (T, 51)
    keypoints: np.ndarray  # (T, 21, 3) m
    covariance: np.ndarray  # (T, 21, 3, 3) m2, of the keypoints
    seconds: np.ndarray  # (T,) CPU time per frame, without the shape's
    shape_seconds: float

    @property
    def parameters(self) -> np.ndarray:
        """(T, 51 + S): pose, then shape."""
        return np.hstack([self.poses, np.tile(self.shape, (len(self.poses), 1))])

    def posed(self, frame: int) -> PosedHand:
        """The hand in one frame."""
        return self.hand.shaped(self.shape).posed(HandPose.from_vector(self.poses[frame]))


def fit_hand(
    hand: SkinnedHand,
    table: KeypointTable,
    sightings: Sequence[Sighting],
    sigma: float = 0.003,
    pixel_sigma: float = 4.0,
    shape: np.ndarray | None = None,
    prior_strength: float = PRIOR_STRENGTH,
    continuous: bool = True,
    progress: Callable[[int, int], object] | None = None,
) -> HandFit:
    """Fit every frame; `shape` (S,) if the person is known. `sigma` of 3D keypoints, m; `pixel_sigma`, px.

    `continuous`: frames are consecutive, so each starts from, and stays near, the previous one. `progress`: called with
    (frames done, frames).

    Raises ClipError when no frame shows enough keypoints.
    """
    if hand.prior is None:
        raise ClipError(f"the {hand.name} model has no pose prior, which a fit needs.")
    regular = regularisers(hand.prior, prior_strength)
    data = [data_terms(table, seen, sigma, pixel_sigma) for seen in sightings]
    usable = [t for t, seen in enumerate(sightings) if (seen.confidence > 0).sum() >= LEAST_SEEN]
    if not usable:
        raise ClipError(f"no frame shows {LEAST_SEEN} keypoints of the hand; check the clip's confidences.")

    began = time.thread_time()
    start: dict[int, HandPose] = {}
    if shape is None:
        chosen = best_frames(sightings, usable, SHAPE_FRAMES)
        shape, start, _ = fit_shape(hand, table, {t: (sightings[t], data[t]) for t in chosen}, regular)
    shape_seconds = time.thread_time() - began

    person = hand.shaped(shape)
    poses, keypoints, covariances, seconds = [], [], [], []
    fitted: Fitted | None = None
    for t in range(len(sightings)):
        began = time.thread_time()
        if fitted is None or (t in usable and not continuous):
            first = max(t, usable[0])
            pose = start.get(first) or start_pose(hand, table, sightings[first])
            fitted = solve_pose(person, pose, [*data[first], *regular], FIRST_ITERATIONS)
        elif t in usable:
            near = NearPose(fitted.posed.pose)
            fitted = solve_pose(person, near.pose, [*data[t], *regular, near], ITERATIONS)
            if misfit(fitted, data[t], sightings[t]) > LOST:
                pose = start_pose(hand, table, sightings[t])
                again = solve_pose(person, pose, [*data[t], *regular], FIRST_ITERATIONS)
                fitted = min((fitted, again), key=lambda f: misfit(f, data[t], sightings[t]))
        else:
            fitted = unseen(fitted)
        poses.append(fitted.posed.pose.vector())
        keypoints.append(fitted.posed.keypoints(table))
        covariances.append(keypoint_covariance(fitted, table))
        seconds.append(time.thread_time() - began)
        if progress:
            progress(t + 1, len(sightings))
    return HandFit(
        hand,
        table,
        person.shape,
        np.array(poses),
        np.array(keypoints),
        np.array(covariances),
        np.array(seconds),
        shape_seconds,
    )


def check_hand(hand: SkinnedHand, table: KeypointTable, sightings: Sequence[Sighting], sigma: float = 0.003) -> None:
    """Raises ClipError for 3D keypoints of another size than a hand's in metres, or that the other side's hand fits far
    better; 2D ones are ambiguous."""
    seen = [s for s in sightings if s.points is not None and (s.confidence > 0).sum() >= LEAST_SEEN]
    whole = [s.points for s in seen if s.points is not None and (s.confidence[[WRIST, MIDDLE_MCP]] > 0).all()]
    if whole:
        check_size(np.array(whole), "keypoints")
    chosen = best_frames(seen, list(range(len(seen))), SIDE_FRAMES) if seen else []
    costs = {}
    for model in (hand, hand.mirrored()):
        assert model.prior is not None
        regular = regularisers(model.prior, PRIOR_STRENGTH)
        frames = {t: (seen[t], data_terms(table, seen[t], sigma, 1.0)) for t in chosen}
        costs[model.side] = fit_shape(model, table, frames, regular)[2] if frames else 0.0
    other = next(side for side in costs if side != hand.side)
    if costs[other] < OTHER_SIDE * costs[hand.side]:
        raise ClipError(
            f"these are keypoints of a {other} hand: as a {hand.side} one they cost {costs[hand.side]:.0f}, as a "
            f"{other} one {costs[other]:.0f}. Name the other side, or mirror them."
        )


def unseen(last: Fitted) -> Fitted:
    """The previous frame's pose with its uncertainty increased by the possible motion since."""
    change = np.diag(1.0 / NearPose(last.posed.pose).weight)
    return Fitted(last.posed, last.cost, np.linalg.inv(np.linalg.inv(last.normal) + change))


def keypoint_covariance(fitted: Fitted, table: KeypointTable) -> np.ndarray:
    """(21, 3, 3) m2, keypoint covariance from the pose's; the shape counts as known."""
    rows = fitted.posed.keypoint_jacobians(table)
    spread = np.linalg.solve(fitted.normal, rows.reshape(63, -1).T).T.reshape(21, 3, -1)
    covariance: np.ndarray = rows @ np.swapaxes(spread, 1, 2)
    symmetric: np.ndarray = 0.5 * (covariance + np.swapaxes(covariance, 1, 2))
    return symmetric


def regularisers(prior: PosePrior, strength: float) -> list[Term]:
    """The prior terms, independent of the observation."""
    return [LikelyPose(prior, strength), JointLimits(prior)]


def data_terms(
    table: KeypointTable, seen: Sighting, sigma: float, pixel_sigma: float, relative_sigma: float = 0.0
) -> list[DataTerm]:
    """The data terms of one frame; `relative_sigma` of the relative depth, m; 0: it is not used."""
    terms: list[DataTerm] = []
    if seen.points is not None:
        terms.append(Keypoints3D(table, seen.points, seen.confidence, sigma))
    if seen.pixels is not None and seen.camera is not None:
        terms.append(Keypoints2D(table, seen.camera, seen.pixels, seen.confidence, pixel_sigma))
    if seen.depth is not None:
        terms.append(KeypointDepth(table, seen.depth, seen.confidence * (seen.depth > 0)))
    if relative_sigma and seen.relative_depth is not None and seen.camera is not None:
        terms.append(RelativeDepth(table, seen.camera, seen.relative_depth, seen.confidence, relative_sigma))
    return terms


def fit_shape(
    hand: SkinnedHand,
    table: KeypointTable,
    frames: dict[int, tuple[Sighting, list[DataTerm]]],
    regular: list[Term],
) -> tuple[np.ndarray, dict[int, HandPose], float]:
    """The common shape of some frames, their poses by frame, and the cost: first each frame alone, then all jointly."""
    person = hand.shaped()
    terms = [[*data, *regular] for _, data in frames.values()]
    starts = [start_pose(hand, table, seen) for seen, _ in frames.values()]
    poses = [solve_pose(person, pose, t, FIRST_ITERATIONS).posed.pose for pose, t in zip(starts, terms)]
    shape, poses, cost = solve_shape(hand, person.shape, poses, terms)
    return shape, dict(zip(frames, poses)), cost


def misfit(fitted: Fitted, data: list[DataTerm], seen: Sighting) -> float:
    """Cost per seen keypoint."""
    return max(term.rows(fitted.posed).cost for term in data) / float(seen.confidence.sum())


def best_frames(sightings: Sequence[Sighting], usable: list[int], count: int) -> list[int]:
    """Up to `count` frames spread over the clip, the most confident one of each segment."""
    parts = np.array_split(np.array(usable), min(count, len(usable)))
    return [int(max(part, key=lambda t: sightings[t].confidence.sum())) for part in parts]


def start_pose(hand: SkinnedHand, table: KeypointTable, seen: Sighting) -> HandPose:
    """The mean pose aligned with the observed palm (Procrustes over its keypoints).

    Without 3D keypoints: the rotation with the smallest reprojection error, of a set that covers SO(3).
    """
    assert hand.prior is not None
    mean = HandPose(fingers=hand.prior.mean.reshape(15, 3).copy())
    model = hand.shaped().posed(mean).keypoints(table)
    if seen.points is None:
        return starts_from_pixels(hand, table, seen)[0]
    palm = PALM[seen.confidence[PALM] > 0]
    ids = palm if len(palm) >= 3 else np.flatnonzero(seen.confidence > 0)
    R = procrustes(model[ids], seen.points[ids])
    return _placed(hand, mean, R, model[ids].mean(axis=0), seen.points[ids].mean(axis=0))


def _placed(hand: SkinnedHand, mean: HandPose, R: np.ndarray, centre: np.ndarray, goal: np.ndarray) -> HandPose:
    root = hand.joints[0]  # the wrist turns about its joint
    return HandPose(R, goal - root - R @ (centre - root), mean.fingers)


def starts_from_pixels(hand: SkinnedHand, table: KeypointTable, seen: Sighting) -> list[HandPose]:
    """The mean pose in rotations that cover SO(3), best reprojection first.

    It is at the depth measured, or at that of the hand's size in the image.
    """
    assert seen.pixels is not None and seen.camera is not None and hand.prior is not None
    mean = HandPose(fingers=hand.prior.mean.reshape(15, 3).copy())
    model = hand.shaped().posed(mean).keypoints(table)
    ids = np.flatnonzero(seen.confidence > 0)
    rays = pinhole_rays(seen.pixels[ids], seen.camera)
    measured = seen.depth[ids][seen.depth[ids] > 0] if seen.depth is not None else np.zeros(0)
    centre = model[ids].mean(axis=0)
    found = []
    for R in rotations_over_so3():
        turned = (model[ids] - centre) @ R.T
        spread = np.linalg.norm(turned[:, :2])
        z = float(np.median(measured)) if len(measured) else spread / np.linalg.norm(rays - rays.mean(axis=0))
        goal = np.append(rays.mean(axis=0) * z, z)
        placed = turned + goal
        cost = float(((placed[:, :2] / placed[:, 2:] - rays) ** 2).sum())
        found.append((cost, _placed(hand, mean, R, centre, goal)))
    return [pose for _, pose in sorted(found, key=lambda pair: pair[0])]


def rotations_over_so3(count: int = 400) -> np.ndarray:
    """(N, 3, 3) rotations spread over SO(3); deterministic."""
    from scipy.spatial.transform import Rotation

    rotations: np.ndarray = Rotation.random(count, random_state=0).as_matrix()
    return rotations


def procrustes(model: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The rotation (3, 3), det +1, that best aligns centred `model` (n, 3) with centred `seen` (n, 3)."""
    U, _, Vt = np.linalg.svd((model - model.mean(axis=0)).T @ (seen - seen.mean(axis=0)))
    keep = np.diag([1.0, 1.0, np.sign(np.linalg.det(Vt.T @ U.T))])
    R: np.ndarray = Vt.T @ keep @ U.T
    return R
