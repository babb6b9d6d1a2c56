"""Where the object may be when a frame begins: a score of depth and mask, and candidates that it chooses from."""

from collections.abc import Iterable, Iterator

import numpy as np

from dexhot.fitting import kernels
from dexhot.fitting.frames import some
from dexhot.fitting.hand_fit import rotations_over_so3
from dexhot.fitting.scene import ObjectModel, SceneState
from dexhot.fitting.scene_terms import FrameView

Placed = tuple[np.ndarray, np.ndarray]  # rotation (3, 3), position (3,)

NEAR = 0.005  # m from the surface up to which a point of the cloud is explained
OUTSIDE = 0.7  # what the fraction of the object over the background costs
STEPS, WIDE, NARROW = 6, 0.012, 0.003  # of the cheap ICP; m
TURN, SHIFT = 1.4, 0.14  # rad and m, of one ICP step
SEARCH_STEPS, SEARCH_WIDE = 8, 0.02
DEEP = 0.3  # of the object's radius: how far behind its cloud its centre is
FEW = 20  # points without which the object counts as unseen
POINTS = 120  # of the cloud, in ICP and score
APART = np.radians(25.0)  # between hypotheses that count as two


def score(model: ObjectModel, view: FrameView, placed: Placed, cloud: np.ndarray | None = None) -> float:
    """Fraction of the cloud near the surface, minus that of the surface over the background; 1 at best."""
    cloud = some(view.object_cloud, POINTS) if cloud is None else cloud
    R, t = placed
    local, off, gradients = np.empty_like(cloud), np.empty(len(cloud)), np.empty_like(cloud)
    kernels.object_distances(cloud, R, t, *model.volume, local, off, gradients)
    outside = kernels.outside_fraction(model.samples[::2] @ R.T + t, view.small, view.labels)
    return float((np.abs(off) < NEAR).mean() - OUTSIDE * outside)


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


def best_of(model: ObjectModel, view: FrameView, candidates: Iterable[Placed]) -> tuple[float, Placed]:
    """The candidate with the best score after the cheap ICP steps."""
    cloud = some(view.object_cloud, POINTS)
    tried = [refined(model, cloud, placed) for placed in candidates]
    return max(((score(model, view, placed, cloud), placed) for placed in tried), key=lambda pair: pair[0])


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
    return list(_unlike(ranked, kept))


def _unlike(ranked: list[tuple[float, Placed]], count: int) -> Iterator[tuple[float, Placed]]:
    taken: list[np.ndarray] = []
    for value, (R, t) in ranked:
        angles = [np.arccos(np.clip((np.trace(R.T @ other) - 1.0) / 2.0, -1.0, 1.0)) for other in taken]
        if all(angle > APART for angle in angles):
            taken.append(R)
            yield value, (R, t)
        if len(taken) == count:
            return
