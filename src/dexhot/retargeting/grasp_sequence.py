"""Several grasps in one clip, one after another.

An object that is put down, let go and picked up again is carried more than once. An object that turns within the hand
is held by one grasp after another: while the palm's measured rotation about it changes by more than a grasp allows, the
fingers change their contacts one at a time, the others hold. Each grasp is planned for its whole carry
(contact_plan.py); here the clip is divided among them, and their fingertip paths are joined.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.ndimage import gaussian_filter1d

from dexhot.data.types import Reference
from dexhot.geometry.poses import transform
from dexhot.geometry.rotations import mean_quat, quat_angle, quat_conjugate, quat_rotate
from dexhot.retargeting.contact_plan import ContactPlan, in_mesh_frame, motion_interval, push_out
from dexhot.retargeting.grasp import Grasp, GraspSpace, balanced_forces


@dataclass(frozen=True)
class SequenceOptions:
    """Lengths in m, times in frames at 60 Hz."""

    turn: float = np.radians(25.0)  # rad, a grasp lasts while the palm is this near its mean rotation about the object
    shortest: int = 32  # and no shorter than this
    stay: float = 0.010  # a contact that would move by less stays where it is
    step: int = 8  # the time in which one finger changes its contact
    lift: float = 0.008  # its distance from the surface midway
    part: int = 8  # half of the time in which the hand passes from one carry's path to the next
    low: float = 0.01  # an object lower than this over the table,
    still: float = 0.003  # and moving less than this
    rest: int = 15  # for this long is at rest;
    let_go: float = 0.04  # released, if every fingertip is farther than this from it,
    again: float = 0.01  # and picked up again, if it then moves by more than this


@dataclass(frozen=True)
class Stretch:
    """The frames of one grasp, both ends included."""

    first: int
    last: int
    carry: tuple[int, int]  # first and last moving frame of the carry that it is part of


@dataclass(frozen=True)
class PlannedGrasp:
    """A grasp with its stretch, and its contact plan over the whole clip as if it held for its whole carry."""

    stretch: Stretch
    grasp: Grasp
    plan: ContactPlan


SMOOTH = 2.0  # frames, sigma of the smoothing of forces that change with a contact
IN_HAND = 30.0  # degrees, `in_hand_deg` of a clip in which the person turns the object within the hand
FREE, SPARE, HOLDS = 0, 1, 2  # roles of a fingertip: as measured, out of the grasp's way, on its contact


def carries(
    object_pose: np.ndarray, height: np.ndarray, nearest: np.ndarray, moved: float, options: SequenceOptions
) -> list[tuple[int, int]]:
    """First and last moving frame of each carry; one, unless the object is put down, let go and moved again.

    object_pose: (T, 7); height: (T,) m of its lowest point over the table; nearest: (T,) m from its surface to the
    nearest fingertip.
    """
    first, last = motion_interval(object_pose, moved)
    cuts, t = [], first + 1
    while t < last:
        way = np.linalg.norm(object_pose[t : last + 1, :3] - object_pose[t, :3], axis=1)
        stays = (way < options.still) & (height[t : last + 1] < options.low)
        stop = t + max(1, int(np.argmin(stays)) if not stays.all() else len(stays))
        free = t + np.flatnonzero(nearest[t:stop] > options.let_go)
        moves_again = way[stop - t :].max(initial=0.0) > options.again
        if stop - t >= options.rest and moves_again and len(free):
            cuts.append(int(free.mean()))
        t = stop
    bounds = [0, *cuts, len(object_pose)]
    found = []
    for begin, end in pairwise(bounds):
        start, stop = motion_interval(object_pose[begin:end], moved)
        found.append((begin + start, begin + stop))
    return found


def stretches(object_R_palm: np.ndarray, carry: tuple[int, int], options: SequenceOptions) -> list[Stretch]:
    """The grasps of a carry: each as long as the palm's rotations about the object (T, 4) allow, from the first on."""
    first, last = carry
    starts, t = [first], first
    while t <= last:
        within = object_R_palm[starts[-1] : t + 1]
        if quat_angle(within, mean_quat(within)).max() > options.turn and t - starts[-1] >= options.shortest:
            starts.append(t)
        t += 1
    if len(starts) > 1 and last + 1 - starts[-1] < options.shortest:
        starts.pop()
    ends = [start - 1 for start in starts[1:]] + [last]
    return [Stretch(start, end, carry) for start, end in zip(starts, ends)]


