"""Contact schedule: turns a grasp into fingertip paths and squeezing forces over a clip.

Away from the object the measured fingertips are followed. During the approach they stay open by a few millimetres;
shortly before the object moves they close onto the grasp's contacts, stay fixed to the object while it moves, squeeze,
and open again.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from dexhot.geometry.poses import inverse, transform
from dexhot.geometry.rotations import quat_angle, quat_rotate
from dexhot.geometry.sdf import ConvexUnion
from dexhot.retargeting.grasp import Grasp


@dataclass(frozen=True)
class ContactOptions:
    """Lengths in m, times in frames at 60 Hz."""

    reach: float = 0.028  # a measured tip farther than this from the surface is not in contact
    sure: float = 0.016  # a tip nearer than this is in contact
    opening: float = 0.012  # distance of the tips before the grasp and after the release
    early: int = 14  # the fingers have closed this long before the object moves
    open: int = 12  # they are at `opening` this long before closing, and after the object stops
    pressed: int = 6  # the squeeze is complete this long before the object moves,
    rise: int = 8  # and started this much earlier
    release: int = 10  # it ends, and fingertips may touch the object, this long after the object stops
    smooth: float = 1.5  # sigma of the smoothing of fingertip paths
    force: float = 12.0  # N, the thumb's squeeze
    moved: float = 0.004  # displacement from rest at which the object counts as moving (50 mm per rad)
    near: int = 40  # this long before or after contact the tips start to return to the measured ones,
    fade: int = 30  # and have returned this much later
    spare: float = 0.006  # distance from the object of tips outside the grasp
    clearance: float = 0.001  # tips stay this far above the table


@dataclass
class ContactPlan:
    """Fingertip spheres over a clip, in the world; with links (link_contact.py) k includes their pads, at the end."""

    tips: np.ndarray  # (T, k, 3) centres, m
    force: np.ndarray  # (T, k, 3) desired force of each contact on the object, N
    contact: np.ndarray  # (T, k) in [0, 1]
    touching: np.ndarray  # (T, k) bool: the contact's link may touch the object
    closed: int  # frame from which the tips are on their contacts
    grasp_start: int
    grasp_end: int


def travel(object_pose: np.ndarray, origin: np.ndarray) -> np.ndarray:
    """(T,) m from the pose `origin` (7,) to poses (T, 7): a turn counts as at 5 cm from its axis."""
    turned = 0.05 * quat_angle(object_pose[:, 3:], origin[3:])
    way: np.ndarray = np.linalg.norm(object_pose[:, :3] - origin[:3], axis=1) + turned
    return way


def moves(object_pose: np.ndarray, moved: float = 0.004) -> bool:
    """Whether the object (T, 7) ever leaves its first pose."""
    return bool((travel(object_pose, object_pose[0]) > moved).any())


def motion_interval(object_pose: np.ndarray, moved: float = 0.004) -> tuple[int, int]:
    """First and last frame in which the object (T, 7) moves: away from its first pose, and until it is back at rest."""
    last = len(object_pose) - 1
    away, before = (travel(object_pose, origin) > moved for origin in (object_pose[0], object_pose[-1]))
    start = int(np.argmax(away)) if away.any() else last
    set_down = object_pose[-1, 2] - object_pose[0, 2] < 0.01
    end = int(last - np.argmax(before[::-1])) if before.any() and set_down else last
    return start, max(start, end)


def measured_contacts(
    measured: np.ndarray, thumb: int, held: slice, solid: ConvexUnion, options: ContactOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Measured tips (T, k, 3) in the mesh frame -> contact positions (k, 3) and confidences (k,) in [0, 1].

    The median over the frames in which the object moves: single frames carry the motion capture's noise.
    """
    distance, _ = solid.distance(measured[held])
    near = ((options.reach - distance) / (options.reach - options.sure)).clip(0, 1)
    weight = (near.mean(0) / 0.5).clip(0, 1)
    weight[thumb] = 1.0  # no grasp works without the thumb
    return np.median(measured[held], axis=0), weight


def plan_contacts(
    measured: np.ndarray,
    grasp: Grasp,
    interval: tuple[int, int],
    object_pose: np.ndarray,
    solid: ConvexUnion,
    radius: float | np.ndarray,
    table: float,
    options: ContactOptions,
) -> ContactPlan:
    """Measured tips (T, k, 3) in the mesh frame, a grasp, the first and last frame of the object's motion.

    radius: of the tips, or of each contact (k,).
    """
    start, end = interval
    frame = np.arange(len(measured))
    closed = max(start - options.early, 0)
    before, after = (closed - frame).clip(0), (frame - end).clip(0)
    away = np.maximum(before, after)
    offset = grasp.weight[:, None] * (grasp.centre - measured[np.clip(frame, closed, end)])
    opening = options.opening * (before / options.open + after / options.open).clip(0, 1)
    kept = 1.0 - ((away - options.near) / options.fade).clip(0, 1)
    centre = measured + kept[:, None, None] * (offset + opening[:, None, None] * grasp.normal)
    spare = options.spare * (1.0 - grasp.weight)  # tips outside the grasp stay away from the object
    # Smoothed relative to the object: in the world, contacts would lag millimetres behind a fast start.
    centre = gaussian_filter1d(push_out(centre, solid, radius + spare), options.smooth, axis=0, mode="nearest")

    tips = transform(object_pose[:, None], centre)
    tips[..., 2] = np.maximum(tips[..., 2], table + radius + options.clearance)
    rise = (1.0 - (start - frame - options.pressed) / options.rise).clip(0, 1)
    ramp = np.minimum(rise, (1.0 - after / options.release).clip(0, 1))
    force = options.force * ramp[:, None, None] * quat_rotate(object_pose[:, None, 3:], grasp.force)
    held = (frame >= start) & (frame <= end)
    touching = ((frame >= closed) & (frame <= end + options.release))[:, None] & grasp.active
    return ContactPlan(tips, force, held[:, None] * grasp.weight, touching, closed, start, end)


def in_mesh_frame(object_pose: np.ndarray, points: np.ndarray) -> np.ndarray:
    """World points (T, k, 3), object poses (T, 7) -> the points in the mesh frame."""
    return transform(inverse(object_pose)[:, None], points)


def push_out(tips: np.ndarray, solid: ConvexUnion, radius: np.ndarray) -> np.ndarray:
    """Move tips (T, k, 3) that are nearer to the object than `radius` (k,) outward to that distance."""
    for _ in range(6):
        distance, normal = solid.distance(tips)
        tips = tips + normal * (radius - distance).clip(0)[..., None]
    return tips
