"""A mesh of an object that nobody scanned, from an RGB-D recording in which it stands on a table.

A primitive (box, cylinder standing or lying, sphere) is fitted to what the camera sees of it at rest: sides and height
are those of the points above the table's plane, and what is not seen is taken to be like it. With the primitive the
object can be tracked; with its tracked poses the frames are fused into a mesh. A mesh of an image-to-mesh model, whose
scale is unknown, is scaled by the depth.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import trimesh
from scipy import ndimage
from scipy.optimize import minimize
from scipy.spatial import ConvexHull, QhullError

from dexhot.data.labels import LEFT, OBJECT, RIGHT
from dexhot.data.recording import Recording
from dexhot.data.types import Evidence
from dexhot.errors import DexhotError, MeshError
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.planes import Plane, table_plane
from dexhot.geometry.poses import matrix_to_pose, transform
from dexhot.geometry.sdf_volume import SdfVolume, sdf_volume, zero_level
from dexhot.perception.object_pose import points_in
from dexhot.perception.protocols import ImageToMesh
from dexhot.perception.segmentation import candidates, check_inside, marks, prompted

SHAPES = ("box", "cylinder", "lying-cylinder", "sphere")
REST_FRAMES = 10  # whose points are put together
MOST_POINTS = 4000
EDGE = 1  # px of a mask's border whose depth is not used
TOP = 0.6  # of the height, above which points are those of the top face, which is seen whole
TRIM = 1.0  # percent of the points at each end that may be wrong
SIMPLER = 0.7  # a rounder shape must explain the points this much better than a box
ALIKE, AS_WELL = 0.75, 1.1  # ratio of two sides of a box above which they may be the same; of the points' distances
TYPICAL = 0.12  # m, an object whose size is unknown
TRUNCATED = 4.0  # cells at which fused distances are cut
SMOOTH = 0.7  # cells, of the fused distances
CELLS = 56  # of the fused grid along the longest side
MOST_DIFFERENT = 1.7  # ratio of the sides' scales of a mesh that is not of this object
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


def resting_points(
    recording: Recording, prompt: np.ndarray | None = None, evidence: Evidence | None = None
) -> tuple[np.ndarray, Plane]:
    """Points (N, 3) m of the object (`resting_mask`) in the first frames, and the table. Raises DexhotError."""
    mask, plane = resting_mask(recording, prompt, evidence)
    camera, first = recording.intrinsics, 1e-3 * recording.depth[0].astype(float)
    mask = ndimage.binary_erosion(mask, iterations=EDGE)  # depth at edges lies between two surfaces
    clouds = []
    for t in range(min(REST_FRAMES, len(recording))):
        depth = 1e-3 * recording.depth[t].astype(float)
        same = np.abs(depth - first) < 0.01  # what has moved, or is covered, is another thing
        clouds.append(points_in(camera, depth, mask & same, MOST_POINTS // REST_FRAMES))
    points = np.concatenate(clouds)
    if len(points) < 50:
        raise DexhotError(f"only {len(points)} points of the object have depth; mark it with --prompt object:U,V.")
    return points, plane


def resting_mask(
    recording: Recording, prompt: np.ndarray | None = None, evidence: Evidence | None = None
) -> tuple[np.ndarray, Plane]:
    """(H, W) the object in the first frame, and the table. It is the evidence's, or what a click (2,) or box (4,) px in
    the first frame marks, or the only thing on the table. Raises DexhotError."""
    if not recording.has_depth:
        raise DexhotError(f"{recording.no_depth} An unscanned object needs depth.")
    first = 1e-3 * recording.depth[0].astype(float)
    plane = table_plane(recording.intrinsics, first)
    if plane is None:
        raise DexhotError(f"{recording.name}: no table is seen in its first frame; film the object standing on one.")
    return _first_mask(recording, first, plane, prompt, evidence), plane


def generated_mesh(model: ImageToMesh, color: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) in any unit and faces (F, 3) of the object in an image, by an image-to-mesh model. Raises
    MeshError where it gives no mesh."""
    vertices, faces = (np.asarray(part) for part in model(color, mask))
    if vertices.ndim != 2 or vertices.shape[1] != 3 or not len(vertices) or not np.isfinite(vertices).all():
        raise MeshError(f"the image-to-mesh model gave vertices of shape {vertices.shape}; finite (V, 3) are needed.")
    if faces.ndim != 2 or faces.shape[1] != 3 or not len(faces) or faces.min() < 0 or faces.max() >= len(vertices):
        raise MeshError(
            f"the image-to-mesh model gave faces of shape {faces.shape}; (F, 3) numbers of vertices are needed."
        )
    return vertices.astype(float), faces.astype(np.int64)


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


