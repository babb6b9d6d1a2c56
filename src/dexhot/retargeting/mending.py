"""Repairs of a clip before retargeting, each reported: symmetric flips, an object that leaves the hand for some frames,
moves untouched or is not at rest."""

from dataclasses import replace

import numpy as np

from dexhot.data.keypoints import TIPS
from dexhot.data.types import HandObjectTrajectory
from dexhot.errors import ClipError
from dexhot.geometry.equivalents import nearest_equivalent, reduced_angle
from dexhot.geometry.flips import TURN
from dexhot.geometry.poses import compose, inverse, lowest, make_pose, transform
from dexhot.geometry.rotations import (
    from_xyzw,
    quat_angle,
    quat_conjugate,
    quat_multiply,
    quat_rotate,
)
from dexhot.geometry.sdf import ConvexUnion
from dexhot.objects.asset import ObjectAsset, Symmetry
from dexhot.retargeting.clip_checks import SUNK, check_clip, check_table, check_turns

SAME = np.radians(20.0)  # tolerance of a symmetric flip
STARTS_STILL = 0.1, 0.005  # s, m: an object above the table that moves farther at the start is held
TOUCHED = 0.02  # m: so is one with a fingertip this near
NEAR = 0.03  # m from the surface within which a fingertip may move an object
AROUND = 0.25  # s before and after a frame in which the object's place in the hand is the usual one
LIFTED = 0.01  # m over the table, where nothing but the hand carries it
SLIPS = 0.015, np.radians(25.0)  # m, rad: from there; a person's fingers move an object less in half of that time
JITTER = 0.02, np.radians(15.0)  # m, rad: what an untouched object is seen to move by; beyond, it does move
STILL = 0.8  # fraction of the frames that must be so
SETTLED = np.radians(15.0), 0.02  # rad, m: allowed tracking error of an object at rest
SETTLED_FIT = np.radians(30.0), 0.02  # and of one that was fitted to a camera's depth: it sees two of its sides
XYZW = "Its quaternions are in the order xyzw: write them wxyz."


def checked_clip(
    clip: HandObjectTrajectory, side: str, asset: ObjectAsset | None
) -> tuple[HandObjectTrajectory, list[str]]:
    """`clip`, repaired for retargeting of its hand `side`, and the repairs, a sentence each; without `asset` only
    the hand and the paths are checked. Raises ClipError for errors that cannot be repaired.
    """
    check_clip(clip, side)
    if asset is None:
        return clip, []
    reordered = replace(clip, object_pose=make_pose(clip.object_pose[:, :3], from_xyzw(clip.object_pose[:, 3:])))
    try:
        mended, notes = _mended(clip, side, asset)
    except ClipError as e:
        if XYZW in str(e) or _rests(clip, asset):
            raise
        try:
            _mended(reordered, side, asset)  # a fit's object never rests exactly
        except ClipError:
            raise e from None
        raise ClipError(f"{str(e).partition('. ')[0]}. {XYZW}") from e
    if notes and not _rests(clip, asset) and _rests(reordered, asset):  # what was repaired is no error of tracking
        raise ClipError(f"object_pose: {clip.object_name} is not at rest at the start of the clip. {XYZW}")
    return mended, notes


def _mended(clip: HandObjectTrajectory, side: str, asset: ObjectAsset) -> tuple[HandObjectTrajectory, list[str]]:
    """`checked_clip` with the object's poses as they are."""
    clip, flips = without_flips(clip, asset.symmetry)
    clip, kept = in_hand(clip, side, asset)
    clip, stilled = untouched(clip, asset)
    check_turns("object_pose", clip.time, clip.object_pose[:, 3:])
    advice = resting_advice(clip, asset)
    clip, rested = at_rest(clip, side, asset)
    check_table(clip, asset, advice)
    return clip, [*flips, *kept, *stilled, *rested]


def _rests(clip: HandObjectTrajectory, asset: ObjectAsset) -> bool:
    """Whether the object is at rest on the table in the first frame."""
    from dexhot.simulation.physics import load_physics  # MuJoCo, which the checks do without
    from dexhot.simulation.scene import object_scene
    from dexhot.simulation.settle import rests

    return rests(object_scene(asset, load_physics(), clip.table_height), clip.object_pose[0])


def without_flips(clip: HandObjectTrajectory, symmetry: Symmetry) -> tuple[HandObjectTrajectory, list[str]]:
    """The object's poses without jumps between symmetric equivalents: after each, the clip continues with the
    equivalent nearest to the previous pose. In a fitted clip also after one with an error of its own, if that makes the
    turn half as large."""
    pose, count, fitted = clip.object_pose.copy(), 0, bool(len(clip.object_covariance))
    correction = np.array([1.0, 0.0, 0.0, 0.0])  # in the mesh frame, about the centre of symmetry
    for t in range(1, len(pose)):
        before, now = pose[t - 1, 3:], quat_multiply(pose[t, 3:], correction)
        if quat_angle(before, now) > TURN:
            same = nearest_equivalent(symmetry, make_pose(np.zeros(3), now), before)[3:]
            if quat_angle(before, same) < max(SAME, fitted * 0.5 * quat_angle(before, now)):
                correction, now, count = quat_multiply(quat_conjugate(pose[t, 3:]), same), same, count + 1
        center = np.asarray(symmetry.center, float)
        pose[t, :3] += quat_rotate(pose[t, 3:], center) - quat_rotate(now, center)
        pose[t, 3:] = now
    if not count:
        return clip, []
    return replace(clip, object_pose=pose), [f"undid {count} flip{'s' * (count > 1)} between symmetric poses"]


