"""Poses of objects in depth, compiled: robust alignment of points with a signed distance volume, and a pose's score.

A pose is R (3, 3) and t (3,), camera_T_mesh; grid: values (nx, ny, nz), origin (3,), spacing of an SdfVolume.
"""

import numpy as np
from numba import njit

from dexhot.geometry.sdf_kernels import distance
from dexhot.humans.kernels import exponential


@njit(cache=True, fastmath=True)
def align(R, t, values, origin, spacing, points, iterations, wide, narrow, samples, normals, pinhole, gap, silhouette):  # type: ignore[no-untyped-def]
    """Gauss-Newton on the distances of `points` (N, 3) to the surface, with Tukey weights from `wide` to `narrow` m.

    gap (H, W): px outside of where the object may be seen (0 inside), or (0, 0) for no silhouette term; its residual is
    how far, in m at their depth, the camera-facing samples lie outside, weighted by `silhouette`. Changes R and t.
    """
    gradient, row = np.empty(3), np.empty(6)
    q, x = np.empty(3), np.empty(3)
    turn = np.empty((3, 3))
    height, width = gap.shape
    for step in range(iterations):
        reach = wide * (narrow / wide) ** (step / max(iterations - 1, 1))
        A, g = np.zeros((6, 6)), np.zeros(6)
        used = 0.0
        for n in range(len(points)):
            for k in range(3):
                q[k] = points[n, k] - t[k]
            for k in range(3):
                x[k] = R[0, k] * q[0] + R[1, k] * q[1] + R[2, k] * q[2]
            r = distance(values, origin, spacing, x, gradient)
            if abs(r) >= reach:
                continue
            w = (1 - (r / reach) ** 2) ** 2
            # x moves by -(w cross x) - v when the mesh turns by w and shifts by v, both in the mesh frame
            row[0] = gradient[1] * x[2] - gradient[2] * x[1]
            row[1] = gradient[2] * x[0] - gradient[0] * x[2]
            row[2] = gradient[0] * x[1] - gradient[1] * x[0]
            for k in range(3):
                row[3 + k] = -gradient[k]
            used += w
            for a in range(6):
                g[a] += w * row[a] * r
                for b in range(6):
                    A[a, b] += w * row[a] * row[b]
        if height and used > 0:
            scale = silhouette * used / len(samples)
            fx, fy, cx, cy = pinhole[0], pinhole[1], pinhole[2], pinhole[3]
            for n in range(len(samples)):
                for k in range(3):
                    q[k] = R[k, 0] * samples[n, 0] + R[k, 1] * samples[n, 1] + R[k, 2] * samples[n, 2] + t[k]
                    x[k] = R[k, 0] * normals[n, 0] + R[k, 1] * normals[n, 1] + R[k, 2] * normals[n, 2]
                if q[2] < 0.05 or x[0] * q[0] + x[1] * q[1] + x[2] * q[2] >= 0:
                    continue
                u, v = int(fx * q[0] / q[2] + cx + 0.5), int(fy * q[1] / q[2] + cy + 0.5)
                if u < 1 or v < 1 or u >= width - 1 or v >= height - 1 or gap[v, u] <= 0:
                    continue
                du, dv = 0.5 * (gap[v, u + 1] - gap[v, u - 1]), 0.5 * (gap[v + 1, u] - gap[v - 1, u])
                r = gap[v, u] * q[2] / fx
                if r >= reach:
                    continue
                # d r / d point in the camera: pixels are as wide as z / fx
                c0, c1 = du, dv * fy / fx
                c2 = -(du * q[0] + dv * fy / fx * q[1]) / q[2]
                for k in range(3):
                    gradient[k] = R[0, k] * c0 + R[1, k] * c1 + R[2, k] * c2
                row[0] = samples[n, 1] * gradient[2] - samples[n, 2] * gradient[1]
                row[1] = samples[n, 2] * gradient[0] - samples[n, 0] * gradient[2]
                row[2] = samples[n, 0] * gradient[1] - samples[n, 1] * gradient[0]
                for k in range(3):
                    row[3 + k] = gradient[k]
                w = scale * (1 - (r / reach) ** 2) ** 2
                for a in range(6):
                    g[a] += w * row[a] * r
                    for b in range(6):
                        A[a, b] += w * row[a] * row[b]
        if used <= 0:
            return
        for a in range(3):
            A[a, a] += 1e-7 * used + 1e-12
            A[a + 3, a + 3] += 1e-4 * used + 1e-12
        d = np.linalg.solve(A, -g)
        exponential(d[:3], turn)
        for a in range(3):
            t[a] += R[a, 0] * d[3] + R[a, 1] * d[4] + R[a, 2] * d[5]
        R[:] = R @ turn


