"""A hand's or an object's box and mask in an image, linearised for the hand-object filter.

Of both the filter takes how far they reach in some directions d: max d . u over their pixels, beside the same maximum
over the projected body. Of an object (`OfObject`) that needs the vertices of its convex hull only (`hull_of`), is exact
for meshes that are not convex, has a simple derivative, and a part that a hand may hide costs the directions towards
it, not all. A mask's centroid and second moments, as an alternative, are wrong as soon as anything is hidden. A hand
(`OfHand`) reaches as far as spheres about its keypoints: what the filter's state knows of it. Its forearm says nothing
of the hand, but is often in its mask.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from dexhot.data.keypoints import MIDDLE_MCP, NAMES, WRIST
from dexhot.errors import DexhotError
from dexhot.geometry import single
from dexhot.geometry.boxes import window
from dexhot.tracking.contact_dynamics import skew
from dexhot.tracking.rows import Expected, ObservedRows, What, object_columns

if TYPE_CHECKING:
    from dexhot.geometry.cameras import Intrinsics

NEAREST = 0.05  # m from the camera: nearer points are behind it, or have no pixel
SIDES = np.array([[-1.0, 0.0], [0.0, -1.0], [1.0, 0.0], [0.0, 1.0]])  # left, top, right, bottom
AROUND = np.array([(np.cos(a), np.sin(a)) for a in np.arange(16) * np.pi / 8])  # directions of a mask
EDGE = 0.5  # px from the centre of the outermost pixel to the edge
MARGIN = 4  # px from a hand's pixels within which the outline may be the hand's
MAJORITY = 0.5  # of the directions that must agree: else it is another's
HEEL = 0.25  # of the way from the wrist to the knuckles up to which the outline may be the forearm's
SIDEWAYS = 0.1  # cosine between the forearm and a side of a box from which on it may end the box there
BEYOND = 0.06  # m by which a mask may reach beyond the hand that is expected: more is the forearm, differently bent
END_ON = 0.4  # sine between palm and line of sight below which nobody knows where in the image the forearm begins


class Outermost(NamedTuple):
    """Where a body reaches farthest in D directions of an image."""

    points: np.ndarray  # (D, 3) m, on its surface, in the camera's frame
    which: np.ndarray  # (D,) the vertex or keypoint to which each belongs


class WristLine(NamedTuple):
    """Where in an image a forearm begins."""

    at: np.ndarray  # (2,) px
    toward: np.ndarray  # (2,) from there to the middle knuckle is 1
    end_on: bool = False  # nobody knows

    def ahead(self, pixels: np.ndarray) -> np.ndarray:
        """(N,) of pixels (N, 2): 0 at the wrist, 1 at the knuckle."""
        found: np.ndarray = (pixels - self.at) @ self.toward
        return found


ANYWHERE = WristLine(np.zeros(2), np.array([0.0, 1.0]), True)


@dataclass(frozen=True)
class OfObject:
    """The object that is seen."""

    hull: np.ndarray  # (N, 3) m in the mesh frame: hull_of its vertices
    what: ClassVar[What] = "object"

    def outermost(
        self, state: Expected, directions: np.ndarray, camera: "Intrinsics", camera_T_world: np.ndarray
    ) -> Outermost | None:
        """In `directions` (D, 2); None if part of it is not before the camera."""
        x = single.transform(single.compose(camera_T_world, np.concatenate([state.p, state.q])), self.hull)
        if x[:, 2].min() <= NEAREST:
            return None
        which = (camera.project(x) @ directions.T).argmax(axis=0)
        return Outermost(x[which], which)

    def jacobian(self, state: Expected, which: np.ndarray, slope: np.ndarray) -> tuple[slice, np.ndarray]:
        """Columns, and derivatives (D, c) of what has the derivatives `slope` (D, 3) by the points in the world."""
        arm = self.hull[which] @ single.matrix(state.q).T
        turn = -np.einsum("ni,nij->nj", slope, skew(arm))
        return object_columns(state), np.concatenate([slope, turn], axis=1)

    def wrist_line(self, state: Expected, camera: "Intrinsics", camera_T_world: np.ndarray) -> None:
        """An object has none."""


@dataclass(frozen=True)
class OfHand:
    """The hand that is seen, as spheres about its K keypoints."""

    radii: np.ndarray  # (K,) m; of a person's 21 keypoints: humans/flesh.py
    sigma: np.ndarray  # (K,) m, of these
    forearm: bool = True  # it may be part of what is seen, from the first of 21 keypoints on
    what: ClassVar[What] = "hand"

    def __post_init__(self) -> None:
        if not (np.isfinite(self.radii).all() and np.isfinite(self.sigma).all()):
            raise DexhotError("the radii of a hand's keypoints must be finite.")
        if self.forearm and len(self.radii) != len(NAMES):
            raise DexhotError(f"a forearm goes on from a person's {len(NAMES)} keypoints, not {len(self.radii)}.")

    def outermost(
        self, state: Expected, directions: np.ndarray, camera: "Intrinsics", camera_T_world: np.ndarray
    ) -> Outermost | None:
        """In `directions` (D, 2); None if part of it is not before the camera."""
        if len(self.radii) != len(state.keypoints):
            raise DexhotError(f"{len(self.radii)} radii of keypoints, but the filter tracks {len(state.keypoints)}.")
        x = single.transform(camera_T_world, state.keypoints)
        if x[:, 2].min() <= NEAREST:
            return None
        slopes = np.tensordot(directions, camera.slopes(x), (1, 1))  # (D, K, 3): towards where a sphere is outermost
        steep = np.sqrt((slopes**2).sum(axis=2))
        which = (directions @ camera.project(x).T + self.radii * steep).argmax(axis=1)
        at = np.arange(len(which))
        outward = slopes[at, which] / steep[at, which, None]
        return Outermost(x[which] + self.radii[which, None] * outward, which)

    def jacobian(self, state: Expected, which: np.ndarray, slope: np.ndarray) -> tuple[slice, np.ndarray]:
        """Columns, and derivatives (D, c) of what has the derivatives `slope` (D, 3) by the points in the world. That
        the outermost point of a sphere is another one after a small step changes nothing to first order."""
        J = np.zeros((len(which), len(self.radii), 3))
        J[np.arange(len(which)), which] = slope
        return slice(0, 3 * len(self.radii)), J.reshape(len(which), 3 * len(self.radii))

    def wrist_line(self, state: Expected, camera: "Intrinsics", camera_T_world: np.ndarray) -> WristLine | None:
        """Behind which pixels are the forearm's; None without one."""
        if not self.forearm:
            return None
        x = single.transform(camera_T_world, state.keypoints[[WRIST, MIDDLE_MCP]])
        palm = x[1] - x[0]
        along = (palm @ x[0]) ** 2 / (x[0] @ x[0] * (palm @ palm))
        if along > 1.0 - END_ON**2:
            return ANYWHERE
        wrist, knuckle = camera.project(x)
        return WristLine(wrist, (knuckle - wrist) / ((knuckle - wrist) ** 2).sum())


