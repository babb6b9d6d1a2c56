"""Residual terms of a hand and an object seen by a depth camera. Equations are those of TF-HOT.

Each gives residuals, their Jacobian over the columns from `Rows.first`, weights and a cost: what is seen is in a
FrameView, what is estimated in a HandObjectScene. Terms of the hand alone (terms.py) are used through HandOnly.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from dexhot.fitting import kernels, row_kernels
from dexhot.fitting.normal_equations import ROBUST
from dexhot.fitting.scene import UNKNOWNS, HandObjectScene, SceneState
from dexhot.fitting.terms import Rows, Term, squares
from dexhot.humans.kernels import POSE_SIZE
from dexhot.humans.skin import JOINTS

LEAST_POINTS = 60  # fewer points of a cloud weigh less in all
NO_OBJECT = np.zeros((0, 6))
NOTHING = np.zeros(0, np.int64), np.zeros(0)
TOWARDS = np.array([0.0, 0.0, -1.0])  # the camera
EYE = np.eye(UNKNOWNS)


@dataclass
class FrameView:
    """One frame as the terms take it."""

    camera: np.ndarray  # (4,) fx fy cx cy of the full image, px
    small: np.ndarray  # (4,) of the thinned image, in which masks are
    labels: np.ndarray  # (h, w) of kernels.thinned_labels
    hand_cloud: np.ndarray  # (N, 3) m, the forearm left out
    object_cloud: np.ndarray  # (M, 3) m
    hand_distances: np.ndarray  # (h, w) px to the hand's mask or to what may hide the hand
    object_distances: np.ndarray  # (h, w) px to the object's mask or to what may hide it
    pixels: np.ndarray  # (21, 2) px
    confidence: np.ndarray  # (21,)
    depth: np.ndarray  # (21,) m at the keypoints, 0 where none
    measured: np.ndarray  # (h, w) m, nearest depth around each pixel of the thinned image, 0 where none
    ground: np.ndarray | None = None  # (4,) of the table: unit normal upward and offset, m
    relative_depth: np.ndarray | None = None  # (21,) px, of the keypoints from the wrist; None: not estimated
    others: tuple["FrameView", ...] = ()  # the same moment by the other cameras, each in its own frame (views.py)

    @cached_property
    def rays(self) -> np.ndarray:
        """(N, 3) unit vectors to the hand's cloud."""
        rays: np.ndarray = self.hand_cloud / np.linalg.norm(self.hand_cloud, axis=1, keepdims=True)
        return rays

    @property
    def scale(self) -> float:
        """Pixels of the full image per pixel of the thinned one."""
        return float(self.camera[0] / self.small[0])


@dataclass
class PointRows:
    """Rows of points of the hand's skin along directions, m in all, and of what the object's step does to them."""

    scene: HandObjectScene
    ids: np.ndarray  # (m,) vertices; negative: none
    directions: np.ndarray  # (m, 3)
    by_object: np.ndarray  # (m, 6), or NO_OBJECT
    residual: np.ndarray  # (m,)
    weight: np.ndarray  # (m,)
    cost: float
    alike: bool = False  # rows of one vertex have one direction
    first: int = 0

    @property
    def jacobian(self) -> np.ndarray:
        """(m, 51), or with the object's columns (m, 57)."""
        rows = row_kernels.contract(self.directions, self.scene.jacobians, self.ids)
        return np.hstack([rows, self.by_object]) if len(self.by_object) else rows

    def add_to(self, A: np.ndarray, g: np.ndarray) -> None:
        """J^T W J onto the lower triangle of A (57, 57), J^T W r onto g (57,)."""
        hand = self.scene.person.hand
        if len(hand.pose_directions):  # each angle moves each vertex: no zeros to leave out
            row_kernels.add_rows(self.jacobian, self.weight, self.residual, 0, A, g)
            return
        ids, directions, weight, residual = self.ids, self.directions, self.weight, self.residual
        if self.alike:
            ids, directions, weight, residual = row_kernels.summed(
                ids, directions, weight, residual, len(hand.vertices)
            )
        points = np.where(ids < 0, -1, JOINTS + ids)
        row_kernels.add_point_rows(points, directions, self.by_object, weight, residual, self.scene.hand.binding, A, g)


class SceneTerm(Protocol):
    """What the scene's solver adds up; `narrow` >= 1 widens the scale of a robust term in the first iterations."""

    def rows(self, scene: HandObjectScene, narrow: float = 1.0) -> Rows | PointRows:
        """Residuals and Jacobian at a scene."""


def nothing() -> Rows:
    """No residuals."""
    return Rows(np.zeros(0), np.zeros((0, 6)), np.zeros(0), 0.0, POSE_SIZE)


