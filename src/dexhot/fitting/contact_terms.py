"""Hands and an object that touch: terms of gradient descent over a batch (batch_terms.py)."""

from dataclasses import dataclass

import numpy as np

from dexhot.fitting import kernels
from dexhot.fitting.batch import BatchScene
from dexhot.fitting.batch_view import BatchView
from dexhot.geometry.triangles import vertex_normals, vertex_normals_transposed

THICK = 0.03  # m: how deep a point may be in a hand to count as inside
SATURATED = 6.0  # reaches beyond which a vertex is no longer drawn: the slope is 1e-5 there
TOUCHES = 0.001  # m of the object's surface within which a contact value is 1 (HandyPriors D)


def push_contact(scene: BatchScene, b: int, side: str, ids: np.ndarray, off: np.ndarray, slopes: np.ndarray) -> None:
    """A gradient `off`-wise: d loss / d distance times the distance's slopes (K, 3), on hand vertices and object."""
    points = scene.hand_vertices(side)[b, ids]
    np.add.at(scene.hands[side].by_points[b], 16 + ids, slopes)
    scene.push_distances(b, points, off, slopes)


@dataclass
class BatchPenetration:
    """Sum of the depths of all hand vertices in the object (eq. 7; HandyPriors 3, whose sign is a misprint), m."""

    weight: float
    scale: float = 1.0

    def add(self, scene: BatchScene) -> np.ndarray:
        """(B,) sums."""
        total, factor = np.zeros(scene.count), self.weight * self.scale
        if scene.model is None:
            return total
        for side in scene.hands:
            for b in range(scene.count):
                off, slopes = scene.distances(b, scene.hand_vertices(side)[b])
                ids = np.flatnonzero(off < 0.0)
                total[b] -= factor * off[ids].sum()
                push_contact(scene, b, side, ids, -factor * off[ids], -factor * slopes[ids])
        return total


@dataclass
class BatchAttraction:
    """Distance of the fingertips outside of the object, once the hand is deeper than `gate` m in it (eq. 8)."""

    zones: dict[str, list[np.ndarray]]  # vertices of each fingertip's pad, by side
    weight: float
    gate: float = 0.001
    scale: float = 1.0

    def add(self, scene: BatchScene) -> np.ndarray:
        """(B,) sums of each pad's nearest vertex, m."""
        total, factor = np.zeros(scene.count), self.weight * self.scale
        if scene.model is None:
            return total
        for side in scene.hands:
            for b in range(scene.count):
                off, slopes = scene.distances(b, scene.hand_vertices(side)[b])
                if off.min() > -self.gate:
                    continue
                tips = np.array([zone[np.argmin(off[zone])] for zone in self.zones[side]])
                tips = tips[off[tips] > 0.0]
                total[b] += factor * off[tips].sum()
                push_contact(scene, b, side, tips, factor * off[tips], factor * slopes[tips])
        return total


@dataclass
class Centroids:
    """Squared distance of hand and object centroids in the frames where their boxes overlap (HOMan, after PHOSA).

    The object's scale being known, it moves the hand alone.
    """

    overlap: dict[str, np.ndarray]  # (B,) bool by side
    weight: float
    scale: float = 1.0

    def add(self, scene: BatchScene) -> np.ndarray:
        """(B,) m2."""
        total, factor = np.zeros(scene.count), self.weight * self.scale
        if scene.model is None:
            return total
        for side in scene.hands:
            vertices = scene.hand_vertices(side)
            off = vertices.mean(axis=1) - scene.object_samples.mean(axis=1)
            near = self.overlap[side]
            total += factor * near * (off**2).sum(axis=1)
            each = 2.0 * factor * near[:, None] * off / vertices.shape[1]
            scene.push_vertices(side, np.broadcast_to(each[:, None], vertices.shape))
        return total


def boxes_overlap(view: BatchView, side: str) -> np.ndarray:
    """(T,) whether the boxes of a hand and the object meet; a box that is missing meets none."""
    a, b = view.boxes(side), view.boxes("object")
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    with np.errstate(invalid="ignore"):
        met: np.ndarray = (low < high).all(axis=1)
    return met


