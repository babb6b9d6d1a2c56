"""Validates a clip before retargeting: hand, units, clock and motion, with a specific error for each.

The limits exceed human motion: in the 88 GRAB clips of the splits objects move at up to 2.3 m/s, wrists at 1.8 m/s,
and wrist frame and keypoints agree within 0.05 degrees. Repairable errors are repaired (retargeting.mending).
"""

import numpy as np

from dexhot.data.keypoints import NAMES, OTHER_SIDE, TIPS, UNITS, WRIST, check_size, wrist_pose
from dexhot.data.types import HandObjectTrajectory, HandTrack
from dexhot.errors import ClipError
from dexhot.geometry.flips import flips
from dexhot.geometry.poses import lowest
from dexhot.geometry.rotations import from_xyzw, mean_quat, quat_angle, quat_conjugate, quat_multiply, quat_rotate
from dexhot.objects.asset import ObjectAsset

NEAR = 1.5  # m: an object always farther than this from the hand is not handled by it
AXIS, OFFSET = 20.0, 0.02  # degrees, m: allowed difference of the wrist frame from the keypoints
BACKWARD = 0.01  # m: fingertips on average this far behind the palm indicate the other hand
RATE = (10.0, 1000.0)  # Hz
GAP = 0.15  # s without a frame
SPEED = 5.0  # m/s of object, wrist or any keypoint
OFF_PATH, OFF_PATH_ACCELERATION = 0.08, 100.0  # m, m/s2: allowed distance of a frame from the mean of its neighbours
UNSEEN = 0.05  # m, sigma of the object's position that a fit has in every frame where none shows it
SUNK = 0.025  # m, allowed penetration of the table

CLOCKS = {1e-3: "milliseconds", 1e-6: "microseconds", 1e-9: "nanoseconds"}  # factor to s


def check_clip(clip: HandObjectTrajectory, side: str) -> None:
    """Raise ClipError if the hand `side` or the object of `clip` is implausible: lengths not in metres, a clock not in
    seconds, a wrist frame of another convention, the other hand, jumps. Rotations of the object are checked by
    `check_turns`, after symmetric flips are undone."""
    check_time(clip.time)
    hand = clip.hands[side]
    if len(clip.object_covariance):
        sigma = float(np.sqrt(np.linalg.eigvalsh(clip.object_covariance[:, :3, :3])[:, -1].min()))
        if sigma > UNSEEN:
            raise ClipError(
                f"object_pose: the fit saw {clip.object_name} in no frame (its position is known to {1e3 * sigma:.0f} "
                "mm at best): find it with `dexhot perceive --object`, and fit again."
            )
    _check_units(clip, hand, side)
    check_wrist(hand, side)
    for k, name in enumerate(NAMES):
        _check_path(f"hands.{side}.keypoints ({name})", clip.time, hand.keypoints[:, k])
    _check_path("object_pose", clip.time, clip.object_pose[:, :3])


def check_time(time: np.ndarray) -> None:
    """Raise ClipError for stamps (T,) in another unit than seconds, or with a gap that is too long to interpolate."""
    steps = np.diff(time)
    step = float(np.median(steps))
    if not RATE[0] <= 1 / step <= RATE[1]:
        unit = next((name for factor, name in CLOCKS.items() if RATE[0] <= 1 / (factor * step) <= RATE[1]), None)
        why = f"that is in {unit}: convert it to seconds" if unit else "record or export it at 10 to 1000 Hz"
        raise ClipError(f"time: its median step is {step:g} s; {why}.")
    if steps.max() > GAP:
        k = int(steps.argmax())
        raise ClipError(
            f"time: no frame for {steps[k]:.2f} s after frame {k} ({time[k] - time[0]:.2f} s); gaps of up to "
            f"{GAP:g} s are interpolated. Export the clip without the gap, or cut it there with --frames."
        )


def check_wrist(hand: HandTrack, side: str) -> None:
    """Raise ClipError if the wrist frame does not match the keypoints."""
    expected, name = wrist_pose(hand.keypoints, side), f"hands.{side}.wrist_pose"
    for axis, what in ((0, "wrist -> middle MCP"), (2, "the back of the hand")):
        off = np.degrees(np.median(_axis_angle(hand.wrist_pose[:, 3:], expected[:, 3:], axis)))
        if off > AXIS:
            raise ClipError(
                f"{name}: its {'xyz'[axis]} axis is {off:.0f} degrees from {what} of the keypoints; expected under "
                f"{AXIS:.0f}.{_cause(hand.wrist_pose[:, 3:], expected[:, 3:])}"
            )
    off = float(np.median(np.linalg.norm(hand.wrist_pose[:, :3] - expected[:, :3], axis=1)))
    if off > OFFSET:
        raise ClipError(
            f"{name}: it is {1e3 * off:.0f} mm from the wrist keypoint; expected under {1e3 * OFFSET:.0f}. Its origin "
            "is the wrist (docs/data.md), not the palm's centre."
        )
    tips = quat_rotate(quat_conjugate(expected[:, None, 3:]), hand.keypoints[:, TIPS] - expected[:, None, :3])
    if tips[..., 2].mean() > BACKWARD:
        other = OTHER_SIDE[side]
        raise ClipError(
            f"hands.{side}: its fingertips bend to the back of the hand by {1e3 * tips[..., 2].mean():.0f} mm on "
            f"average: these are keypoints of a {other} hand, or mirrored ones."
        )


