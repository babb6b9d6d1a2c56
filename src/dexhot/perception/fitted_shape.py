"""The primitive that explains the points which a camera sees of an object at rest on a table.

Boxes, cylinders standing or lying, and spheres are tried: sides and height are those of the points above the table's
plane, and what is not seen is taken to be like it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import trimesh
from scipy.optimize import minimize
from scipy.spatial import ConvexHull, QhullError

from dexhot.errors import MeshError
from dexhot.geometry.planes import Plane
from dexhot.geometry.poses import matrix_to_pose

SHAPES = ("box", "cylinder", "lying-cylinder", "sphere")
TOP = 0.6  # of the height, above which points are those of the top face, which is seen whole
TRIM = 1.0  # percent of the points at each end that may be wrong
SIMPLER = 0.7  # a rounder shape must explain the points this much better than a box
ALIKE, AS_WELL = 0.75, 1.1  # ratio of two sides of a box above which they may be the same; of the points' distances
SEGMENTS = 48


@dataclass(frozen=True)
class FittedShape:
    """A mesh whose frame stands on the object's middle with z up, where it was seen, and how well it fits."""

    kind: str
    vertices: np.ndarray  # (V, 3) m
    faces: np.ndarray  # (F, 3)
    camera_T_mesh: np.ndarray  # (7,) at rest
    residual: float  # m, mean distance of the points from the surface
    residuals: dict[str, float]  # of every shape that was tried


def fit_shape(points: np.ndarray, plane: Plane, kinds: Iterable[str] = SHAPES) -> FittedShape:
    """The primitive that explains points (N, 3) m of the camera's frame best. Raises MeshError where none does."""
    world = _table_frame(plane, points)
    local = (points - world[:3, 3]) @ world[:3, :3]
    found = {kind: _TRIED[kind](local) for kind in kinds}
    scores = {kind: residual * (1.0 if kind == "box" else 1.0 / SIMPLER) for kind, (_, _, residual) in found.items()}
    best = min(scores, key=lambda kind: scores[kind])
    mesh, placed, residual = found[best]
    extent = float(np.ptp(mesh.vertices, axis=0).max())
    if not 0.005 < extent < 1.0:
        raise MeshError(f"the points' {best} would be {100 * extent:.0f} cm large; mark the object with --prompt.")
    return FittedShape(
        best, np.asarray(mesh.vertices), np.asarray(mesh.faces), matrix_to_pose(world @ placed), residual,
        {kind: r for kind, (_, _, r) in found.items()},
    )  # fmt: skip


def _table_frame(plane: Plane, points: np.ndarray) -> np.ndarray:
    """(4, 4) camera_T_table: z along the plane's normal, the origin in it below the points."""
    middle = points.mean(axis=0)
    x = np.cross(plane.n, np.eye(3)[int(np.argmin(np.abs(plane.n)))])
    x /= np.linalg.norm(x)
    frame = np.eye(4)
    frame[:3, :3] = np.stack([x, np.cross(plane.n, x), plane.n], axis=1)
    frame[:3, 3] = middle - (middle @ plane.n - plane.d) * plane.n
    return frame


Tried = tuple[trimesh.Trimesh, np.ndarray, float]  # mesh about its middle, (4, 4) table_T_mesh, mean distance m


def _height(points: np.ndarray) -> float:
    return float(np.percentile(points[:, 2], 100 - TRIM))


def _from_above(points: np.ndarray) -> np.ndarray:
    """(M, 2) of the upper points, if there are enough: they show the outline without the sides' noise."""
    upper = points[points[:, 2] > TOP * _height(points)]
    return (upper if len(upper) > 0.2 * len(points) else points)[:, :2]


