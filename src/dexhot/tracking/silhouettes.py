"""The object's box and mask in an image, linearised for the hand-object filter.

Of both the filter takes how far they reach in some directions d: max d . u over their pixels, beside the same maximum
over the projected mesh. That needs the vertices of its convex hull only (`hull_of`), is exact for meshes that are not
convex, has a simple derivative, and a part that a hand may hide costs the directions towards it, not all. A mask's
centroid and second moments, as an alternative, are wrong as soon as anything is hidden.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dexhot.geometry import single
from dexhot.tracking.contact_dynamics import skew
from dexhot.tracking.rows import Expected, ObservedRows, object_columns

if TYPE_CHECKING:
    from dexhot.geometry.cameras import Intrinsics

NEAREST = 0.05  # m from the camera: nearer points are behind it, or have no pixel
SIDES = np.array([[-1.0, 0.0], [0.0, -1.0], [1.0, 0.0], [0.0, 1.0]])  # left, top, right, bottom
AROUND = np.array([(np.cos(a), np.sin(a)) for a in np.arange(16) * np.pi / 8])  # directions of a mask
EDGE = 0.5  # px from the centre of the outermost pixel to the edge
MARGIN = 4  # px from a hand's pixels within which the outline may be the hand's
MAJORITY = 0.5  # of the directions that must agree: else it is another object's


@dataclass(frozen=True)
class SeenBox:
    """The object's bounding box in a calibrated camera. A side that is not known (at the image's edge, or behind a
    hand) is NaN."""

    box: np.ndarray  # (4,) px: left, top, right, bottom, half a pixel outside the outermost pixels' centres
    hull: np.ndarray  # (N, 3) m in the mesh frame: hull_of its vertices
    camera: "Intrinsics"
    camera_T_world: np.ndarray  # (7,)
    noise: float = 3.0  # sigma of a side, px
    swell: float = 1.5  # sigma, px, by which the whole box may be too large

    def rows(self, state: Expected) -> ObservedRows:
        """Of the sides that are known, each gated by itself."""
        return extent_rows(self, SIDES, self.box * SIDES.sum(axis=1), state)


@dataclass(frozen=True)
class SeenMask:
    """The object's mask in a calibrated camera; `seen_mask` makes it."""

    extent: np.ndarray  # (16,) px, how far it reaches in each direction of AROUND; NaN: not known
    covered: np.ndarray  # (H, W) bool, where the outline may be a hand's
    hull: np.ndarray  # (N, 3) m in the mesh frame: hull_of its vertices
    camera: "Intrinsics"
    camera_T_world: np.ndarray  # (7,)
    noise: float = 2.0  # sigma of a point of the outline, px
    swell: float = 1.0  # sigma, px, by which the whole mask may be too large

    def rows(self, state: Expected) -> ObservedRows:
        """Of the directions that are known, and where the object's outermost point is expected to be seen; each gated
        by itself."""
        return extent_rows(self, AROUND, self.extent, state, self.covered)


def extent_rows(
    seen: SeenBox | SeenMask,
    directions: np.ndarray,
    extent: np.ndarray,
    state: Expected,
    covered: np.ndarray | None = None,
) -> ObservedRows:
    """Observed against expected `extent` (D,) px in `directions` (D, 2), by the object's pose. None if part of the
    object is not before the camera."""
    columns, world_T_mesh = object_columns(state), np.concatenate([state.p, state.q])
    x = single.transform(single.compose(seen.camera_T_world, world_T_mesh), seen.hull)
    known = np.isfinite(extent) & bool(x[:, 2].min() > NEAREST)
    if not known.any():
        return ObservedRows(np.zeros(0), columns, np.zeros((0, 6)), np.zeros((0, 0)), 1)
    pixels = seen.camera.project(x)
    which = (pixels @ directions.T).argmax(axis=0)
    if covered is not None:
        u, v = np.rint(pixels[which]).astype(int).T
        inside = (u >= 0) & (v >= 0) & (u < covered.shape[1]) & (v < covered.shape[0])
        known &= inside & ~covered[np.where(inside, v, 0), np.where(inside, u, 0)]
    d, which = directions[known], which[known]
    local = seen.camera.slopes(x[which]) @ single.matrix(seen.camera_T_world[3:])
    arm = seen.hull[which] @ single.matrix(state.q).T
    J = np.einsum("ni,nij->nj", d, np.concatenate([local, -local @ skew(arm)], axis=2))
    residual = extent[known] - (d * pixels[which]).sum(axis=1)
    R = seen.noise**2 * np.eye(len(d)) + seen.swell**2
    return ObservedRows(residual, columns, J, R, 1, MAJORITY)


def seen_mask(
    mask: np.ndarray,
    hidden: np.ndarray,
    hull: np.ndarray,
    camera: "Intrinsics",
    camera_T_world: np.ndarray,
    noise: float = 2.0,
    swell: float = 1.0,
) -> SeenMask | None:
    """Of the object's pixels `mask` (H, W) bool, with `hidden` (H, W) bool those of what may be before it (a hand);
    None for an empty mask. How far it reaches is not known in directions in which its outermost pixel is next to a
    hand, or at the image's edge."""
    if not mask.any():
        return None
    (height, width), pixels = mask.shape, outermost(mask)
    reach = pixels @ AROUND.T
    u, v = pixels[reach.argmax(axis=0)].T
    covered = widened(hidden, MARGIN)
    cut = covered[v, u] | (u == 0) | (v == 0) | (u == width - 1) | (v == height - 1)
    extent = np.where(cut, np.nan, reach.max(axis=0) + EDGE)
    return SeenMask(extent, covered, hull, camera, camera_T_world, noise, swell)


def outermost(mask: np.ndarray) -> np.ndarray:
    """(2 R, 2) px: the first and the last pixel of each of the R rows with any."""
    v = np.flatnonzero(mask.any(axis=1))
    low, high = mask[v].argmax(axis=1), mask.shape[1] - 1 - mask[v, ::-1].argmax(axis=1)
    return np.stack([np.concatenate([low, high]), np.concatenate([v, v])], axis=1)


def widened(mask: np.ndarray, margin: int) -> np.ndarray:
    """(H, W) bool: with the pixels up to `margin` beside it, across and along."""
    wide = mask.copy()
    for _ in range(margin):
        wide[:, 1:] |= wide[:, :-1].copy()
        wide[:, :-1] |= wide[:, 1:].copy()
    for _ in range(margin):
        wide[1:] |= wide[:-1].copy()
        wide[:-1] |= wide[1:].copy()
    return wide


def hull_of(vertices: np.ndarray) -> np.ndarray:
    """The vertices (N, 3) of a mesh's convex hull."""
    from scipy.spatial import ConvexHull

    hull: np.ndarray = vertices[ConvexHull(vertices).vertices]
    return hull
