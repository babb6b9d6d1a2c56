"""Tracking tasks of homotopy paths: a task's easier versions, and the transfer of a result from one task to another."""

from dataclasses import dataclass, replace

import numpy as np

from dexhot.control.sampling import base_actions
from dexhot.control.time_warp import warp_reference
from dexhot.data.types import Reference
from dexhot.geometry.poses import compose, inverse, lowest, make_pose
from dexhot.geometry.rotations import quat_rotate, quat_to_rotvec, rotvec_to_quat
from dexhot.objects.stretched import keeps_symmetry, stretched
from dexhot.robots.kinematics.wrist import palm_poses, wrist_angles
from dexhot.simulation.setup import Setup

EASIER = ("lift", "mass", "thickness", "time")  # shorter lift, lighter, thicker, slower
# Factors of the easiest task. A lift stays LEAST m high: a shorter one would be no lift for the judge.
SHORTER, LIGHTER, THICKER, SLOWER, LEAST = 0.4, 0.4, 1.3, 1.6, 0.04


@dataclass(frozen=True)
class HomotopyTask:
    """A kinematic reference, and the object and physics in which it is tracked."""

    reference: Reference
    setup: Setup


def easier(task: HomotopyTask, ease: float, how: tuple[str, ...] = EASIER) -> HomotopyTask:
    """The task made easier by `ease`, 0 (itself) to 1, in the ways `how`; without the arm's path."""
    r = replace(task.reference, arm_q=np.zeros((0, 7)), arm_frames=np.zeros(0))
    easy = HomotopyTask(replace(r, name=f"{r.name}, easier by {ease:.2g}"), task.setup)
    if "thickness" in how:
        easy = thicker(easy, 1.0 + ease * (THICKER - 1.0))
    if "mass" in how:
        easy = with_object(easy, np.ones(3), 1.0 + ease * (LIGHTER - 1.0))
    if "lift" in how:
        easy = replace(easy, reference=_shorter(easy.reference, 1.0 + ease * (SHORTER - 1.0)))
    if "time" in how:
        last = len(r.q) - 1
        frames = np.linspace(0.0, last, 1 + round(last * (1.0 + ease * (SLOWER - 1.0))))
        easy = replace(easy, reference=warp_reference(easy.reference, frames))
    return easy


def with_object(task: HomotopyTask, factors: np.ndarray, mass: float) -> HomotopyTask:
    """The task with its object stretched by `factors` (3,) and of `mass` times its mass, about its mesh frame."""
    new = stretched(task.setup.asset, factors, mass)
    return HomotopyTask(replace(task.reference, object_name=new.name), replace(task.setup, asset=new))


def transfer(actions: np.ndarray, parent: HomotopyTask, child: HomotopyTask) -> np.ndarray:
    """A baseline (T, 6+n) for the child from the parent's `actions`: what these add to the parent's reference, at the
    same phase, the palm's correction in the palm's frame."""
    p, c = parent.reference, child.reference
    bare, base = (base_actions(task.reference, task.setup.physics) for task in (parent, child))
    moved = compose(inverse(palm_poses(p.base_quat, bare)), palm_poses(p.base_quat, actions))
    delta = np.concatenate([moved[:, :3], quat_to_rotvec(moved[:, 3:]), (actions - bare)[:, 6:]], axis=1)  # m, rad, rad
    frames = same_phase(c, p)
    delta = np.stack([np.interp(frames, np.arange(len(p.q)), column) for column in delta.T], axis=1)
    palm = palm_poses(c.base_quat, base)
    palm = compose(palm, make_pose(delta[:, :3], rotvec_to_quat(delta[:, 3:6])))
    angles = wrist_angles(c.base_quat, palm[:, 3:])
    change = np.mod(angles - base[:, 3:6] + np.pi, 2 * np.pi) - np.pi
    return np.concatenate([palm[:, :3], base[:, 3:6] + change, base[:, 6:] + delta[:, 6:]], axis=1)


def same_phase(child: Reference, parent: Reference) -> np.ndarray:
    """(T,) frames of the parent at the phase of each of the child's: before, while and after the object moves."""
    ours, theirs = (
        np.array([0, r.grasp_start, r.grasp_end, len(r.q) - 1], float) + [0, 1e-6, 2e-6, 3e-6] for r in (child, parent)
    )
    frames: np.ndarray = np.interp(np.arange(len(child.q)), ours, theirs)
    return frames


def _shorter(r: Reference, factor: float) -> Reference:
    """The object rises by `factor` of its height, at least LEAST, and the hand with it."""
    rise = r.object_pose[:, 2] - r.object_pose[0, 2]
    factor = max(factor, min(1.0, LEAST / max(rise.max(), 1e-9)))
    return _raised(r, -(1.0 - factor) * rise)


def _raised(r: Reference, by: np.ndarray | float) -> Reference:
    """Hand and object `by` (T,) m higher."""
    pose, q, target = r.object_pose.copy(), r.q.copy(), r.target.copy()
    for z in (pose[:, 2], q[:, 2], target[:, 2]):
        z += by
    return replace(r, object_pose=pose, q=q, target=target)


def thicker(task: HomotopyTask, factor: float) -> HomotopyTask:
    """The object stretched along the mesh axis that is most nearly vertical at the start, standing on the table, the
    hand raised by half of what it gains; unchanged where that would break its symmetry."""
    r, asset = task.reference, task.setup.asset
    axes = quat_rotate(r.object_pose[0, 3:], np.eye(3))  # mesh axes in the world
    factors = np.ones(3)
    factors[int(np.argmax(np.abs(axes[:, 2])))] = factor
    if not keeps_symmetry(asset.symmetry, factors):
        return task
    thick = with_object(task, factors, 1.0)
    gain = lowest(r.object_pose[0], asset.corners) - lowest(r.object_pose[0], thick.setup.asset.corners)
    return replace(thick, reference=_raised(thick.reference, gain))
