"""A world for a camera whose pose nobody measured: level with the table that it sees."""

import numpy as np

from dexhot.data.recording import Recording
from dexhot.geometry.planes import ABOVE, LEAST, table_plane
from dexhot.geometry.poses import matrix_to_pose


def on_table(recording: Recording) -> np.ndarray | None:
    """world_T_camera (7,): z up from the table, x ahead of the camera, the origin where the camera looks.

    The table counts as level. None where no frame shows one that fills a tenth of it.
    """
    camera = recording.intrinsics
    for measured in recording.depth[:: max(1, len(recording) // 5)]:
        depth = measured * np.float32(1e-3)
        plane = table_plane(camera, depth)
        if plane is None:
            continue
        v, u = np.nonzero(depth)
        height = camera.backproject(np.stack([u, v], -1), depth[v, u]) @ plane.n - plane.d
        if (np.abs(height) < ABOVE).sum() < LEAST * depth.size:
            continue
        ahead = np.array([0.0, 0.0, 1.0])
        seen = ahead * plane.d / plane.n[2] if plane.n[2] < -0.1 else plane.n * plane.d
        x = ahead - plane.n * plane.n[2]
        x = x / np.linalg.norm(x) if np.linalg.norm(x) > 0.05 else np.cross(plane.n, [1.0, 0.0, 0.0])
        axes = np.stack([x, np.cross(plane.n, x), plane.n])
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = axes, -axes @ seen
        return matrix_to_pose(pose)
    return None