def check_turns(name: str, time: np.ndarray, quat: np.ndarray) -> None:
    """Raise ClipError if orientations (T, 4) flip between two frames."""
    turn = quat_angle(quat[1:], quat[:-1])
    found = flips(turn, np.diff(time))
    if len(found):
        k = int(found[0])
        raise ClipError(
            f"{name}: it flips by {np.degrees(turn[k]):.0f} degrees from frame {k} to {k + 1} "
            f"({time[k] - time[0]:.2f} s), the first of {len(found)} such flips. Track it again, or cut the clip "
            "there with --frames."
        )


def check_table(clip: HandObjectTrajectory, asset: ObjectAsset, advice: str = "") -> None:
    """Raise ClipError if the object penetrates the table; `advice`: what to do, if the cause is known."""
    depth = clip.table_height - lowest(clip.object_pose, asset.corners)
    if depth.max() > SUNK:
        k = int(depth.argmax())
        raise ClipError(
            f"object_pose: {clip.object_name} is {1e3 * depth[k]:.0f} mm inside the table at frame {k}; at most "
            f"{1e3 * SUNK:.0f} mm are allowed. "
            + (advice or f"Check its unit, mesh frame and table_height ({clip.table_height:g} m).")
        )


def _check_path(name: str, time: np.ndarray, position: np.ndarray) -> None:
    """Raise ClipError if positions (T, 3) move faster than people do, or jump for a single frame."""
    step = np.diff(time)
    speed = np.linalg.norm(np.diff(position, axis=0), axis=1) / step
    middle = position[:-2] + (step[:-1] / (step[:-1] + step[1:]))[:, None] * (position[2:] - position[:-2])
    off = np.linalg.norm(position[1:-1] - middle, axis=1)
    allowed = np.maximum(OFF_PATH, OFF_PATH_ACCELERATION * step[:-1] * step[1:] / 2)
    wrong = speed > SPEED
    wrong[:-1] |= off > allowed
    if wrong.any():
        k = int(wrong.argmax())
        k += int(speed[k : k + 2].argmax())  # the outlier frame, or the one after
        moved = 1e2 * speed[k] * step[k]
        raise ClipError(
            f"{name}: it jumps by {moved:.0f} cm from frame {k} to {k + 1} ({time[k] - time[0]:.2f} s), "
            f"{speed[k]:.1f} m/s; people move at under {SPEED:g} m/s. Interpolate or drop the bad frames, or cut the "
            "clip with --frames."
        )


def _check_units(clip: HandObjectTrajectory, hand: HandTrack, side: str) -> None:
    check_size(hand.keypoints, f"hands.{side}.keypoints")
    wrist, position = hand.keypoints[:, WRIST], clip.object_pose[:, :3]
    nearest = float(np.linalg.norm(position - wrist, axis=1).min())
    if nearest > NEAR:
        factors = [f for f in UNITS if np.linalg.norm(f * position - wrist, axis=1).min() < 0.5]
        why = f"it is in {UNITS[factors[0]]}: convert it to metres" if factors else "they are in different frames"
        raise ClipError(f"object_pose: the object is never nearer than {nearest:.3g} m to the wrist; {why}.")
    off = float(np.median(np.linalg.norm(hand.wrist_pose[:, :3] - wrist, axis=1)))
    factors = [f for f in UNITS if np.median(np.linalg.norm(f * hand.wrist_pose[:, :3] - wrist, axis=1)) < OFFSET]
    if off > NEAR and factors:
        raise ClipError(f"hands.{side}.wrist_pose: it is in {UNITS[factors[0]]}: convert it to metres.")


def _axis_angle(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
    """(T,) rad between one axis of two orientations (T, 4)."""
    x, y = (quat_rotate(q, np.eye(3)[axis]) for q in (a, b))
    angle: np.ndarray = np.arctan2(np.linalg.norm(np.cross(x, y), axis=-1), (x * y).sum(-1))
    return angle


def _cause(given: np.ndarray, expected: np.ndarray) -> str:
    """The known mistake that explains `given` (T, 4) instead of `expected`; "" if none does."""
    guesses = {
        "The quaternions are in the order xyzw: write them wxyz": from_xyzw(given),
        "The rotations are inverted: write world_R_wrist": quat_conjugate(given),
        "The quaternions are xyzw and inverted: write world_R_wrist as wxyz": quat_conjugate(from_xyzw(given)),
    }
    for what, quat in guesses.items():
        if np.median(quat_angle(quat, expected)) < np.radians(AXIS):
            return f" {what}."
    fixed = quat_multiply(quat_conjugate(given), expected)
    if quat_angle(fixed, mean_quat(fixed)).max() < np.radians(AXIS):
        return " It differs by a constant rotation: the axes follow another convention; see docs/data.md."
    return " docs/data.md defines its axes."
