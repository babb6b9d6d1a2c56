"""Placement of a demonstration in front of the robot, with the arm's joint path and its timing.

The arm's base is the world's origin and the table's top is z = 0. A whole Reference is moved by one rotation about the
vertical and one translation; candidates are first solved in a batch, on a few frames, then a smooth joint path is
planned for the best ones at 60 Hz. Of those that reach every frame, the one that the arm tracks fastest is chosen, up
to the person's speed.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from dexhot.data.types import RATE, Reference
from dexhot.errors import UnreachableError
from dexhot.geometry.poses import compose, make_pose, matrix_to_pose, pose_to_matrix, transform
from dexhot.geometry.rotations import quat_multiply
from dexhot.retargeting.arm_path import smooth_path
from dexhot.retargeting.time_map import Demand, demand, limits_of, slow_where_needed
from dexhot.robots.arm import FR3_HOME
from dexhot.robots.joint_table import joint_table
from dexhot.robots.joints import columns
from dexhot.robots.kinematics.arm import ArmChain
from dexhot.robots.kinematics.arm_table import ArmTable
from dexhot.robots.kinematics.wrist import palm_poses, palm_to_wrist
from dexhot.robots.robot_hand import RobotHand, load_hand

POSITION_TOLERANCE = 0.005  # m: allowed palm error for smoothness
ROTATION_TOLERANCE = np.radians(3.0)
YAWS = np.radians(np.arange(-180, 180, 15))
DISTANCES = np.arange(0.35, 0.70, 0.07)  # m in front of the base, for the middle of the palm's path
SIDES = np.arange(-0.30, 0.31, 0.15)  # m
FRAMES = 24  # of the coarse search
VERIFIED = 64  # candidates whose path is planned at 60 Hz
EASY = 1.02  # ratio to the person's time: at or below it, the search for a better placement stops


@dataclass
class ArmMotion:
    """The arm's motion along a Reference."""

    q: np.ndarray  # (T, 7)
    position_error: np.ndarray  # (T,) m
    rotation_error: np.ndarray  # (T,) rad
    touches_table: np.ndarray  # (T,) bool

    @property
    def first_failure(self) -> int | None:
        """The first frame out of tolerance or with the arm in the table."""
        off = (self.position_error > POSITION_TOLERANCE) | (self.rotation_error > ROTATION_TOLERANCE)
        bad = np.flatnonzero(off | self.touches_table)
        return int(bad[0]) if len(bad) else None


class Planner:
    """Plans the arm's motion for one hand."""

    def __init__(self, hand: RobotHand):
        self.chain = ArmChain(hand)
        self.table = ArmTable(self.chain)
        self.limits, self.fingers = limits_of(hand)

    def motion(self, reference: Reference, coarse: np.ndarray) -> ArmMotion:
        """The smoothest motion near `coarse` (F, 7) rad, joints at frames evenly spaced over the clip."""
        palms = pose_to_matrix(palm_poses(reference.base_quat, reference.q))
        some, frames = np.linspace(0, len(palms) - 1, len(coarse)), np.arange(len(palms))
        start = np.stack([np.interp(frames, some, joint) for joint in coarse.T], axis=1)
        path = smooth_path(self.table, palms, start)
        return ArmMotion(path.q, path.position_error, path.rotation_error, self.table.touches(path.q))

    def frames(self, reference: Reference, motion: ArmMotion) -> np.ndarray:
        """(K,) the time map required by the limits of arm and fingers. Raises UnreachableError."""
        return slow_where_needed(motion.q, reference.q[:, 6:], self.limits, self.fingers)

    def carried(self, reference: Reference, motion: ArmMotion, frames: np.ndarray) -> Reference:
        """The reference with its wrist on the arm's path: as smooth as that, within the tolerances."""
        palms = matrix_to_pose(self.chain.forward(motion.q)[0])
        wrist = np.stack([palm_to_wrist(p, reference.base_quat, q) for p, q in zip(palms, reference.q)])
        moved_by = np.pad(wrist - reference.q[:, :6], ((0, 0), (0, reference.q.shape[1] - 6)))
        q, target = reference.q + moved_by, reference.target + moved_by
        within = {
            "position_mm": 1e3 * float(motion.position_error.max()),
            "rotation_deg": float(np.degrees(motion.rotation_error.max())),
            "position_tolerance_mm": 1e3 * POSITION_TOLERANCE,
            "rotation_tolerance_deg": float(np.degrees(ROTATION_TOLERANCE)),
        }
        provenance = reference.provenance | {"arm_path": within}
        return replace(reference, q=q, target=target, arm_q=motion.q, arm_frames=frames, provenance=provenance)


def demanded(reference: Reference, hand: RobotHand) -> Demand:
    """The demand of the reference on arm and fingers in its own time; it must have an arm path."""
    return demand(reference.arm_q, reference.q[:, 6:], *limits_of(hand))


def moved(reference: Reference, world_T_old: ArrayLike) -> Reference:
    """The reference in other coordinates, without an arm path; world_T_old (7,) may rotate about the vertical and
    translate."""
    T = np.asarray(world_T_old, float)
    q, target = reference.q.copy(), reference.target.copy()
    q[:, :3], target[:, :3] = transform(T, q[:, :3]), transform(T, target[:, :3])
    return replace(
        reference,
        base_quat=quat_multiply(T[3:], reference.base_quat),
        q=q,
        target=target,
        object_pose=compose(T, reference.object_pose),
        table_height=reference.table_height + float(T[2]),
        placement=compose(T, reference.placement),
        arm_q=np.zeros((0, 7)),
        arm_frames=np.zeros(0),
    )


