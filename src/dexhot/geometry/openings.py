"""Openings of a triangle mesh: find and cap boundary loops, and add a wall to a surface that stays open."""

from typing import NamedTuple

import numpy as np

from dexhot.errors import MeshError

UNEVEN = 0.2  # of an opening's width: largest out-of-plane deviation of the boundary of a support area
SMALL = 0.2  # of the mesh's size: up to this an opening is a hole in the scan
UNEVEN_HOLE = 0.3  # the same for a small opening, as the surface around a hole is curved
THICKEST = 0.45  # of the mesh's smallest side: largest wall thickness


class Opening(NamedTuple):
    """A closed boundary loop."""

    loop: np.ndarray  # (n,) vertex indices, in the winding order of a cap
    width: float  # m, across
    depth: float  # m, out-of-plane extent of the loop
    normal: np.ndarray  # (3,) normal of its plane, outward if the faces' normals are


def find_openings(vertices: np.ndarray, faces: np.ndarray) -> list[Opening]:
    """The boundary loops of a mesh (V, 3), (F, 3) with consistent winding, the widest first."""
    found = [_measured(vertices, loop) for loop in _boundary_loops(faces)]
    return sorted(found, key=lambda o: -o.width)


def cappable(opening: Opening, size: float) -> bool:
    """Whether a flat cap approximates the missing surface; `size`: largest side of the mesh, m."""
    return opening.depth <= (UNEVEN_HOLE if opening.width <= SMALL * size else UNEVEN) * opening.width


def cap(vertices: np.ndarray, faces: np.ndarray, opening: Opening, size: float) -> tuple[np.ndarray, np.ndarray] | None:
    """The mesh with `opening` closed; None for a boundary that crosses itself.

    A wide opening is the unscanned support area: its cap is flat, at the outermost point of the boundary, and a
    ragged boundary is extended to it. A small hole is spanned directly.
    """
    loop, normal, corners = opening.loop, opening.normal, vertices[opening.loop]
    x = np.cross(normal, np.eye(3)[np.argmin(np.abs(normal))])
    x /= np.linalg.norm(x)
    triangles = _triangulated(corners @ np.column_stack([x, np.cross(normal, x)]))
    if triangles is None:
        return None
    height = corners @ normal
    short = height.max() - height
    ragged = short > (1e-6 * size if opening.width > SMALL * size else np.inf)
    low = loop.copy()
    low[ragged] = len(vertices) + np.arange(ragged.sum())
    on, below = np.roll(loop, -1), np.roll(low, -1)
    skirt = np.vstack([np.column_stack([loop, on, low]), np.column_stack([on, below, low])])
    skirt = skirt[(skirt != np.roll(skirt, 1, axis=1)).all(axis=1)]
    added = corners[ragged] + short[ragged, None] * normal
    return np.vstack([vertices, added]), np.vstack([faces, skirt, low[triangles]])


