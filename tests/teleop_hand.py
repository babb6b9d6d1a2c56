"""Keypoints of an operator's hand."""

import numpy as np

# A flat right hand before a camera: x right, y down, z away; fingers up, m. MediaPipe's order.
KNUCKLES = {1: (0.03, -0.03), 5: (0.03, -0.095), 9: (0.01, -0.095), 13: (-0.012, -0.09), 17: (-0.033, -0.08)}


def flat(bend: float = 0.0) -> np.ndarray:
    """(21, 3) keypoints; the fingers' outer bones are bent by `bend` rad towards the camera."""
    points = np.zeros((21, 3))
    for first, (x, y) in KNUCKLES.items():
        out = np.array([0.8, -0.6, 0.0]) if first == 1 else np.array([0.0, -1.0, 0.0])
        points[first] = x, y, 0.0
        for k in range(1, 4):
            turn = bend if first > 1 and k > 1 else 0.0
            points[first + k] = points[first + k - 1] + 0.03 * (
                np.cos(turn) * out + np.sin(turn) * np.array([0, 0, -1])
            )
    return points


def rows(
    at=(0.0, 0.0, 0.5), confidence: float = 0.9, size: float = 1.0, bend: float = 0.0, seed: int = 0
) -> np.ndarray:
    """(21, 6) as perception publishes them; `seed`: of 0.1 mm of noise, without which keypoints would be frozen."""
    noise = 1e-4 * np.random.default_rng(seed).standard_normal((21, 3))
    points = size * flat(bend) + np.asarray(at) + noise
    return np.column_stack([points, np.zeros((21, 2)), np.full(21, confidence)])
