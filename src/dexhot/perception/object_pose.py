"""Pose of a known rigid object from depth, without learned weights: registration, tracking, and a confidence.

Registration: rotations of a view sphere, robust alignment of the mask's points with the mesh's signed distance, and
pruning by comparison with the depth image; the last alignments weigh depth and silhouette together, since depth alone
slides along flat and round faces. Tracking: the best of several predictions, aligned in the same way.
"""

from dataclasses import dataclass, field
from functools import cache

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial.transform import Rotation

from dexhot.errors import MeshError
from dexhot.geometry.boxes import window
from dexhot.geometry.cameras import Intrinsics, project_pinhole
from dexhot.geometry.meshes import surface_samples
from dexhot.geometry.rotations import golden_spiral
from dexhot.geometry.sdf_volume import SdfVolume, sdf_volume
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.volume import object_volume
from dexhot.perception import pose_kernels as kernels
from dexhot.perception.appearance import NOT_ITS, Appearance
from dexhot.perception.protocols import ObjectSighting

SAMPLES = 600
VIEWS, TURNS = 42, 8  # of the view sphere, and about the optical axis
STAGES = ((120, 6, 0.25, 0.10, 200), (250, 8, 0.10, 0.04, 64), (400, 12, 0.05, 0.02, 1))  # points, iterations, reach
# from and to in diameters, survivors
FINE, OUTSIDE = 0.35, 3.0  # of the noise, the last choice's; px from mask and hand beyond which no surface can be
MEASURED = 60  # px: distances from a mask are computed up to this far alone, beyond it they all count as this
LEAST = 30  # points with depth that registration and tracking need
SILHOUETTE = 0.5  # weight of the silhouette against the points
LOST = 0.45  # confidence below which the object is not where it is said to be
SURE = 0.55  # confidence that a re-acquisition needs
EXPLAINED = 0.7  # fraction of the mask that a right pose explains, with a camera's noise
SEEN = 0.12  # visible fraction below which nothing is certain
FAR = 10.0  # m
ON_TABLE = 0.006  # m from its plane
NOISE = 0.003, 0.004  # m and 1/m: deviation of measured depth is their polynomial a + b z^2
REACH, REACH_NOISE = (
    (0.12, 0.025),
    (2.0, 1.5),
)  # of tracking, wide and narrow: diameters, but deviations of depth at least
FAST, HASTE = np.radians(500.0), 0.2  # rad/s, as fast as people turn things; what that costs of a score
NO_GAP = np.zeros((0, 0), np.float32)


@dataclass
class RigidModel:
    """A mesh as poses are estimated from it."""

    volume: SdfVolume
    samples: np.ndarray  # (N, 3) on the surface, m
    normals: np.ndarray  # (N, 3)
    diameter: float  # m, diagonal of its box
    centre: np.ndarray = field(default_factory=lambda: np.zeros(3))  # of its box

    @property
    def grid(self) -> tuple[np.ndarray, np.ndarray, float]:
        """The volume as the kernels take it."""
        return self.volume.values, self.volume.origin, self.volume.spacing


def asset_model(asset: ObjectAsset) -> RigidModel:
    """Of an object of the library. Raises MeshError for one that no hand holds."""
    return rigid_model(asset.vertices, asset.faces, asset.name, object_volume(asset))


def rigid_model(
    vertices: np.ndarray, faces: np.ndarray, name: str = "the object", volume: SdfVolume | None = None
) -> RigidModel:
    """Of a mesh in m, with its `volume` if that is known. Raises MeshError for one that no hand holds, such as one in
    mm."""
    vertices = np.asarray(vertices, float)
    extent = np.ptp(vertices, axis=0)
    if not 0.01 < extent.max() < 1.0:
        raise MeshError(
            f"{name} is {extent.max():.4g} m long; 0.01 to 1 m is expected. A mesh in millimetres is read with "
            "`dexhot object add --scale 0.001`."
        )
    samples, normals = surface_samples(vertices, faces, SAMPLES)[:2]
    return RigidModel(
        volume or sdf_volume(vertices, faces),
        samples,
        normals,
        float(np.linalg.norm(extent)),
        0.5 * (vertices.max(0) + vertices.min(0)),
    )


