"""Compiled loops over masks: drawing bones, filling holes, growing and shrinking, and reading images.

Masks are (H, W) bool and changed in place unless said otherwise; neighbours are the four beside a pixel.
"""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def read_square(image: np.ndarray, u0: float, v0: float, along: np.ndarray, down: np.ndarray, out: np.ndarray) -> None:
    """Bilinear samples of an image (H, W, 3) at (u0, v0) + i along + j down into out (N, M, 3) in [0, 1]; 0 outside."""
    height, width, _ = image.shape
    rows, columns, _ = out.shape
    for j in range(rows):
        for i in range(columns):
            u, v = u0 + i * along[0] + j * down[0], v0 + i * along[1] + j * down[1]
            x, y = int(np.floor(u)), int(np.floor(v))
            a, b = np.float32((u - x) / 255.0), np.float32(v - y)
            red = green = blue = np.float32(0.0)
            for dy in range(2):
                if not 0 <= y + dy < height:
                    continue
                down_weight = b if dy else np.float32(1.0) - b
                for dx in range(2):
                    if not 0 <= x + dx < width:
                        continue
                    weight = down_weight * (a if dx else np.float32(1.0 / 255.0) - a)
                    red += weight * image[y + dy, x + dx, 0]
                    green += weight * image[y + dy, x + dx, 1]
                    blue += weight * image[y + dy, x + dx, 2]
            out[j, i, 0], out[j, i, 1], out[j, i, 2] = red, green, blue


@njit(cache=True, nogil=True)
def draw_bones(starts: np.ndarray, ends: np.ndarray, radii: np.ndarray, mask: np.ndarray) -> None:
    """Mark pixels nearer than radii (N,) to segments from starts to ends (N, 2), u v px."""
    height, width = mask.shape
    for n in range(starts.shape[0]):
        (au, av), (bu, bv), r = starts[n], ends[n], radii[n]
        du, dv = bu - au, bv - av
        square = max(du * du + dv * dv, 1e-9)
        for j in range(max(int(min(av, bv) - r), 0), min(int(max(av, bv) + r) + 2, height)):
            for i in range(max(int(min(au, bu) - r), 0), min(int(max(au, bu) + r) + 2, width)):
                t = min(max(((i - au) * du + (j - av) * dv) / square, 0.0), 1.0)
                if (i - au - t * du) ** 2 + (j - av - t * dv) ** 2 < r * r:
                    mask[j, i] = True


@njit(cache=True, nogil=True)
def grow(seeds: np.ndarray, free: np.ndarray, out: np.ndarray) -> None:
    """Mark in `out` the seeds, and what of `free` is connected with them."""
    height, width = free.shape
    stack = np.empty(height * width, np.int64)
    n = 0
    for j in range(height):
        for i in range(width):
            if seeds[j, i] and not out[j, i]:
                out[j, i] = True
                stack[n] = j * width + i
                n += 1
    while n:
        n -= 1
        j, i = stack[n] // width, stack[n] % width
        for k in range(4):
            y, x = j + (k == 0) - (k == 1), i + (k == 2) - (k == 3)
            if 0 <= y < height and 0 <= x < width and free[y, x] and not out[y, x]:
                out[y, x] = True
                stack[n] = y * width + x
                n += 1


@njit(cache=True, nogil=True)
def marked(mask: np.ndarray, margin: int) -> tuple[int, int, int, int]:
    """First and past-the-last row and column of what a mask marks with so many pixels around it; zeros where nothing
    is."""
    height, width = mask.shape
    top, bottom, left, right = height, -1, width, -1
    for j in range(height):
        for i in range(width):
            if mask[j, i]:
                top, bottom, left, right = min(top, j), j, min(left, i), max(right, i)
    if bottom < 0:
        return 0, 0, 0, 0
    return max(top - margin, 0), min(bottom + margin + 1, height), max(left - margin, 0), min(right + margin + 1, width)