def fused_mesh(
    recording: Recording,
    evidence: Evidence,
    vertices: np.ndarray,
    faces: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """A closed mesh (V, 3), (F, 3) from all frames with a measured pose of `evidence`, in the frame of the mesh
    `vertices` (V, 3), `faces` (F, 3) with which it was tracked.

    Space in front of the measured depth is empty, space behind it full; what no frame saw is as in that mesh; hands
    tell nothing. Raises DexhotError without poses, MeshError if nothing is left.
    """
    known = np.flatnonzero(np.isfinite(evidence.object_pose).all(axis=1))
    if not len(known):
        raise DexhotError(f"{evidence.name} has no pose of the object; run `dexhot perceive --object` first.")
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    spacing = float((high - low).max()) / CELLS
    low, high = low - 0.15 * (high - low) - 2 * spacing, high + 0.15 * (high - low) + 2 * spacing
    shape = np.ceil((high - low) / spacing).astype(int) + 1
    nodes = low + spacing * np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3)
    total, weight = np.zeros(len(nodes)), np.zeros(len(nodes))
    camera, cut = recording.intrinsics, TRUNCATED * spacing
    for t in known:
        seen = transform(evidence.object_pose[t], nodes)
        pixels = np.round(camera.project(seen)).astype(int)
        inside = (pixels >= 0).all(axis=1) & (pixels < [camera.width, camera.height]).all(axis=1) & (seen[:, 2] > 0)
        u, v = pixels[inside].T
        depth, label = 1e-3 * recording.depth[t][v, u], evidence.labels[t][v, u]
        ahead = depth - seen[inside, 2]  # positive: in front of what was measured
        told = (depth > 0) & np.where(label == OBJECT, ahead > -cut, (label == 0) & (ahead > 0))  # others only empty it
        here = np.flatnonzero(inside)[told]
        total[here] += np.clip(ahead[told], -cut, cut)
        weight[here] += 1.0
    guess = np.clip(sdf_volume(vertices, faces).distance(nodes)[0], -cut, cut)
    values = np.where(weight == 0, guess, total / np.maximum(weight, 1.0)).reshape(shape)
    values[[0, -1]], values[:, [0, -1]], values[:, :, [0, -1]] = cut, cut, cut
    parts, number = ndimage.label(values < 0)
    if not number:
        raise MeshError("the frames see through the whole object; its poses or the depth are wrong.")
    largest = 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    values[(values < 0) & (parts != largest)] = cut
    smooth = ndimage.gaussian_filter(values, SMOOTH).astype(np.float32)
    fused = zero_level(SdfVolume(smooth, low, spacing))
    if len(fused[1]) < 20:
        raise MeshError("the frames leave nothing of the object; its poses or the depth are wrong.")
    return fused


def scale_by_depth(vertices: np.ndarray, points: np.ndarray, plane: Plane) -> tuple[float, float]:
    """Scale of a mesh (V, 3) in any unit that gives it the size of the object's points (N, 3) m, and how much its
    proportions differ from theirs: the ratio of the largest to the smallest of the three sides' scales.

    Sides are those of the smallest boxes around the mesh and around what is seen. Raises MeshError for proportions of
    another object.
    """
    wanted = np.sort(np.ptp(fit_shape(points, plane, ("box",)).vertices, axis=0))
    own = np.sort(trimesh.bounds.oriented_bounds(np.asarray(vertices, float))[1])
    scales = wanted / own
    differ = float(scales.max() / scales.min())
    if differ > MOST_DIFFERENT:
        said = " x ".join(f"{100 * side:.1f}" for side in wanted)
        raise MeshError(
            f"the mesh has other proportions than the object in the recording ({said} cm): its sides would be scaled "
            f"by factors that differ {differ:.1f}-fold. Mark the object with --prompt, or take another mesh."
        )
    return float(np.exp(np.log(scales).mean())), differ


def _first_mask(
    recording: Recording, depth: np.ndarray, plane: Plane, prompt: np.ndarray | None, evidence: Evidence | None
) -> np.ndarray:
    """(H, W) bool: the object in the first frame."""
    camera = recording.intrinsics
    hidden = np.zeros(depth.shape, bool)
    if evidence is not None:
        if (evidence.labels[0] == OBJECT).any():
            return _above(camera, depth, plane) & (evidence.labels[0] == OBJECT)
        hidden = np.isin(evidence.labels[0], (RIGHT, LEFT))
    regions = candidates(camera, depth, hidden, plane, TYPICAL)
    if prompt is not None:
        check_inside(prompt, camera.width, camera.height)
        u, v = marks(prompt)[0].astype(int)
        marked = [mask for mask in regions if mask[v, u]]
        return marked[0] if marked else prompted(depth, prompt) & _above(camera, depth, plane)
    if not regions:
        raise DexhotError(f"{recording.name}: nothing stands on the table; mark the object with --prompt object:U,V.")
    if len(regions) > 1:
        places = ["{:.0f},{:.0f}".format(*np.argwhere(mask).mean(axis=0)[::-1]) for mask in regions]
        raise DexhotError(
            f"{recording.name}: more than one thing stands on the table, at u,v {' and '.join(places)}; "
            "mark the object with --prompt object:U,V."
        )
    return regions[0]


def _above(camera: Intrinsics, depth: np.ndarray, plane: Plane) -> np.ndarray:
    v, u = np.mgrid[: depth.shape[0], : depth.shape[1]]
    higher: np.ndarray = camera.backproject(np.stack([u, v], -1), depth) @ plane.n - plane.d > 0.004
    return higher & (depth > 0)


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
