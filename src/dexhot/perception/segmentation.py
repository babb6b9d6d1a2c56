"""Label masks without learned weights: the hand by its keypoints, skin colour and depth; the object by its known model.

Masks of things not yet known (`candidates`, `prompted`) are regions of continuous depth above the table.
"""

from itertools import pairwise

import numpy as np
from scipy import ndimage

from dexhot.data.keypoints import BONES
from dexhot.errors import DexhotError
from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.depth_kernels import draw_depth
from dexhot.geometry.planes import ABOVE, Plane
from dexhot.perception import mask_kernels as kernels
from dexhot.perception.object_pose import noise_at
from dexhot.perception.protocols import HandSighting
from dexhot.perception.skin_colour import SkinColour, skin_of

FINGER, PALM_EDGE = 0.010, 0.016  # m, radius of flesh about bones, and of the palm about its outline
AROUND, FOREARM = 0.04, 0.07  # m about the bones, and about the line behind the wrist, in which skin is the hand's
REACH = 1.2  # sizes of the hand around it in which skin belongs to it: the forearm
SKIN = 3.0  # deviations of chromaticity from the hand's own that are skin
NEAR = 0.12  # m of depth between forearm and hand
ARM, ARM_WIDTH, TURN = 0.8, 0.05, 0.7  # part of a region within a forearm's cone that makes it one; m, half of its
# width at the wrist; tangent of a wrist's turn
MOST_BOX = 0.9  # fraction of the image that a box which marks something covers at most
STEP = 0.012  # m of depth between neighbouring pixels that separates two things
NEAREST, UNDRAWN = 0.06, 1e3  # m: nearer than it nothing is drawn; depth where nothing is drawn
PALM_OUTLINE = (0, 1, 5, 9, 13, 17)
FLESH = np.array([*BONES, *pairwise(PALM_OUTLINE)])  # segments that a hand's flesh lies about
RADII = np.array([PALM_EDGE if a == 0 or b in PALM_OUTLINE else FINGER for a, b in FLESH])


def hand_mask(
    camera: Intrinsics,
    color: np.ndarray,
    depth: np.ndarray,
    hand: HandSighting,
    table: Plane | None = None,
    known: SkinColour | None = None,
) -> np.ndarray:
    """(H, W) bool of a hand with its forearm; `table` is not of the hand, however much its colour is skin's, nor is
    what lies before it and has another colour than the skin that is `known`."""
    height, width = depth.shape
    low, high = hand.pixels.min(0), hand.pixels.max(0)
    size = float((high - low).max())
    x0, y0 = np.clip((low - REACH * size).astype(int), 0, [width, height])
    x1, y1 = np.clip((high + REACH * size).astype(int) + 1, 0, [width, height])
    mask = np.zeros((height, width), bool)
    if x1 - x0 < 3 or y1 - y0 < 3:
        return mask
    part, z, points = color[y0:y1, x0:x1], depth[y0:y1, x0:x1], hand.pixels - [x0, y0]
    per_metre = _scale(points)
    flesh, around = np.zeros(z.shape, bool), np.zeros(z.shape, bool)
    kernels.draw_bones(points[FLESH[:, 0]], points[FLESH[:, 1]], per_metre * RADII, flesh)
    kernels.draw_bones(*_reach(points), per_metre * np.r_[np.full(len(FLESH), AROUND), FOREARM], around)
    kernels.fill_holes(flesh)
    if (measured := z[flesh & (z > 0)]).size > 20:
        flesh &= (z == 0) | (np.abs(z - np.median(measured)) < NEAR)
    core = kernels.dilate(flesh, 2, False)
    core = core if core.sum() > 20 else flesh
    core = core if known is None else known.within(part, core, (slice(y0, y1), slice(x0, x1)))
    if not core.any():
        return mask
    if len(near := z[core & (z > 0)]):
        around &= (z > 0) & (np.abs(z - np.median(near)) < NEAR)
    if table is not None and len(near):
        around &= kernels.above(z, camera.cropped(x0, y0, *z.shape[::-1]).pinhole, table.row, ABOVE)
    like = kernels.alike(part, *skin_of(part[core]), SKIN, around)
    found = np.zeros(z.shape, bool)
    kernels.grow(core, like, found)
    closed = kernels.dilate(kernels.dilate(found, 2, True), 2, False)
    mask[y0:y1, x0:x1] = closed | (flesh & like)
    return mask