@njit(cache=True, nogil=True)
def fill_holes(mask: np.ndarray) -> None:
    """Mark what is enclosed by the mask."""
    top, bottom, left, right = marked(mask, 1)
    if bottom == 0:
        return
    part = mask[top:bottom, left:right]  # around it is the outside alone
    height, width = part.shape
    border, outside = np.zeros((height, width), np.bool_), np.zeros((height, width), np.bool_)
    for j in range(height):
        border[j, 0], border[j, width - 1] = not part[j, 0], not part[j, width - 1]
    for i in range(width):
        border[0, i], border[height - 1, i] = not part[0, i], not part[height - 1, i]
    grow(border, ~part, outside)
    for j in range(height):
        for i in range(width):
            part[j, i] = not outside[j, i]


@njit(cache=True, nogil=True)
def dilate(mask: np.ndarray, times: int, value: bool) -> np.ndarray:
    """A mask grown by `times` pixels; shrunk where `value` is False (outside of the image nothing is marked)."""
    top, bottom, left, right = marked(mask, times)
    whole = mask.copy()
    if bottom == 0:
        return whole
    height, width = bottom - top, right - left
    part = whole[top:bottom, left:right].copy()  # beyond it nothing changes
    for _ in range(times):
        out = part.copy()
        for j in range(height):
            for i in range(width):
                if part[j, i] == value:
                    continue
                beside = (j > 0 and part[j - 1, i] == value) or (j < height - 1 and part[j + 1, i] == value)
                beside = beside or (i > 0 and part[j, i - 1] == value) or (i < width - 1 and part[j, i + 1] == value)
                edge = not value and (j == 0 or i == 0 or j == height - 1 or i == width - 1)
                if beside or edge:
                    out[j, i] = value
        part = out
    whole[top:bottom, left:right] = part
    return whole


@njit(cache=True, nogil=True)
def near(mask: np.ndarray, columns: np.ndarray, rows: np.ndarray, reach: int) -> np.ndarray:
    """(N,) bool: whether the mask marks a pixel of the square with so many pixels around each of N."""
    height, width = mask.shape
    found = np.zeros(len(columns), np.bool_)
    for k in range(len(columns)):
        for j in range(max(rows[k] - reach, 0), min(rows[k] + reach + 1, height)):
            for i in range(max(columns[k] - reach, 0), min(columns[k] + reach + 1, width)):
                found[k] |= mask[j, i]
    return found


@njit(cache=True, nogil=True)
def measured_at(depth: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(N,) the median of what is measured in the three by three pixels about each of N; 0 where nothing is."""
    height, width = depth.shape
    found, about = np.zeros(len(columns)), np.empty(9, depth.dtype)
    for k in range(len(columns)):
        n = 0
        for j in range(max(rows[k] - 1, 0), min(rows[k] + 2, height)):
            for i in range(max(columns[k] - 1, 0), min(columns[k] + 2, width)):
                if depth[j, i] > 0:
                    about[n] = depth[j, i]
                    n += 1
        if n:
            ordered = np.sort(about[:n])
            found[k] = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    return found


@njit(cache=True, nogil=True)
def alike(color: np.ndarray, skin: np.ndarray, spread: np.ndarray, most: float, where: np.ndarray) -> np.ndarray:
    """Pixels of `where` whose fractions of red and green are within `most` deviations `spread` (2,) of `skin` (2,)."""
    height, width = where.shape
    out = np.zeros((height, width), np.bool_)
    for j in range(height):
        for i in range(width):
            if not where[j, i]:
                continue
            r, g = np.float32(color[j, i, 0]), np.float32(color[j, i, 1])
            total = r + g + np.float32(color[j, i, 2]) + np.float32(1.0)
            a, b = (r / total - skin[0]) / spread[0], (g / total - skin[1]) / spread[1]
            out[j, i] = a * a + b * b < most * most
    return out


@njit(cache=True, nogil=True)
def above(depth: np.ndarray, pinhole: np.ndarray, plane: np.ndarray, least: float) -> np.ndarray:
    """Pixels with depth whose points lie more than `least` m over the plane n . x = d, given as n and d (4,)."""
    height, width = depth.shape
    fx, fy, cx, cy = pinhole[0], pinhole[1], pinhole[2], pinhole[3]
    out = np.zeros((height, width), np.bool_)
    for j in range(height):
        for i in range(width):
            z = depth[j, i]
            x, y = (i - cx) / fx, (j - cy) / fy
            out[j, i] = z > 0 and z * (plane[0] * x + plane[1] * y + plane[2]) - plane[3] > least
    return out
