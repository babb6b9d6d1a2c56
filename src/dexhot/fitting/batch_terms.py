"""What images and clouds say of a batch: terms of gradient descent, each a value per sample and its gradient.

`weight` is the published (or our) lambda; `scale` is ours wherever a paper names neither the unit nor whether it sums
or averages. Numbers of equations are those of TF-HOT unless another paper is named.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dexhot.fitting import kernels
from dexhot.fitting.batch import BatchScene
from dexhot.fitting.batch_view import BatchView
from dexhot.fitting.recipe import Recipe
from dexhot.fitting.viewpoint import Viewpoint
from dexhot.geometry.cameras import Intrinsics, project_pinhole
from dexhot.geometry.raster.channels import CHANNELS, OBJECT

HAND_CHANNELS = {side: CHANNELS[side] for side in ("right", "left")}


class BatchTerm(Protocol):
    """What descent adds up."""

    def add(self, scene: BatchScene) -> np.ndarray:
        """(B,) values; their gradient goes into the scene."""


@dataclass
class FromCamera:
    """Terms of a camera beside the first one: the bodies in its frame, the gradient turned back."""

    at: Viewpoint
    small: Intrinsics  # of the window in which masks are compared
    terms: list[BatchTerm]

    def add(self, scene: BatchScene) -> np.ndarray:
        """The sum of the terms."""
        there, total = scene.seen_from(self.at, self.small), np.zeros(scene.count)
        for term in self.terms:
            total += term.add(there)
        scene.take_back(there, self.at)
        return total


def by_all(views: Sequence[BatchView], terms: Sequence[list[BatchTerm]]) -> list[BatchTerm]:
    """The terms of what is seen, those of each camera in its frame."""
    first, *others = terms
    return first + [FromCamera(view.at, view.small, own) for view, own in zip(views[1:], others) if view.at is not None]


def by_recipe(
    recipe: Recipe,
    views: Sequence[BatchView],
    seen: Sequence[Mapping[str, Callable[..., BatchTerm]]],
    kinds: Mapping[str, Callable[..., BatchTerm]],
) -> list[BatchTerm]:
    """The recipe's terms with its settings: of what is seen by each camera (`seen`, the makers by the term's name), and
    the rest once (`kinds`)."""
    of_views = [[own[name](**row) for name, row in recipe.terms.items() if name in own] for own in seen]
    return by_all(views, of_views) + [kinds[name](**row) for name, row in recipe.terms.items() if name in kinds]


def offsets(view: BatchView, points: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reprojection errors (..., 2) as fractions of the image's width and height, and their slopes (..., 2, 3)."""
    camera = view.camera
    before = np.concatenate([points[..., :2], np.maximum(points[..., 2:], 1e-3)], axis=-1)
    size = np.array([camera.width, camera.height], float)
    return (project_pinhole(before, camera.pinhole) - seen) / size, camera.slopes(before) / size[:, None]


@dataclass
class Joints2D:
    """Squared reprojection error of the keypoints, weighted by their confidence, over the image's size (eq. 2)."""

    view: BatchView
    weight: float
    scale: float = 1.0

    def add(self, scene: BatchScene) -> np.ndarray:
        """The sum over keypoints and hands."""
        total = np.zeros(scene.count)
        factor = self.weight * self.scale
        for side in scene.hands:
            off, slopes = offsets(self.view, scene.keypoints(side), self.view.pixels[side])
            confidence = self.view.confidence[side]
            total += factor * (confidence * (off**2).sum(axis=-1)).sum(axis=1)
            scene.push_keypoints(side, 2.0 * factor * confidence[..., None] * (off[..., None, :] @ slopes).squeeze(-2))
        return total


@dataclass
class Vertices2D:
    """Squared distance of the hands' projected vertices from where a first estimate saw them (HOMan 4)."""

    view: BatchView
    seen: dict[str, np.ndarray]  # (B, V, 2) px by side
    weight: float
    scale: float = 1.0

    def add(self, scene: BatchScene) -> np.ndarray:
        """The mean over vertices and hands, over the image's size; frames without a detection count nothing."""
        total = np.zeros(scene.count)
        for side in scene.hands:
            vertices = scene.hand_vertices(side)
            off, slopes = offsets(self.view, vertices, self.seen[side])
            detected = (self.view.confidence[side].sum(axis=1) > 0.0)[:, None]
            factor = self.weight * self.scale / vertices.shape[1] / len(scene.hands)
            total += factor * (detected * (off**2).sum(axis=-1)).sum(axis=1)
            scene.push_vertices(side, 2.0 * factor * detected[..., None] * (off[..., None, :] @ slopes).squeeze(-2))
        return total


@dataclass
class MaskRendering:
    """Squared difference between the masks rendered with occlusion and those seen (eq. 3-4; HandyPriors 2)."""

    view: BatchView
    weight: float
    hand: float = 1.0  # w1
    object: float = 1.0  # w2
    scale: float = 1.0

    def add(self, scene: BatchScene) -> np.ndarray:
        """The mean over the window's pixels."""
        render = scene.drawn()
        channels = np.zeros(4, np.float32)
        for side in scene.hands:
            channels[HAND_CHANNELS[side]] = self.hand
        channels[OBJECT] = self.object if scene.model is not None else 0.0
        off = render.mask - self.view.masks
        factor = self.weight * self.scale / (off.shape[1] * off.shape[2])
        scene.push_mask(2.0 * factor * channels * off)
        value: np.ndarray = factor * (channels * off**2).sum(axis=(1, 2, 3)).astype(float)
        return value


