"""Where and when the fingertips touch: what turns a measured motion, a centimetre off, into a grasp that holds.

A fingertip is a sphere of the robot's tip radius. Measured tips are moved along the grasp's opposition axis (from the
thumb to the fingers) until the sphere touches the object; on approach and after release they are held open by a few
millimetres; while in contact the position targets squeeze past the surface.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from dexhot.geometry.poses import inverse, transform
from dexhot.geometry.rotations import quat_angle
from dexhot.geometry.sdf import ConvexUnion


@dataclass(frozen=True)
class ContactOptions:
    """Lengths in m, times in frames at 60 Hz."""

    reach: float = 0.028  # a measured tip farther than this from the surface is not meant to touch
    sure: float = 0.016  # one nearer than this is
    opening: float = 0.012  # how far the tips keep off before the grasp and after the release
    early: int = 14  # the fingers close this long before the object moves
    squeeze: float = 0.005  # how far the targets lie inside the surface
    moved: float = 0.004  # the object counts as moving once it is this far from rest (50 mm per rad)
    smoothing: float = 2.0  # sigma of the contact offsets
    fade: tuple[int, int] = (
        40,
        30,
    )  # tips return to the measured ones this long before and after contact, over this long
    clearance: float = 0.001  # tips stay this far above the table


@dataclass
class ContactPlan:
    """Centres of the fingertips, thumb where the hand has it, in the world."""

    tips: np.ndarray  # (T, k, 3) where the reference puts them
    squeeze: np.ndarray  # (T, k, 3) where the position targets put them
    contact: np.ndarray  # (T, k) in [0, 1]
    grasp_start: int
    grasp_end: int


def motion_interval(object_pose, moved: float = 0.004) -> tuple[int, int]:
    """First and last frame in which the object (T, 7) moves: away from its first pose, and until it is back at rest."""

    def travel(origin):
        turned = 0.05 * quat_angle(object_pose[:, 3:], origin[3:])
        return np.linalg.norm(object_pose[:, :3] - origin[:3], axis=1) + turned

    last = len(object_pose) - 1
    away, before = travel(object_pose[0]) > moved, travel(object_pose[-1]) > moved
    start = int(np.argmax(away)) if away.any() else last
    set_down = object_pose[-1, 2] - object_pose[0, 2] < 0.01
    end = int(last - np.argmax(before[::-1])) if before.any() and set_down else last
    return start, max(start, end)


def plan_contacts(
    tips, thumb: int, object_pose, solid: ConvexUnion, radius: float, table: float, options: ContactOptions
):
    """Measured fingertip centres (T, k, 3) beside the object (T, 7) -> ContactPlan. `thumb`: its index in k."""
    T = len(tips)
    start, end = motion_interval(object_pose, options.moved)
    frame = np.arange(T)
    measured = transform(inverse(object_pose)[:, None], tips)  # in the mesh frame
    distance, _ = solid.distance(measured)
    near = np.clip((options.reach - distance) / (options.reach - options.sure), 0.0, 1.0)
    near = near * near * (3.0 - 2.0 * near)
    outward = opposition(measured, near, thumb)
    held = ((frame >= start) & (frame <= end))[:, None]

    during = slice(start, end + 1)
    offset = _to_contact(measured[during], near[during], outward[during], solid, radius)
    offset = gaussian_filter1d(offset, options.smoothing, axis=0, mode="nearest")
    offset = offset[np.clip(frame - start, 0, end - start)]
    before, after = (start - frame).clip(0), (frame - end).clip(0)
    opening = options.opening * (((before - options.early) / 12).clip(0, 1) + (after / 12).clip(0, 1))
    away = np.maximum(before, after)
    faded = 1.0 - ((away - options.fade[0]) / options.fade[1]).clip(0, 1)
    centre = measured + (offset + opening[:, None, None] * outward) * faded[:, None, None]
    centre = _push_out(centre, outward, solid, radius - 0.001)

    closing = np.where(before > 0, (options.early - before) / 8, 1.0 + (after > 0) * (9 - after) / 10).clip(0, 1)
    grip = near[np.clip(frame, start, end)]
    fingers = [i for i in range(tips.shape[1]) if i != thumb]
    paired = grip[:, thumb] * grip[:, fingers].sum(1).clip(0, 1)
    depth = options.squeeze * closing[:, None] * grip**2 * paired[:, None]
    inner = centre - depth[..., None] * outward

    lowest = table + radius
    world = transform(object_pose[:, None], centre)
    world[..., 2] = np.maximum(world[..., 2], lowest + options.clearance)
    squeezed = transform(object_pose[:, None], inner)
    squeezed[..., 2] = np.maximum(squeezed[..., 2], lowest - options.clearance)
    return ContactPlan(
        gaussian_filter1d(world, 1.5, axis=0, mode="nearest"),
        gaussian_filter1d(squeezed, 1.5, axis=0, mode="nearest"),
        near * held,
        start,
        end,
    )


def opposition(tips, near, thumb: int):
    """Unit directions (T, k, 3) from the other side of the grasp to each tip (T, k, 3), in the mesh frame."""
    fingers = [i for i in range(tips.shape[1]) if i != thumb]
    weight = near[:, fingers] + 1e-3
    middle = (weight[..., None] * tips[:, fingers]).sum(1) / weight.sum(1)[:, None]
    axis = _unit(middle - tips[:, thumb])  # (T, 3)
    outward = _unit(0.5 * _unit(tips - tips[:, thumb : thumb + 1] + 1e-9) + 0.5 * axis[:, None])
    outward[:, thumb] = -axis
    return outward


def _to_contact(tips, near, outward, solid: ConvexUnion, radius: float):
    """Offsets (T, k, 3) that put each tip's sphere on the surface, along `outward`; else along the surface's normal."""
    steps = np.arange(-0.03, 0.0401, 0.002)
    line = tips[..., None, :] + steps[:, None] * outward[..., None, :]  # (T, k, S, 3)
    overlap = solid.distance(line)[0] < radius
    last = len(steps) - 1 - np.argmax(overlap[..., ::-1], axis=-1)  # the outermost overlap
    hit = overlap.any(-1) & (last < len(steps) - 1)
    low = steps[last]
    high = low + 0.002
    for _ in range(4):
        middle = 0.5 * (low + high)
        inside = solid.distance(tips + middle[..., None] * outward)[0] < radius
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    pushed = tips.copy()
    for _ in range(4):
        distance, normal = solid.distance(pushed)
        pushed = pushed + normal * (radius - distance).clip(0)[..., None]
    return np.where(hit[..., None], near[..., None] * high[..., None] * outward, pushed - tips)


def _push_out(tips, outward, solid: ConvexUnion, radius: float):
    """Move tips (T, k, 3) whose sphere overlaps the object outward until it does not."""
    tips = tips.copy()
    for _ in range(12):
        distance, normal = solid.distance(tips)
        deep = distance < radius
        if not deep.any():
            break
        tips[deep] += (radius - distance[deep])[:, None] * _unit(outward[deep] + normal[deep])
    return tips


def _unit(v):
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9)