@dataclass
class PairCollision:
    """How deep the vertices of each mesh are in each other (HOMan 5): hands in the object, the object in hands, and
    hands in hands; exact distances instead of the paper's grids of 32 cells. It moves hands alone, as in the authors'
    program: the object is where its masks have it."""

    weight: float
    scale: float = 1.0

    def add(self, scene: BatchScene) -> np.ndarray:
        """(B,) sums, m."""
        total, factor = np.zeros(scene.count), self.weight * self.scale
        for side in scene.hands:
            faces = scene.bodies.faces(side)
            for b in range(scene.count):
                vertices = scene.hand_vertices(side)[b]
                normals = vertex_normals(vertices, faces)
                by_points = scene.hands[side].by_points[b]
                for other in scene.hands:
                    if other != side:
                        inner = scene.hand_vertices(other)[b]
                        ids, depth, slopes = inside(inner, vertices, normals, faces, factor, by_points)
                        total[b] += factor * depth.sum()
                        np.add.at(scene.hands[other].by_points[b], 16 + ids, slopes)
                if scene.model is not None:
                    off, outward = scene.distances(b, vertices)
                    ids = np.flatnonzero(off < 0.0)
                    total[b] -= factor * off[ids].sum()
                    np.add.at(by_points, 16 + ids, -factor * outward[ids])
                    depth = inside(scene.object_samples[b], vertices, normals, faces, factor, by_points)[1]
                    total[b] += factor * depth.sum()
        return total


