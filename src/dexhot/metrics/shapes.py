"""Errors of hand joints, meshes and surfaces as papers on hand-object reconstruction report them; m in, m out."""

import numpy as np
from scipy.spatial import cKDTree

AUC_MOST, AUC_STEPS = 0.05, 100  # m and thresholds of the curve of correct joints, as on HO-3D


def procrustes_aligned(points: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Points (..., N, 3) after the rotation, translation and scale that bring them nearest to `reference`."""
    centre, goal = points.mean(axis=-2, keepdims=True), reference.mean(axis=-2, keepdims=True)
    a, b = points - centre, reference - goal
    U, S, Vt = np.linalg.svd(np.swapaxes(a, -1, -2) @ b)
    sign = np.ones(S.shape)
    sign[..., 2] = np.sign(np.linalg.det(U @ Vt))
    R = (U * sign[..., None, :]) @ Vt
    scale = (S * sign).sum(axis=-1) / np.maximum((a**2).sum(axis=(-1, -2)), 1e-12)
    aligned: np.ndarray = scale[..., None, None] * (a @ R) + goal
    return aligned


def joint_auc(errors: np.ndarray) -> float:
    """Area under the curve of the fraction of joint errors (m) below a threshold of 0 to 50 mm, in [0, 1]."""
    thresholds = np.linspace(0.0, AUC_MOST, AUC_STEPS)
    correct = (np.asarray(errors).ravel()[None] <= thresholds[:, None]).mean(axis=1)
    return float(np.trapezoid(correct, thresholds) / AUC_MOST)


def f_score(points: np.ndarray, reference: np.ndarray, threshold: float) -> float:
    """Harmonic mean of the fractions of points (N, 3) near the reference (M, 3) and of it near them."""
    near = cKDTree(reference).query(points)[0] < threshold
    back = cKDTree(points).query(reference)[0] < threshold
    precision, recall = float(near.mean()), float(back.mean())
    return 2.0 * precision * recall / (precision + recall) if precision + recall else 0.0


def chamfer(a: np.ndarray, b: np.ndarray) -> float:
    """Mean of the mean distances from each point set (N, d) to the other, in their unit."""
    return 0.5 * float(cKDTree(b).query(a)[0].mean() + cKDTree(a).query(b)[0].mean())
