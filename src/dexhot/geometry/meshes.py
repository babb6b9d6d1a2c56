"""Triangle meshes: reading, checks, repair, volume and inertia."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import trimesh
from numpy.typing import ArrayLike

from dexhot.errors import MeshError, absent
from dexhot.geometry.triangles import face_areas

UNITS = {"mm": 0.001, "cm": 0.01, "in": 0.0254, "m": 1.0}  # in order of likelihood, for files without a unit
METRES = (".glb", ".gltf")  # formats that specify metres
SIZE_RANGE = (0.005, 1.0)  # m, largest side of a graspable object


def read_mesh(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) in the file's unit and faces (F, 3) of any format that trimesh reads. Raises MeshError."""
    path = Path(path)
    if not path.is_file():
        raise MeshError(absent(path))
    kind = path.suffix.lower().lstrip(".")
    if kind not in trimesh.available_formats():
        raise MeshError(
            f"{path}: .{kind} is not a mesh format; one of {', '.join(sorted(trimesh.available_formats()))}."
        )
    try:
        mesh = trimesh.load_mesh(path, process=False)
    except Exception as e:  # trimesh raises any exception of its parsers
        raise MeshError(f"{path} cannot be read as .{kind} ({type(e).__name__}: {e}); export it again.") from e
    faces = np.asarray(getattr(mesh, "faces", ()), int)
    if not len(faces):
        raise MeshError(f"{path} has no surface: it is empty, truncated, or a point cloud; export a mesh again.")
    return np.asarray(mesh.vertices, float), faces


def repair(vertices: ArrayLike, faces: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Merge equal vertices, drop degenerate and duplicate faces, orient faces outward."""
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    mesh.update_faces(mesh.nondegenerate_faces() & mesh.unique_faces())
    mesh.remove_unreferenced_vertices()
    mesh.fix_normals()
    return np.asarray(mesh.vertices, float), np.asarray(mesh.faces, int)


def check_arrays(name: str, vertices: ArrayLike, faces: ArrayLike) -> None:
    """Raise MeshError unless these are vertices (V, 3), all finite, and faces (F, 3) of them."""
    vertices, faces = np.asarray(vertices), np.asarray(faces)
    if not np.isfinite(vertices).all():
        bad = int(np.argwhere(~np.isfinite(vertices))[0][0])
        raise MeshError(f"{name}: vertex {bad} is not finite; export the mesh again.")
    if vertices.ndim != 2 or vertices.shape[1:] != (3,):
        raise MeshError(f"{name}: vertices have shape {vertices.shape}, expected (V, 3).")
    if faces.ndim != 2 or faces.shape[1:] != (3,) or len(faces) == 0:
        raise MeshError(f"{name}: it has no faces (a point cloud?); reconstruct a surface first.")
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise MeshError(f"{name}: a face refers to vertex {faces.max()}, but there are only {len(vertices)}.")
    if len(vertices) < 4:
        raise MeshError(
            f"{name}: it has {len(vertices)} vertices, and a solid has at least 4: export the whole surface, not one "
            "triangle."
        )


def check_size(name: str, vertices: ArrayLike, unit: str = "m", scale: float = 1.0, suffix: str = "") -> None:
    """Raise MeshError unless vertices (V, 3), in metres, have the size of a graspable object.

    They were read in `unit` times `scale` from a file with `suffix`: the message suggests a unit that fits.
    """
    sides = np.ptp(np.asarray(vertices), axis=0)
    if not SIZE_RANGE[0] <= sides.max() <= SIZE_RANGE[1]:
        raise MeshError(
            f"{name}: its largest side is {sides.max():.4g} m when read in {unit!r}"
            f"{f' with --scale {scale:g}' if scale != 1.0 else ''}, and an object must have {_span(*SIZE_RANGE)}. "
            f"{unit_advice(sides.max() / UNITS[unit], scale, suffix)}"
        )
    if sides.min() < 1e-4:
        raise MeshError(
            f"{name}: it has no volume, its sides are {np.round(sides, 5).tolist()} m; a flat sheet cannot be used."
        )


def unit_advice(largest: float, scale: float = 1.0, suffix: str = "") -> str:
    """Advice on the unit of a mesh whose largest side is `largest` in the file's unit, `scale` included."""
    if suffix.lower() in METRES:
        return (
            f"{suffix.lower()} files are in metres by their specification, so this one is not to scale: measure the "
            f"object and set --scale, e.g. {0.1 * scale / largest:.3g} for one of 10 cm."
        )
    fits = [name for name, factor in UNITS.items() if SIZE_RANGE[0] <= largest * factor <= SIZE_RANGE[1]]
    if not fits:
        return f"No unit makes it {_span(*SIZE_RANGE)}: measure it and set --scale (which multiplies the unit)."
    made = [f"{name}{' makes it' if name == fits[0] else ''} {100 * largest * UNITS[name]:.3g} cm" for name in fits]
    return f"--unit {', '.join(made)}: measure the object and choose one."


def _span(low: float, high: float) -> str:
    return f"{1000 * low:g} mm to {high:g} m"


def surface_samples(
    vertices: ArrayLike, faces: ArrayLike, count: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`count` points (N, 3) spread evenly by area, the outward normals there (N, 3) and the faces they lie on (N,)."""
    rng = np.random.default_rng(seed)
    vertices, faces = np.asarray(vertices, float), np.asarray(faces)
    normals = face_areas(vertices, faces)
    length = np.linalg.norm(normals, axis=1)
    ends = np.cumsum(length)
    places = (np.arange(count) + rng.uniform(size=count)) / count * ends[-1]  # one in each of `count` equal areas
    face = np.minimum(np.searchsorted(ends, places, side="right"), np.flatnonzero(length)[-1])
    u, v = rng.uniform(size=(2, count))
    weights = np.stack([1 - np.sqrt(u), np.sqrt(u) * (1 - v), np.sqrt(u) * v], axis=1)
    return np.einsum("nk,nkd->nd", weights, vertices[faces[face]]), normals[face] / length[face, None], face


def volume(vertices: ArrayLike, faces: np.ndarray) -> float:
    """Signed volume of a closed mesh, m3."""
    a, b, c = np.moveaxis(np.asarray(vertices, float)[faces], 1, 0)
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6.0)


def mass_properties(pieces: Iterable[tuple[ArrayLike, ArrayLike | None]]) -> tuple[float, np.ndarray, np.ndarray]:
    """Volume (m3), centre of mass (3,) and inertia (3, 3) about it per kg, of a solid made of convex pieces.

    Overlaps of the pieces count twice; coacd's pieces do not overlap beyond their tolerance.
    """
    hulls = [trimesh.convex.convex_hull(np.asarray(v, float)) for v, _ in pieces]
    volumes = np.array([h.volume for h in hulls])
    total = volumes.sum()
    if not total > 0:
        return 0.0, np.zeros(3), np.zeros((3, 3))
    centers = np.array([h.center_mass for h in hulls])
    center = volumes @ centers / total
    inertia = np.zeros((3, 3))
    for h, v, c in zip(hulls, volumes, centers - center):
        inertia += h.moment_inertia + v * (c @ c * np.eye(3) - np.outer(c, c))
    return float(total), center, inertia / total


def solid_properties(vertices: ArrayLike, faces: ArrayLike) -> tuple[float, np.ndarray, np.ndarray]:
    """The same as `mass_properties`, exact, for the solid inside a closed mesh."""
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    return float(mesh.volume), mesh.center_mass, mesh.moment_inertia / mesh.volume