def of_both(
    scene: HandObjectScene, vertices: np.ndarray, samples: np.ndarray, direction: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices of the hand, then points of the object's surface, along one direction (3,), as PointRows take them."""
    n = len(vertices)
    directions = np.full((n + len(samples), 3), direction)
    by_object = np.zeros((len(directions), 6))
    if len(samples):
        assert scene.model is not None
        by_object[n:] = row_kernels.carried_rows(scene.model.samples, samples, directions[n:], scene.state.rotation)
    return np.concatenate([vertices, np.full(len(samples), -1)]), directions, by_object


@dataclass
class HandOnly:
    """A term of the hand's pose, with a weight."""

    term: Term
    weight: float = 1.0

    def rows(self, scene: HandObjectScene, narrow: float = 1.0) -> Rows:
        """Those of the term."""
        found = self.term.rows(scene.hand)
        return Rows(found.residual, found.jacobian, self.weight * found.weight, self.weight * found.cost)


@dataclass
class HandMask:
    """Seen vertices that fall outside of the hand's mask, as far as they are from it (eq. 4 for Gauss-Newton).

    What lies over another mask may be hidden by it, and is free.
    """

    view: FrameView
    weight: float = 0.1
    sigma: float = 2.5  # px of the full image
    most: float = 100.0  # px

    def rows(self, scene: HandObjectScene, narrow: float = 1.0) -> Rows | PointRows:
        """One residual per vertex outside, px."""
        view, scale = self.view, self.view.scale
        ids, off, slopes = kernels.mask_rows(scene.seen_vertices, view.small, view.hand_distances, self.most / scale)
        if not len(ids):
            return nothing()
        off *= scale
        weight, cost = row_kernels.robust_weights(off, self.weight, narrow * self.sigma)
        return PointRows(scene, scene.seen[ids], scale * slopes, NO_OBJECT, off, weight, cost)


@dataclass
class ObjectMask:
    """Surface points of the object that fall on the background, as far as they are from its mask (eq. 4)."""

    view: FrameView
    weight: float = 0.1
    sigma: float = 2.5  # px of the full image
    most: float = 80.0  # px

    def rows(self, scene: HandObjectScene, narrow: float = 1.0) -> Rows:
        """One residual per point outside, px."""
        view, scale = self.view, self.view.scale
        if scene.model is None or not len(view.object_cloud):
            return nothing()
        ids, off, slopes = kernels.mask_rows(scene.samples, view.small, view.object_distances, self.most / scale)
        off *= scale
        jacobian = row_kernels.carried_rows(scene.model.samples, ids, scale * slopes, scene.state.rotation)
        weight, cost = row_kernels.robust_weights(off, self.weight, narrow * self.sigma)
        return Rows(off, jacobian, weight, cost, POSE_SIZE)


@dataclass
class Surface:
    """Distance between the hand's cloud and its seen surface, both ways, along the surface's normal (eq. 5)."""

    view: FrameView
    weight: float = 60.0  # of all points together
    back: float = 0.3  # weight of surface to cloud relative to cloud to surface
    sigma: float = 0.003  # m
    reach: float = 0.03  # m
    visible_only: bool = True  # False: the vanilla loss, over the whole surface

    def rows(self, scene: HandObjectScene, narrow: float = 1.0) -> Rows | PointRows:
        """One residual per point and per seen vertex with a counterpart, m."""
        cloud = self.view.hand_cloud
        ids = scene.seen if self.visible_only else np.arange(len(scene.hand.vertices))
        if not len(cloud) or not len(ids):
            return nothing()
        ids, directions, off, weight, cost = row_kernels.surface_rows(
            cloud, self.view.rays, scene.hand.vertices, scene.normals, ids, self.reach, self.weight, self.back,
            narrow * self.sigma, LEAST_POINTS,
        )  # fmt: skip
        return PointRows(scene, ids, directions, NO_OBJECT, off, weight, cost, alike=True)


@dataclass
class CloudToObject:
    """Signed distance of the object's cloud to the object (eq. 6)."""

    view: FrameView
    weight: float = 60.0  # of all points together
    sigma: float = 0.002  # m

    def rows(self, scene: HandObjectScene, narrow: float = 1.0) -> Rows:
        """One residual per point near the object, m."""
        if scene.model is None or not len(self.view.object_cloud):
            return nothing()
        cloud, state = self.view.object_cloud, scene.state
        off, jacobian = row_kernels.near_object_rows(cloud, state.rotation, state.position, *scene.model.volume)
        share = narrow * self.weight / max(len(cloud), LEAST_POINTS)  # wide and narrow steps pull alike
        weight, cost = row_kernels.robust_weights(off, share, narrow * self.sigma)
        return Rows(off, jacobian, weight, cost + share * ROBUST * (len(cloud) - len(off)), POSE_SIZE)


@dataclass
class FreeSpace:
    """Seen vertices of the hand and surface points of the object before the depth measured there: the camera would have
    seen them. Distances to a cloud do not tell: a handle on the near side of a mug has the mug's points behind it.
    """

    view: FrameView
    weight: float = 0.2
    sigma: float = 0.006  # m
    margin: float = 0.010  # m, up to which noise explains it

    def rows(self, scene: HandObjectScene, narrow: float = 1.0) -> Rows | PointRows:
        """One residual per point, m along the optical axis."""
        view = self.view
        at = view.small, view.labels, view.measured, self.margin
        seen, off = kernels.before_measured(scene.seen_vertices, *at)
        with_object = scene.model is not None and len(view.object_cloud)
        ids, before = kernels.before_measured(scene.samples, *at) if with_object else NOTHING
        if not len(seen) + len(ids):
            return nothing()
        residual = np.concatenate([off, before])
        weight, cost = row_kernels.robust_weights(residual, self.weight, narrow * self.sigma)
        return PointRows(scene, *of_both(scene, scene.seen[seen], ids, TOWARDS), residual, weight, cost)


@dataclass
class Penetration:
    """How deep each vertex of the hand is in the object (eq. 7), squared."""

    weight: float = 0.1
    sigma: float = 0.002  # m
    margin: float = 0.0  # m from the surface at which it begins

    def rows(self, scene: HandObjectScene, narrow: float = 1.0) -> Rows | PointRows:
        """One residual per vertex inside, m; it moves both the hand and the object."""
        if scene.model is None:
            return nothing()
        off, by_object, by_point = scene.skin_distances
        inside = np.flatnonzero(off < self.margin)
        if not len(inside):
            return nothing()
        off = off[inside] - self.margin
        weight = np.full(len(inside), self.weight / self.sigma**2)
        cost = float(weight @ off**2)
        return PointRows(scene, inside, by_point[inside], by_object[inside], off, weight, cost)


@dataclass
class Attraction:
    """Fingertips outside of an object that the hand touches: distance of the nearest point of each pad (eq. 8).

    The gate: some vertex is deeper than `gate` in the object (0 or less: it touches). Pads beyond `reach` are free.
    """

    zones: list[np.ndarray]  # vertices of each fingertip's pad
    weight: float = 0.1
    sigma: float = 0.004  # m
    gate: float = 0.001  # m
    reach: float = 0.02  # m

    def rows(self, scene: HandObjectScene, narrow: float = 1.0) -> Rows | PointRows:
        """Up to five residuals, m."""
        if scene.model is None:
            return nothing()
        off, by_object, by_point = scene.skin_distances
        if off.min() > -self.gate:
            return nothing()
        tips = np.array([zone[np.argmin(off[zone])] for zone in self.zones])
        tips = tips[(off[tips] > 0.0) & (off[tips] < self.reach)]
        if not len(tips):
            return nothing()
        weight = np.full(len(tips), self.weight / self.sigma**2)
        cost = float(weight @ off[tips] ** 2)
        return PointRows(scene, tips, by_point[tips], by_object[tips], off[tips], weight, cost)


class Temporal:
    """Change of hand and object since `before`; below the thresholds of the two positions it is free (eq. 9)."""

    def __init__(
        self,
        before: SceneState,
        turn: float = 0.10,
        shift: float = 0.012,
        bend: float = 0.22,
        object_turn: float = 0.12,
        object_shift: float = 0.015,
        threshold: float = 0.0,
        object_threshold: float = 0.0,
        weight: float = 1.0,
    ):
        self.before = before
        self.weight = weight * np.repeat(
            np.array([turn, shift, bend, object_turn, object_shift]) ** -2.0, [3, 3, 45, 3, 3]
        )
        self.threshold, self.object_threshold = threshold, object_threshold

    def rows(self, scene: HandObjectScene, narrow: float = 1.0) -> Rows:
        """57 residuals, rad and m."""
        off = self.before.change_to(scene.state)
        weight = self.weight.copy()
        weight[3:6] *= off[3:6] @ off[3:6] >= self.threshold**2
        weight[54:57] *= off[54:57] @ off[54:57] >= self.object_threshold**2
        return squares(off, EYE, weight)


@dataclass
class Ground:
    """Vertices of the hand and points of the object below a plane."""

    plane: np.ndarray  # (4,) unit normal upward and offset: normal . x + offset is the height, m
    weight: float = 0.05
    sigma: float = 0.003  # m

    def rows(self, scene: HandObjectScene, narrow: float = 1.0) -> Rows | PointRows:
        """One residual per point below, m."""
        low, off = row_kernels.below_plane(scene.hand.vertices, self.plane)
        ids, heights = NOTHING if scene.model is None else row_kernels.below_plane(scene.samples, self.plane)
        if not len(low) + len(ids):
            return nothing()
        residual = np.concatenate([off, heights])
        weight = np.full(len(residual), self.weight / self.sigma**2)
        cost = float(weight @ residual**2)
        return PointRows(scene, *of_both(scene, low, ids, self.plane[:3]), residual, weight, cost)
