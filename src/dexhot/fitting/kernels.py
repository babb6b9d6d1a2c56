"""Compiled loops of fitting a hand and an object to an image: clouds, visibility, nearest points, distances, ICP.

Cameras are (4,) arrays fx fy cx cy of the image that is passed with them; images are (H, W). Lengths in m.
"""

import numpy as np
from numba import njit

from dexhot.data.labels import OBJECT
from dexhot.fitting.normal_equations import falling, mirror
from dexhot.geometry.sdf_kernels import distance, trilinear
from dexhot.humans.kernels import exponential

FAR = 1e6
OWN, OTHER = 1, 3  # thinned labels: of the hand that is fitted, right or left, and of another one


@njit(cache=True)
def _has(row: np.ndarray, label: int) -> bool:
    """Whether a row of labels has this one; without a way out before its end, which makes it eight times as fast."""
    count = 0
    for i in range(row.shape[0]):
        count += row[i] == label
    return count > 0


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
        if not _has(labels[j], label):
            continue
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
def clear_low(
    depth: np.ndarray, labels: np.ndarray, label: int, camera: np.ndarray, plane: np.ndarray, least: float
) -> None:
    """Set depth (H, W) mm to 0 where a pixel of the label is not `least` m over the plane n . x = d, given as n, d."""
    for j in range(labels.shape[0]):
        if not _has(labels[j], label):
            continue
        y = (j - camera[3]) / camera[1]
        for i in range(labels.shape[1]):
            if labels[j, i] == label and depth[j, i] > 0:
                x = (i - camera[2]) / camera[0]
                height = 1e-3 * depth[j, i] * (plane[0] * x + plane[1] * y + plane[2]) - plane[3]
                if height < least:
                    depth[j, i] = 0


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
def _nearest_pixel(camera: np.ndarray, x: float, y: float, z: float) -> tuple[int, int]:
    """Column and row, from -0.5 on, of a point before the camera."""
    return int(camera[0] * x / z + camera[2] + 0.5), int(camera[1] * y / z + camera[3] + 0.5)


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
        i, j = _nearest_pixel(camera, x, y, z)
        if 0 <= i < W and 0 <= j < H and z < image[j, i] + tolerance:
            out[n] = v
            n += 1
    return out[:n].copy()


@njit(cache=True)
def _longest_axis(points: np.ndarray) -> int:
    """The axis along which points (N, 3) lie farthest apart."""
    axis, most = 0, -1.0
    for a in range(3):
        low, high = FAR, -FAR
        for k in range(points.shape[0]):
            low, high = min(low, points[k, a]), max(high, points[k, a])
        if high - low > most:
            axis, most = a, high - low
    return axis


@njit(cache=True)
def nearest(
    points: np.ndarray, rays: np.ndarray, vertices: np.ndarray, normals: np.ndarray, ids: np.ndarray, reach: float
) -> np.ndarray:
    """For each point (N, 3), the nearest of the vertices `ids` whose normal looks along -ray; -1 beyond `reach`.

    Rays (N, 3) are unit vectors from the camera to the points. Vertices are tried outward from the point along their
    longest axis, as far as one can be nearer.
    """
    found = np.full(points.shape[0], -1, np.int64)
    axis = _longest_axis(vertices[ids])
    order = ids[np.argsort(vertices[ids, axis])]
    places = vertices[order, axis]
    for q in range(points.shape[0]):
        x, y, z = points[q, 0], points[q, 1], points[q, 2]
        at, least = points[q, axis], reach * reach
        middle = np.searchsorted(places, at)
        for way in (1, -1):
            k = middle if way > 0 else middle - 1
            while 0 <= k < order.shape[0] and (places[k] - at) ** 2 < least:
                v = order[k]
                square = (x - vertices[v, 0]) ** 2 + (y - vertices[v, 1]) ** 2 + (z - vertices[v, 2]) ** 2
                if square < least:
                    facing = rays[q, 0] * normals[v, 0] + rays[q, 1] * normals[v, 1] + rays[q, 2] * normals[v, 2]
                    if facing < -0.3:
                        least, found[q] = square, v
                k += way
    return found


@njit(cache=True)
def nearest_point(queries: np.ndarray, points: np.ndarray, reach: float) -> np.ndarray:
    """For each query (N, 3), the nearest point; -1 beyond `reach`. Tried as in `nearest`."""
    found = np.full(queries.shape[0], -1, np.int64)
    axis = _longest_axis(points)
    order = np.argsort(points[:, axis])
    ordered = points[order]
    for q in range(queries.shape[0]):
        x, y, z = queries[q, 0], queries[q, 1], queries[q, 2]
        at, least, best = queries[q, axis], reach * reach, -1
        middle = np.searchsorted(ordered[:, axis], at)
        for way in (1, -1):
            k = middle if way > 0 else middle - 1
            while 0 <= k < order.shape[0] and (ordered[k, axis] - at) ** 2 < least:
                square = (x - ordered[k, 0]) ** 2 + (y - ordered[k, 1]) ** 2 + (z - ordered[k, 2]) ** 2
                if square < least:
                    least, best = square, k
                k += way
        if best >= 0:
            found[q] = order[best]
    return found


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
def object_row(local: np.ndarray, gradient: np.ndarray, R: np.ndarray, out: np.ndarray) -> None:
    """d distance / d object step of one point: right increment of the rotation, translation, into out (6,)."""
    x, y, z = local[0], local[1], local[2]
    gx, gy, gz = gradient[0], gradient[1], gradient[2]
    out[0], out[1], out[2] = gy * z - gz * y, gz * x - gx * z, gx * y - gy * x
    for a in range(3):
        out[3 + a] = -(R[a, 0] * gx + R[a, 1] * gy + R[a, 2] * gz)


