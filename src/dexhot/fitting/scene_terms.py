"""Residual terms of a hand and an object seen by a depth camera. Equations are those of TF-HOT.

Each gives residuals, their Jacobian over the columns from `Rows.first`, weights and a cost: what is seen is in a
FrameView, what is estimated in a HandObjectScene. Terms of the hand alone (terms.py) are used through HandOnly.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dexhot.fitting import kernels
from dexhot.fitting.scene import UNKNOWNS, HandObjectScene, SceneState
from dexhot.fitting.terms import ROBUST, Rows, Term, squares
from dexhot.humans.kernels import POSE_SIZE, logarithm


@dataclass
class FrameView:
    """One frame as the terms take it."""

    camera: np.ndarray  # (4,) fx fy cx cy of the full image, px
    small: np.ndarray  # (4,) of the thinned image, in which masks are
    labels: np.ndarray  # (h, w) thinned labels: 1 this hand, 2 object, 0 background, 3 something else
    hand_cloud: np.ndarray  # (N, 3) m, the forearm left out
    object_cloud: np.ndarray  # (M, 3) m
    hand_distances: np.ndarray  # (h, w) px to the hand's mask or to what may hide the hand
    object_distances: np.ndarray  # (h, w) px to the object's mask or to what may hide it
    pixels: np.ndarray  # (21, 2) px
    confidence: np.ndarray  # (21,)
    depth: np.ndarray  # (21,) m at the keypoints, 0 where none
    measured: np.ndarray  # (h, w) m, nearest depth around each pixel of the thinned image, 0 where none
    ground: np.ndarray | None = None  # (4,) of the table: unit normal upward and offset, m
    others: tuple["FrameView", ...] = ()  # the same moment by the other cameras, each in its own frame (views.py)

    @property
    def rays(self) -> np.ndarray:
        """(N, 3) unit vectors to the hand's cloud."""
        rays: np.ndarray = self.hand_cloud / np.linalg.norm(self.hand_cloud, axis=1, keepdims=True)
        return rays

    @property
    def scale(self) -> float:
        """Pixels of the full image per pixel of the thinned one."""
        return float(self.camera[0] / self.small[0])


class SceneTerm(Protocol):
    """What the scene's solver adds up; `narrow` >= 1 widens the scale of a robust term in the first iterations."""

    def rows(self, scene: HandObjectScene, narrow: float = 1.0) -> Rows:
        """Residuals and Jacobian at a scene."""


def robust(residual: np.ndarray, jacobian: np.ndarray, weight: float, sigma: float, first: int = 0) -> Rows:
    """Rows of a Geman-McClure term: `weight` of each residual, in units of `sigma`."""
    square = (residual / sigma) ** 2
    falling = ROBUST / (ROBUST + square)
    each = weight * falling**2 / sigma**2
    return Rows(residual, jacobian, each, float(weight * (falling * square).sum()), first)


def nothing() -> Rows:
    """No residuals."""
    return Rows(np.zeros(0), np.zeros((0, 6)), np.zeros(0), 0.0, POSE_SIZE)


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

    def rows(self, scene: HandObjectScene, narrow: float = 1.0) -> Rows:
        """One residual per vertex outside, px."""
        view = self.view
        points = scene.hand.vertices[scene.seen]
        ids, off, slopes = kernels.mask_rows(points, view.small, view.hand_distances, self.most / view.scale)
        if not len(ids):
            return nothing()
        jacobian = kernels.contract(view.scale * slopes, scene.jacobians, scene.seen[ids])
        return robust(view.scale * off, jacobian, self.weight, narrow * self.sigma)