def in_hand_deg(object_R_palm: np.ndarray, carried: Sequence[tuple[int, int]]) -> float:
    """How far the palm turns about the object (rotations (T, 4)) while it is carried: of the angle to its mean in each
    carry the 90th percentile over frames, degrees."""
    turns = [object_R_palm[first : last + 1] for first, last in carried]
    angle = np.concatenate([quat_angle(turn, mean_quat(turn)) for turn in turns])
    return float(np.degrees(np.percentile(angle, 90)))


def is_in_hand(reference: Reference) -> bool:
    """Whether its clip is one of in-hand motion: the person turns the object by more than IN_HAND, or it was generated
    as such a motion, whose turns are smaller than those of people who carry an object."""
    turned, clip = reference.provenance.get("in_hand_deg"), reference.provenance.get("trajectory", {})
    return clip.get("kind") == "inhand" or (turned is not None and turned > IN_HAND)


def continued(grasp: Grasp, before: Grasp, thumb: int, friction: float, options: SequenceOptions) -> Grasp:
    """`grasp`, with each contact that is near that of the grasp before in its place, and forces balanced anew."""
    stays = (np.linalg.norm(grasp.centre - before.centre, axis=1) < options.stay) & before.active & grasp.active
    if not stays.any():
        return grasp
    centre = np.where(stays[:, None], before.centre, grasp.centre)
    normal = np.where(stays[:, None], before.normal, grasp.normal)
    force, _ = balanced_forces(centre, normal, grasp.weight, thumb, friction)
    return replace(grasp, centre=centre, normal=normal, force=force)


def joined(
    planned: Sequence[PlannedGrasp],
    object_pose: np.ndarray,
    space: GraspSpace,
    radius: float | np.ndarray,
    force: float,
    options: SequenceOptions,
) -> tuple[ContactPlan, np.ndarray]:
    """One contact plan of all grasps, and the contacts' roles (T, k). radius: of the tips, or of each contact (k,);
    force: the thumb's squeeze, N."""
    plans = [each.plan for each in planned]
    share, moving = _shares(planned, space.thumb, options)
    pick = share.argmax(0)  # (T, k)

    def picked(values: Sequence[np.ndarray]) -> np.ndarray:
        out: np.ndarray = np.take_along_axis(np.stack(values), pick[None], 0)[0]
        return out

    frame = np.arange(len(object_pose))
    active = picked([np.tile(each.grasp.active, (len(frame), 1)) for each in planned])
    closed = picked([np.tile(((frame >= p.closed) & (frame <= p.grasp_end))[:, None], active.shape[1]) for p in plans])
    roles = np.where(closed & ~moving, np.where(active, HOLDS, SPARE), FREE)
    if len(planned) == 1:
        return plans[0], roles
    whole = ContactPlan(
        tips=_path(planned, share, moving, object_pose, space, radius, options),
        force=_force(planned, share, pick, moving, object_pose, space, force),
        contact=(share * np.stack([p.contact for p in plans])).sum(0) * ~moving,
        touching=picked([p.touching for p in plans]) & ~moving,
        closed=plans[0].closed,
        grasp_start=plans[0].grasp_start,
        grasp_end=plans[-1].grasp_end,
    )
    return whole, roles


