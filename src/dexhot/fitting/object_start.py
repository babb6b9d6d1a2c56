"""Where the object may be when a frame begins: a score of depth and mask, and candidates that it chooses from."""

from collections.abc import Iterable, Iterator

import numpy as np

from dexhot.fitting import kernels
from dexhot.fitting.frames import some
from dexhot.fitting.hand_fit import rotations_over_so3
from dexhot.fitting.normal_equations import ROBUST
from dexhot.fitting.scene import ObjectModel, SceneState
from dexhot.fitting.scene_terms import FrameView
from dexhot.geometry.equivalents import reduced_angle
from dexhot.geometry.rotations import matrix_to_quat
from dexhot.humans.skin import HandPose

Placed = tuple[np.ndarray, np.ndarray]  # rotation (3, 3), position (3,)

NEAR = 0.005  # m from the surface up to which a point of the cloud is explained
OUTSIDE = 0.7  # what the fraction of the object over the background, or before the measured depth, costs
BEFORE = 0.010  # m before the measured depth that noise explains
STEPS, WIDE, NARROW = 6, 0.012, 0.003  # of the cheap ICP; m
TURN, SHIFT = 1.4, 0.14  # rad and m, of one ICP step
SEARCH_STEPS, SEARCH_WIDE = 8, 0.02
DEEP = 0.3  # of the object's radius: how far behind its cloud its centre is
FEW = 20  # points without which the object counts as unseen
POINTS = 120  # of the cloud, in ICP and score
APART = np.radians(25.0)  # between hypotheses that count as two
RIVAL_TURNS = np.radians(
    np.arange(15.0, 360.0, 15.0)
)  # about each axis of the box, where a shape may nearly fit itself
RIVAL_FITS, SAME_FITS = 0.7, 0.985  # fractions of the surface: nearly the same shape; the same shape
RIVAL_NEAR, RIVAL_APART, MOST_RIVALS = 0.05, np.radians(10.0), 24  # of the radius; between two; at most so many
LIKELY = 4  # rivals that are brought onto the cloud
MISFIT_SIGMA, ALIKE = 0.003, 0.01  # m; difference of two misfits that means nothing


def score(model: ObjectModel, view: FrameView, placed: Placed, cloud: np.ndarray | None = None) -> float:
    """Fraction of the cloud near the surface, minus that of the surface over the background or before what
    was measured; 1 at best."""
    cloud = some(view.object_cloud, POINTS) if cloud is None else cloud
    R, t = placed
    outside = _impossible(view, model.samples[::2] @ R.T + t)
    return float((np.abs(_distances(model, cloud, placed)) < NEAR).mean() - OUTSIDE * outside)


def misfit(model: ObjectModel, view: FrameView, placed: Placed) -> float:
    """Robust mean square distance of the whole cloud, plus that fraction of the surface; 0 at best.

    Finer than the score: a handle on the wrong side is a few percent of the cloud.
    """
    R, t = placed
    square = np.minimum(_distances(model, view.object_cloud, placed) / MISFIT_SIGMA, 1e3) ** 2
    outside = _impossible(view, model.samples @ R.T + t)
    return float((square / (ROBUST + square)).mean() + OUTSIDE * outside)


def _distances(model: ObjectModel, cloud: np.ndarray, placed: Placed) -> np.ndarray:
    """(N,) m, signed, of points (N, 3) from the surface."""
    local, off, gradients = np.empty_like(cloud), np.empty(len(cloud)), np.empty_like(cloud)
    R, t = placed
    kernels.object_distances(cloud, R, t, *model.volume, local, off, gradients)
    return off


def _impossible(view: FrameView, points: np.ndarray) -> float:
    """Fraction of points over the background or before the measured depth."""
    found: float = kernels.impossible_fraction(points, view.small, view.labels, view.measured, BEFORE)
    return found


def rivals(model: ObjectModel) -> list[Placed]:
    """Motions of the mesh frame after which most of the surface, but not all, lies on itself: poses that depth and mask
    can mistake for each other, such as a mug's with its handle elsewhere. Exact symmetries are none."""
    from scipy.spatial.transform import Rotation

    found: list[tuple[float, Placed]] = []
    values, origin, spacing = model.volume
    for axis in np.eye(3):
        for angle in RIVAL_TURNS:
            R = Rotation.from_rotvec(angle * axis).as_matrix()
            start = model.centre - R @ model.centre
            inverse = kernels.icp(
                model.samples, R.T, -R.T @ start, values, origin, spacing, STEPS, 0.2 * model.radius,
                0.02 * model.radius, 0.1, model.radius,
            )  # fmt: skip
            R, t = inverse[0].T, -inverse[0].T @ inverse[1]
            off = np.abs(_distances(model, model.samples, (inverse[0], inverse[1])))
            fits = float((off < RIVAL_NEAR * model.radius).mean())
            apart = float(reduced_angle(model.symmetry, np.array([1.0, 0.0, 0.0, 0.0]), matrix_to_quat(R)))
            if RIVAL_FITS < fits < SAME_FITS and apart > RIVAL_APART:
                found.append((fits, (R, t)))
    found.sort(key=lambda pair: -pair[0])
    taken: list[Placed] = []
    for _, (R, t) in found:
        if all(_angle(R, other) > RIVAL_APART for other, _ in taken) and len(taken) < MOST_RIVALS:
            taken.append((R, t))
    return taken


