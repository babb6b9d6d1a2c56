"""The plane that most of a depth image lies in: a table."""

from dataclasses import dataclass

import numpy as np

from dexhot.geometry.cameras import Intrinsics

ABOVE = 0.010  # m over the table that is no table
TRIES = 60  # planes of RANSAC
LEAST = 0.1  # of an image, that a table fills; less may be an object's side
STILL = 0.8  # of the points that a table had when it was found: fewer, and the camera has moved
SEARCH_EVERY = 30  # images between two searches


@dataclass(frozen=True)
class Plane:
    """n . x = d in the camera frame; n points to the camera."""

    n: np.ndarray
    d: float

    @property
    def row(self) -> np.ndarray:
        """(4,) n and d."""
        return np.append(self.n, self.d)


def table_plane(camera: Intrinsics, depth: np.ndarray) -> Plane | None:
    """The plane with most points (m) of a depth image; None where it holds less than a tenth of them."""
    step = max(1, camera.width // 160)
    z = depth[::step, ::step]
    v, u = np.nonzero((z > 0) & (z < 2.0))
    if len(v) < 200:
        return None
    points = camera.backproject(np.stack([u, v], -1) * step, z[v, u].astype(float))
    rng, best, inliers = np.random.default_rng(0), None, 0.1 * len(points)
    for _ in range(TRIES):
        a, b, c = points[rng.choice(len(points), 3, replace=False)]
        n = np.cross(b - a, c - a)
        if (length := np.linalg.norm(n)) < 1e-5:
            continue
        n = n / length * (-1 if n @ a > 0 else 1)
        count = int((np.abs(points @ n - n @ a) < ABOVE / 2).sum())
        if count > inliers:
            best, inliers = Plane(n, float(n @ a)), count
    if best is None:
        return None
    on = points[np.abs(points @ best.n - best.d) < ABOVE / 2]
    middle = on.mean(0)
    n = np.linalg.svd(on - middle, full_matrices=False)[2][2]
    n = n * (-1 if n @ middle > 0 else 1)
    return Plane(n, float(n @ middle))


class TableInView:
    """The table in a camera's images, one after another: kept as long as it is still there, else sought again."""

    def __init__(self, camera: Intrinsics):
        self.step = max(1, camera.width // 80)
        v, u = np.mgrid[: camera.height : self.step, : camera.width : self.step]
        self.camera, self.rays = camera, camera.backproject(np.stack([u, v], -1), np.ones(u.shape))
        self.plane: Plane | None = None
        self.found, self.waited = 0, SEARCH_EVERY  # points that it had; images since the last search

    def __call__(self, depth: np.ndarray) -> Plane | None:
        """In a depth image (H, W), mm; None where none fills LEAST of it."""
        z = 1e-3 * depth[:: self.step, :: self.step]
        self.waited += 1
        if self.plane is not None and self._points(z, self.plane) < STILL * self.found:
            self.plane = None
        if self.plane is None and self.waited > SEARCH_EVERY:
            self.waited, plane = 0, table_plane(self.camera, depth * np.float32(1e-3))
            self.found = 0 if plane is None else self._points(z, plane)
            self.plane = plane if self.found > LEAST * z.size else None
        return self.plane

    def _points(self, z: np.ndarray, plane: Plane) -> int:
        """How many points lie on a plane."""
        off = z * (self.rays @ plane.n) - plane.d
        return int(np.count_nonzero((np.abs(off) < ABOVE) & (z > 0)))
