"""Pinhole cameras. The optical frame has x right, y down and z forward (REP 103); pixel centres are whole numbers."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera: u = fx x/z + cx, v = fy y/z + cy in pixels.

    `d` are the five plumb_bob (Brown-Conrady) coefficients k1 k2 p1 p2 k3.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    d: tuple[float, ...] = field(default=(0.0,) * 5)

    def distort(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ideal image coordinates x/z, y/z -> distorted ones."""
        if not any(self.d):
            return x, y
        k1, k2, p1, p2, k3 = self.d
        r2 = x * x + y * y
        radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
        return (
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + 2 * p2 * x * y + p1 * (r2 + 2 * y * y),
        )

    def project(self, points: ArrayLike) -> np.ndarray:
        """Points (..., 3) m of the optical frame, z > 0 -> pixels (..., 2), through the lens distortion."""
        points = np.asarray(points)
        x, y = self.distort(points[..., 0] / points[..., 2], points[..., 1] / points[..., 2])
        return np.stack([self.fx * x + self.cx, self.fy * y + self.cy], axis=-1)

    def backproject(self, pixels: ArrayLike, depth: ArrayLike) -> np.ndarray:
        """Pixels (..., 2) and their depth (...,) m along z -> points (..., 3) m of the optical frame.

        Lens distortion is neglected: it is below a pixel for the supported cameras.
        """
        pixels, z = np.asarray(pixels), np.asarray(depth)
        return np.stack(
            [(pixels[..., 0] - self.cx) / self.fx * z, (pixels[..., 1] - self.cy) / self.fy * z, z], axis=-1
        )

    def every(self, n: int) -> "Intrinsics":
        """The camera whose image is every n-th pixel of this one's, from the first."""
        width, height = -(-self.width // n), -(-self.height // n)
        return replace(self, width=width, height=height, fx=self.fx / n, fy=self.fy / n, cx=self.cx / n, cy=self.cy / n)


def pinhole(width: int, height: int, fovy: float) -> Intrinsics:
    """Square pixels, the axis through the middle of the image, a vertical field of view of `fovy` degrees."""
    f = float(0.5 * height / np.tan(0.5 * np.radians(fovy)))
    return Intrinsics(width, height, f, f, (width - 1) / 2, (height - 1) / 2)
