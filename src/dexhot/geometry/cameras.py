"""Pinhole cameras. The optical frame has x right, y down and z forward (REP 103); pixel centres are whole numbers."""

from collections.abc import Sequence
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

    @classmethod
    def from_matrix(cls, width: int, height: int, k: ArrayLike, d: Sequence[float] = ()) -> "Intrinsics":
        """Of K, (3, 3) or its nine numbers row by row; less than five coefficients `d` count as none."""
        fx, _, cx, _, fy, cy = map(float, np.ravel(k)[:6])
        return cls(width, height, fx, fy, cx, cy, tuple(map(float, d[:5])) if len(d) >= 5 else (0.0,) * 5)

    @property
    def pinhole(self) -> np.ndarray:
        """(4,) fx fy cx cy, px: the camera without lens distortion, as solvers and kernels take it."""
        return np.array([self.fx, self.fy, self.cx, self.cy])

    @property
    def matrix(self) -> np.ndarray:
        """(3, 3) K."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @property
    def projection(self) -> np.ndarray:
        """(3, 4) P of CameraInfo: K, as the images are not rectified."""
        return np.column_stack([self.matrix, np.zeros(3)])

    @property
    def fovy(self) -> float:
        """Vertical field of view, degrees, of an axis through the middle of the image."""
        return float(np.degrees(2 * np.arctan(0.5 * self.height / self.fy)))

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

    def slopes(self, points: np.ndarray) -> np.ndarray:
        """d pixels / d points (..., 3) m: (..., 2, 3), without lens distortion."""
        z = points[..., 2]
        found = np.zeros((*points.shape[:-1], 2, 3))
        found[..., 0, 0], found[..., 1, 1] = self.fx / z, self.fy / z
        found[..., 0, 2], found[..., 1, 2] = -self.fx * points[..., 0] / z**2, -self.fy * points[..., 1] / z**2
        return found

    def cropped(self, x0: float, y0: float, width: int, height: int) -> "Intrinsics":
        """The camera of this one's image cut out from column x0 and row y0."""
        return replace(self, width=width, height=height, cx=self.cx - x0, cy=self.cy - y0)

    def averaged(self, n: int) -> "Intrinsics":
        """The camera whose pixels are the means of blocks of n x n of this one's."""
        middle = (n - 1) / 2
        cx, cy = (self.cx - middle) / n, (self.cy - middle) / n
        return replace(
            self, width=self.width // n, height=self.height // n, fx=self.fx / n, fy=self.fy / n, cx=cx, cy=cy
        )

    def every(self, n: int) -> "Intrinsics":
        """The camera whose image is every n-th pixel of this one's, from the first."""
        width, height = -(-self.width // n), -(-self.height // n)
        return replace(self, width=width, height=height, fx=self.fx / n, fy=self.fy / n, cx=self.cx / n, cy=self.cy / n)


def project_pinhole(points: np.ndarray, pinhole: np.ndarray) -> np.ndarray:
    """Points (..., 3) m of the optical frame -> pixels (..., 2) of fx fy cx cy (4,), without lens distortion."""
    pixels: np.ndarray = points[..., :2] / points[..., 2:] * pinhole[:2] + pinhole[2:]
    return pixels


def pinhole_rays(pixels: np.ndarray, pinhole: np.ndarray) -> np.ndarray:
    """Pixels (..., 2) of fx fy cx cy (4,) -> x/z and y/z (..., 2) of the points seen there."""
    rays: np.ndarray = (pixels - pinhole[2:]) / pinhole[:2]
    return rays


def pinhole(width: int, height: int, fovy: float) -> Intrinsics:
    """Square pixels, the axis through the middle of the image, a vertical field of view of `fovy` degrees."""
    f = float(0.5 * height / np.tan(0.5 * np.radians(fovy)))
    return Intrinsics(width, height, f, f, (width - 1) / 2, (height - 1) / 2)