@njit(cache=True)
def object_rows(local: np.ndarray, gradients: np.ndarray, R: np.ndarray) -> np.ndarray:
    """`object_row` of points (N, 3): (N, 6)."""
    out = np.empty((local.shape[0], 6))
    for q in range(local.shape[0]):
        object_row(local[q], gradients[q], R, out[q])
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
    R, t, turned, row = R.copy(), t.copy(), np.empty((3, 3)), np.empty(6)
    local, distances, gradients = np.empty_like(points), np.empty(points.shape[0]), np.empty_like(points)
    for k in range(iterations):
        scale = max(least, sigma * 0.6**k)
        object_distances(points, R, t, values, origin, spacing, local, distances, gradients)
        A, g = np.zeros((6, 6)), np.zeros(6)
        for q in range(points.shape[0]):
            if distances[q] == FAR:
                continue
            robust = falling((distances[q] / scale) ** 2)
            object_row(local[q], gradients[q], R, row)
            w = robust * robust / (scale * scale)
            for a in range(6):  # of all six columns: through `add_row` the search would take 1.15 times as long
                weighted = w * row[a]
                g[a] += weighted * distances[q]
                for b in range(a + 1):
                    A[a, b] += weighted * row[b]
        mirror(A)
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
        i, j = _nearest_pixel(camera, points[q, 0], points[q, 1], z)
        if 0 <= i < W and 0 <= j < H:
            seen += 1
            off += labels[j, i] == 0 or z < measured[j, i] - margin
    return off / seen if seen else 1.0


@njit(cache=True)
def patch_medians(
    depth: np.ndarray, labels: np.ndarray, label: int, pixels: np.ndarray, reach: int, least: int
) -> np.ndarray:
    """(K,) m: median of the depth (mm) of a label in every second pixel within `reach` of each of the pixels (K, 2); 0
    for fewer than `least` of them, and where the patch leaves the image."""
    H, W = depth.shape
    out, measured = np.zeros(pixels.shape[0]), np.empty((reach + 1) ** 2)
    for k in range(pixels.shape[0]):
        i, j = int(np.rint(pixels[k, 0])), int(np.rint(pixels[k, 1]))
        if not (reach <= i < W - reach and reach <= j < H - reach):
            continue
        n = 0
        for v in range(j - reach, j + reach + 1, 2):
            for u in range(i - reach, i + reach + 1, 2):
                if depth[v, u] > 0 and labels[v, u] == label:
                    measured[n] = depth[v, u]
                    n += 1
        if n >= least:
            out[k] = 1e-3 * np.median(measured[:n])
    return out


@njit(cache=True)
def thinned_labels(labels: np.ndarray, step: int, own: int) -> np.ndarray:
    """(h, w) of every `step`-th pixel: OWN for label `own`, background and object as they are, OTHER for any other."""
    out = np.empty(((labels.shape[0] + step - 1) // step, (labels.shape[1] + step - 1) // step), np.uint8)
    for j in range(out.shape[0]):
        for i in range(out.shape[1]):
            label = labels[step * j, step * i]
            out[j, i] = OWN if label == own else (label if label == 0 or label == OBJECT else OTHER)
    return out


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
        i, j = _nearest_pixel(camera, points[q, 0], points[q, 1], z)
        if 0 <= i < W and 0 <= j < H and labels[j, i] != 0 and z < measured[j, i] - margin:
            ids[n], values[n] = q, measured[j, i] - margin - z
            n += 1
    return ids[:n].copy(), values[:n].copy()


@njit(cache=True)
def distance_image(free: np.ndarray) -> np.ndarray:
    """Distance (px) of each pixel to the nearest one where `free` is False (Felzenszwalb and Huttenlocher 2012)."""
    H, W = free.shape
    gaps = np.empty((H, W))  # to the nearest such pixel of its column
    for i in range(W):
        gaps[0, i] = FAR if free[0, i] else 0.0
    for j in range(1, H):
        for i in range(W):
            gaps[j, i] = gaps[j - 1, i] + 1.0 if free[j, i] else 0.0
    for j in range(H - 2, -1, -1):
        for i in range(W):
            gaps[j, i] = min(gaps[j, i], gaps[j + 1, i] + 1.0)
    there = np.flatnonzero(gaps[0] < FAR)  # columns that have one
    out = np.full((H, W), FAR)
    at, edge = np.empty(W, np.int64), np.empty(W + 1)
    for j in range(H if there.shape[0] else 0):  # lower envelope of parabolas along each row
        k = 0
        at[0], edge[0], edge[1] = there[0], -FAR * FAR, FAR * FAR
        for n in range(1, there.shape[0]):
            q = there[n]
            height = gaps[j, q] ** 2 + q * q
            while True:
                p = at[k]
                s = (height - gaps[j, p] ** 2 - p * p) / (2.0 * (q - p))
                if s > edge[k]:
                    break
                k -= 1
            k += 1
            at[k], edge[k], edge[k + 1] = q, s, FAR * FAR
        k = 0
        for q in range(W):
            while edge[k + 1] < q:
                k += 1
            out[j, q] = np.sqrt((q - at[k]) ** 2 + gaps[j, at[k]] ** 2)
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