@dataclass(frozen=True)
class SeenBox:
    """The bounding box of a hand or the object in a calibrated camera. A side that is not known (at the image's edge,
    or behind the other) is NaN."""

    box: np.ndarray  # (4,) px: left, top, right, bottom, half a pixel outside the outermost pixels' centres
    of: OfObject | OfHand
    camera: "Intrinsics"
    camera_T_world: np.ndarray  # (7,)
    noise: float = 3.0  # sigma of a side, px
    swell: float = 1.5  # sigma, px, by which the whole box may be too large

    def rows(self, state: Expected) -> ObservedRows:
        """Of the sides that are known, and not where a forearm may end the box; each gated by itself."""
        extent = self.box * SIDES.sum(axis=1)
        line = self.of.wrist_line(state, self.camera, self.camera_T_world)
        if line is not None:
            back = -line.toward / np.sqrt(line.toward @ line.toward)
            extent = np.where(line.end_on | (SIDES @ back > SIDEWAYS), np.nan, extent)
        return extent_rows(self, SIDES, extent, state)


@dataclass(frozen=True)
class SeenMask:
    """The mask of a hand or the object in a calibrated camera; `seen_mask` makes it."""

    border: np.ndarray  # (M, 2) px, its pixels u, v that have one beside them that is not its
    covered: np.ndarray  # (H, W) bool, where the outline may be another's
    of: OfObject | OfHand
    camera: "Intrinsics"
    camera_T_world: np.ndarray  # (7,)
    noise: float = 2.0  # sigma of a point of the outline, px
    swell: float = 1.0  # sigma, px, by which the whole mask may be too large

    def rows(self, state: Expected) -> ObservedRows:
        """Of the directions that are known, and where the outermost point is expected to be seen; each gated by
        itself. Of a hand, what is behind the wrist is left out, and directions in which it was cut there."""
        line = self.of.wrist_line(state, self.camera, self.camera_T_world)
        return extent_rows(self, AROUND, self.extent(line), state, self.covered)

    def extent(self, line: WristLine | None = None) -> np.ndarray:
        """(16,) px, how far it reaches in each direction of AROUND; NaN: not known."""
        return known_extent(self.border, self.covered, AROUND, line)