def is_arm(mask: np.ndarray, hand: HandSighting, hidden: np.ndarray) -> bool:
    """Whether a region (H, W) is the rest of a hand's arm, such as its sleeve: it touches the hand's own mask (in
    `hidden`), and most of it lies behind the wrist."""
    v, u = np.nonzero(mask)
    off = np.stack([u, v], -1) - hand.pixels[0]
    behind = _behind(hand.pixels)
    behind = behind / max(float(np.linalg.norm(behind)), 1e-9)
    along, across = off @ behind, np.abs(off @ [-behind[1], behind[0]])
    inside = (along > 0.0) & (across < ARM_WIDTH * _scale(hand.pixels) + TURN * along)
    return bool(inside.mean() > ARM and (kernels.dilate(mask, 3, True) & hidden).any())


def _scale(points: np.ndarray) -> float:
    """Pixels per metre at a hand (21, 2), by its palm or, where that points at the camera, by the whole hand."""
    size = float((points.max(0) - points.min(0)).max())
    return max(float(np.linalg.norm(points[9] - points[0])), 0.35 * size) / 0.095


def _behind(points: np.ndarray) -> np.ndarray:
    """(2,) px from a hand's knuckles to its wrist."""
    behind: np.ndarray = points[0] - points[[5, 9, 13, 17]].mean(0)
    return behind


