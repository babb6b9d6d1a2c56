"""Signed distance to a mesh's own surface, sampled on a grid: the visual mesh, with its handles and hollows.

The sign comes from the winding number, so that holes and doubled faces of scanned meshes do not matter. Warp builds it,
numba reads it (the extra `perception`).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dexhot.errors import MeshError
from dexhot.geometry.meshes import check_arrays

CELLS = 64  # along the longest side, by default
MARGIN = 4  # cells around the mesh
MOST_CELLS = 2**25  # 128 MiB


@dataclass(frozen=True)
class SdfVolume:
    """Signed distances at the nodes of a grid, negative inside, read by trilinear interpolation."""

    values: np.ndarray  # (nx, ny, nz) float32, m
    origin: np.ndarray  # (3,) m, of the first node
    spacing: float  # m

    def distance(self, points: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Points (..., 3) m -> signed distance (...,) m and its gradient (..., 3), exact for the interpolation.

        Outside of the grid an upper bound: the distance at the nearest point of its border plus that to it.
        """
        from dexhot.geometry.sdf_kernels import distances

        points = np.asarray(points, float)
        flat = np.ascontiguousarray(points.reshape(-1, 3))
        found, gradients = np.empty(len(flat)), np.empty_like(flat)
        distances(self.values, self.origin, self.spacing, flat, found, gradients)
        return found.reshape(points.shape[:-1]), gradients.reshape(points.shape)


def sdf_volume(vertices: ArrayLike, faces: ArrayLike, spacing: float | None = None) -> SdfVolume:
    """The volume of a mesh, vertices (V, 3) m and faces (F, 3) turned outward; spacing in m, by default 1/64 of its
    longest side.

    Raises MeshError for arrays that are no mesh, and for a spacing that needs too large a grid.
    """
    from dexhot.geometry.distance_kernels import signed_distances

    check_arrays("the mesh", vertices, faces)
    vertices, faces = np.asarray(vertices, float), np.asarray(faces)
    low, high = vertices.min(0), vertices.max(0)
    spacing = float((high - low).max() / CELLS) if spacing is None else spacing
    shape = np.ceil((high - low) / spacing).astype(int) + 2 * MARGIN + 1
    if np.prod(shape.astype(float)) > MOST_CELLS:
        raise MeshError(
            f"a grid of {spacing:g} m over {np.round(high - low, 3).tolist()} m is too large; use a larger spacing."
        )
    origin = 0.5 * (low + high) - 0.5 * spacing * (shape - 1)
    nodes = origin + spacing * np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    values = signed_distances(vertices, faces, nodes.reshape(-1, 3))
    return SdfVolume(values.reshape(shape), origin, spacing)


def watertight(vertices: ArrayLike, faces: ArrayLike, spacing: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A closed mesh around the same solid: the mesh itself if it is closed, else the zero level of its SdfVolume.

    Holes are closed where the winding number is a half. Raises MeshError where nothing is thicker than two cells.
    """
    import trimesh

    mesh = trimesh.Trimesh(vertices, faces, process=False)
    if mesh.is_watertight and mesh.is_winding_consistent:
        return np.asarray(vertices, float), np.asarray(faces, int)
    volume = sdf_volume(vertices, faces, spacing)
    if volume.values.min() > -volume.spacing:
        raise MeshError(
            f"nothing in the mesh is thicker than 2 cells of {1e3 * volume.spacing:.2g} mm: it is a sheet, its "
            "faces point inward, or it needs a smaller spacing."
        )
    return zero_level(volume)


def zero_level(volume: SdfVolume) -> tuple[np.ndarray, np.ndarray]:
    """The closed mesh (V, 3) m, (F, 3) on which the volume is 0, facing outward; positive at the grid's border."""
    import trimesh
    import warp as wp

    from dexhot.geometry.warp_start import start_warp

    start_warp()
    field: Any = wp.array(np.ascontiguousarray(volume.values, np.float32), dtype=float, device="cpu")
    found, indices = wp.MarchingCubes.extract_surface_marching_cubes(field, threshold=0.0)
    closed = trimesh.Trimesh(
        found.numpy() * volume.spacing + volume.origin, indices.numpy().reshape(-1, 3), process=True
    )
    closed.fix_normals()
    return np.asarray(closed.vertices, float), np.asarray(closed.faces, int)
