"""Metrics of joints, meshes and surfaces: against cases with a known answer."""

import numpy as np
import pytest

from dexhot.geometry.rotations import quat_to_matrix, rotvec_to_quat
from dexhot.metrics.shapes import chamfer, f_score, joint_auc, procrustes_aligned

RNG = np.random.default_rng(1)
POINTS = 0.05 * RNG.normal(size=(2, 21, 3))


def test_alignment_undoes_a_similarity_and_no_mirror():
    R = quat_to_matrix(rotvec_to_quat(np.array([0.4, 2.0, -0.3])))
    moved = 1.3 * POINTS @ R.T + [0.1, -0.2, 0.6]
    assert np.allclose(procrustes_aligned(moved, POINTS), POINTS, atol=1e-12)
    mirrored = POINTS * [-1.0, 1.0, 1.0]
    assert np.linalg.norm(procrustes_aligned(mirrored, POINTS) - POINTS, axis=-1).mean() > 0.01


def test_auc_falls_with_the_error():
    assert joint_auc(np.zeros(21)) == pytest.approx(1.0)
    assert joint_auc(np.full(21, 0.025)) == pytest.approx(0.5, abs=0.01)
    assert joint_auc(np.full(21, 0.06)) == 0.0


def test_f_score_and_chamfer_count_both_ways():
    a = POINTS[0]
    half = np.concatenate([a, a + [1.0, 0.0, 0.0]])  # precision a half, recall 1
    assert f_score(half, a, 0.005) == pytest.approx(2 / 3)
    assert f_score(a, a + [0.0, 0.0, 1.0], 0.005) == 0.0
    assert chamfer(a, a) == 0.0
    one, two = np.zeros((1, 2)), np.array([[3.0, 4.0], [0.0, 0.0]])
    assert chamfer(one, two) == pytest.approx(0.5 * (0.0 + 2.5))
