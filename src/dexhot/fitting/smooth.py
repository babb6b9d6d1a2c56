"""A whole clip at once, from the tracker's frames: Levenberg-Marquardt over (T, 57) unknowns.

Each frame has the terms of what is seen and known in it; neighbours are tied by the recipe's temporal term, both ways.
The normal equations are block-tridiagonal, so that a step is a block Cholesky, linear in the number of frames:

    S_t = A_t - W_(t-1) S_(t-1)^-1 W_(t-1)        A_t: a frame's 57 x 57 with its ties, W_t: the tie to the next frame
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from dexhot.fitting.frames import Frame
from dexhot.fitting.scene import HAND, OBJECT, UNKNOWNS, HandObjectScene, SceneState
from dexhot.fitting.scene_terms import FrameView, SceneTerm, Temporal
from dexhot.fitting.tracker import STEPS, HandObjectTracker, Tracked, TrackerCamera, normal_equations

ITERATIONS = 2  # two more, with visibility drawn anew, cost as much again and change 0.03 mm
DAMPING, LESS, MORE, TRIES = 1e-3, 0.2, 10.0, 4
KNOWN_TO = 1.0  # rad or m, what no term sees

Factor = tuple[np.ndarray, bool]


@dataclass
class TiedFrame:
    """One frame: what each camera sees of it, with its terms."""

    sights: list[tuple[TrackerCamera, FrameView, list[SceneTerm]]]
    seen: list[np.ndarray]  # by camera, numbers of the hand's vertices
    tie: np.ndarray  # (57,) weight of the change to the next frame
    expected: np.ndarray  # (57,) of that change: none, or that of an unseen hand or object that the other carries


def smoothed(
    tracker: HandObjectTracker, frames: Sequence[Frame], tracked: Sequence[Tracked], weight: float
) -> list[Tracked]:
    """The frames after some steps that lower the cost of all together; `weight` of the temporal term. Covariances are
    those given the whole clip."""
    moments = [
        moment_of(tracker, frame, one, then, weight)
        for frame, one, then in zip(frames, tracked, [*tracked[1:], tracked[-1]])
    ]
    states, damping = [one.state for one in tracked], DAMPING
    for moment, state in zip(moments, states):
        moment.seen = [
            scene_of(tracker, camera, state).look(camera.small, view.labels.shape) for camera, view, _ in moment.sights
        ]
    blocks = tied(tracker, moments, states)
    for _ in range(ITERATIONS):
        for _ in range(TRIES):
            step = -solve_chain(blocks, moments, damping)
            step /= np.maximum(1.0, np.abs(step / STEPS).max(axis=1))[:, None]
            moved = [state.plus(row) for state, row in zip(states, step)]
            tried = tied(tracker, moments, moved)
            if sum(block[2] for block in tried) < sum(block[2] for block in blocks):
                states, blocks, damping = moved, tried, damping * LESS
                break
            damping *= MORE
    spreads = covariances(blocks, moments)
    return [
        replace(
            one,
            state=state,
            keypoints=tracker.person.posed(state.hand).keypoints(tracker.table),
            covariance=spread,
        )
        for one, state, spread in zip(tracked, states, spreads)
    ]


def moment_of(tracker: HandObjectTracker, frame: Frame, one: Tracked, then: Tracked, weight: float) -> TiedFrame:
    """A frame's views and terms, from the tracker's state, and its tie to the next frame."""
    tracker.begin_at(one)
    view = tracker.view(frame)
    sights = [(camera, each, tracker.terms_of(camera, each, one.state)) for camera, each in tracker.by_camera(view)]
    sights[0][2].extend(tracker.unseen_terms(view, None))
    row = tracker.recipe.terms.get("temporal", {"weight": 0.0})
    tie = weight * Temporal(one.state, **row).weight
    expected = np.zeros(UNKNOWNS)
    change = one.state.change_to(then.state)
    for part, seen in ((HAND, one.hand_seen and then.hand_seen), (OBJECT, one.object_seen and then.object_seen)):
        if not seen:
            expected[part] = change[part]
    return TiedFrame(sights, [], tie, expected)


def scene_of(tracker: HandObjectTracker, camera: TrackerCamera, state: SceneState) -> HandObjectScene:
    """As a camera sees it."""
    return HandObjectScene(tracker.person, tracker.model, camera.at.state_there(state, tracker.wrist))


def tied(
    tracker: HandObjectTracker, moments: Sequence[TiedFrame], states: Sequence[SceneState]
) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Normal equations (57, 57) and (57,) of each frame with its ties, and its cost."""
    blocks = []
    for moment, state in zip(moments, states):
        A, g, cost = np.zeros((UNKNOWNS, UNKNOWNS)), np.zeros(UNKNOWNS), 0.0
        for (camera, _, terms), seen in zip(moment.sights, moment.seen):
            scene = scene_of(tracker, camera, state)
            scene.seen = seen
            own_A, own_g, own_cost = normal_equations(scene, terms, 1.0)
            own_A, own_g = camera.at.equations_back(own_A, own_g)
            A, g, cost = A + own_A, g + own_g, cost + own_cost
        blocks.append((A, g, cost))
    diagonal = np.diag_indices(UNKNOWNS)
    for t, moment in enumerate(moments[:-1]):
        off = states[t].change_to(states[t + 1]) - moment.expected
        pull = moment.tie * off
        (A, g, cost), (B, h, _) = blocks[t], blocks[t + 1]
        A[diagonal] += moment.tie
        B[diagonal] += moment.tie
        g -= pull
        h += pull
        blocks[t] = A, g, cost + float(pull @ off)
    return blocks