def place(reference: Reference, hand: RobotHand | None = None, slow: bool = True) -> Reference:
    """The reference placed within the arm's reach: `placement`, `arm_q` and, with `slow`, `arm_frames` set; without
    `slow` the arm keeps the person's time, even beyond its limits. Deterministic.

    Raises UnreachableError, which names, for the best placement found, the first failing frame and its error.
    """
    planner = Planner(hand or load_hand(reference.hand))
    fastest, best, failures = np.inf, None, []
    candidates, coarse = _candidates(reference, planner.chain)
    for candidate, joints in zip(candidates[:VERIFIED], coarse):
        placed = moved(reference, candidate)
        motion = planner.motion(placed, joints)
        if motion.first_failure is not None:
            failures.append((motion.first_failure, motion))
            continue
        frames = planner.frames(placed, motion)
        if len(frames) < fastest:
            fastest, best = len(frames), planner.carried(placed, motion, frames if slow else np.zeros(0))
        if fastest <= EASY * len(reference.q):
            break
    if best is not None:
        return best
    latest = max(failures, key=lambda failure: failure[0])
    raise UnreachableError(
        f"{reference.name}: no placement in front of the arm reaches every frame; the best one fails first at "
        f"{_describe(reference, *latest)}. Use a clip with a shorter path; `--no-place` keeps the recording's "
        "coordinates."
    )


def with_arm_path(reference: Reference) -> Reference:
    """The reference with an arm path at its current placement; an existing one is kept. Raises UnreachableError."""
    if len(reference.arm_q):
        return reference
    planner = Planner(load_hand(reference.hand))
    frames = _frames(reference)
    palms = pose_to_matrix(palm_poses(reference.base_quat, reference.q[frames]))
    motion = planner.motion(reference, _follow(planner.chain, palms[None])[0][0])
    if motion.first_failure is not None:
        raise UnreachableError(
            f"{reference.name} is out of the arm's reach, first at "
            f"{_describe(reference, motion.first_failure, motion)}. Retarget it with placement."
        )
    return planner.carried(reference, motion, planner.frames(reference, motion))


def _frames(reference: Reference) -> np.ndarray:
    """Frames evenly spaced over the clip."""
    return np.round(np.linspace(0, len(reference.q) - 1, min(FRAMES, len(reference.q)))).astype(int)


def _follow(chain: ArmChain, palms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joints (C, F, 7) rad that track base_T_palm (C, F, 4, 4) from home, and the worst error (C,) in m + 0.1 rad."""
    q, worst, _ = chain.solve(palms[:, 0], FR3_HOME, iterations=40)
    found = [q]
    for i in range(1, palms.shape[1]):
        q, position, rotation = chain.solve(palms[:, i], start=found[-1], iterations=8)
        worst = np.maximum(worst, position + 0.1 * rotation)
        found.append(q)
    return np.stack(found, axis=1), worst


def _candidates(reference: Reference, chain: ArmChain) -> tuple[np.ndarray, np.ndarray]:
    """(C, 7) world_T_demonstration, the best first, and the arm's joints (C, F, 7) rad there."""
    poses, frames = palm_poses(reference.base_quat, reference.q), _frames(reference)
    middle = 0.5 * (poses[:, :2].min(0) + poses[:, :2].max(0))
    yaw, x, y = (g.ravel() for g in np.meshgrid(YAWS, DISTANCES, SIDES, indexing="ij"))
    turn = make_pose(np.zeros(3), np.stack([np.cos(yaw / 2), 0 * yaw, 0 * yaw, np.sin(yaw / 2)], -1))
    shift = -transform(turn, np.r_[middle, 0.0]) + np.stack([x, y, 0 * x - reference.table_height], -1)
    candidates = make_pose(shift, turn[:, 3:])
    q, worst = _follow(chain, pose_to_matrix(compose(candidates[:, None], poses[frames])))
    margin = np.min([chain.margin(row) for row in q.transpose(1, 0, 2)], axis=0)
    (velocity,) = columns(joint_table("fr3"), "velocity")
    seconds = np.diff(frames)[:, None] / reference.rate
    speed = (np.abs(np.diff(q, axis=1)) / (seconds * velocity)).max(axis=(1, 2))
    discomfort = (
        np.where(worst < 2e-3, 0.0, 10.0 + 100.0 * worst) - 2.0 * margin.clip(0, 0.5) + 4.0 * (speed - 0.4).clip(0)
    )
    order = np.argsort(discomfort, kind="stable")
    return candidates[order], q[order]


def _describe(reference: Reference, frame: int, motion: ArmMotion) -> str:
    if motion.touches_table[frame]:
        what = "an arm link collides with the table"
    else:
        what = f"the palm is {1e3 * motion.position_error[frame]:.0f} mm and "
        what += f"{np.degrees(motion.rotation_error[frame]):.0f} deg off"
    return (
        f"frame {frame} of {len(reference.q)} ({frame / RATE:.2f} s), where {what} (allowed: "
        f"{1e3 * POSITION_TOLERANCE:.0f} mm, {np.degrees(ROTATION_TOLERANCE):.0f} deg)"
    )
