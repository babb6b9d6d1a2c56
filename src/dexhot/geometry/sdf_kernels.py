"""Compiled reading of a signed distance volume (sdf_volume.py): values (nx, ny, nz), origin (3,), spacing."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def trilinear(values: np.ndarray, x: float, y: float, z: float, out: np.ndarray) -> bool:
    """Trilinear value and gradient (per cell) at grid coordinates, into out (4,); False outside of the grid."""
    nx, ny, nz = values.shape
    if not (0.0 <= x < nx - 1 and 0.0 <= y < ny - 1 and 0.0 <= z < nz - 1):
        return False
    i, j, k = int(x), int(y), int(z)
    fx, fy, fz = x - i, y - j, z - k
    a000, a100, a010, a110 = values[i, j, k], values[i + 1, j, k], values[i, j + 1, k], values[i + 1, j + 1, k]
    a001, a101 = values[i, j, k + 1], values[i + 1, j, k + 1]
    a011, a111 = values[i, j + 1, k + 1], values[i + 1, j + 1, k + 1]
    b00, b10 = a000 + fx * (a100 - a000), a010 + fx * (a110 - a010)
    b01, b11 = a001 + fx * (a101 - a001), a011 + fx * (a111 - a011)
    c0, c1 = b00 + fy * (b10 - b00), b01 + fy * (b11 - b01)
    e0 = (a100 - a000) + fy * ((a110 - a010) - (a100 - a000))
    e1 = (a101 - a001) + fy * ((a111 - a011) - (a101 - a001))
    out[0], out[1] = c0 + fz * (c1 - c0), e0 + fz * (e1 - e0)
    out[2], out[3] = (b10 - b00) + fz * ((b11 - b01) - (b10 - b00)), c1 - c0
    return True


@njit(cache=True, nogil=True)
def distance(values: np.ndarray, origin: np.ndarray, spacing: float, p: np.ndarray, gradient: np.ndarray) -> float:
    """Signed distance at p (3,) m; writes its gradient (3,). Outside of the grid: the distance at its nearest point
    plus that to it, an upper bound."""
    read, cell, gap = np.empty(4), np.empty(3), np.empty(3)
    square = 0.0
    for a in range(3):
        x = (p[a] - origin[a]) / spacing
        cell[a] = min(max(x, 0.0), values.shape[a] - 1.0 - 1e-9)
        gap[a] = (x - cell[a]) * spacing
        if x - cell[a] < 1e-6 and cell[a] - x < 1e-6:
            gap[a] = 0.0
        square += gap[a] * gap[a]
    trilinear(values, cell[0], cell[1], cell[2], read)
    beyond = np.sqrt(square)
    for a in range(3):
        gradient[a] = gap[a] / beyond if gap[a] != 0.0 else read[1 + a] / spacing
    return float(read[0] + beyond)


@njit(cache=True, nogil=True)
def distances(
    values: np.ndarray, origin: np.ndarray, spacing: float, points: np.ndarray, out: np.ndarray, gradients: np.ndarray
) -> None:
    """`distance` of points (N, 3), into out (N,) and gradients (N, 3)."""
    for q in range(points.shape[0]):
        out[q] = distance(values, origin, spacing, points[q], gradients[q])