@dataclass
class Silhouette:
    """Squared difference between the object's mask, rendered alone, and that seen, where no hand is (HOMan 3)."""

    view: BatchView
    weight: float
    scale: float = 1.0

    def add(self, scene: BatchScene) -> np.ndarray:
        """The mean over the window's pixels."""
        if scene.model is None:
            return np.zeros(scene.count)
        masks = self.view.masks
        free = 1.0 - masks[..., list(HAND_CHANNELS.values())].sum(axis=-1)
        off = free * (scene.drawn("object").mask[..., OBJECT] - masks[..., OBJECT])
        factor = self.weight * self.scale / (off.shape[1] * off.shape[2])
        gradient = np.zeros((*off.shape, 4), np.float32)
        gradient[..., OBJECT] = 2.0 * factor * free * off
        scene.push_mask(gradient, "object")
        value: np.ndarray = factor * (off**2).sum(axis=(1, 2)).astype(float)
        return value


@dataclass
class ObjectImage:
    """Squared difference between the object's rendered colours and the image in its mask, hands left out
    (HandyPriors 1). Only the object is coloured: people's hands differ too much."""

    view: BatchView
    weight: float
    scale: float = 1.0

    def add(self, scene: BatchScene) -> np.ndarray:
        """The mean over the window's pixels; 0 without the object's colours."""
        if scene.model is None or scene.model.colors is None:
            return np.zeros(scene.count)
        masks = self.view.masks
        free = (1.0 - masks[..., list(HAND_CHANNELS.values())].sum(axis=-1))[..., None]
        off = free * scene.drawn("object").image - masks[..., OBJECT, None] * self.view.images
        factor = self.weight * self.scale / (off.shape[1] * off.shape[2])
        scene.push_image((2.0 * factor * free * off).astype(np.float32))
        value: np.ndarray = factor * (off**2).sum(axis=(1, 2, 3)).astype(float)
        return value


@dataclass
class SurfaceDistance:
    """Squared distance between clouds and meshes, both ways, of hands and object apart (eq. 5)."""

    view: BatchView
    weight: float
    to_faces: float = 1.0  # w3, of each face to its nearest point
    to_points: float = 1.0  # w4, of each point to its nearest face
    visible_only: bool = True  # False: the vanilla loss, over the whole surface
    reach: float = 0.1  # m beyond which a pair does not count
    scale: float = 1.0

    def add(self, scene: BatchScene) -> np.ndarray:
        """Sums over the faces, m2."""
        total = np.zeros(scene.count)
        for b in range(scene.count):
            for side in scene.hands:
                faces = scene.bodies.faces(side)
                vertices = scene.hand_vertices(side)[b]
                value, gradient = self._one(scene, b, side, vertices, faces)
                total[b] += value
                scene.hands[side].by_points[b, 16:] += gradient
            if scene.model is not None:
                vertices = scene.object_vertices[b]
                value, gradient = self._one(scene, b, "object", vertices, scene.model.faces)
                total[b] += value
                scene.push_object(b, vertices, gradient)
        return total

    def _one(
        self, scene: BatchScene, b: int, name: str, vertices: np.ndarray, faces: np.ndarray
    ) -> tuple[float, np.ndarray]:
        gradient = np.zeros_like(vertices)
        cloud = self.view.cloud(name, b)
        ids = scene.visible_faces(b, name) if self.visible_only else np.arange(len(faces))
        if not len(cloud) or not len(ids):
            return 0.0, gradient
        factor = self.weight * self.scale
        total = 0.0
        for by_face, each in ((True, self.to_faces), (False, self.to_points * len(ids) / len(cloud))):
            if each == 0.0:
                continue
            points, found, at, squares = kernels.triangle_pairs(cloud, vertices, faces, ids, by_face, self.reach)
            corners = vertices[faces[found]]
            off = np.einsum("nk,nka->na", at, corners) - cloud[points]
            total += factor * each * float(squares.sum())
            np.add.at(gradient, faces[found], 2.0 * factor * each * at[..., None] * off[:, None])
        return total, gradient


@dataclass
class CloudDistance:
    """Squared signed distance of the object's cloud to the object (eq. 6)."""

    view: BatchView
    weight: float
    scale: float = 1.0

    def add(self, scene: BatchScene) -> np.ndarray:
        """Sums over the cloud, m2."""
        total = np.zeros(scene.count)
        factor = self.weight * self.scale
        if scene.model is None:
            return total
        for b in range(scene.count):
            cloud = self.view.cloud("object", b)
            if not len(cloud):
                continue
            off, slopes = scene.distances(b, cloud)
            total[b] = factor * float(off @ off)
            scene.push_distances(b, cloud, 2.0 * factor * off**2, 2.0 * factor * off[:, None] * slopes)
        return total