def in_hand(clip: HandObjectTrajectory, side: str, asset: ObjectAsset) -> tuple[HandObjectTrajectory, list[str]]:
    """A fitted clip whose lifted object stays in the hand that holds it.

    Hidden by a fast hand, the object is lost for some frames, and its poses lag behind, or roll on to one that looks
    the same. Where one is elsewhere in the palm's frame than in most frames around it, it gets the place that it has
    there in those; places that look alike are the same.
    """
    if not len(clip.object_covariance):
        return clip, []
    palm, pose = clip.hands[side].wrist_pose, clip.object_pose.copy()
    lifted = lowest(pose, asset.corners) - clip.table_height > LIFTED
    near = lifted & (_nearest_tip(clip, pose, asset) < NEAR)
    held = compose(inverse(palm), pose)
    moved = 0
    for t in np.flatnonzero(near):
        around = near & (np.abs(clip.time - clip.time[t]) <= AROUND)
        turns = reduced_angle(asset.symmetry, held[around, None, 3:], held[None, around, 3:])
        usual = held[around][np.median(turns, axis=1).argmin()].copy()
        alike = [nearest_equivalent(asset.symmetry, one, usual[3:]) for one in (held[t], *held[around])]
        usual[:3] = np.median(alike[1:], axis=0)[:3]
        here = alike[0]
        if np.linalg.norm(here[:3] - usual[:3]) > SLIPS[0] or quat_angle(here[3:], usual[3:]) > SLIPS[1]:
            here = usual
        elif quat_angle(held[t, 3:], usual[3:]) <= SLIPS[1]:
            continue
        pose[t], moved = compose(palm[t], here), moved + 1
    if not moved:
        return clip, []
    clip, _ = without_flips(replace(clip, object_pose=pose), asset.symmetry)
    note = f"the object was beside its place in the hand in {moved} frame{'s' * (moved > 1)}: it stays there"
    return clip, [note]


def _nearest_tip(clip: HandObjectTrajectory, pose: np.ndarray, asset: ObjectAsset) -> np.ndarray:
    """(T,) m from the object's surface to the nearest fingertip of any hand."""
    tips = np.concatenate([hand.keypoints[:, TIPS] for hand in clip.hands.values()], axis=1)
    distance: np.ndarray = ConvexUnion(asset.pieces).distance(transform(inverse(pose)[:, None], tips))[0].min(axis=1)
    return distance


def untouched(clip: HandObjectTrajectory, asset: ObjectAsset) -> tuple[HandObjectTrajectory, list[str]]:
    """A fitted clip (one with covariances) whose object lies still until a fingertip is near it, and after that.

    Each frame's pose has an error of its own; one of a few degrees in the first would be taken for the pick-up. The
    object lies in the pose of those frames that is nearest to all others.
    """
    if not len(clip.object_covariance):
        return clip, []
    pose = clip.object_pose.copy()
    near = _nearest_tip(clip, pose, asset) < NEAR
    if not near.any():
        return clip, []
    first, last = np.flatnonzero(near)[[0, -1]]
    most = np.zeros(2)
    for part in (slice(0, first), slice(last + 1, len(pose))):
        turns = quat_angle(pose[part, None, 3:], pose[None, part, 3:])
        if len(turns) < 2:
            continue
        lies = pose[part][turns.sum(axis=1).argmin()].copy()
        lies[:3] = np.median(pose[part, :3], axis=0)
        off = np.stack([np.linalg.norm(pose[part, :3] - lies[:3], axis=1), quat_angle(pose[part, 3:], lies[3:])], -1)
        if (off < JITTER).all(axis=1).mean() > STILL:
            pose[part], most = lies, np.maximum(most, off.max(axis=0))
    if not most.any():
        return clip, []
    note = (
        f"the object was seen to move by up to {1e3 * most[0]:.0f} mm and {np.degrees(most[1]):.0f} degrees untouched"
    )
    return replace(clip, object_pose=pose), [f"{note}: it lies still there"]