def _shares(planned: Sequence[PlannedGrasp], thumb: int, options: SequenceOptions) -> tuple[np.ndarray, np.ndarray]:
    """How much each grasp's path counts (G, T, k), and where a finger is in the air between two contacts (T, k)."""
    T, k = planned[0].plan.contact.shape
    frame = np.arange(T, dtype=float)
    share, moving = np.zeros((len(planned), T, k)), np.zeros((T, k), bool)
    share[0] = 1.0
    for g, (before, after) in enumerate(pairwise(planned)):
        s = np.zeros((T, k))
        if before.stretch.carry != after.stretch.carry:
            middle = (before.stretch.carry[1] + after.stretch.carry[0]) / 2
            s[:] = _smooth((frame - middle + options.part) / (2 * options.part))[:, None]
        else:
            s[after.stretch.first :] = 1.0
            movers = _movers(before.grasp, after.grasp, thumb)
            begin = after.stretch.first - len(movers) * options.step // 2
            for turn, finger in enumerate(movers):
                s[:, finger] = _smooth((frame - begin - turn * options.step) / options.step)
                others = [i for i in np.flatnonzero(before.grasp.active & after.grasp.active) if i != finger]
                if finger != thumb and len(others) >= 2:  # otherwise it slides: nothing else would hold the object
                    moving[:, finger] |= (s[:, finger] > 0.0) & (s[:, finger] < 1.0)
        share[: g + 1] *= 1.0 - s
        share[g + 1] = s
    return share, moving


def _movers(before: Grasp, after: Grasp, thumb: int) -> list[int]:
    """The fingertips that change their contact, in their order; the thumb, against which all others press, last."""
    changed = (np.linalg.norm(after.centre - before.centre, axis=1) > 1e-6) | (before.active != after.active)
    return sorted(np.flatnonzero(changed & (before.active | after.active)).tolist(), key=lambda i: (i == thumb, i))


def _smooth(s: np.ndarray) -> np.ndarray:
    """0 to 1 with zero slope at both ends, clipped."""
    s = s.clip(0.0, 1.0)
    out: np.ndarray = s * s * (3.0 - 2.0 * s)
    return out


def _path(
    planned: Sequence[PlannedGrasp],
    share: np.ndarray,
    moving: np.ndarray,
    object_pose: np.ndarray,
    space: GraspSpace,
    radius: float | np.ndarray,
    options: SequenceOptions,
) -> np.ndarray:
    """(T, k, 3) fingertips in the world: the grasps' paths by their shares, lifted off the object between contacts."""
    centre = sum(w[..., None] * in_mesh_frame(object_pose, each.plan.tips) for w, each in zip(share, planned))
    normal = sum(w[..., None] * each.grasp.normal for w, each in zip(share, planned))
    normal = normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
    most = share.max(0)
    away = np.where(moving, options.lift * 4.0 * most * (1.0 - most), 0.0)
    centre = push_out(centre + away[..., None] * normal, space.solid, np.broadcast_to(radius, centre.shape[1]))
    return transform(object_pose[:, None], centre)


def _force(
    planned: Sequence[PlannedGrasp],
    share: np.ndarray,
    pick: np.ndarray,
    moving: np.ndarray,
    object_pose: np.ndarray,
    space: GraspSpace,
    force: float,
) -> np.ndarray:
    """(T, k, 3) N in the world. While a finger changes its contact, the others' forces are balanced without it."""
    world_R_object = object_pose[:, None, 3:]
    total = sum(w[..., None] * each.plan.force for w, each in zip(share, planned))
    total = quat_rotate(quat_conjugate(world_R_object), total)
    known: dict[bytes, np.ndarray] = {}
    changing = moving.any(1) | (pick != pick[:, :1]).any(1)
    for t in np.flatnonzero(changing):
        key = pick[t].tobytes() + moving[t].tobytes()
        if key not in known:
            parts = [(planned[g].grasp, i) for i, g in enumerate(pick[t])]
            centre = np.array([grasp.centre[i] for grasp, i in parts])
            normal = np.array([grasp.normal[i] for grasp, i in parts])
            weight = np.array([grasp.weight[i] for grasp, i in parts]) * ~moving[t]
            known[key] = balanced_forces(centre, normal, weight, space.thumb, space.options.friction)[0]
        total[t] = force * known[key]
    return quat_rotate(world_R_object, gaussian_filter1d(total, SMOOTH, axis=0))
