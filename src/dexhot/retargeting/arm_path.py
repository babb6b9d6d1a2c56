"""The arm's joints along a whole clip: the smoothest path whose palm stays on the reference.

Seven joints move a palm with six degrees of freedom. Solved frame by frame, the redundant one jumps near limits and
singularities; solved for all frames at once, it makes the path smooth. Gauss-Newton on

    sum_t |e_t / sigma|^2 + |(q_{t-1} - 2 q_t + q_{t+1}) / dt^2 / EASY|^2 + |beyond its limits / SLACK|^2
        + |links below CLEARANCE / TABLE_SIGMA|^2

with e_t the palm's error in position and rotation: the elbow turns aside where a link would touch the table. The normal
equations are banded (frames t to t + 2).
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solveh_banded

from dexhot.data.types import RATE
from dexhot.hardware.franka.limits import MARGIN
from dexhot.robots.kinematics.arm_table import ArmTable

POSITION_SIGMA, ROTATION_SIGMA = 1e-3, np.radians(0.5)  # m, rad: about the palm's deviation for smoothness
EASY = 10.0  # rad/s2: an acceleration that weighs as much as one sigma of the palm
SPARE = 0.02  # rad from the joints' limits
SLACK = 0.01  # rad beyond SPARE that weigh as much as one sigma
CLEARANCE, TABLE_SIGMA = 0.003, 1e-3  # m above the table; below it by this much weighs as much as one sigma
DAMPING = 1e-3  # damping of a step: a stretched arm has unconstrained directions
LONGEST_STEP = 0.3  # rad, of one iteration
ITERATIONS = 15
SETTLED = 1e-4  # rad: a smaller step ends the iteration


@dataclass
class ArmPath:
    """Joints of the arm, one row per frame, and its palm's errors."""

    q: np.ndarray  # (T, 7) rad
    position_error: np.ndarray  # (T,) m
    rotation_error: np.ndarray  # (T,) rad


def smooth_path(table: ArmTable, palms: np.ndarray, start: np.ndarray) -> ArmPath:
    """The path of the table's arm for base_T_palm (T, 4, 4) at 60 Hz, from joints `start` (T, 7) near it."""
    chain = table.chain
    frames, joints = start.shape
    bent = _bending(frames) * (RATE**2 / EASY) ** 2
    weight = 1.0 / np.repeat([POSITION_SIGMA, ROTATION_SIGMA], 3)
    lower, upper = chain.lower + SPARE, chain.upper - SPARE
    q = start.copy()
    for _ in range(ITERATIONS):
        error, jacobian = chain.error(q, palms)
        error, jacobian = error * weight, jacobian * weight[:, None]
        inside = np.clip(q, lower, upper)
        outside = inside != q
        gradient = np.einsum("tij,ti->tj", jacobian, error) - _bend(bent, q) + (inside - q) / SLACK**2
        normal = np.einsum("tij,tik->tjk", jacobian, jacobian)
        below = (CLEARANCE - table.heights(q)).clip(0) / TABLE_SIGMA
        low = np.flatnonzero(below.any(axis=1))
        lift = table.jacobian(q[low]) * (below[low] > 0)[..., None] / TABLE_SIGMA
        gradient[low] += np.einsum("tgj,tg->tj", lift, below[low])
        normal[low] += np.einsum("tgj,tgk->tjk", lift, lift)
        normal[:, range(joints), range(joints)] += bent[0][:, None] + outside / SLACK**2 + DAMPING
        step = solveh_banded(_banded(normal, bent), gradient.ravel(), lower=True).reshape(q.shape)
        longest = np.abs(step).max()
        q += step * min(1.0, LONGEST_STEP / max(longest, 1e-12))
        if longest < SETTLED:
            break
    q = np.clip(q, chain.lower + MARGIN, chain.upper - MARGIN)  # the driver's limits
    error, _ = chain.error(q, palms)
    return ArmPath(q, np.linalg.norm(error[:, :3], axis=1), np.linalg.norm(error[:, 3:], axis=1))


def _bending(frames: int) -> np.ndarray:
    """(3, T) the diagonals of D^T D, D the second difference: [k][t] couples frames t and t + k."""
    out = np.zeros((3, frames))
    for offset, row in enumerate(([1.0, 4.0, 1.0], [-2.0, -2.0], [1.0])):
        for shift, value in enumerate(row):
            out[offset, shift : shift + frames - 2] += value
    return out


def _bend(bent: np.ndarray, q: np.ndarray) -> np.ndarray:
    """D^T D q (T, 7), from the diagonals."""
    out: np.ndarray = bent[0][:, None] * q
    for k in (1, 2):
        out[:-k] += bent[k][:-k, None] * q[k:]
        out[k:] += bent[k][:-k, None] * q[:-k]
    return out


def _banded(blocks: np.ndarray, bent: np.ndarray) -> np.ndarray:
    """Lower band storage of blocks (T, 7, 7) on the diagonal and the scalars bent[1], bent[2] beside it."""
    frames, joints, _ = blocks.shape
    band = np.zeros((2 * joints + 1, frames, joints))  # [d, t, j] couples (t, j) and what is d rows below
    for j in range(joints):
        for i in range(j, joints):
            band[i - j, :, j] = blocks[:, i, j]
    for k in (1, 2):
        band[k * joints] += bent[k][:, None]
    return band.reshape(2 * joints + 1, -1)