def at_rest(clip: HandObjectTrajectory, side: str, asset: ObjectAsset) -> tuple[HandObjectTrajectory, list[str]]:
    """The clip with its object at rest on the table in the first frame, by the same criterion as in simulation.

    If it floats or penetrates the table, the whole clip, hands included, is shifted vertically. If it then still tips,
    its mesh frame is corrected throughout by that rotation. Raises ClipError if it cannot have rested there.
    """
    from dexhot.simulation.physics import load_physics  # MuJoCo, which the checks do without
    from dexhot.simulation.scene import object_scene
    from dexhot.simulation.settle import rests, settle, settle_height

    scene, notes = object_scene(asset, load_physics(), clip.table_height), []
    given, start = clip, clip.object_pose[0]
    if rests(scene, start):
        return clip, []
    _require_still(clip, side, asset)
    touching = settle_height(asset, start, clip.table_height)
    drop = float(start[2] - touching[2])
    clip = _lowered(clip, drop)
    if abs(drop) > 1e-3:
        notes.append(
            f"the object was {1e3 * abs(drop):.0f} mm "
            f"{'above' if drop > 0 else 'inside'} the table: the clip was {'lowered' if drop > 0 else 'raised'}"
        )
    if rests(scene, touching):
        return clip, notes
    rest = settle(scene, touching)
    turned, moved = float(quat_angle(rest[3:], touching[3:])), float(np.linalg.norm(rest[:3] - touching[:3]))
    limits = SETTLED_FIT if len(clip.object_covariance) else SETTLED
    if turned > limits[0] or moved > limits[1] or not rests(scene, rest):
        swapped = make_pose(start[:3], from_xyzw(start[3:]))
        order = rests(scene, settle_height(asset, swapped, clip.table_height))
        raise ClipError(
            f"object_pose: {clip.object_name} is not at rest at the start of the clip: released there it turns by "
            f"{np.degrees(turned):.0f} degrees and moves {1e3 * moved:.0f} mm; up to {np.degrees(limits[0]):.0f} "
            f"degrees and {1e3 * limits[1]:.0f} mm are repaired. "
            + (
                XYZW
                if order
                else resting_advice(given, asset)
                or "Check its mesh frame, or start with the object at rest on the table (--frames)."
            )
        )
    notes.append(
        f"the object was not at rest: its poses were turned by {np.degrees(turned):.1f} degrees and moved by "
        f"{1e3 * moved:.1f} mm in its own frame, to its resting pose"
    )
    return replace(clip, object_pose=compose(clip.object_pose, compose(inverse(touching), rest))), notes


def _require_still(clip: HandObjectTrajectory, side: str, asset: ObjectAsset) -> None:
    """Raise ClipError if the object is held above the table at the start of the clip."""
    height = lowest(clip.object_pose, asset.corners) - clip.table_height
    soon = clip.time - clip.time[0] <= STARTS_STILL[0]
    path = float(np.linalg.norm(clip.object_pose[soon, :3] - clip.object_pose[0, :3], axis=1).max())
    deeper = float((height - height[0]).min())
    if height[0] <= SUNK:
        return
    tips = transform(inverse(clip.object_pose[0]), clip.hands[side].keypoints[0, TIPS])
    if deeper < -SUNK:
        why = f"it is {-1e3 * deeper:.0f} mm lower later"
    elif path > STARTS_STILL[1]:
        why = f"it moves {1e3 * path:.0f} mm in {STARTS_STILL[0]:g} s"
    elif ConvexUnion(asset.pieces).distance(tips)[0].min() < TOUCHED:
        why = "the hand touches it"
    else:
        return
    raise ClipError(
        f"object_pose: {clip.object_name} is {1e3 * height[0]:.0f} mm above the table at the start of the clip, and "
        f"held, not at rest ({why}). {resting_advice(clip, asset)} Or correct table_height."
    )


def resting_advice(clip: HandObjectTrajectory, asset: ObjectAsset) -> str:
    """Which frames to choose for a clip that begins with its object in the air or moving, in the numbers of the whole
    clip; "" where it begins with the object still and near the table."""
    height = lowest(clip.object_pose, asset.corners) - clip.table_height
    later = np.searchsorted(clip.time, clip.time + STARTS_STILL[0], side="right") - 1
    path = np.linalg.norm(clip.object_pose[later, :3] - clip.object_pose[:, :3], axis=1)
    turn = quat_angle(clip.object_pose[later, 3:], clip.object_pose[:, 3:])
    rests = (path <= STARTS_STILL[1]) & (turn <= JITTER[1]) & (height <= SUNK) & (later > np.arange(len(later)))
    if rests[0]:
        return ""
    first = int(clip.provenance.get("frames", [0])[0])
    choice = (
        f"It rests from frame {first + int(rests.argmax())} on: start there with --frames."
        if rests.any()
        else "No frame of this stretch shows it at rest: choose with --frames one that starts before it is picked up."
    )
    return (
        f"In the first frame ({first}) it is {1e3 * height[0]:.0f} mm above the table, and in {STARTS_STILL[0]:g} s it "
        f"moves {1e3 * path[0]:.0f} mm and turns {np.degrees(turn[0]):.0f} degrees. {choice}"
    )


def _lowered(clip: HandObjectTrajectory, drop: float) -> HandObjectTrajectory:
    down = np.array([0.0, 0.0, drop])
    shift = np.r_[down, np.zeros(4)]
    hands = {
        side: replace(hand, keypoints=hand.keypoints - down, wrist_pose=hand.wrist_pose - shift)
        for side, hand in clip.hands.items()
    }
    return replace(clip, hands=hands, object_pose=clip.object_pose - shift)