@dataclass
class ObjectMask:
    """Surface points of the object that fall on the background, as far as they are from its mask (eq. 4)."""

    view: FrameView
    weight: float = 0.1
    sigma: float = 2.5  # px of the full image
    most: float = 80.0  # px

    def rows(self, scene: HandObjectScene, narrow: float = 1.0) -> Rows:
        """One residual per point outside, px."""
        view = self.view
        if scene.model is None or not len(view.object_cloud):
            return nothing()
        ids, off, slopes = kernels.mask_rows(scene.samples, view.small, view.object_distances, self.most / view.scale)
        if not len(ids):
            return nothing()
        slopes = view.scale * slopes
        turned = np.cross(scene.model.samples[ids], slopes @ scene.state.rotation)
        return robust(view.scale * off, np.hstack([turned, slopes]), self.weight, narrow * self.sigma, POSE_SIZE)


@dataclass
class Surface:
    """Distance between the hand's cloud and its seen surface, both ways, along the surface's normal (eq. 5)."""

    view: FrameView
    weight: float = 60.0  # of all points together
    back: float = 0.3  # weight of surface to cloud relative to cloud to surface
    sigma: float = 0.003  # m
    reach: float = 0.03  # m
    visible_only: bool = True  # False: the vanilla loss, over the whole surface

    def rows(self, scene: HandObjectScene, narrow: float = 1.0) -> Rows:
        """One residual per point and per seen vertex with a counterpart, m."""
        cloud = self.view.hand_cloud
        ids = scene.seen if self.visible_only else np.arange(len(scene.hand.vertices))
        if not len(cloud) or not len(ids):
            return nothing()
        vertices, normals = scene.hand.vertices, scene.normals
        to = kernels.nearest(cloud, self.view.rays, vertices, normals, ids, self.reach)
        back = kernels.nearest_point(vertices[ids], cloud, self.reach)
        points = np.concatenate([cloud[to >= 0], cloud[back[back >= 0]]])
        chosen = np.concatenate([to[to >= 0], ids[back >= 0]])
        if not len(chosen):
            return nothing()
        off = ((vertices[chosen] - points) * normals[chosen]).sum(axis=1)
        jacobian = kernels.contract(normals[chosen], scene.jacobians, chosen)
        found = robust(off, jacobian, 1.0, narrow * self.sigma)
        there = np.count_nonzero(to >= 0)
        share = np.full(len(off), self.weight / max(len(cloud), 60))
        share[there:] = self.back * self.weight / max(len(ids), 60)
        square = (off / (narrow * self.sigma)) ** 2
        missed = np.full(2, ROBUST) @ [
            self.weight * np.count_nonzero(to < 0) / max(len(cloud), 60),
            self.back * self.weight * np.count_nonzero(back < 0) / max(len(ids), 60),
        ]
        cost = float((share * ROBUST * square / (ROBUST + square)).sum() + missed)
        return Rows(found.residual, found.jacobian, share * found.weight, cost)


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
        off, by_object, _ = scene.distances(self.view.object_cloud)
        near = off < kernels.FAR
        weight = narrow * self.weight / max(len(off), 60)  # wide and narrow steps pull alike
        found = robust(off[near], by_object[near], weight, narrow * self.sigma, POSE_SIZE)
        found.cost += weight * ROBUST * float(np.count_nonzero(~near))
        return found


@dataclass
class FreeSpace:
    """Seen vertices of the hand and surface points of the object before the depth measured there: the camera would have
    seen them. Distances to a cloud do not tell: a handle on the near side of a mug has the mug's points behind it.
    """

    view: FrameView
    weight: float = 0.2
    sigma: float = 0.006  # m
    margin: float = 0.010  # m, up to which noise explains it

    def rows(self, scene: HandObjectScene, narrow: float = 1.0) -> Rows:
        """One residual per point, m along the optical axis."""
        view = self.view
        at = view.small, view.labels, view.measured, self.margin
        ids, off = kernels.before_measured(scene.hand.vertices[scene.seen], *at)
        towards = np.tile([0.0, 0.0, -1.0], (len(ids), 1))
        jacobian = np.zeros((len(ids), UNKNOWNS))
        if len(ids):
            jacobian[:, :POSE_SIZE] = kernels.contract(towards, scene.jacobians, scene.seen[ids])
        if scene.model is not None and len(view.object_cloud):
            ids, before = kernels.before_measured(scene.samples, *at)
            rows = np.zeros((len(ids), UNKNOWNS))
            rows[:, 51:54] = np.cross(scene.model.samples[ids], -scene.state.rotation[2])
            rows[:, 56] = -1.0
            jacobian, off = np.concatenate([jacobian, rows]), np.concatenate([off, before])
        return robust(off, jacobian, self.weight, narrow * self.sigma)


