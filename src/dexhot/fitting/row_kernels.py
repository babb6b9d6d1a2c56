"""Compiled rows of residual terms, and the normal equations that they add up to.

A row of a point of the hand has about 15 entries of 57: rows are added up without their zeros, into the lower triangle
of the normal equations alone (normal_equations.py), which `mirror` completes.
"""

import numpy as np
from numba import njit

from dexhot.fitting.kernels import FAR, nearest, nearest_point, object_distances, object_rows
from dexhot.fitting.normal_equations import ROBUST, add_row, falling
from dexhot.humans.kernels import MOST_ENTRIES, Binding, directed_row


@njit(cache=True)
def add_rows(
    jacobian: np.ndarray, weight: np.ndarray, residual: np.ndarray, first: int, A: np.ndarray, g: np.ndarray
) -> None:
    """J^T W J onto the lower triangle of A (n, n), J^T W r onto g (n,); J (m, P) begins at column `first`."""
    columns, values = np.empty(jacobian.shape[1], np.int64), np.empty(jacobian.shape[1])
    for k in range(jacobian.shape[0]):
        count = 0
        for p in range(jacobian.shape[1]):
            if jacobian[k, p] != 0.0:
                columns[count], values[count] = first + p, jacobian[k, p]
                count += 1
        add_row(count, columns, values, weight[k], residual[k], A, g)


@njit(cache=True)
def add_point_rows(
    ids: np.ndarray,
    directions: np.ndarray,
    by_object: np.ndarray,
    weight: np.ndarray,
    residual: np.ndarray,
    binding: Binding,
    A: np.ndarray,
    g: np.ndarray,
) -> None:
    """The same of rows directions (m, 3) . d point `ids` (m,) / d pose, where an id is not negative, beside by_object
    (m, 6) in the last columns of A; by_object (0, 6): none."""
    part = np.empty((4, 3))
    columns, values = np.empty(MOST_ENTRIES + 6, np.int64), np.empty(MOST_ENTRIES + 6)
    last = A.shape[0] - 6
    for k in range(ids.shape[0]):
        count = 0
        if ids[k] >= 0:
            count = directed_row(ids[k], directions[k], binding, part, columns, values)
        if by_object.shape[0]:
            for a in range(6):
                columns[count + a], values[count + a] = last + a, by_object[k, a]
            count += 6
        add_row(count, columns, values, weight[k], residual[k], A, g)


