"""Signed distances to a triangle mesh in Warp."""

import numpy as np
import warp as wp

from dexhot.geometry.warp_start import start_warp

wp.set_module_options({"enable_backward": False})


@wp.kernel
def measure(mesh: wp.uint64, points: wp.array(dtype=wp.vec3), reach: float, distances: wp.array(dtype=float)):
    """Distance of each point to the mesh, negative where the winding number exceeds a half."""
    i = wp.tid()
    point = points[i]
    found = wp.mesh_query_point_sign_winding_number(mesh, point, reach, 2.0, 0.5)
    distances[i] = found.sign * wp.length(wp.mesh_eval_position(mesh, found.face, found.u, found.v) - point)


def signed_distances(vertices: np.ndarray, faces: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (N, 3) -> (N,) float32, in the vertices' unit."""
    start_warp()
    low, high = np.minimum(vertices.min(0), points.min(0)), np.maximum(vertices.max(0), points.max(0))
    mesh = wp.Mesh(
        points=wp.array(vertices.astype(np.float32), dtype=wp.vec3, device="cpu"),
        indices=wp.array(faces.astype(np.int32).ravel(), dtype=int, device="cpu"),
        support_winding_number=True,
    )
    distances = wp.empty(len(points), dtype=float, device="cpu")
    inputs = [mesh.id, wp.array(points.astype(np.float32), dtype=wp.vec3, device="cpu")]
    reach = 2.0 * float(np.linalg.norm(high - low))
    wp.launch(measure, dim=len(points), inputs=[*inputs, reach, distances], device="cpu")
    found: np.ndarray = distances.numpy()
    return found