@dataclass
class Penetration:
    """How deep each vertex of the hand is in the object (eq. 7), squared."""

    weight: float = 0.1
    sigma: float = 0.002  # m
    margin: float = 0.0  # m from the surface at which it begins

    def rows(self, scene: HandObjectScene, narrow: float = 1.0) -> Rows:
        """One residual per vertex inside, m; it moves both the hand and the object."""
        if scene.model is None:
            return nothing()
        off, by_object, by_point = scene.distances(scene.hand.vertices)
        inside = np.flatnonzero(off < self.margin)
        if not len(inside):
            return nothing()
        jacobian = np.empty((len(inside), UNKNOWNS))
        jacobian[:, :POSE_SIZE] = kernels.contract(by_point[inside], scene.jacobians, inside)
        jacobian[:, POSE_SIZE:] = by_object[inside]
        return squares(off[inside] - self.margin, jacobian, np.full(len(inside), self.weight / self.sigma**2))


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

    def rows(self, scene: HandObjectScene, narrow: float = 1.0) -> Rows:
        """Up to five residuals, m."""
        if scene.model is None:
            return nothing()
        off, by_object, by_point = scene.distances(scene.hand.vertices)
        if off.min() > -self.gate:
            return nothing()
        tips = np.array([zone[np.argmin(off[zone])] for zone in self.zones])
        tips = tips[(off[tips] > 0.0) & (off[tips] < self.reach)]
        if not len(tips):
            return nothing()
        jacobian = np.hstack([kernels.contract(by_point[tips], scene.jacobians, tips), by_object[tips]])
        return squares(off[tips], jacobian, np.full(len(tips), self.weight / self.sigma**2))


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
        before, now = self.before, scene.state
        off = np.concatenate(
            [
                logarithm(before.hand.rotation.T @ now.hand.rotation),
                now.hand.translation - before.hand.translation,
                (now.hand.fingers - before.hand.fingers).ravel(),
                logarithm(before.rotation.T @ now.rotation),
                now.position - before.position,
            ]
        )
        weight = self.weight.copy()
        weight[3:6] *= off[3:6] @ off[3:6] >= self.threshold**2
        weight[54:57] *= off[54:57] @ off[54:57] >= self.object_threshold**2
        return squares(off, np.eye(UNKNOWNS), weight)


@dataclass
class Ground:
    """Vertices of the hand and points of the object below a plane."""

    plane: np.ndarray  # (4,) unit normal upward and offset: normal . x + offset is the height, m
    weight: float = 0.05
    sigma: float = 0.003  # m

    def rows(self, scene: HandObjectScene, narrow: float = 1.0) -> Rows:
        """One residual per point below, m."""
        normal = self.plane[:3]
        hand = scene.hand.vertices @ normal + self.plane[3]
        low = np.flatnonzero(hand < 0.0)
        blocks, off = [], [hand[low]]
        rows = np.zeros((len(low), UNKNOWNS))
        rows[:, :POSE_SIZE] = kernels.contract(np.tile(normal, (len(low), 1)), scene.jacobians, low)
        blocks.append(rows)
        if scene.model is not None:
            height = scene.samples @ normal + self.plane[3]
            low = np.flatnonzero(height < 0.0)
            rows = np.zeros((len(low), UNKNOWNS))
            rows[:, 51:54] = np.cross(scene.model.samples[low], normal @ scene.state.rotation)
            rows[:, 54:57] = normal
            blocks.append(rows)
            off.append(height[low])
        residual = np.concatenate(off)
        return squares(residual, np.concatenate(blocks), np.full(len(residual), self.weight / self.sigma**2))