def inside(
    points: np.ndarray,
    vertices: np.ndarray,
    normals: np.ndarray,
    faces: np.ndarray,
    factor: float,
    by_points: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points in a hand: their numbers, depths (m) and the gradient of `factor` times each by the point.

    The gradient by the hand's vertices is added to `by_points` (16 + V, 3).
    """
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    near = np.flatnonzero(((points > low) & (points < high)).all(axis=1))
    found, face, at, squares = kernels.triangle_pairs(
        points[near], vertices, faces, np.arange(len(faces)), False, THICK
    )
    corners = faces[face]
    off = np.einsum("nk,nka->na", at, vertices[corners]) - points[near][found]  # to the surface
    outward = np.einsum("nk,nka->na", at, normals[corners])
    deep = ((off * outward).sum(axis=1) > 0.0) & (squares > 1e-14)
    found, corners, at, off = found[deep], corners[deep], at[deep], off[deep]
    depth = np.sqrt(squares[deep])
    along = off / depth[:, None] if len(depth) else off
    np.add.at(by_points, 16 + corners, factor * at[..., None] * along[:, None])
    return near[found], depth, -factor * along


@dataclass
class LocalContact:
    """Vertices of the hands near the object are drawn to its nearest vertex, vertices in it are pushed out; both
    saturate (HOMan, after Hasson et al. 2019). All vertices, as in the authors' program, not the zones of 2019: a mean
    over few pads outweighs the silhouette and draws the object to a hand at a wrong distance."""

    weight: float
    attraction: float = 0.01  # m
    repulsion: float = 0.02  # m
    scale: float = 1.0

    def add(self, scene: BatchScene) -> np.ndarray:
        """(B,) m: the mean over the vertices outside plus that over those inside, a mean over the hands."""
        total = np.zeros(scene.count)
        if scene.model is None:
            return total
        for side in scene.hands:
            for b in range(scene.count):
                vertices, targets = scene.hand_vertices(side)[b], scene.object_vertices[b]
                inner = scene.distances(b, vertices)[0] <= 0.0
                for ids, reach in ((np.flatnonzero(~inner), self.attraction), (np.flatnonzero(inner), self.repulsion)):
                    to = kernels.nearest_point(vertices[ids], targets, SATURATED * reach)
                    count = len(scene.hands) * max(len(ids), 1)
                    total[b] += self._pull(scene, b, side, ids[to >= 0], to[to >= 0], reach, count)
                    total[b] += self.weight * self.scale * reach * (to < 0).sum() / count
        return total

    def _pull(
        self, scene: BatchScene, b: int, side: str, ids: np.ndarray, to: np.ndarray, reach: float, count: int
    ) -> float:
        """reach tanh(distance / reach), divided by `count`, with its gradient on both sides."""
        if not len(ids):
            return 0.0
        targets = scene.object_vertices[b][to]
        off = scene.hand_vertices(side)[b, ids] - targets
        gaps = np.linalg.norm(off, axis=1)
        factor = self.weight * self.scale / count
        value = np.tanh(gaps / reach)
        slopes = factor * ((1.0 - value**2) / np.maximum(gaps, 1e-9))[:, None] * off
        np.add.at(scene.hands[side].by_points[b], 16 + ids, slopes)
        scene.push_object(b, targets, -slopes)
        return float(factor * reach * value.sum())


def contact_values(distances: np.ndarray, reach: float = TOUCHES) -> np.ndarray:
    """Signed distances (N,) m -> contact values min(reach / s, 1): 1 within `reach` m and inside."""
    values: np.ndarray = reach / np.maximum(distances, reach)
    return values


@dataclass
class KnownContact:
    """Squared difference from given contact values min(1 / s, 1), s the distance in mm and 1 inside, and from given
    normals of the object where they touch (HandyPriors D).

    A value tells the distance beyond a millimetre, so values can be compared with any `reach`: from afar a wide one has
    the gradient that 1 / s lacks there.
    """

    values: dict[str, np.ndarray]  # (B, V) in [0, 1] by side
    normals: dict[str, np.ndarray]  # (B, V, 3) unit, in the object's mesh frame; 0 where none is known
    weight: float
    normal_weight: float = 1.0
    scale: float = 1.0
    reach: float = TOUCHES  # m

    def add(self, scene: BatchScene) -> np.ndarray:
        """(B,) means over the vertices; the object's normals are read where the hand's vertices are."""
        total = np.zeros(scene.count)
        if scene.model is None:
            return total
        for side in scene.hands:
            factor = self.weight * self.scale / scene.hand_vertices(side).shape[1]
            for b in range(scene.count):
                off, slopes = scene.distances(b, scene.hand_vertices(side)[b])
                value = contact_values(off, self.reach)
                gap = value - np.minimum(self.values[side][b] * self.reach / TOUCHES, 1.0)
                total[b] += factor * float(gap @ gap)
                # inside the value is 1 at any depth: nothing pushes a vertex out but its neighbours outside
                by_off = np.where(off > self.reach, -2.0 * factor * gap * value**2 / self.reach, 0.0)
                ids = np.flatnonzero(by_off)
                push_contact(scene, b, side, ids, by_off[ids] * off[ids], by_off[ids, None] * slopes[ids])
                total[b] += self._normals(scene, b, side, factor, off)
        return total

    def _normals(self, scene: BatchScene, b: int, side: str, factor: float, off: np.ndarray) -> float:
        """1 - cosine between the normal given and that of the hand, opposite to the object's, at contacts."""
        given = self.normals[side][b]
        ids = np.flatnonzero(np.abs(given).sum(axis=1) > 0.0)
        if not len(ids) or self.normal_weight == 0.0:
            return 0.0
        faces, vertices = scene.bodies.faces(side), scene.hand_vertices(side)[b]
        wanted = -given[ids] @ scene.rotation[b].T  # of the hand
        goal = np.zeros_like(vertices)
        goal[ids] = factor * self.normal_weight * wanted
        normals = vertex_normals(vertices, faces)
        value = factor * self.normal_weight * float((1.0 - (normals[ids] * wanted).sum(axis=1)).sum())
        scene.hands[side].by_points[b, 16:] -= vertex_normals_transposed(vertices, faces, normals, goal)
        scene.torque[b] -= np.cross(wanted, normals[ids]).sum(axis=0) * factor * self.normal_weight
        return value