def extent_rows(
    seen: SeenBox | SeenMask,
    directions: np.ndarray,
    extent: np.ndarray,
    state: Expected,
    covered: np.ndarray | None = None,
) -> ObservedRows:
    """Observed against expected `extent` (D,) px in `directions` (D, 2). None if part of the body is not before the
    camera."""
    found, known = None, np.isfinite(extent)
    if known.any():
        found = seen.of.outermost(state, directions, seen.camera, seen.camera_T_world)
    if found is None:
        return ObservedRows(np.zeros(0), slice(0, 0), np.zeros((0, 0)), np.zeros((0, 0)), 1)
    pixels = seen.camera.project(found.points)
    if covered is not None:
        u, v = np.rint(pixels).astype(int).T
        inside = (u >= 0) & (v >= 0) & (u < covered.shape[1]) & (v < covered.shape[0])
        known &= inside & ~covered[np.where(inside, v, 0), np.where(inside, u, 0)]
    slope = np.einsum("di,dij->dj", directions, seen.camera.slopes(found.points))  # px/m
    steep = np.sqrt((slope**2).sum(axis=1))
    residual = extent - (directions * pixels).sum(axis=1)
    if isinstance(seen.of, OfHand) and seen.of.forearm:
        residual = np.where(residual > BEYOND * steep, np.inf, residual)  # outside of any gate
    which = found.which[known]
    columns, J = seen.of.jacobian(state, which, slope[known] @ single.matrix(seen.camera_T_world[3:]))
    R = seen.noise**2 * np.eye(len(which)) + seen.swell**2
    if isinstance(seen.of, OfHand):  # an error of a radius is that of all directions in which it is outermost
        error = seen.of.sigma[which] * steep[known]
        R += (which[:, None] == which) * np.outer(error, error)
    return ObservedRows(residual[known], columns, J, R, 1, MAJORITY)


def known_extent(
    border: np.ndarray, covered: np.ndarray, directions: np.ndarray, line: WristLine | None = None
) -> np.ndarray:
    """(D,) px, how far pixels (M, 2) reach in each of `directions` (D, 2), without those behind a wrist. NaN where they
    end because something covers what goes on there (H, W), the image ends, or at the wrist."""
    pixels = border if line is None else border[line.ahead(border) > 0.0]
    if not len(pixels) or (line is not None and line.end_on):
        return np.full(len(directions), np.nan)
    reach = directions @ pixels.T
    ends = pixels[reach.argmax(axis=1)]
    u, v = ends.T.astype(int)
    height, width = covered.shape
    cut = covered[v, u] | (u == 0) | (v == 0) | (u == width - 1) | (v == height - 1)
    if line is not None:
        cut |= line.ahead(ends) < HEEL
    extent: np.ndarray = np.where(cut, np.nan, reach.max(axis=1) + EDGE)
    return extent


def seen_box(
    mask: np.ndarray, hidden: np.ndarray, of: OfObject | OfHand, camera: "Intrinsics", camera_T_world: np.ndarray
) -> SeenBox | None:
    """The box of a mask, as `seen_mask` takes it; cheaper, and it says less."""
    if not mask.any():
        return None
    extent = known_extent(border(mask), widened(hidden, MARGIN), SIDES)
    return SeenBox(extent * SIDES.sum(axis=1), of, camera, camera_T_world)


def seen_mask(
    mask: np.ndarray,
    hidden: np.ndarray,
    of: OfObject | OfHand,
    camera: "Intrinsics",
    camera_T_world: np.ndarray,
    noise: float = 2.0,
    swell: float = 1.0,
) -> SeenMask | None:
    """Of the pixels `mask` (H, W) bool of a hand or the object, with `hidden` (H, W) bool those of what may be before
    it (the other one); None for an empty mask. How far it reaches is not known in directions in which its outermost
    pixel is next to those, or at the image's edge."""
    if not mask.any():
        return None
    return SeenMask(border(mask), widened(hidden, MARGIN), of, camera, camera_T_world, noise, swell)


def border(mask: np.ndarray) -> np.ndarray:
    """(M, 2) px u, v: those of `mask` (H, W), which is not empty, that have one beside them that is not in it."""
    part = window(mask, 1)
    own = mask[part]
    inner = own.copy()
    inner[[0, -1]], inner[:, [0, -1]] = False, False
    inner[1:-1, 1:-1] &= own[:-2, 1:-1] & own[2:, 1:-1] & own[1:-1, :-2] & own[1:-1, 2:]
    v, u = np.nonzero(own & ~inner)
    return np.stack([u + part[1].start, v + part[0].start], axis=1).astype(float)


def widened(mask: np.ndarray, margin: int) -> np.ndarray:
    """(H, W) bool: with the pixels up to `margin` beside it, across and along."""
    out = mask.copy()
    if not mask.any():
        return out
    wide = out[window(mask, margin)]
    for _ in range(margin):
        wide[:, 1:] |= wide[:, :-1].copy()
        wide[:, :-1] |= wide[:, 1:].copy()
    for _ in range(margin):
        wide[1:] |= wide[:-1].copy()
        wide[:-1] |= wide[1:].copy()
    return out


def hull_of(vertices: np.ndarray) -> np.ndarray:
    """The vertices (N, 3) of a mesh's convex hull."""
    from scipy.spatial import ConvexHull

    hull: np.ndarray = vertices[ConvexHull(vertices).vertices]
    return hull
