"""Compiled loops of fitting a hand and an object to an image: clouds, visibility, nearest points, distances, ICP.

Cameras are (4,) arrays fx fy cx cy of the image that is passed with them; images are (H, W). Lengths in m.
"""

import numpy as np
from numba import njit

from dexhot.geometry.sdf_kernels import distance, trilinear
from dexhot.humans.kernels import exponential

FAR = 1e6


@njit(cache=True)
def cloud(
    labels: np.ndarray,
    depth: np.ndarray,
    label: int,
    step: int,
    camera: np.ndarray,
    near: np.ndarray,
    reach: float,
) -> np.ndarray:
    """Points (N, 3) of every `step`-th pixel of a label with depth (mm), a pixel inside its mask.

    With `near` (K, 2) px, only pixels within `reach` m (at their depth) of one of these: what leaves the forearm out.
    """
    H, W = labels.shape
    out = np.empty((((H + step - 1) // step) * ((W + step - 1) // step), 3))
    n = 0
    for j in range(step, H - step, step):
        for i in range(step, W - step, step):
            if labels[j, i] != label or depth[j, i] == 0:
                continue
            if (
                labels[j - step, i] != label
                or labels[j + step, i] != label
                or labels[j, i - step] != label
                or labels[j, i + step] != label
            ):
                continue
            z = 1e-3 * depth[j, i]
            if near.shape[0]:
                least = FAR
                for k in range(near.shape[0]):
                    square = (near[k, 0] - i) ** 2 + (near[k, 1] - j) ** 2
                    if square < least:
                        least = square
                if least > (reach * camera[0] / z) ** 2:
                    continue
            out[n, 0], out[n, 1], out[n, 2] = (i - camera[2]) * z / camera[0], (j - camera[3]) * z / camera[1], z
            n += 1
    return out[:n].copy()


@njit(cache=True)
def above(
    depth: np.ndarray, labels: np.ndarray, label: int, camera: np.ndarray, plane: np.ndarray, least: float
) -> np.ndarray:
    """Depth (H, W) mm, 0 where a pixel of the label is not `least` m over the plane n . x = d, given as n and d."""
    out = depth.copy()
    for j in range(labels.shape[0]):
        y = (j - camera[3]) / camera[1]
        for i in range(labels.shape[1]):
            if labels[j, i] == label and depth[j, i] > 0:
                x = (i - camera[2]) / camera[0]
                height = 1e-3 * depth[j, i] * (plane[0] * x + plane[1] * y + plane[2]) - plane[3]
                if height < least:
                    out[j, i] = 0
    return out


@njit(cache=True)
def normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) outward unit normals, weighted by area."""
    out = np.zeros_like(vertices)
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        ux, uy, uz = (
            vertices[b, 0] - vertices[a, 0],
            vertices[b, 1] - vertices[a, 1],
            vertices[b, 2] - vertices[a, 2],
        )
        wx, wy, wz = (
            vertices[c, 0] - vertices[a, 0],
            vertices[c, 1] - vertices[a, 1],
            vertices[c, 2] - vertices[a, 2],
        )
        nx, ny, nz = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
        for v in (a, b, c):
            out[v, 0] += nx
            out[v, 1] += ny
            out[v, 2] += nz
    for v in range(out.shape[0]):
        length = np.sqrt(out[v, 0] ** 2 + out[v, 1] ** 2 + out[v, 2] ** 2) + 1e-15
        for a in range(3):
            out[v, a] /= length
    return out


@njit(cache=True)
def visible(
    vertices: np.ndarray, normals: np.ndarray, camera: np.ndarray, image: np.ndarray, tolerance: float
) -> np.ndarray:
    """Numbers of the vertices that face the camera and are not behind the drawn depth."""
    H, W = image.shape
    out = np.empty(vertices.shape[0], np.int64)
    n = 0
    for v in range(vertices.shape[0]):
        x, y, z = vertices[v, 0], vertices[v, 1], vertices[v, 2]
        if z < 0.05 or normals[v, 0] * x + normals[v, 1] * y + normals[v, 2] * z > -0.05 * z:
            continue
        i, j = int(camera[0] * x / z + camera[2] + 0.5), int(camera[1] * y / z + camera[3] + 0.5)
        if 0 <= i < W and 0 <= j < H and z < image[j, i] + tolerance:
            out[n] = v
            n += 1
    return out[:n].copy()


@njit(cache=True)
def nearest(
    points: np.ndarray, rays: np.ndarray, vertices: np.ndarray, normals: np.ndarray, ids: np.ndarray, reach: float
) -> np.ndarray:
    """For each point (N, 3), the nearest of the vertices `ids` whose normal looks along -ray; -1 beyond `reach`.

    Rays (N, 3) are unit vectors from the camera to the points.
    """
    out = np.full(points.shape[0], -1, np.int64)
    for q in range(points.shape[0]):
        least = reach * reach
        for k in range(ids.shape[0]):
            v = ids[k]
            dx, dy, dz = points[q, 0] - vertices[v, 0], points[q, 1] - vertices[v, 1], points[q, 2] - vertices[v, 2]
            square = dx * dx + dy * dy + dz * dz
            if square < least:
                facing = rays[q, 0] * normals[v, 0] + rays[q, 1] * normals[v, 1] + rays[q, 2] * normals[v, 2]
                if facing < -0.3:
                    least = square
                    out[q] = v
    return out


@njit(cache=True)
def nearest_point(queries: np.ndarray, points: np.ndarray, reach: float) -> np.ndarray:
    """For each query (N, 3), the nearest point; -1 beyond `reach`."""
    out = np.full(queries.shape[0], -1, np.int64)
    for q in range(queries.shape[0]):
        least = reach * reach
        for k in range(points.shape[0]):
            square = (
                (queries[q, 0] - points[k, 0]) ** 2
                + (queries[q, 1] - points[k, 1]) ** 2
                + (queries[q, 2] - points[k, 2]) ** 2
            )
            if square < least:
                least = square
                out[q] = k
    return out


@njit(cache=True)
def contract(directions: np.ndarray, jacobians: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """directions (K, 3) . jacobians[ids] (K, 3, P) -> (K, P)."""
    K, P = directions.shape[0], jacobians.shape[2]
    out = np.empty((K, P))
    for k in range(K):
        x, y, z = directions[k, 0], directions[k, 1], directions[k, 2]
        rows = jacobians[ids[k]]
        for p in range(P):
            out[k, p] = x * rows[0, p] + y * rows[1, p] + z * rows[2, p]
    return out


@njit(cache=True)
def object_distances(
    points: np.ndarray,
    R: np.ndarray,
    t: np.ndarray,
    values: np.ndarray,
    origin: np.ndarray,
    spacing: float,
    local: np.ndarray,
    distances: np.ndarray,
    gradients: np.ndarray,
) -> None:
    """Signed distance of points (N, 3) to an object at R, t; into local (N, 3), distances (N,), gradients (N, 3).

    Gradients are in the object's frame. Outside of the grid the distance is FAR and its gradient 0.
    """
    read = np.empty(4)
    for q in range(points.shape[0]):
        dx, dy, dz = points[q, 0] - t[0], points[q, 1] - t[1], points[q, 2] - t[2]
        for a in range(3):
            local[q, a] = R[0, a] * dx + R[1, a] * dy + R[2, a] * dz
            gradients[q, a] = 0.0
        distances[q] = FAR
        if trilinear(
            values,
            (local[q, 0] - origin[0]) / spacing,
            (local[q, 1] - origin[1]) / spacing,
            (local[q, 2] - origin[2]) / spacing,
            read,
        ):
            distances[q] = read[0]
            for a in range(3):
                gradients[q, a] = read[1 + a] / spacing


@njit(cache=True)
def distances_beyond(
    local: np.ndarray,
    values: np.ndarray,
    origin: np.ndarray,
    spacing: float,
    distances: np.ndarray,
    gradients: np.ndarray,
) -> None:
    """Signed distance of points (N, 3) of the object's frame, and its gradient (N, 3), into the last two.

    Outside of the grid: the distance at its nearest point plus that to it, an upper bound (sdf_volume.py).
    """
    for q in range(local.shape[0]):
        distances[q] = distance(values, origin, spacing, local[q], gradients[q])


@njit(cache=True)
def object_rows(local: np.ndarray, gradients: np.ndarray, R: np.ndarray) -> np.ndarray:
    """d distance / d object step (N, 6): right increment of the rotation, translation."""
    out = np.empty((local.shape[0], 6))
    for q in range(local.shape[0]):
        x, y, z = local[q, 0], local[q, 1], local[q, 2]
        gx, gy, gz = gradients[q, 0], gradients[q, 1], gradients[q, 2]
        out[q, 0], out[q, 1], out[q, 2] = gy * z - gz * y, gz * x - gx * z, gx * y - gy * x
        for a in range(3):
            out[q, 3 + a] = -(R[a, 0] * gx + R[a, 1] * gy + R[a, 2] * gz)
    return out


@njit(cache=True)
def icp(
    points: np.ndarray,
    R: np.ndarray,
    t: np.ndarray,
    values: np.ndarray,
    origin: np.ndarray,
    spacing: float,
    iterations: int,
    sigma: float,
    least: float,
    turn: float,
    shift: float,
) -> tuple[np.ndarray, np.ndarray]:
    """An object's rotation and position that bring points (N, 3) onto its zero level: robust Gauss-Newton steps.

    The scale narrows from `sigma` to `least`, by 0.6 a step; `turn` (rad) and `shift` (m) are the sigmas of one step.
    """
    R, t, turned = R.copy(), t.copy(), np.empty((3, 3))
    local, distances, gradients = np.empty_like(points), np.empty(points.shape[0]), np.empty_like(points)
    for k in range(iterations):
        scale = max(least, sigma * 0.6**k)
        object_distances(points, R, t, values, origin, spacing, local, distances, gradients)
        rows = object_rows(local, gradients, R)
        A, g = np.zeros((6, 6)), np.zeros(6)
        for q in range(points.shape[0]):
            if distances[q] == FAR:
                continue
            robust = 9.0 / (9.0 + (distances[q] / scale) ** 2)
            w = robust * robust / (scale * scale)
            for a in range(6):
                g[a] += w * rows[q, a] * distances[q]
                for b in range(6):
                    A[a, b] += w * rows[q, a] * rows[q, b]
        for a in range(3):
            A[a, a] += 1.0 / (turn * turn)
            A[3 + a, 3 + a] += 1.0 / (shift * shift)
        step = -np.linalg.solve(A, g)
        exponential(step[:3] * min(1.0, 0.5 / max(np.sqrt((step[:3] ** 2).sum()), 1e-12)), turned)
        R = R @ turned
        t = t + step[3:]
    return R, t


@njit(cache=True)
def impossible_fraction(
    points: np.ndarray, camera: np.ndarray, labels: np.ndarray, measured: np.ndarray, margin: float
) -> float:
    """Fraction of points (N, 3) that fall on the background (label 0) of an image, or lie more than `margin` m before
    what was `measured` (H, W) there; outside of the image they do not count."""
    H, W = labels.shape
    seen, off = 0, 0
    for q in range(points.shape[0]):
        z = points[q, 2]
        if z < 0.05:
            continue
        i, j = int(camera[0] * points[q, 0] / z + camera[2] + 0.5), int(camera[1] * points[q, 1] / z + camera[3] + 0.5)
        if 0 <= i < W and 0 <= j < H:
            seen += 1
            off += labels[j, i] == 0 or z < measured[j, i] - margin
    return off / seen if seen else 1.0


@njit(cache=True)
def nearest_depth(depth: np.ndarray, step: int) -> np.ndarray:
    """(h, w) m: the nearest depth (H, W) mm around every `step`-th pixel, 0 where none was measured. What lies before
    it lies before all that was measured there: edges and single wrong pixels raise no doubt."""
    H, W = depth.shape
    found = np.zeros(((H + step - 1) // step, (W + step - 1) // step))
    for j in range(found.shape[0]):
        for i in range(found.shape[1]):
            least = 65535
            for v in range(max(0, step * j - step // 2), min(H, step * j + step // 2 + 1)):
                for u in range(max(0, step * i - step // 2), min(W, step * i + step // 2 + 1)):
                    if 0 < depth[v, u] < least:
                        least = depth[v, u]
            if least < 65535:
                found[j, i] = 1e-3 * least
    return found


@njit(cache=True)
def before_measured(
    points: np.ndarray, camera: np.ndarray, labels: np.ndarray, measured: np.ndarray, margin: float
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (m,) of the points (N, 3) that lie before what was `measured` (H, W) at their pixel, and how far (m,),
    less `margin`; those on the background (label 0) are left out."""
    H, W = labels.shape
    ids, values = np.empty(points.shape[0], np.int64), np.empty(points.shape[0])
    n = 0
    for q in range(points.shape[0]):
        z = points[q, 2]
        if z < 0.05:
            continue
        i, j = int(camera[0] * points[q, 0] / z + camera[2] + 0.5), int(camera[1] * points[q, 1] / z + camera[3] + 0.5)
        if 0 <= i < W and 0 <= j < H and labels[j, i] != 0 and z < measured[j, i] - margin:
            ids[n], values[n] = q, measured[j, i] - margin - z
            n += 1
    return ids[:n].copy(), values[:n].copy()


@njit(cache=True)
def distance_image(free: np.ndarray) -> np.ndarray:
    """Distance (px) of each pixel to the nearest one where `free` is False (Felzenszwalb and Huttenlocher 2012)."""
    H, W = free.shape
    squares = np.empty((H, W))
    for i in range(W):  # down and up each column
        gap = FAR
        for j in range(H):
            gap = 0.0 if not free[j, i] else gap + 1.0
            squares[j, i] = gap
        gap = FAR
        for j in range(H - 1, -1, -1):
            gap = 0.0 if not free[j, i] else gap + 1.0
            squares[j, i] = min(squares[j, i], gap) ** 2
    out = np.empty((H, W))
    at, edge = np.empty(W, np.int64), np.empty(W + 1)
    for j in range(H):  # lower envelope of parabolas along each row
        k = 0
        at[0], edge[0], edge[1] = 0, -FAR * FAR, FAR * FAR
        for q in range(1, W):
            while True:
                p = at[k]
                s = (squares[j, q] + q * q - squares[j, p] - p * p) / (2.0 * (q - p))
                if s > edge[k]:
                    break
                k -= 1
            k += 1
            at[k], edge[k], edge[k + 1] = q, s, FAR * FAR
        k = 0
        for q in range(W):
            while edge[k + 1] < q:
                k += 1
            out[j, q] = np.sqrt((q - at[k]) ** 2 + squares[j, at[k]])
    return out


@njit(cache=True)
def mask_rows(
    points: np.ndarray, camera: np.ndarray, distances: np.ndarray, most: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (N, 3) that project outside of a mask: their numbers (m,), distance (m,) px and its gradient (m, 3).

    `distances` (H, W) is the mask's distance image, read bilinearly; farther than `most` px counts as `most`.
    """
    H, W = distances.shape
    ids, values = np.empty(points.shape[0], np.int64), np.empty(points.shape[0])
    slopes = np.empty((points.shape[0], 3))
    n = 0
    for q in range(points.shape[0]):
        x, y, z = points[q, 0], points[q, 1], points[q, 2]
        if z < 0.05:
            continue
        u, v = camera[0] * x / z + camera[2], camera[1] * y / z + camera[3]
        if not (0.0 <= u < W - 1 and 0.0 <= v < H - 1):
            continue
        i, j = int(u), int(v)
        a, b = u - i, v - j
        top = distances[j, i] * (1 - a) + distances[j, i + 1] * a
        bottom = distances[j + 1, i] * (1 - a) + distances[j + 1, i + 1] * a
        value = top * (1 - b) + bottom * b
        if value <= 0.5:
            continue
        gu = (distances[j, i + 1] - distances[j, i]) * (1 - b) + (distances[j + 1, i + 1] - distances[j + 1, i]) * b
        gv = bottom - top
        ids[n], values[n] = q, min(value, most)
        slopes[n, 0], slopes[n, 1] = gu * camera[0] / z, gv * camera[1] / z
        slopes[n, 2] = -(gu * camera[0] * x + gv * camera[1] * y) / (z * z)
        n += 1
    return ids[:n].copy(), values[:n].copy(), slopes[:n].copy()


@njit(cache=True)
def _on_triangle(p: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, out: np.ndarray) -> float:
    """Squared distance of a point to a triangle; barycentric coordinates of its nearest point into out (3,).

    Ericson, Real-Time Collision Detection, 5.1.5.
    """
    d1 = d2 = d3 = d4 = d5 = d6 = 0.0
    for k in range(3):
        ab, ac = b[k] - a[k], c[k] - a[k]
        d1 += ab * (p[k] - a[k])
        d2 += ac * (p[k] - a[k])
        d3 += ab * (p[k] - b[k])
        d4 += ac * (p[k] - b[k])
        d5 += ab * (p[k] - c[k])
        d6 += ac * (p[k] - c[k])
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    v, w = 0.0, 0.0
    if d1 <= 0.0 and d2 <= 0.0:
        pass
    elif d3 >= 0.0 and d4 <= d3:
        v = 1.0
    elif d6 >= 0.0 and d5 <= d6:
        w = 1.0
    elif vc <= 0.0 and d1 >= 0.0 and d3 <= 0.0:
        v = d1 / (d1 - d3)
    elif vb <= 0.0 and d2 >= 0.0 and d6 <= 0.0:
        w = d2 / (d2 - d6)
    elif va <= 0.0 and d4 - d3 >= 0.0 and d5 - d6 >= 0.0:
        w = (d4 - d3) / ((d4 - d3) + (d5 - d6))
        v = 1.0 - w
    elif va + vb + vc > 0.0:
        v, w = vb / (va + vb + vc), vc / (va + vb + vc)
    out[0], out[1], out[2] = 1.0 - v - w, v, w
    square = 0.0
    for k in range(3):
        gap = p[k] - (out[0] * a[k] + v * b[k] + w * c[k])
        square += gap * gap
    return square


@njit(cache=True)
def triangle_pairs(
    points: np.ndarray, vertices: np.ndarray, faces: np.ndarray, ids: np.ndarray, by_face: bool, reach: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Each point with its nearest face of `ids`, or (`by_face`) each of these faces with its nearest point.

    (m,) numbers of the points and of the faces, (m, 3) barycentric coordinates of the face's nearest point, (m,)
    squared distances; pairs farther apart than `reach` are left out.
    """
    K, N = ids.shape[0], points.shape[0]
    centre, radius = np.empty((K, 3)), np.empty(K)
    for k in range(K):
        f = faces[ids[k]]
        for a in range(3):
            centre[k, a] = (vertices[f[0], a] + vertices[f[1], a] + vertices[f[2], a]) / 3.0
        most = 0.0
        for c in range(3):
            square = 0.0
            for a in range(3):
                square += (vertices[f[c], a] - centre[k, a]) ** 2
            most = max(most, square)
        radius[k] = np.sqrt(most)
    outer, inner = (K, N) if by_face else (N, K)
    chosen, found = np.empty(outer, np.int64), np.empty(outer, np.int64)
    coordinates, squares = np.empty((outer, 3)), np.empty(outer)
    gap, here = np.empty(inner), np.empty(3)
    n = 0
    for i in range(outer):
        least, first = FAR, -1
        for j in range(inner):
            q, k = (j, i) if by_face else (i, j)
            dx, dy, dz = points[q, 0] - centre[k, 0], points[q, 1] - centre[k, 1], points[q, 2] - centre[k, 2]
            gap[j] = dx * dx + dy * dy + dz * dz
            if gap[j] < least:
                least, first = gap[j], j
        if first < 0:
            continue
        best, at = FAR, -1
        bound = np.sqrt(least)  # no farther than to the nearest centre
        for j in range(inner):
            q, k = (j, i) if by_face else (i, j)
            if gap[j] > (bound + radius[k]) ** 2:
                continue
            f = faces[ids[k]]
            square = _on_triangle(points[q], vertices[f[0]], vertices[f[1]], vertices[f[2]], here)
            if square < best:
                best, at = square, j
                bound = np.sqrt(square)
                coordinates[n, 0], coordinates[n, 1], coordinates[n, 2] = here[0], here[1], here[2]
        if at < 0 or best > reach * reach:
            continue
        chosen[n], found[n] = (at, ids[i]) if by_face else (i, ids[at])
        squares[n] = best
        n += 1
    return chosen[:n].copy(), found[:n].copy(), coordinates[:n].copy(), squares[:n].copy()
