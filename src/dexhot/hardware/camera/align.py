"""Aligns depth to the colour camera as librealsense's align filter does, for recordings read without librealsense."""

import numpy as np

from dexhot.geometry.cameras import Intrinsics

LARGEST = 3  # pixels, maximum growth of one pixel; more indicates a faulty calibration


class Aligner:
    """Maps depth images (`depth` camera) into the pixels of the `color` camera.

    color_T_depth is `rotation` (3, 3) and `translation` (3,) m. Each depth pixel covers the rectangle between its
    projected corners; among several the nearest wins. As in librealsense the stored value is the depth camera's own z
    (the two optical axes are parallel to within a degree), and the depth camera has no distortion (true of all D400).
    """

    def __init__(self, depth: Intrinsics, color: Intrinsics, rotation: np.ndarray, translation: np.ndarray):
        self.color, self.translation = color, np.asarray(translation, np.float32).reshape(3, 1)
        v, u = np.mgrid[: depth.height, : depth.width]
        self.rays = []  # of the upper left and lower right pixel corners: (3, H*W) at z = 1, rotated
        for corner in (-0.5, 0.5):
            rays = depth.backproject(np.stack([u.ravel(), v.ravel()], -1) + corner, np.ones(u.size))
            turned = np.asarray(rotation, float).reshape(3, 3) @ rays.T
            self.rays.append(turned.astype(np.float32))

    def __call__(self, depth: np.ndarray) -> np.ndarray:
        """(H, W) uint16 mm of the depth camera -> of the colour camera; 0 where unknown."""
        z = depth.ravel()
        far_first = np.argsort(z, kind="stable")[::-1]  # the last write to a pixel wins: the nearest
        far_first = far_first[: np.count_nonzero(z)]
        z = z[far_first]
        metres = np.maximum(depth.ravel(), 1) * np.float32(1e-3)
        (u, v), (u_last, v_last) = (self._project(r * metres + self.translation)[:, far_first] for r in self.rays)
        width, height = self.color.width, self.color.height
        across, down = u_last - u, v_last - v
        found = np.full(width * height, 0xFFFF, np.uint16)
        for dv in range(min(int(down.max(initial=0)), LARGEST) + 1):
            for du in range(min(int(across.max(initial=0)), LARGEST) + 1):
                inside = (u >= -du) & (u < width - du) & (v >= -dv) & (v < height - dv) & (across >= du) & (down >= dv)
                layer = np.full_like(found, 0xFFFF)
                layer[((v + dv) * width + u + du)[inside]] = z[inside]
                np.minimum(found, layer, out=found)
        found[found == 0xFFFF] = 0
        return found.reshape(height, width)

    def _project(self, points: np.ndarray) -> np.ndarray:
        """(3, N) points of the colour camera -> (2, N) nearest pixels, through its distortion."""
        return np.floor(self.color.project(points.T).T + np.float32(0.5)).astype(np.int32)
