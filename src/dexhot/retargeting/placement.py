"""Where to put a demonstration in front of the robot, so that the arm can follow it from the first frame to the last.

The arm's base is the world's origin and the table's top is z = 0. A whole Reference is moved by one turn about the
vertical and one shift; candidates are first followed together, on a few frames, then the best ones at 60 Hz. Of those
that reach every frame the one is taken that asks the joints for the least acceleration.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from dexhot.data.types import RATE, Reference
from dexhot.errors import UnreachableError
from dexhot.geometry.poses import compose, make_pose, pose_to_matrix, transform
from dexhot.geometry.rotations import quat_multiply
from dexhot.robots.arm import FR3_HOME
from dexhot.robots.joint_table import joint_table
from dexhot.robots.kinematics.arm import ArmChain
from dexhot.robots.kinematics.arm_ik import ArmIK
from dexhot.robots.kinematics.wrist import palm_poses
from dexhot.robots.robot_hand import RobotHand, load_hand

POSITION_TOLERANCE = 0.01  # m: what fast moments may cost; placements at rest are exact
ROTATION_TOLERANCE = np.radians(5.0)
YAWS = np.radians(np.arange(-180, 180, 15))
DISTANCES = np.arange(0.35, 0.70, 0.07)  # m in front of the base, of the middle of the palm's path
SIDES = np.arange(-0.30, 0.31, 0.15)  # m
FRAMES = 24  # of the coarse search
VERIFIED = 24  # candidates that are followed at 60 Hz
EASY = 10.0  # rad/s2: where the arm accelerates less, no better placement is looked for


@dataclass
class ArmMotion:
    """The arm following a Reference."""

    q: np.ndarray  # (T, 7)
    position_error: np.ndarray  # (T,) m
    rotation_error: np.ndarray  # (T,) rad
    touches_table: np.ndarray  # (T,) bool

    @property
    def first_failure(self) -> int | None:
        """The first frame out of tolerance or with the arm in the table."""
        late = (self.position_error > POSITION_TOLERANCE) | (self.rotation_error > ROTATION_TOLERANCE)
        bad = np.flatnonzero(late | self.touches_table)
        return int(bad[0]) if len(bad) else None

    @property
    def acceleration(self) -> float:
        """rad/s2, of all joints together, root mean square over the frames: the arm's servos err the more by it."""
        acceleration = np.diff(self.q, n=2, axis=0) * RATE**2
        return float(np.sqrt((acceleration**2).sum() / len(self.q)))


def moved(reference: Reference, world_T_old: ArrayLike) -> Reference:
    """The reference in other coordinates; world_T_old (7,) may turn about the vertical and shift."""
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
    )


def follow(reference: Reference, ik: ArmIK, start: ArrayLike = FR3_HOME) -> ArmMotion:
    """Follow the palm of a placed reference at 60 Hz, from the configuration that reaches its first frame."""
    poses = palm_poses(reference.base_quat, reference.q)
    q, _, _ = ik.reach(poses[0], start)
    rows = []
    for pose in poses:
        q, position, rotation = ik.solve(pose, q)
        rows.append((q, position, rotation, ik.touches_table()))
    joints, positions, rotations, touches = map(np.array, zip(*rows))
    return ArmMotion(joints, positions, rotations, touches)


def place(reference: Reference, hand: RobotHand | None = None) -> Reference:
    """The reference where the arm can follow it, `placement` set. Deterministic.

    Raises UnreachableError that names, for the best placement found, the first frame that fails and by how much.
    """
    hand = hand or load_hand(reference.hand)
    ik = ArmIK(hand)
    least, best, failures = np.inf, None, []
    for candidate in _candidates(reference, ArmChain(hand))[:VERIFIED]:
        placed = moved(reference, candidate)
        motion = follow(placed, ik)
        if motion.first_failure is not None:
            failures.append((motion.first_failure, motion))
        elif motion.acceleration < least:
            least, best = motion.acceleration, placed
        if least < EASY:
            break
    if best is not None:
        return best
    latest = max(failures, key=lambda failure: failure[0])
    raise UnreachableError(
        f"{reference.name}: no placement in front of the arm reaches every frame; the best one fails first at "
        f"{_describe(reference, *latest, ik)}. Use a clip with a shorter path or a slower one; `--no-place` keeps the "
        "recording's coordinates."
    )


def require_reach(reference: Reference) -> None:
    """Raise UnreachableError when the arm cannot follow the reference from where it is."""
    ik = ArmIK(load_hand(reference.hand))
    motion = follow(reference, ik)
    if motion.first_failure is not None:
        raise UnreachableError(
            f"{reference.name} is out of the arm's reach, first at "
            f"{_describe(reference, motion.first_failure, motion, ik)}. Retarget it with placement."
        )


def _candidates(reference: Reference, chain: ArmChain) -> np.ndarray:
    """(C, 7) world_T_demonstration, the most comfortable first."""
    poses = palm_poses(reference.base_quat, reference.q)
    frames = np.unique(np.linspace(0, len(poses) - 1, FRAMES).astype(int))
    middle = 0.5 * (poses[:, :2].min(0) + poses[:, :2].max(0))
    yaw, x, y = (g.ravel() for g in np.meshgrid(YAWS, DISTANCES, SIDES, indexing="ij"))
    turn = make_pose(np.zeros(3), np.stack([np.cos(yaw / 2), 0 * yaw, 0 * yaw, np.sin(yaw / 2)], -1))
    shift = -transform(turn, np.r_[middle, 0.0]) + np.stack([x, y, 0 * x - reference.table_height], -1)
    candidates = make_pose(shift, turn[:, 3:])
    wanted = pose_to_matrix(compose(candidates[:, None], poses[frames]))  # (C, F, 4, 4)
    velocity = np.array([joint.velocity for joint in joint_table("fr3")])
    q, worst, _ = chain.solve(wanted[:, 0], iterations=40)
    margin, speed = chain.margin(q), np.zeros(len(q))
    for i in range(1, len(frames)):
        before = q
        q, position, rotation = chain.solve(wanted[:, i], start=before, iterations=8)
        worst = np.maximum(worst, position + 0.1 * rotation)
        margin = np.minimum(margin, chain.margin(q))
        seconds = (frames[i] - frames[i - 1]) / reference.rate
        speed = np.maximum(speed, (np.abs(q - before) / (seconds * velocity)).max(axis=1))
    discomfort = (
        np.where(worst < 2e-3, 0.0, 10.0 + 100.0 * worst) - 2.0 * margin.clip(0, 0.5) + 4.0 * (speed - 0.4).clip(0)
    )
    return candidates[np.argsort(discomfort, kind="stable")]


def _describe(reference: Reference, frame: int, motion: ArmMotion, ik: ArmIK) -> str:
    speed = np.abs(motion.q[frame] - motion.q[max(frame - 1, 0)]) / ik.dt
    if motion.touches_table[frame]:
        what = "an arm link meets the table"
    else:
        what = f"the palm stays {1e3 * motion.position_error[frame]:.0f} mm and "
        what += f"{np.degrees(motion.rotation_error[frame]):.0f} deg off"
        if (speed > 0.99 * ik.velocity).any():
            what += " because a joint is at its speed limit"
    return (
        f"frame {frame} of {len(reference.q)} ({frame / reference.rate:.2f} s), where {what} (allowed: "
        f"{1e3 * POSITION_TOLERANCE:.0f} mm, {np.degrees(ROTATION_TOLERANCE):.0f} deg)"
    )
