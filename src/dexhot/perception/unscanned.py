"""A mesh of an object that nobody scanned, from an RGB-D recording in which it stands on a table.

A primitive (fitted_shape.py) is fitted to what the camera sees of it at rest. With the primitive the object can be
tracked; with its tracked poses the frames are fused into a mesh. A mesh of an image-to-mesh model, whose scale is
unknown, is scaled by the depth.
"""

import numpy as np
import trimesh
from scipy import ndimage

from dexhot.data.labels import LEFT, OBJECT, RIGHT
from dexhot.data.recording import Recording
from dexhot.data.types import Evidence
from dexhot.errors import DexhotError, MeshError
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.planes import Plane, table_plane
from dexhot.geometry.poses import transform
from dexhot.geometry.sdf_volume import SdfVolume, sdf_volume, zero_level
from dexhot.perception.fitted_shape import fit_shape
from dexhot.perception.object_pose import points_in
from dexhot.perception.protocols import ImageToMesh
from dexhot.perception.segmentation import candidates, check_inside, marks, prompted

REST_FRAMES = 10  # whose points are put together
MOST_POINTS = 4000
EDGE = 1  # px of a mask's border whose depth is not used
TYPICAL = 0.12  # m, an object whose size is unknown
TRUNCATED = 4.0  # cells at which fused distances are cut
SMOOTH = 0.7  # cells, of the fused distances
CELLS = 56  # of the fused grid along the longest side
MOST_DIFFERENT = 1.7  # ratio of the sides' scales of a mesh that is not of this object


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
