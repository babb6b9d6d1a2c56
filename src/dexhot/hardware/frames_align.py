"""Depth seen from the colour camera, as librealsense's align filter makes it, for recordings read without it."""

import numpy as np

from dexhot.hardware.frames import Intrinsics


class Aligner:
    """Maps depth images (`depth` camera) into the pixels of the `color` camera.

    color_T_depth is `rotation` (3, 3) and `translation` (3,) m. Each depth pixel covers the rectangle between its
    projected corners; of several the nearest stays. As in librealsense the value kept is the depth camera's own z (the
    two optical axes are parallel to within a degree), and the depth camera has no distortion (true of all D400).
    """

    def __init__(self, depth: Intrinsics, color: Intrinsics, rotation: np.ndarray, translation: np.ndarray):
        self.color, self.translation = color, np.asarray(translation, float).reshape(3, 1)
        v, u = np.mgrid[: depth.height, : depth.width]
        self.rays = []  # of the upper left and the lower right corners: (3, H*W) at z = 1, turned
        for corner in (-0.5, 0.5):
            x, y = (u.ravel() + corner - depth.cx) / depth.fx, (v.ravel() + corner - depth.cy) / depth.fy
            self.rays.append(np.asarray(rotation, float).reshape(3, 3) @ np.stack([x, y, np.ones(x.shape)]))

    def __call__(self, depth: np.ndarray) -> np.ndarray:
        """(H, W) uint16 mm of the depth camera -> of the colour camera; 0 where nothing is seen."""
        z = depth.ravel()
        seen = np.flatnonzero(z)
        z = z[seen]
        first, last = (self._project(rays[:, seen] * (z * 1e-3) + self.translation) for rays in self.rays)
        width, height = self.color.width, self.color.height
        size = np.clip(last - first, 0, 3)  # a pixel that would cover more is an artefact of a wild calibration
        found = np.full(width * height, 0xFFFF, np.uint16)
        for dv in range(int(size[1].max(initial=0)) + 1):
            for du in range(int(size[0].max(initial=0)) + 1):
                u, v = first[0] + du, first[1] + dv
                inside = (du <= size[0]) & (dv <= size[1]) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
                np.minimum.at(found, v[inside] * width + u[inside], z[inside])
        found[found == 0xFFFF] = 0
        return found.reshape(height, width)

    def _project(self, points: np.ndarray) -> np.ndarray:
        """(3, N) points of the colour camera -> (2, N) nearest pixels, through its distortion."""
        x, y = points[0] / points[2], points[1] / points[2]
        k1, k2, p1, p2, k3 = self.color.d
        if any(self.color.d):
            r2 = x * x + y * y
            radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
            x, y = (
                x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
                y * radial + 2 * p2 * x * y + p1 * (r2 + 2 * y * y),
            )
        pixel = np.stack([self.color.fx * x + self.color.cx, self.color.fy * y + self.color.cy])
        return np.floor(pixel + 0.5).astype(np.int64)