@njit(cache=True, fastmath=True)
def align_all(
    Rs, ts, values, origin, spacing, points, iterations, wide, narrow, samples, normals, pinhole, gap, silhouette
):  # type: ignore[no-untyped-def]
    """`align` of each of many poses."""
    for b in range(len(Rs)):
        align(
            Rs[b],
            ts[b],
            values,
            origin,
            spacing,
            points,
            iterations,
            wide,
            narrow,
            samples,
            normals,
            pinhole,
            gap,
            silhouette,
        )


@njit(cache=True, fastmath=True)
def agreement(R, t, samples, normals, depth, hidden, pinhole, sigma):  # type: ignore[no-untyped-def]
    """(agreeing, floating, covered): camera-facing samples whose depth is measured there (graded by a Gaussian of
    `sigma` m; negative depth is a table's), that float before what is measured, and that something nearer hides."""
    fx, fy, cx, cy = pinhole[0], pinhole[1], pinhole[2], pinhole[3]
    height, width = depth.shape
    agreeing = floating = covered = 0.0
    q, m = np.empty(3), np.empty(3)
    for n in range(len(samples)):
        for k in range(3):
            q[k] = R[k, 0] * samples[n, 0] + R[k, 1] * samples[n, 1] + R[k, 2] * samples[n, 2] + t[k]
            m[k] = R[k, 0] * normals[n, 0] + R[k, 1] * normals[n, 1] + R[k, 2] * normals[n, 2]
        if q[2] < 0.05 or m[0] * q[0] + m[1] * q[1] + m[2] * q[2] >= 0:
            continue
        u, v = int(fx * q[0] / q[2] + cx + 0.5), int(fy * q[1] / q[2] + cy + 0.5)
        if u < 0 or v < 0 or u >= width or v >= height or hidden[v, u]:
            covered += 1
            continue
        d = depth[v, u]
        if d == 0:
            continue
        if d < 0:  # a table at -d: it agrees with nothing, and what hovers before it floats
            if -d - q[2] > 3 * sigma:
                floating += 1
            continue
        if d - q[2] < -3 * sigma:
            covered += 1
        else:
            fit = np.exp(-0.5 * ((d - q[2]) / sigma) ** 2)
            agreeing += fit
            floating += 1 - fit
    return agreeing, floating, covered


@njit(cache=True, fastmath=True)
def explained(R, t, values, origin, spacing, points, sigma):  # type: ignore[no-untyped-def]
    """Fraction of points (N, 3) on the surface, graded by a Gaussian of `sigma` m."""
    gradient, x = np.empty(3), np.empty(3)
    total = 0.0
    for n in range(len(points)):
        for k in range(3):
            x[k] = R[0, k] * (points[n, 0] - t[0]) + R[1, k] * (points[n, 1] - t[1]) + R[2, k] * (points[n, 2] - t[2])
        total += np.exp(-0.5 * (distance(values, origin, spacing, x, gradient) / sigma) ** 2)
    return total / max(len(points), 1)


@njit(cache=True, fastmath=True)
def information(R, t, values, origin, spacing, points, reach):  # type: ignore[no-untyped-def]
    """(6, 6) J^T W J of the distances of points (N, 3) to the surface, by a turn and then a shift of the mesh about the
    camera's axes, with Tukey weights of `reach` m; and the sum of the weights."""
    gradient, g, arm, row = np.empty(3), np.empty(3), np.empty(3), np.empty(6)
    x = np.empty(3)
    A = np.zeros((6, 6))
    used = 0.0
    for n in range(len(points)):
        for k in range(3):
            arm[k] = points[n, k] - t[k]
        for k in range(3):
            x[k] = R[0, k] * arm[0] + R[1, k] * arm[1] + R[2, k] * arm[2]
        r = distance(values, origin, spacing, x, gradient)
        if abs(r) >= reach:
            continue
        w = (1 - (r / reach) ** 2) ** 2
        for k in range(3):
            g[k] = R[k, 0] * gradient[0] + R[k, 1] * gradient[1] + R[k, 2] * gradient[2]
        row[0] = g[1] * arm[2] - g[2] * arm[1]
        row[1] = g[2] * arm[0] - g[0] * arm[2]
        row[2] = g[0] * arm[1] - g[1] * arm[0]
        for k in range(3):
            row[3 + k] = -g[k]
        used += w
        for a in range(6):
            for b in range(6):
                A[a, b] += w * row[a] * row[b]
    return A, used
