"""Errors of estimated hands and objects against their truth, as the field's benchmarks define them. Lengths in m."""

import numpy as np
from scipy.spatial import cKDTree

from dexhot.data.keypoints import MIDDLE_MCP, WRIST

AUC_TO = 0.05  # m


def joint_error(found: np.ndarray, true: np.ndarray) -> float:
    """Mean distance of points (N, 3) or pixels (N, 2): MPJPE of joints, the mesh error of vertices."""
    return float(np.linalg.norm(found - true, axis=-1).mean())


def procrustes(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Points (N, 3) after the similarity (rotation, scale, translation) that brings them nearest to `true` (N, 3)."""
    a, b = found - found.mean(axis=0), true - true.mean(axis=0)
    u, s, vt = np.linalg.svd(a.T @ b)
    flip = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    scale = (s * flip).sum() / max((a**2).sum(), 1e-15)
    aligned: np.ndarray = scale * a @ (u * flip) @ vt + true.mean(axis=0)
    return aligned


def scaled_and_moved(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Keypoints (21, 3) with the wrist and the wrist's distance to the middle knuckle of `true`: HO-3D's alignment of
    scale and translation."""
    size = np.linalg.norm(found[MIDDLE_MCP] - found[WRIST])
    wanted = np.linalg.norm(true[MIDDLE_MCP] - true[WRIST])
    moved: np.ndarray = (found - found[WRIST]) * (wanted / np.maximum(size, 1e-9)) + true[WRIST]
    return moved


def auc(errors: np.ndarray) -> float:
    """Area under the curve of the fraction of errors (N,) m below a threshold, from 0 to AUC_TO, over its maximum."""
    return float(np.clip(1.0 - np.asarray(errors) / AUC_TO, 0.0, 1.0).mean())


def f_score(found: np.ndarray, true: np.ndarray, within: float) -> float:
    """Harmonic mean of the fractions of points (N, 3), (M, 3) that have one of the other set within a distance."""
    precision = float((cKDTree(true).query(found)[0] < within).mean())
    recall = float((cKDTree(found).query(true)[0] < within).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def chamfer(found: np.ndarray, true: np.ndarray) -> float:
    """Mean distance to the nearest point of the other set (N, D), (M, D), averaged over both directions."""
    there, back = cKDTree(true).query(found)[0].mean(), cKDTree(found).query(true)[0].mean()
    return float(0.5 * (there + back))


def nearest_distance(found: np.ndarray, true: np.ndarray) -> float:
    """Mean distance (BOP's ADI) of the true points (N, 3) to the nearest found point (M, 3): ADD-S."""
    return float(cKDTree(found).query(true)[0].mean())