def rival_gains(
    model: ObjectModel, view: FrameView, placed: Placed, ways: list[Placed], doubts: np.ndarray
) -> tuple[np.ndarray, list[Placed]]:
    """How much lower the misfit is at each rival of `placed`, and the rivals' poses; the likeliest of them, by gain and
    earlier `doubts` (R,), after some ICP steps. One that ICP takes back to `placed` gains nothing."""
    here = misfit(model, view, placed)
    R, t = placed
    poses = [(R @ turn, R @ shift + t) for turn, shift in ways]
    gains = np.array([here - misfit(model, view, pose) for pose in poses])
    cloud = some(view.object_cloud, POINTS)
    for k in np.argsort(-(gains + doubts))[:LIKELY]:
        poses[k] = refined(model, cloud, poses[k])
        apart = _angle(poses[k][0], R) > 0.5 * RIVAL_APART
        gains[k] = here - misfit(model, view, poses[k]) if apart else min(0.0, gains[k])
    return gains, poses


def _angle(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.arccos(np.clip((np.trace(a.T @ b) - 1.0) / 2.0, -1.0, 1.0)))


def refined(model: ObjectModel, cloud: np.ndarray, placed: Placed, steps: int = STEPS, wide: float = WIDE) -> Placed:
    """After some ICP steps onto the cloud."""
    R, t = placed
    values, origin, spacing = model.volume
    moved: Placed = kernels.icp(cloud, R, t, values, origin, spacing, steps, wide, NARROW, TURN, SHIFT)
    return moved


def on_cloud(model: ObjectModel, cloud: np.ndarray, rotation: np.ndarray) -> Placed:
    """With the centre behind the middle of the cloud."""
    middle = cloud.mean(axis=0)
    return rotation, middle + DEEP * model.radius * middle / np.linalg.norm(middle) - rotation @ model.centre


def carried(before: SceneState, now: SceneState, joint: np.ndarray) -> Placed:
    """The object moved with the wrist from one state to another; `joint` (3,) is the wrist's in the rest pose."""
    turn = now.hand.rotation @ before.hand.rotation.T
    arm = before.position - before.hand.translation - joint
    return turn @ before.rotation, now.hand.translation + joint + turn @ arm


def holding(before: SceneState, placed: Placed, joint: np.ndarray) -> HandPose:
    """The hand moved with the object from a state to where the object is now; `joint` as above."""
    rotation, position = placed
    turn = rotation @ before.rotation.T
    arm = before.hand.translation + joint - before.position
    return HandPose(turn @ before.hand.rotation, position + turn @ arm - joint, before.hand.fingers)


def best_of(model: ObjectModel, view: FrameView, candidates: Iterable[Placed]) -> tuple[int, Placed]:
    """The first candidate, after the cheap ICP steps, that no other fits better than by ALIKE; and its number."""
    cloud = some(view.object_cloud, POINTS)
    tried = [refined(model, cloud, placed) for placed in candidates]
    misfits = [misfit(model, view, placed) for placed in tried]
    chosen = next(k for k, value in enumerate(misfits) if value <= min(misfits) + ALIKE)
    return chosen, tried[chosen]


def search(model: ObjectModel, view: FrameView, rotations: int, kept: int) -> list[tuple[float, Placed]]:
    """Hypotheses over SO(3), best first: cheap ICP on few points each, the better ones refined, unlike ones kept."""
    few, cloud = some(view.object_cloud, POINTS // 2), some(view.object_cloud, POINTS)
    found = []
    for R in rotations_over_so3(rotations):
        placed = refined(model, few, on_cloud(model, few, R), SEARCH_STEPS, SEARCH_WIDE)
        found.append((score(model, view, placed, few), placed))
    found.sort(key=lambda pair: -pair[0])
    better = [refined(model, cloud, placed) for _, placed in found[: 4 * kept]]
    ranked = sorted(((score(model, view, placed, cloud), placed) for placed in better), key=lambda pair: -pair[0])
    return list(_unlike(model, ranked, kept))


def _unlike(model: ObjectModel, ranked: list[tuple[float, Placed]], count: int) -> Iterator[tuple[float, Placed]]:
    """Those that do not look the same by the object's symmetry."""
    taken: list[np.ndarray] = []
    for value, (R, t) in ranked:
        q = matrix_to_quat(R)
        if all(float(reduced_angle(model.symmetry, other, q)) > APART for other in taken):
            taken.append(q)
            yield value, (R, t)
        if len(taken) == count:
            return