def _rectangle(flat: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Angle, middle (2,) and sides (2,) of the smallest rectangle around points (N, 2) but for TRIM percent."""
    try:
        hull = flat[ConvexHull(flat).vertices]
    except QhullError as e:
        raise MeshError("the object's points lie on a line; film it from another side.") from e
    edges = np.diff(np.concatenate([hull, hull[:1]]), axis=0)
    best: tuple[float, float, np.ndarray, np.ndarray] | None = None
    for angle in np.unique(np.round(np.arctan2(edges[:, 1], edges[:, 0]) % (np.pi / 2), 3)):
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        low, high = np.percentile(flat @ turn.T, [TRIM, 100 - TRIM], axis=0)
        area = float(np.prod(high - low))
        if best is None or area < best[0]:
            best = area, float(angle), 0.5 * (low + high) @ turn, high - low
    assert best is not None
    return best[1:]


def _placed(position: np.ndarray, angle: float) -> np.ndarray:
    out = np.eye(4)
    out[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    out[:3, 3] = position
    return out


def _box(points: np.ndarray) -> Tried:
    """Of the sides that are seen, or with two of them alike where that explains the points about as well: a square that
    is taken for a rectangle lacks its quarter turns, and a fit goes from one to the next."""
    angle, middle, sides = _rectangle(_from_above(points))
    seen = np.array([*sides, _height(points)])

    def tried(size: np.ndarray) -> Tried:
        placed = _placed(np.array([*middle, size[2] / 2]), angle)
        q = np.abs(_local(points, placed)) - 0.5 * size
        distance = np.linalg.norm(np.maximum(q, 0.0), axis=1) + np.minimum(q.max(axis=1), 0.0)
        return trimesh.creation.box(size), placed, float(np.abs(distance).mean())

    as_seen, squares = tried(seen), [tried(size) for size in _squares(seen)]
    best = min(squares, key=lambda one: one[2], default=as_seen)
    return best if best[2] < AS_WELL * as_seen[2] else as_seen


def _squares(sides: np.ndarray) -> list[np.ndarray]:
    """Sides (3,) of boxes with two alike, or all three, that are nearly so here: both their mean, or the height, which
    edges in the image do not widen."""
    found = []
    for pair in ([0, 1], [0, 2], [1, 2], [0, 1, 2]):
        if sides[pair].min() > ALIKE * sides[pair].max():
            for size in {float(sides[pair].mean()), float(sides[2] if 2 in pair else sides[pair].mean())}:
                found.append(sides.copy())
                found[-1][pair] = size
    return found


def _cylinder(points: np.ndarray) -> Tried:
    """Standing: the smallest circle around the points seen from above."""
    height, flat = _height(points), _from_above(points)
    start = 0.5 * (np.percentile(flat, TRIM, axis=0) + np.percentile(flat, 100 - TRIM, axis=0))

    def reach(centre: np.ndarray) -> float:
        return float(np.percentile(np.linalg.norm(flat - centre, axis=1), 100 - TRIM))

    centre = minimize(reach, start, method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-5}).x
    radius = reach(centre)
    placed = _placed(np.array([*centre, height / 2]), 0.0)
    mesh = trimesh.creation.cylinder(radius, height, sections=SEGMENTS)
    return mesh, placed, _off_cylinder(_local(points, placed), radius, height)


def _lying_cylinder(points: np.ndarray) -> Tried:
    """Its axis along the longer side of the rectangle around it, its diameter the height."""
    angle, middle, sides = _rectangle(_from_above(points))
    if sides[1] > sides[0]:
        angle, sides = angle + np.pi / 2, sides[::-1]
    radius = _height(points) / 2
    placed = _placed(np.array([*middle, radius]), angle) @ _TIPPED
    # a camera on one side sees less than half of it: the middle lies a radius below the top line
    across = _local(points, placed)
    top = across[np.argsort(-points[:, 2])[: max(10, len(points) // 20)]]
    placed = placed @ _shift(0.0, float(np.median(top[:, 1])), 0.0)
    mesh = trimesh.creation.cylinder(radius, float(sides[0]), sections=SEGMENTS)
    return mesh, placed, _off_cylinder(_local(points, placed), radius, float(sides[0]))


_TIPPED = np.array([[0.0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]])  # the cylinder's z along the table's x


def _sphere(points: np.ndarray) -> Tried:
    """Least squares of |p|^2 = 2 c . p + k."""
    rows = np.concatenate([2 * points, np.ones((len(points), 1))], axis=1)
    solution = np.linalg.lstsq(rows, (points**2).sum(axis=1), rcond=None)[0]
    centre = solution[:3]
    radius = float(np.sqrt(max(solution[3] + centre @ centre, 1e-8)))
    off = float(np.abs(np.linalg.norm(points - centre, axis=1) - radius).mean())
    return trimesh.creation.icosphere(3, radius), _placed(centre, 0.0), off + abs(centre[2] - radius) / 4  # it stands


def _off_cylinder(local: np.ndarray, radius: float, height: float) -> float:
    q = np.stack([np.linalg.norm(local[:, :2], axis=1) - radius, np.abs(local[:, 2]) - height / 2], axis=1)
    distance = np.linalg.norm(np.maximum(q, 0.0), axis=1) + np.minimum(q.max(axis=1), 0.0)
    return float(np.abs(distance).mean())


def _local(points: np.ndarray, placed: np.ndarray) -> np.ndarray:
    local: np.ndarray = (points - placed[:3, 3]) @ placed[:3, :3]
    return local


def _shift(x: float, y: float, z: float) -> np.ndarray:
    out = np.eye(4)
    out[:3, 3] = x, y, z
    return out


_TRIED: dict[str, Callable[[np.ndarray], Tried]] = {
    "box": _box,
    "cylinder": _cylinder,
    "lying-cylinder": _lying_cylinder,
    "sphere": _sphere,
}