def turned_outward(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The faces, of consistent winding, flipped if they enclose a negative volume with openings spanned."""
    spans = [
        (vertices[loop].mean(axis=0), np.column_stack([loop, np.roll(loop, -1)])) for loop in _boundary_loops(faces)
    ]
    total = np.linalg.det(vertices[faces]).sum()
    for middle, edges in spans:
        a, b = vertices[edges[:, 0]], vertices[edges[:, 1]]
        total += (np.cross(a, b) @ middle).sum()
    return faces if total >= 0 else faces[:, ::-1]


def walled(vertices: np.ndarray, faces: np.ndarray, wall: float) -> tuple[np.ndarray, np.ndarray]:
    """The surface as the outside of a wall of thickness `wall` (m): adds the inner surface and the rims of openings.

    Raises MeshError if the wall is too thick.
    """
    smallest = float(np.ptp(vertices, axis=0).min())
    if not 0 < wall <= THICKEST * smallest:
        raise MeshError(
            f"a wall of {1000 * wall:g} mm does not fit in an object whose smallest side is {1000 * smallest:.3g} mm: "
            f"--wall must be positive and at most {1000 * THICKEST * smallest:.3g}."
        )
    inside = vertices - wall * _offsets(vertices, faces)
    count = len(vertices)
    parts = [faces, faces[:, ::-1] + count]
    for loop in _boundary_loops(faces):
        on = np.roll(loop, -1)
        parts += [np.column_stack([loop, on, loop + count]), np.column_stack([on, on + count, loop + count])]
    return np.vstack([vertices, inside]), np.vstack(parts)


def _offsets(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) vertex offsets per unit of wall thickness, which move the faces' planes by one unit: longer at corners."""
    corners = vertices[faces]
    sides = np.roll(corners, -1, axis=1) - corners
    normals = np.cross(sides[:, 0], sides[:, 1])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-30
    lengths = np.linalg.norm(sides, axis=2)
    cosines = -np.einsum("fki,fki->fk", sides, np.roll(sides, 1, axis=1)) / (
        lengths * np.roll(lengths, 1, axis=1) + 1e-30
    )
    angles = np.arccos(np.clip(cosines, -1.0, 1.0))
    total, weight = np.zeros_like(vertices), np.zeros(len(vertices))
    for k in range(3):
        np.add.at(total, faces[:, k], angles[:, k, None] * normals)
        np.add.at(weight, faces[:, k], angles[:, k])
    length = np.linalg.norm(total, axis=1)  # weight times the mean cosine between the faces' normals and their own mean
    offsets: np.ndarray = total * (np.minimum(weight / (length + 1e-30), 2.0) / (length + 1e-30))[:, None]
    return offsets


def _boundary_loops(faces: np.ndarray) -> list[np.ndarray]:
    """Loops of directed boundary edges, each opposite to the winding of its faces."""
    edges = faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    _, first, counts = np.unique(np.sort(edges, axis=1), axis=0, return_index=True, return_counts=True)
    following: dict[int, list[int]] = {}
    for a, b in edges[first[counts == 1]].tolist():
        following.setdefault(b, []).append(a)
    loops = []
    while following:
        path = [next(iter(following))]
        while following.get(path[-1]):
            nexts = following[path[-1]]
            step = nexts.pop()
            if not nexts:
                del following[path[-1]]
            if step in path:  # a loop is closed; the path before it may belong to another
                at = path.index(step)
                loops.append(np.array(path[at:]))
                del path[at + 1 :]
            else:
                path.append(step)
        following.pop(path[-1], None)
    return [loop for loop in loops if len(loop) >= 3]


def _measured(vertices: np.ndarray, loop: np.ndarray) -> Opening:
    points = vertices[loop] - vertices[loop].mean(axis=0)
    area = np.cross(points, np.roll(points, -1, axis=0)).sum(axis=0)
    normal = np.linalg.svd(points, full_matrices=False)[2][2]
    normal = normal if normal @ area >= 0 else -normal
    return Opening(loop, 2.0 * float(np.linalg.norm(points, axis=1).max()), float(np.ptp(points @ normal)), normal)


def _triangulated(points: np.ndarray) -> np.ndarray | None:
    """Triangles (n - 2, 3) of a simple polygon (n, 2), counter-clockwise, by ear clipping; None without an ear."""
    left = list(range(len(points)))
    found = []
    at = 0
    tried = 0
    while len(left) > 3:
        k = at % len(left)
        a, b, c = left[k - 1], left[k], left[(k + 1) % len(left)]
        if _is_ear(points, a, b, c, left):
            found.append((a, b, c))
            del left[k]
            at, tried = k + 1, 0  # skip a corner, to avoid fans of slivers
        else:
            at, tried = k + 1, tried + 1
            if tried > len(left):
                return None
    return np.array([*found, tuple(left)])


def _is_ear(points: np.ndarray, a: int, b: int, c: int, left: list[int]) -> bool:
    """Whether the corner b is convex and its triangle contains no other corner."""
    ab, bc, ca = points[b] - points[a], points[c] - points[b], points[a] - points[c]
    if ab[0] * bc[1] - ab[1] * bc[0] < 0:
        return False
    others = points[[i for i in left if i not in (a, b, c)]]
    inside = np.ones(len(others), bool)
    for corner, side in ((points[a], ab), (points[b], bc), (points[c], ca)):
        rel = others - corner
        inside &= side[0] * rel[:, 1] - side[1] * rel[:, 0] > 0
    return not inside.any()
