"""A clip smoothed at once: block elimination against a dense solution, a lower cost, a steadier hand."""

import numpy as np
import pytest
from tests.tiny_clip import ASSET, HAND, tiny_clip

from dexhot.fitting.recipe import load_recipe
from dexhot.fitting.recording_fit import fit_recording
from dexhot.fitting.scene import UNKNOWNS
from dexhot.fitting.smooth import TiedFrame, covariances, solve_chain

RNG = np.random.default_rng(5)
RECIPE = load_recipe("default")


def chain(frames: int) -> tuple[list, list[TiedFrame], np.ndarray, np.ndarray]:
    """Random blocks with their ties, and the same as one dense matrix and one vector."""
    n, ties = UNKNOWNS, [np.exp(RNG.normal(size=UNKNOWNS)) for _ in range(frames)]
    dense, right, blocks = np.zeros((frames * n, frames * n)), RNG.normal(size=frames * n), []
    for t in range(frames):
        J = RNG.normal(size=(30, n))  # fewer rows than unknowns: the neighbours tell the rest
        A = J.T @ J + 1e-3 * np.eye(n)
        A[np.diag_indices(n)] += (ties[t - 1] if t else 0.0) + (ties[t] if t + 1 < frames else 0.0)
        here = slice(t * n, (t + 1) * n)
        dense[here, here] = A
        if t:
            before = slice((t - 1) * n, t * n)
            dense[here, before] = dense[before, here] = -np.diag(ties[t - 1])
        blocks.append((A, right[here], 0.0))
    return blocks, [TiedFrame([], [], tie, np.zeros(n)) for tie in ties], dense, right


def test_block_elimination_is_the_dense_solution():
    blocks, moments, dense, right = chain(4)
    wanted = np.linalg.solve(dense + 1e-6 * np.eye(len(dense)), right)
    assert np.allclose(solve_chain(blocks, moments, 0.0).ravel(), wanted, rtol=1e-6, atol=1e-8)


def test_covariances_are_the_diagonal_blocks_of_the_inverse():
    blocks, moments, dense, _ = chain(4)
    whole = np.linalg.inv(dense + (1.0 + 1e-6) * np.eye(len(dense)))
    for t, found in enumerate(covariances(blocks, moments)):
        here = slice(t * UNKNOWNS, (t + 1) * UNKNOWNS)
        assert np.allclose(found, whole[here, here], atol=1e-9)


def jitter(keypoints: np.ndarray) -> float:
    """Mean second difference, m."""
    return float(np.linalg.norm(np.diff(keypoints, 2, axis=0), axis=-1).mean())


def test_a_smoothed_hand_is_steadier_and_no_farther_from_the_truth():
    recording, evidence, points = tiny_clip(12)
    plain, smooth = (
        fit_recording(recording, evidence, ASSET, RECIPE.changed([f"solver.smooth={w}"]), HAND, with_pose=False)
        for w in (0, 10)
    )
    found = [fit.trajectory.hands["right"].keypoints for fit in (plain, smooth)]
    error = [np.linalg.norm(x - points, axis=-1).mean() for x in found]
    assert jitter(found[1]) < 0.8 * jitter(found[0])  # box and hand move evenly: 2.1 after 3.4 mm
    assert error[1] < 1.1 * error[0]
    spread = [np.trace(fit.tracked[6].covariance[:6, :6]) for fit in (plain, smooth)]
    assert spread[1] < spread[0]  # neighbours tell too
    assert smooth.tracked[6].hand_score == plain.tracked[6].hand_score


def test_an_unseen_object_stays_in_the_hand():
    """It is tied to the motion that it was carried by, not to rest."""
    recording, evidence, _ = tiny_clip(12, 0.008)
    evidence.labels[6:][evidence.labels[6:] == 2] = 0
    found = [
        fit_recording(recording, evidence, ASSET, RECIPE.changed([f"solver.smooth={w}"]), HAND, with_pose=False)
        for w in (0, 10)
    ]
    plain, smooth = (fit.trajectory.object_pose[:, :3] for fit in found)
    assert np.linalg.norm(smooth[-1] - smooth[5]) == pytest.approx(np.linalg.norm(plain[-1] - plain[5]), rel=0.15)
