"""Triangle meshes of a link's visual shapes, with rounded edges, for pictures and the viewer.

URDF and exported MJCF get the same shapes as plain primitives (`plain_shapes`).
"""

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

import numpy as np
from scipy.spatial import ConvexHull

from dexhot.geometry.poses import compose, make_pose, transform
from dexhot.geometry.triangles import merged
from dexhot.robots.model import Primitive

Mesh = tuple[np.ndarray, np.ndarray]  # vertices (V, 3) m, faces (F, 3), outward
Color = tuple[float, ...]

AROUND, ARC = 28, 3  # points around a circle; steps along a rounded edge's quarter circle
BALL = 12  # meridians of a sphere shape
EDGE = 0.0007  # m, default edge radius: that of a printed part
SLICES = 3  # boxes that approximate a hull in a URDF

_meshes: dict[tuple[object, ...], Mesh] = {}
_plain: dict[tuple[object, ...], list[Primitive]] = {}


def link_meshes(shapes: Iterable[Primitive]) -> list[tuple[Color, np.ndarray, np.ndarray]]:
    """(color, vertices, faces) in the link's frame, one for each colour among `shapes`."""
    groups: dict[Color, list[Mesh]] = {}
    for shape in shapes:
        groups.setdefault(shape.color, []).append(shape_mesh(shape))
    return [(color, *merged(meshes)) for color, meshes in groups.items()]


def shape_mesh(shape: Primitive) -> Mesh:
    """One shape in its link's frame. All shapes are convex hulls of points on their surface."""
    key = shape_key(shape)
    if key not in _meshes:
        _meshes[key] = hull_mesh(surface(shape))
    vertices, faces = _meshes[key]
    return transform(shape.pose, vertices), faces


def shape_key(shape: Primitive) -> tuple[object, ...]:
    """Key that is equal for shapes equal in their own frames, so that each is made once: fingers share shapes."""
    parts = tuple((shape_key(part), part.pose.tobytes()) for part in shape.parts)
    return shape.kind, shape.size, shape.round, shape.points.tobytes(), parts


def surface(shape: Primitive) -> np.ndarray:
    """(N, 3) points whose convex hull is the shape, in its own frame."""
    if shape.kind == "blend":
        return np.concatenate([transform(part.pose, surface(part)) for part in shape.parts])
    if shape.kind == "hull":
        return around(shape.points, sphere(shape.round, 4 * ARC))
    if shape.kind == "sphere":
        return sphere(shape.size[0], BALL)
    if shape.kind == "box":
        half = np.array(shape.size) / 2
        r = min(shape.round or EDGE, *half)
        return around((half - r) * corners(), sphere(r, 4 * ARC))
    radius, half_length = shape.size[0], shape.size[1] / 2
    if shape.kind == "capsule":
        return around(np.array([[0, 0, -half_length], [0, 0, half_length]]), sphere(radius, BALL))
    r = min(shape.round or EDGE, radius, half_length)
    angle = np.linspace(0, np.pi / 2, ARC + 1)
    profile = np.stack([radius - r + r * np.cos(angle), half_length - r + r * np.sin(angle)], axis=1)
    ring = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    return np.concatenate(
        [
            np.stack([across * np.cos(ring), across * np.sin(ring), np.full(AROUND, side * along)], axis=1)
            for across, along in profile
            for side in (1, -1)
        ]
    )


def sphere(radius: float, meridians: int) -> np.ndarray:
    """(N, 3) points on a sphere, including those on the three axes: `meridians` is a multiple of 4."""
    latitude = np.linspace(-np.pi / 2, np.pi / 2, meridians // 2 + 1)[1:-1]
    longitude = np.linspace(0, 2 * np.pi, meridians, endpoint=False)
    lat, lon = (a.ravel() for a in np.meshgrid(latitude, longitude))
    belt = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
    return radius * np.concatenate([belt, [[0, 0, 1], [0, 0, -1]]])


def corners() -> np.ndarray:
    """(8, 3) of the cube from -1 to 1."""
    return np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)


def around(centers: np.ndarray, ball: np.ndarray) -> np.ndarray:
    """(N B, 3) the points of `ball` (B, 3) around each of `centers` (N, 3)."""
    points: np.ndarray = (centers[:, None] + ball).reshape(-1, 3)
    return points


def hull_mesh(points: np.ndarray) -> Mesh:
    """The convex hull of `points`, its faces outward, without unused points."""
    hull = ConvexHull(points)
    faces = hull.simplices
    a, b, c = (points[faces[:, k]] for k in range(3))
    inward = np.einsum("fi,fi->f", np.cross(b - a, c - a), hull.equations[:, :3]) < 0
    faces = np.where(inward[:, None], faces[:, ::-1], faces)
    used, renumbered = np.unique(faces, return_inverse=True)
    return points[used], renumbered.reshape(faces.shape)


def plain_shapes(shape: Primitive) -> list[Primitive]:
    """The shape as boxes, capsules, cylinders and spheres with sharp edges: a blend as its parts, a hull as SLICES
    boxes."""
    if shape.kind not in ("blend", "hull"):
        return [shape]
    key = shape_key(shape)
    if key not in _plain:
        blended = (plain for part in shape.parts for plain in plain_shapes(part))
        _plain[key] = sliced(shape) if shape.kind == "hull" else list(blended)
    return [replace(part, pose=compose(shape.pose, part.pose), color=shape.color) for part in _plain[key]]


def sliced(hull: Primitive) -> list[Primitive]:
    """Boxes along the hull's longest axis, each the bounding box of a slice, in the hull's frame."""
    points = hull.points
    axis = int(np.argmax(np.ptp(points, axis=0)))
    pairs = points[np.stack(np.triu_indices(len(points), 1), axis=1)]  # includes the hull's edges
    cuts = np.linspace(points[:, axis].min() - hull.round, points[:, axis].max() + hull.round, SLICES + 1)
    boxes = []
    for low, high in pairwise(cuts):
        cut = section(pairs, axis, 0.5 * (low + high))
        start, end = cut.min(axis=0) - hull.round, cut.max(axis=0) + hull.round
        start[axis], end[axis] = low, high
        boxes.append(Primitive("box", tuple(end - start), make_pose((start + end) / 2, (1.0, 0.0, 0.0, 0.0))))
    return boxes


def section(pairs: np.ndarray, axis: int, at: float) -> np.ndarray:
    """Intersections (N, 3) of the segments `pairs` (P, 2, 3) with the plane `axis` = `at`."""
    start, end = pairs[:, 0], pairs[:, 1]
    crosses = (start[:, axis] - at) * (end[:, axis] - at) < 0
    start, end = start[crosses], end[crosses]
    t = (at - start[:, axis]) / (end[:, axis] - start[:, axis])
    points: np.ndarray = start + t[:, None] * (end - start)
    return points