def factors(
    blocks: Sequence[tuple[np.ndarray, np.ndarray, float]], moments: Sequence[TiedFrame], damping: float
) -> list[Factor]:
    """Of S_t, the frames before each eliminated."""
    found: list[Factor] = []
    for t, (A, _, _) in enumerate(blocks):
        S = A.copy()
        S[np.diag_indices(UNKNOWNS)] += damping * np.diag(A) + 1e-6
        if t:
            tie = moments[t - 1].tie
            S -= tie[:, None] * cho_solve(found[-1], np.diag(tie))
        found.append(cho_factor(S, lower=True))
    return found


def solve_chain(
    blocks: Sequence[tuple[np.ndarray, np.ndarray, float]], moments: Sequence[TiedFrame], damping: float
) -> np.ndarray:
    """(T, 57) that solves the damped equations of the clip for the gradients."""
    chain = factors(blocks, moments, damping)
    rows = [block[1].copy() for block in blocks]
    for t in range(1, len(rows)):
        rows[t] += moments[t - 1].tie * cho_solve(chain[t - 1], rows[t - 1])
    for t in range(len(rows) - 1, -1, -1):
        after = moments[t].tie * rows[t + 1] if t + 1 < len(rows) else 0.0
        rows[t] = cho_solve(chain[t], rows[t] + after)
    return np.stack(rows)


def covariances(
    blocks: Sequence[tuple[np.ndarray, np.ndarray, float]], moments: Sequence[TiedFrame]
) -> list[np.ndarray]:
    """(57, 57) of each frame's step, given the whole clip; what no term sees is known to KNOWN_TO."""
    known = [(A + np.eye(UNKNOWNS) / KNOWN_TO**2, g, cost) for A, g, cost in blocks]
    chain = factors(known, moments, 0.0)
    found: list[np.ndarray] = []
    for t in range(len(chain) - 1, -1, -1):
        spread = cho_solve(chain[t], np.eye(UNKNOWNS))
        if found:
            gain = cho_solve(chain[t], np.diag(moments[t].tie))
            spread = spread + gain @ found[-1] @ gain.T
        found.append(0.5 * (spread + spread.T))
    return found[::-1]