@cache
def hypotheses() -> np.ndarray:
    """(VIEWS * TURNS, 3, 3) rotations spread over SO(3)."""
    out = []
    for a, b in zip(*golden_spiral(VIEWS)):
        tilt = Rotation.from_euler("ZY", [b, a])  # about the turned axes: the view sphere, not one circle of it
        out += [(Rotation.from_euler("z", 2 * np.pi * n / TURNS) * tilt.inv()).as_matrix() for n in range(TURNS)]
    return np.array(out)


def points_in(camera: Intrinsics, depth: np.ndarray, mask: np.ndarray, most: int) -> np.ndarray:
    """(N, 3) at most `most` points of the mask's pixels with depth, evenly over them."""
    v, u = np.nonzero(mask & (depth > 0))
    if len(v) > most:
        chosen = np.random.default_rng(0).choice(len(v), most, replace=False)
        v, u = v[chosen], u[chosen]
    return np.ascontiguousarray(camera.backproject(np.stack([u, v], -1), depth[v, u].astype(float)))


def noise_at(z: float) -> float:
    """Deviation of measured depth, m, at z m."""
    return NOISE[0] + NOISE[1] * z * z


class DepthObjectPose:
    """One object in front of one camera (ObjectPose)."""

    def __init__(self, model: RigidModel):
        self.model = model
        self.pose: np.ndarray | None = None  # (4, 4) camera_T_mesh, last believed
        self.time, self.velocity = 0.0, np.zeros(6)  # rotation vector / s in the camera, m/s
        self.lost = True
        self.appearance = Appearance()
        self.table: np.ndarray | None = None  # (4,) n and d of the plane n . x = d, n to the camera, that is no object

    # registration

    def register(
        self, camera: Intrinsics, color: np.ndarray | None, depth: np.ndarray, mask: np.ndarray
    ) -> ObjectSighting | None:
        """The pose that explains the mask's depth best, without a prior; None where it has fewer than LEAST points."""
        found = self.search(camera, depth, mask, np.zeros_like(mask))
        if found is not None:
            self.pose, self.velocity, self.lost = found.pose, np.zeros(6), found.confidence < LOST
        return found

    def search(
        self, camera: Intrinsics, depth: np.ndarray, mask: np.ndarray, hidden: np.ndarray
    ) -> ObjectSighting | None:
        """As `register`, without taking the pose; `hidden`: pixels that a hand covers."""
        model, depth = self.model, np.asarray(depth, np.float32)
        points = points_in(camera, depth, mask, STAGES[-1][0])
        if len(points) < LEAST:
            return None
        pinhole = camera.pinhole
        Rs = hypotheses().copy()
        middle = np.median(points, axis=0)
        towards = middle / np.linalg.norm(middle)
        facing = np.einsum("bij,nj,i->bn", Rs, model.normals, towards) < 0
        visible = np.einsum("bn,bij,nj->bi", facing.astype(float), Rs, model.samples) / facing.sum(1, keepdims=True)
        ts = points.mean(0) - visible
        gap = _outside(mask | hidden)
        nearest = np.percentile(points[:, 2], 2)
        alone = np.where(mask | (depth < nearest), depth, np.float32(FAR))  # what is beside the mask is not the object
        sigma = max(noise_at(middle[2]), 0.015 * model.diameter)
        for number, (count, iterations, wide, narrow, keep) in enumerate(STAGES):
            last = number == len(STAGES) - 1
            reach = wide * model.diameter, narrow * model.diameter
            silhouette = gap if number else NO_GAP
            kernels.align_all(
                Rs, ts, *model.grid, points[:count], iterations, *reach, model.samples, model.normals, pinhole,
                silhouette, SILHOUETTE,
            )  # fmt: skip
            if last:
                score = np.array(
                    [self._choice(R, t, points, alone, hidden, gap, pinhole, sigma) for R, t in zip(Rs, ts)]
                )
            else:
                at = points[:count], alone, hidden, pinhole, sigma * (3 - number)
                score = np.array([self._score(R, t, *at) for R, t in zip(Rs, ts)])
            best = np.argsort(-score)[:keep]
            Rs, ts = np.ascontiguousarray(Rs[best]), np.ascontiguousarray(ts[best])
        confidence, seen = self.confidence(camera, Rs[0], ts[0], depth, hidden)
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = Rs[0], ts[0]
        covered = kernels.explained(Rs[0], ts[0], *model.grid, points, sigma)
        return ObjectSighting(pose, confidence * min(1.0, float(covered) / EXPLAINED), seen)

    def _score(self, R, t, points, depth, hidden, pinhole, sigma) -> float:  # type: ignore[no-untyped-def]
        """Of a hypothesis: both ways, points on the surface and surface on what is measured."""
        agreeing, floating, _ = kernels.agreement(
            R, t, self.model.samples, self.model.normals, depth, hidden, pinhole, sigma
        )
        covered = kernels.explained(R, t, *self.model.grid, points, sigma)
        return float(covered * (agreeing + 1) / (agreeing + floating + 1))

    def _choice(self, R, t, points, depth, hidden, gap, pinhole, sigma) -> float:  # type: ignore[no-untyped-def]
        """Of an aligned hypothesis. Finer at the points, which are the object's; less by the surface, which floats
        where mask or hand are a pixel off; and none of it is outside of both (`gap`, px)."""
        model = self.model
        agreeing, floating, _ = kernels.agreement(R, t, model.samples, model.normals, depth, hidden, pinhole, sigma)
        covered = kernels.explained(R, t, *model.grid, points, FINE * sigma)
        pixels = np.round(project_pinhole(model.samples @ R.T + t, pinhole)).astype(int)
        u, v = np.clip(pixels, 0, np.array(gap.shape[::-1]) - 1).T
        inside = 1.0 - (gap[v, u] > OUTSIDE).mean()
        return float(covered * np.sqrt((agreeing + 1) / (agreeing + floating + 1)) * inside)

    def confidence(
        self, camera: Intrinsics, R: np.ndarray, t: np.ndarray, depth: np.ndarray, hidden: np.ndarray
    ) -> tuple[float, float]:
        """(confidence in [0, 1] that the object has this pose, fraction of its facing surface that is seen)."""
        if t[2] < 0.1:
            return 0.0, 0.0
        sigma = max(noise_at(float(t[2])), 0.01 * self.model.diameter)
        agreeing, floating, covered = kernels.agreement(
            R, t, self.model.samples, self.model.normals, depth, hidden, camera.pinhole, sigma
        )
        measured = agreeing + floating
        if measured < 1:
            return 0.0, 0.0
        seen = measured / (measured + covered)
        return float(agreeing / measured * min(1.0, agreeing / (agreeing + covered + floating) / SEEN)), float(seen)

    # tracking

    def follow(
        self, camera: Intrinsics, color: np.ndarray | None, depth: np.ndarray, time: float, hidden: np.ndarray
    ) -> ObjectSighting:
        """The next pose; a lost object stays lost, at its last pose, until `register` finds it."""
        assert self.pose is not None, "register the object first"
        depth = self._without_table(camera, np.asarray(depth, np.float32))
        dt = max(time - self.time, 1e-3)
        diameter, noise = self.model.diameter, noise_at(float(self.pose[2, 3]))
        reach = max(REACH[0] * diameter, REACH_NOISE[0] * noise), max(REACH[1] * diameter, REACH_NOISE[1] * noise)
        best: tuple[float, np.ndarray, np.ndarray, float] | None = None
        likeliest = -np.inf
        for R, t in self._predictions(dt):
            window = self._window(camera, R, t)
            mine, gap = self._by_colour(color, hidden, window)
            points = self._points(camera, depth, hidden, mine, R, t, window)
            if len(points) < LEAST:
                continue
            pinhole = camera.cropped(window[1].start, window[0].start, *gap.shape[::-1]).pinhole
            kernels.align(
                R, t, *self.model.grid, points, 8, *reach, self.model.samples, self.model.normals, pinhole, gap,
                SILHOUETTE,
            )  # fmt: skip
            score, seen = self.confidence(camera, R, t, depth, hidden)
            turned = Rotation.from_matrix(R @ self.pose[:3, :3].T).magnitude()
            likely = score - HASTE * (turned / dt / FAST) ** 2
            if likely > likeliest:
                best, likeliest = (score, R, t, seen), likely
            if likely > 0.85:
                break
        if best is None or best[0] < LOST:
            self.lost, self.velocity, self.time = True, np.zeros(6), time
            return ObjectSighting(self.pose, 0.0 if best is None else best[0], 0.0 if best is None else best[3])
        score, R, t, seen = best
        turned = Rotation.from_matrix(R @ self.pose[:3, :3].T).as_rotvec()
        self.velocity = np.zeros(6) if self.lost else np.concatenate([turned, t - self.pose[:3, 3]]) / dt
        self.pose = np.eye(4)
        self.pose[:3, :3], self.pose[:3, 3] = R, t
        self.time, self.lost = time, False
        return ObjectSighting(self.pose, score, seen)

    def _without_table(self, camera: Intrinsics, depth: np.ndarray) -> np.ndarray:
        """Depth, negative on the table: a flat object sunk into the table would explain its depth as well."""
        if self.table is None:
            return depth
        u, v = np.arange(camera.width, dtype=np.float32), np.arange(camera.height, dtype=np.float32)
        nx, ny, nz, d = self.table.astype(np.float32)
        per_metre = (nx * (u - camera.cx) / camera.fx)[None] + (ny * (v - camera.cy) / camera.fy)[:, None] + nz
        return np.where((depth > 0) & (np.abs(depth * per_metre - d) < ON_TABLE), -depth, depth)

    def _predictions(self, dt: float) -> list[tuple[np.ndarray, np.ndarray]]:
        """Constant velocity; the same without its turn, as a spin that fingers hide goes on for ever; and at rest."""
        assert self.pose is not None
        R, t = self.pose[:3, :3], self.pose[:3, 3]
        still = (R.copy(), t.copy())
        if not self.velocity.any():
            return [still]
        there = t + self.velocity[3:] * dt
        turned = Rotation.from_rotvec(self.velocity[:3] * dt).as_matrix() @ R
        return [(turned, there), (R.copy(), there.copy()), still]

    def _window(self, camera: Intrinsics, R: np.ndarray, t: np.ndarray) -> tuple[slice, slice]:
        """Rows and columns in which the object may be seen."""
        model = self.model
        centre = R @ model.centre + t
        if centre[2] < 0.1:
            return slice(0, 0), slice(0, 0)
        u, v = project_pinhole(centre, camera.pinhole)
        reach = camera.fx * 0.55 * model.diameter / centre[2]
        left, right = int(np.clip(u - reach, 0, camera.width)), int(np.clip(u + reach + 1, 0, camera.width))
        top, bottom = int(np.clip(v - reach, 0, camera.height)), int(np.clip(v + reach + 1, 0, camera.height))
        return slice(top, bottom), slice(left, right)

    def _by_colour(
        self, color: np.ndarray | None, hidden: np.ndarray, window: tuple[slice, slice]
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """Pixels of a window that may be the object's, and px to the nearest of them or of the hand; None where colour
        does not say."""
        if color is None or not self.appearance.distinct:
            return None, NO_GAP
        mine = self.appearance.probability(color[window]) > NOT_ITS
        free = mine | hidden[window]
        return (mine, _outside(free)) if free.any() else (mine, NO_GAP)

    def _points(
        self,
        camera: Intrinsics,
        depth: np.ndarray,
        hidden: np.ndarray,
        mine: np.ndarray | None,
        R: np.ndarray,
        t: np.ndarray,
        window: tuple[slice, slice],
    ) -> np.ndarray:
        """Measured points of a window near the surface of a predicted pose."""
        model, (rows, columns) = self.model, window
        step = max(1, int(np.sqrt(max((columns.stop - columns.start) * (rows.stop - rows.start), 1) / 3000)))
        vs, us = np.mgrid[rows.start : rows.stop : step, columns.start : columns.stop : step]
        z = depth[window][::step, ::step]
        near = (np.abs(z - float(R[2] @ model.centre + t[2])) < 0.6 * model.diameter) & ~hidden[window][::step, ::step]
        if mine is not None:
            near &= mine[::step, ::step]
        points = camera.backproject(np.stack([us[near], vs[near]], -1), z[near].astype(float))
        x = (points - t) @ R
        values, origin, spacing = model.grid
        cell = np.clip(np.round((x - origin) / spacing).astype(int), 0, np.array(values.shape) - 1)
        close = np.abs(values[tuple(cell.T)]) < 0.15 * model.diameter
        return np.ascontiguousarray(points[close][:: max(1, int(close.sum() / 400))])


def _outside(mask: np.ndarray) -> np.ndarray:
    """(H, W) px to the nearest pixel of the mask, 0 in it, at most MEASURED."""
    found = np.full(mask.shape, MEASURED, np.float32)
    box = window(mask, MEASURED)
    found[box] = distance_transform_edt(~mask[box])
    return found