def _reach(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends (N, 2) of what a hand's skin lies about: its bones, and a forearm behind the wrist."""
    behind = _behind(points)
    starts, ends = points[FLESH[:, 0]], points[FLESH[:, 1]]
    return np.concatenate([starts, points[:1]]), np.concatenate([ends, points[:1] + 4.0 * behind[None]])


class ModelMask:
    """Where a known object at a known pose is seen."""

    def __init__(self, camera: Intrinsics, vertices: np.ndarray, faces: np.ndarray):
        self.camera, self.vertices, self.faces = camera, np.asarray(vertices, float), np.asarray(faces, np.int64)
        self.drawn: tuple[np.ndarray, tuple[slice, slice], np.ndarray] | None = None  # the last pose, and its depth

    def __call__(self, pose: np.ndarray, depth: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """(H, W) bool: the rendered object where nothing measured lies before it, and no hand."""
        mask = np.zeros(depth.shape, bool)
        part, z = self._depth(pose)
        measured = depth[part]
        covered = (measured > 0) & (measured < z - 4 * noise_at(float(pose[2, 3])))
        mask[part] = (z < UNDRAWN) & ~covered & ~hidden[part]
        return mask

    def _depth(self, pose: np.ndarray) -> tuple[tuple[slice, slice], np.ndarray]:
        """Rows and columns in which the object may be seen, and its depth there (h, w) m; each image asks several
        times."""
        if self.drawn is None or not np.array_equal(self.drawn[0], pose):
            self.drawn = (pose.copy(), *self._draw(pose))
        return self.drawn[1:]

    def _draw(self, pose: np.ndarray) -> tuple[tuple[slice, slice], np.ndarray]:
        points = self.vertices @ pose[:3, :3].T + pose[:3, 3]
        if points[:, 2].min() < NEAREST:
            return (slice(0, 0), slice(0, 0)), np.zeros((0, 0))
        pixels, size = self.camera.project(points), [self.camera.width, self.camera.height]
        x0, y0 = np.clip(np.floor(pixels.min(0)).astype(int), 0, size)
        x1, y1 = np.clip(np.ceil(pixels.max(0)).astype(int) + 1, 0, size)
        z = np.full((max(y1 - y0, 0), max(x1 - x0, 0)), UNDRAWN)
        draw_depth(points, self.faces, self.camera.cropped(x0, y0, *z.shape[::-1]).pinhole, z)
        return (slice(y0, y1), slice(x0, x1)), z


def candidates(
    camera: Intrinsics, depth: np.ndarray, hidden: np.ndarray, plane: Plane | None, diameter: float
) -> list[np.ndarray]:
    """Masks of what may be an object of `diameter` m, the likeliest by size first."""
    free = (depth > 0) & (depth < 2.0) & ~hidden
    if plane is not None:
        v, u = np.mgrid[: depth.shape[0], : depth.shape[1]]
        height = camera.backproject(np.stack([u, v], -1), depth.astype(float)) @ plane.n - plane.d
        free &= height > ABOVE
    parts, count = ndimage.label(free & ~_steps(depth))
    if not count:
        return []
    sizes = np.bincount(parts.ravel())[1:]
    found = []
    for number in np.argsort(-sizes)[:12] + 1:
        mask = parts == number
        z = float(np.median(depth[mask]))
        expected = (camera.fx * diameter / z) ** 2
        if sizes[number - 1] < max(40, 0.02 * expected):
            break
        v, u = np.nonzero(mask)
        extent = np.hypot(np.ptp(u), np.ptp(v)) * z / camera.fx
        if extent < 2.0 * diameter:
            found.append((abs(np.log(max(extent, 1e-3) / diameter)), mask))
    found.sort(key=lambda item: item[0])
    return [ndimage.binary_dilation(mask) & free for _, mask in found]


def marks(prompt: np.ndarray) -> np.ndarray:
    """(N, 2) px on what a prompt marks: its click (2,) or clicks (N, 2), or the centre of its box (4,)."""
    return np.reshape(prompt, (-1, 2)).mean(0, keepdims=True) if prompt.shape == (4,) else np.reshape(prompt, (-1, 2))


def check_inside(prompt: np.ndarray, width: int, height: int) -> None:
    """Raise DexhotError for a click or box px that is not inside the image, and for a box that is reversed or around
    everything."""
    corners = np.reshape(prompt, (-1, 2))
    text = ",".join(f"{x:g}" for x in corners.ravel())
    if (corners < 0).any() or (corners > [width - 1, height - 1]).any():
        raise DexhotError(f"prompt {text} is not inside the image of {width}x{height} pixels.")
    if prompt.shape != (4,):
        return
    low, high = corners.min(0), corners.max(0)
    if (high == low).any() or (corners[0] != low).any():
        ordered = ",".join(f"{x:g}" for x in (*low, *high))
        what = "has no area" if (high == low).any() else f"has its corners in another order: write {ordered}"
        raise DexhotError(f"the box {text} {what}; a box is LEFT,TOP,RIGHT,BOTTOM, in pixels.")
    if np.prod(high - low + 1) > MOST_BOX * width * height:
        raise DexhotError(
            f"the box {text} covers the whole image of {width}x{height} pixels: draw it close around what it marks."
        )


def prompted(depth: np.ndarray, prompt: np.ndarray) -> np.ndarray:
    """The mask of a click (2,), clicks (N, 2) or a box (4,) px: the region of continuous depth there. Raises
    DexhotError."""
    check_inside(prompt, depth.shape[1], depth.shape[0])
    if prompt.ndim == 2:
        return np.any([prompted(depth, click) for click in prompt], axis=0)
    low, high = prompt[:2], prompt[-2:]
    if len(prompt) == 4:
        box = np.zeros(depth.shape, bool)
        box[int(low[1]) : int(high[1]) + 1, int(low[0]) : int(high[0]) + 1] = True
        known = depth[box & (depth > 0)]
        if not len(known):
            raise DexhotError(f"prompt {prompt.tolist()} has no depth in its box; choose another.")
        centre = ((low + high) / 2).astype(int)
        around = depth[centre[1] - 2 : centre[1] + 3, centre[0] - 2 : centre[0] + 3]
        front = np.median(around[around > 0]) if (around > 0).any() else np.percentile(known, 20)
        return np.asarray(box & (depth > 0) & (np.abs(depth - front) < 0.1))
    u, v = low.astype(int)
    parts, _ = ndimage.label((depth > 0) & ~_steps(depth))
    if not parts[v, u]:
        raise DexhotError(f"prompt {prompt.tolist()} has no depth at its pixel; click beside it.")
    return np.asarray(parts == parts[v, u])


def _steps(depth: np.ndarray) -> np.ndarray:
    """Pixels whose right or lower neighbour is at another depth."""
    steps = np.zeros(depth.shape, bool)
    steps[:, :-1] |= np.abs(np.diff(depth, axis=1)) > STEP
    steps[:-1] |= np.abs(np.diff(depth, axis=0)) > STEP
    return steps
