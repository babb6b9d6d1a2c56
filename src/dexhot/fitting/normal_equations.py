"""Compiled sums of normal equations: rows into the lower triangle, and what remains of a residual that is robust."""

import numpy as np
from numba import njit

ROBUST = 9.0  # Geman-McClure: squared sigmas at which a residual has a quarter of its weight


@njit(cache=True)
def falling(square: float) -> float:
    """Geman-McClure: of a residual of so many squared sigmas, what remains of it."""
    return ROBUST / (ROBUST + square)


@njit(cache=True)
def add_row(
    count: int, columns: np.ndarray, values: np.ndarray, weight: float, residual: float, A: np.ndarray, g: np.ndarray
) -> None:
    """One row of `count` entries; columns in rising order."""
    for a in range(count):
        at, weighted = columns[a], weight * values[a]
        g[at] += weighted * residual
        for b in range(a + 1):
            A[at, columns[b]] += weighted * values[b]


@njit(cache=True)
def mirror(A: np.ndarray) -> None:
    """The upper triangle of a symmetric matrix from its lower one."""
    for a in range(A.shape[0]):
        for b in range(a):
            A[b, a] = A[a, b]