@njit(cache=True)
def summed(
    ids: np.ndarray, directions: np.ndarray, weight: np.ndarray, residual: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows of which those of one id (below `count`) have one direction, added up to one for each id."""
    place = np.full(count, -1)
    some, ways = np.empty(count, np.int64), np.empty((count, 3))
    total, mean = np.zeros(count), np.zeros(count)
    n = 0
    for k in range(ids.shape[0]):
        if place[ids[k]] < 0:
            place[ids[k]], some[n] = n, ids[k]
            for a in range(3):
                ways[n, a] = directions[k, a]
            n += 1
        total[place[ids[k]]] += weight[k]
        mean[place[ids[k]]] += weight[k] * residual[k]
    for k in range(n):
        mean[k] /= total[k]
    return some[:n], ways[:n], total[:n], mean[:n]


@njit(cache=True)
def contract(directions: np.ndarray, jacobians: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """directions (K, 3) . jacobians[ids] (K, 3, P) -> (K, P), 0 where an id is negative."""
    K, P = directions.shape[0], jacobians.shape[2]
    out = np.zeros((K, P))
    for k in range(K):
        if ids[k] < 0:
            continue
        x, y, z = directions[k, 0], directions[k, 1], directions[k, 2]
        rows = jacobians[ids[k]]
        for p in range(P):
            out[k, p] = x * rows[0, p] + y * rows[1, p] + z * rows[2, p]
    return out


@njit(cache=True)
def robust_weights(residual: np.ndarray, weight: float, sigma: float) -> tuple[np.ndarray, float]:
    """Weights (m,) of a robust term's rows, each of `weight` in units of `sigma`, and its cost."""
    each, cost = np.empty(residual.shape[0]), 0.0
    for k in range(residual.shape[0]):
        square = (residual[k] / sigma) ** 2
        part = falling(square)
        each[k] = weight * part * part / (sigma * sigma)
        cost += weight * part * square
    return each, cost


@njit(cache=True)
def pixel_rows(
    points: np.ndarray,
    jacobians: np.ndarray,
    camera: np.ndarray,
    seen: np.ndarray,
    confidence: np.ndarray,
    sigma: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Points (K, 3) with jacobians (K, 3, P) against pixels `seen` (K, 2): residuals (2 K,) px, their Jacobian, weights
    and cost."""
    K, P = points.shape[0], jacobians.shape[2]
    off, rows, weight, cost = np.empty(2 * K), np.empty((2 * K, P)), np.empty(2 * K), 0.0
    for k in range(K):
        z = max(points[k, 2], 1e-3)
        square = 0.0
        for a in range(2):
            scaled = camera[a] / z
            slope = -points[k, a] * scaled / z
            off[2 * k + a] = points[k, a] * scaled + camera[2 + a] - seen[k, a]
            square += off[2 * k + a] ** 2
            for p in range(P):
                rows[2 * k + a, p] = scaled * jacobians[k, a, p] + slope * jacobians[k, 2, p]
        square /= sigma * sigma
        part = falling(square)
        weight[2 * k] = weight[2 * k + 1] = confidence[k] / (sigma * sigma) * part * part
        cost += confidence[k] * part * square
    return off, rows, weight, cost


@njit(cache=True)
def apart_rows(
    keypoints: np.ndarray, jacobians: np.ndarray, along: np.ndarray, across: np.ndarray, room: float
) -> tuple[np.ndarray, np.ndarray]:
    """Residuals (m,) and Jacobian (m, P) of points of a finger that are less than `room` beside the next finger's.

    along (F, N, K): points of each finger as means of keypoints (K, 3); across (3,): the unit vector sideways.
    """
    F, N, K = along.shape
    points = np.zeros((F, N, 3))
    for f in range(F):
        for i in range(N):
            for k in range(K):
                if along[f, i, k] != 0.0:
                    for a in range(3):
                        points[f, i, a] += along[f, i, k] * keypoints[k, a]
    off, rows = np.empty((F - 1) * N), np.zeros(((F - 1) * N, jacobians.shape[2]))
    m = 0
    for f in range(F - 1):
        for i in range(N):
            least, beside, sideways = FAR, 0, 0.0
            for j in range(N):
                x, y, z = (
                    points[f, i, 0] - points[f + 1, j, 0],
                    points[f, i, 1] - points[f + 1, j, 1],
                    points[f, i, 2] - points[f + 1, j, 2],
                )
                aside = x * across[0] + y * across[1] + z * across[2]
                square = (x - aside * across[0]) ** 2 + (y - aside * across[1]) ** 2 + (z - aside * across[2]) ** 2
                if square < least:
                    least, beside, sideways = square, j, aside
            if least >= room * room or sideways >= np.sqrt(room * room - least):
                continue
            off[m] = sideways - np.sqrt(room * room - least)
            for k in range(K):
                share = along[f, i, k] - along[f + 1, beside, k]
                if share != 0.0:
                    for a in range(3):
                        for p in range(jacobians.shape[2]):
                            rows[m, p] += share * across[a] * jacobians[k, a, p]
            m += 1
    return off[:m].copy(), rows[:m].copy()


@njit(cache=True)
def carried_rows(local: np.ndarray, ids: np.ndarray, directions: np.ndarray, R: np.ndarray) -> np.ndarray:
    """d (directions (m, 3) . points of the object) / d object step (m, 6); the points are local[ids] (m, 3) in its
    frame."""
    out = np.empty((ids.shape[0], 6))
    for k in range(ids.shape[0]):
        x, y, z = local[ids[k], 0], local[ids[k], 1], local[ids[k], 2]
        dx, dy, dz = directions[k, 0], directions[k, 1], directions[k, 2]
        gx = R[0, 0] * dx + R[1, 0] * dy + R[2, 0] * dz
        gy = R[0, 1] * dx + R[1, 1] * dy + R[2, 1] * dz
        gz = R[0, 2] * dx + R[1, 2] * dy + R[2, 2] * dz
        out[k, 0], out[k, 1], out[k, 2] = y * gz - z * gy, z * gx - x * gz, x * gy - y * gx
        out[k, 3], out[k, 4], out[k, 5] = dx, dy, dz
    return out


@njit(cache=True)
def near_object_rows(
    points: np.ndarray, R: np.ndarray, t: np.ndarray, values: np.ndarray, origin: np.ndarray, spacing: float
) -> tuple[np.ndarray, np.ndarray]:
    """Signed distances (m,) of those of the points (N, 3) in the object's grid, and their object_rows (m, 6)."""
    local, found, gradients = np.empty_like(points), np.empty(points.shape[0]), np.empty_like(points)
    object_distances(points, R, t, values, origin, spacing, local, found, gradients)
    n = 0
    for q in range(points.shape[0]):
        if found[q] < FAR:
            found[n], local[n], gradients[n] = found[q], local[q], gradients[q]
            n += 1
    return found[:n].copy(), object_rows(local[:n], gradients[:n], R)


@njit(cache=True)
def surface_rows(
    cloud: np.ndarray,
    rays: np.ndarray,
    vertices: np.ndarray,
    normals: np.ndarray,
    ids: np.ndarray,
    reach: float,
    weight: float,
    back: float,
    sigma: float,
    least: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
    """Points of a cloud with the nearest of the vertices `ids`, and these with their nearest point, along the vertices'
    normals: numbers (m,) of the vertices, directions (m, 3), residuals (m,), weights (m,), cost.

    `weight` and back * weight are those of all pairs of a kind; a kind of fewer than `least` has as little of each.
    """
    to, fro = nearest(cloud, rays, vertices, normals, ids, reach), nearest_point(vertices[ids], cloud, reach)
    total = to.shape[0] + fro.shape[0]
    chosen, directions, off, each = np.empty(total, np.int64), np.empty((total, 3)), np.empty(total), np.empty(total)
    shares = weight / max(to.shape[0], least), back * weight / max(fro.shape[0], least)
    m, cost = 0, 0.0
    for k in range(total):
        forth = k < to.shape[0]
        q, v = (k, to[k]) if forth else (fro[k - to.shape[0]], ids[k - to.shape[0]])
        share = shares[0] if forth else shares[1]
        if q < 0 or v < 0:
            cost += share * ROBUST
            continue
        value = 0.0
        for a in range(3):
            directions[m, a] = normals[v, a]
            value += (vertices[v, a] - cloud[q, a]) * normals[v, a]
        square = (value / sigma) ** 2
        part = falling(square)
        chosen[m], off[m], each[m] = v, value, share * part * part / (sigma * sigma)
        cost += share * part * square
        m += 1
    return chosen[:m].copy(), directions[:m].copy(), off[:m].copy(), each[:m].copy(), cost


@njit(cache=True)
def limit_rows(
    angles: np.ndarray, lower: np.ndarray, upper: np.ndarray, first: int, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """How far angles (n,) are beyond their limits, and the Jacobian (n, size), of which their columns are from `first`
    on."""
    off, rows = np.zeros(angles.shape[0]), np.zeros((angles.shape[0], size))
    for k in range(angles.shape[0]):
        off[k] = min(angles[k] - lower[k], 0.0) + max(angles[k] - upper[k], 0.0)
        if off[k] != 0.0:
            rows[k, first + k] = 1.0
    return off, rows


@njit(cache=True)
def below_plane(points: np.ndarray, plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (m,) and heights (m,) of the points (N, 3) below a plane, given as its upward normal and offset."""
    ids, heights = np.empty(points.shape[0], np.int64), np.empty(points.shape[0])
    n = 0
    for q in range(points.shape[0]):
        height = plane[0] * points[q, 0] + plane[1] * points[q, 1] + plane[2] * points[q, 2] + plane[3]
        if height < 0.0:
            ids[n], heights[n] = q, height
            n += 1
    return ids[:n].copy(), heights[:n].copy()
