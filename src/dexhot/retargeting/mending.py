"""Repairs of a clip before retargeting, each reported: symmetric flips, an object that moves untouched or is not at
rest."""

from dataclasses import replace

import numpy as np

from dexhot.data.keypoints import TIPS
from dexhot.data.types import HandObjectTrajectory
from dexhot.errors import ClipError
from dexhot.geometry.poses import compose, inverse, lowest, make_pose, transform
from dexhot.geometry.rotations import (
    from_xyzw,
    quat_angle,
    quat_conjugate,
    quat_multiply,
    quat_rotate,
    rotvec_to_quat,
)
from dexhot.geometry.sdf import ConvexUnion
from dexhot.objects.asset import ObjectAsset, Symmetry
from dexhot.retargeting.clip_checks import SUNK, TURN, check_clip, check_table, check_turns

SAME = np.radians(20.0)  # tolerance of a symmetric flip
STARTS_STILL = 0.1, 0.005  # s, m: an object above the table that moves farther at the start is held
TOUCHED = 0.02  # m: so is one with a fingertip this near
NEAR = 0.03  # m from the surface within which a fingertip may move an object
JITTER = 0.02, np.radians(15.0)  # m, rad: what an untouched object is seen to move by; beyond, it does move
SETTLED = np.radians(15.0), 0.02  # rad, m: allowed tracking error of an object at rest


def checked_clip(
    clip: HandObjectTrajectory, side: str, asset: ObjectAsset | None
) -> tuple[HandObjectTrajectory, list[str]]:
    """`clip`, repaired for retargeting of its hand `side`, and the repairs, a sentence each; without `asset` only
    the hand and the paths are checked. Raises ClipError for errors that cannot be repaired.
    """
    check_clip(clip, side)
    if asset is None:
        return clip, []
    clip, flips = without_flips(clip, asset.symmetry)
    check_turns("object_pose", clip.time, clip.object_pose[:, 3:])
    clip, stilled = untouched(clip, asset)
    clip, rested = at_rest(clip, side, asset)
    check_table(clip, asset)
    return clip, [*flips, *stilled, *rested]


def without_flips(clip: HandObjectTrajectory, symmetry: Symmetry) -> tuple[HandObjectTrajectory, list[str]]:
    """The object's poses without jumps between symmetric equivalents: after each, the clip continues with the
    equivalent nearest to the previous pose."""
    pose, count = clip.object_pose.copy(), 0
    correction = np.array([1.0, 0.0, 0.0, 0.0])  # in the mesh frame, about the centre of symmetry
    for t in range(1, len(pose)):
        before, now = pose[t - 1, 3:], quat_multiply(pose[t, 3:], correction)
        if quat_angle(before, now) > TURN:
            same = _nearest(symmetry, before, now)
            if quat_angle(before, same) < SAME:
                correction, now, count = quat_multiply(quat_conjugate(pose[t, 3:]), same), same, count + 1
        center = np.asarray(symmetry.center, float)
        pose[t, :3] += quat_rotate(pose[t, 3:], center) - quat_rotate(now, center)
        pose[t, 3:] = now
    if not count:
        return clip, []
    return replace(clip, object_pose=pose), [f"undid {count} flip{'s' * (count > 1)} between symmetric poses"]


def untouched(clip: HandObjectTrajectory, asset: ObjectAsset) -> tuple[HandObjectTrajectory, list[str]]:
    """A fitted clip (one with covariances) whose object lies still until a fingertip is near it, and after that.

    Each frame's pose has an error of its own; one of a few degrees in the first would be taken for the pick-up. The
    object lies in the pose of those frames that is nearest to all others.
    """
    if not len(clip.object_covariance):
        return clip, []
    solid, pose = ConvexUnion(asset.pieces), clip.object_pose.copy()
    tips = np.concatenate([hand.keypoints[:, TIPS] for hand in clip.hands.values()], axis=1)
    near = solid.distance(transform(inverse(pose)[:, None], tips))[0].min(axis=1) < NEAR
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
        moved = np.linalg.norm(pose[part, :3] - lies[:3], axis=1), quat_angle(pose[part, 3:], lies[3:])
        seen = np.array([moved[0].max(), moved[1].max()])
        if (seen < JITTER).all():
            pose[part], most = lies, np.maximum(most, seen)
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
    start = clip.object_pose[0]
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
    if turned > SETTLED[0] or moved > SETTLED[1] or not rests(scene, rest):
        swapped = make_pose(start[:3], from_xyzw(start[3:]))
        order = rests(scene, settle_height(asset, swapped, clip.table_height))
        raise ClipError(
            f"object_pose: {clip.object_name} is not at rest at the start of the clip: released there it turns by "
            f"{np.degrees(turned):.0f} degrees and moves {1e3 * moved:.0f} mm; up to {np.degrees(SETTLED[0]):.0f} "
            f"degrees and {1e3 * SETTLED[1]:.0f} mm are repaired. "
            + (
                "Its quaternions are in the order xyzw: write them wxyz."
                if order
                else "Check its mesh frame, or start the clip with the object at rest on the table (--frames)."
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
        f"held, not at rest ({why}). Start the clip with the object on the table (--frames), or correct table_height."
    )


def _lowered(clip: HandObjectTrajectory, drop: float) -> HandObjectTrajectory:
    down = np.array([0.0, 0.0, drop])
    shift = np.r_[down, np.zeros(4)]
    hands = {
        side: replace(hand, keypoints=hand.keypoints - down, wrist_pose=hand.wrist_pose - shift)
        for side, hand in clip.hands.items()
    }
    return replace(clip, hands=hands, object_pose=clip.object_pose - shift)


def _nearest(symmetry: Symmetry, before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """The symmetric equivalent (4,) of `now` that is nearest to `before`."""
    if symmetry.kind == "sphere":
        return before
    candidates = [quat_multiply(now, rotation) for rotation in np.asarray(symmetry.rotations, float)]
    if symmetry.kind == "axis":
        candidates = [_turned_about(symmetry, before, candidate) for candidate in candidates]
    return min(candidates, key=lambda q: float(quat_angle(before, q)))


def _turned_about(symmetry: Symmetry, before: np.ndarray, now: np.ndarray) -> np.ndarray:
    """`now` turned about the axis of symmetry to be nearest to `before`: removes the twist of their difference."""
    axis = np.asarray(symmetry.axis, float) / np.linalg.norm(symmetry.axis)
    difference = quat_multiply(quat_conjugate(now), before)
    return quat_multiply(now, rotvec_to_quat(2.0 * np.arctan2(difference[1:] @ axis, difference[0]) * axis))
