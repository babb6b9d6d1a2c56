"""Coupled joints: joints that follow another joint, such as the distal ones of underactuated hands.

The hand vector, commands and states hold the driving joints only. In a MuJoCo model a coupled joint is an equality
constraint, q = q0 + p(drive - drive0): enforced by its dynamics, but not by its kinematics. `Coupled` is the only
place that sets the coupled joints of a configuration and reduces a Jacobian to the driving joints (J P).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import mujoco
import numpy as np
from numpy.polynomial import Polynomial

from dexhot.errors import DexhotError

DEGREE = 5  # coefficients of the polynomial of a joint equality


@dataclass(frozen=True)
class _Level:
    """Coupled joints whose drives are in earlier levels; no two have the same drive."""

    q: np.ndarray  # (m,) addresses in qpos
    v: np.ndarray  # (m,) and in qvel
    drive_q: np.ndarray
    drive_v: np.ndarray
    zero: np.ndarray  # (m,) qpos0
    drive_zero: np.ndarray
    coefficients: np.ndarray  # (DEGREE, m), the constant first

    def offset(self, qpos: np.ndarray) -> np.ndarray:
        offset: np.ndarray = qpos[..., self.drive_q] - self.drive_zero
        return offset

    def value(self, x: np.ndarray) -> np.ndarray:
        total: np.ndarray = self.coefficients[-1]
        for c in self.coefficients[-2::-1]:
            total = total * x + c
        value: np.ndarray = self.zero + total
        return value

    def slope(self, x: np.ndarray) -> np.ndarray:
        total: np.ndarray = (DEGREE - 1) * self.coefficients[-1]
        for k in range(DEGREE - 2, 0, -1):
            total = total * x + k * self.coefficients[k]
        return total


class Coupled:
    """The coupled joints of a compiled model. A joint held at a constant is one without a drive."""

    def __init__(self, model: mujoco.MjModel):
        """Raises DexhotError for joints that follow each other in a loop, or follow two joints."""
        rows = joint_equalities(model)
        self.levels = [_level(model, rows, joints) for joints in _in_order(model, rows)]
        self.q = _joined([level.q for level in self.levels])  # addresses of every coupled joint in qpos
        self.v = _joined([level.v for level in self.levels])

    def follow(self, qpos: np.ndarray, qvel: np.ndarray | None = None) -> None:
        """Set the coupled joints of qpos (..., nq), and of qvel (..., nv), from their drives, in place."""
        for level in self.levels:
            x = level.offset(qpos)
            qpos[..., level.q] = level.value(x)
            if qvel is not None:
                qvel[..., level.v] = level.slope(x) * qvel[..., level.drive_v]

    def reduce(self, jacobian: np.ndarray, qpos: np.ndarray) -> np.ndarray:
        """J P: the columns of coupled joints are added to their drives' in jacobian (..., nv), in place, at qpos."""
        for level in reversed(self.levels):
            jacobian[..., level.drive_v] += level.slope(level.offset(qpos)) * jacobian[..., level.v]
        return jacobian


def joint_equalities(model: mujoco.MjModel) -> dict[int, tuple[int, np.ndarray]]:
    """Id of each coupled joint -> its drive's id (-1: none, it is fixed) and the coefficients (DEGREE,)."""
    rows: dict[int, tuple[int, np.ndarray]] = {}
    for i in np.flatnonzero((model.eq_type == mujoco.mjtEq.mjEQ_JOINT) & model.eq_active0.astype(bool)):
        joint, drive = int(model.eq_obj1id[i]), int(model.eq_obj2id[i])
        if joint in rows:
            raise DexhotError(f"joint {model.joint(joint).name!r} follows two joints; remove one of the couplings.")
        coefficients = model.eq_data[i, :DEGREE].copy()
        coefficients[1:] *= drive >= 0
        rows[joint] = drive, coefficients
    return rows


def drive_ranges(model: mujoco.MjModel) -> dict[int, tuple[float, float]]:
    """Range of each drivable joint, restricted by its followers' limits.

    Raises DexhotError naming a joint whose followers leave it no range.
    """
    rows = joint_equalities(model)
    followers: dict[int, list[tuple[Polynomial, tuple[float, float]]]] = {}
    for joint in (joint for joints in _in_order(model, rows) for joint in joints):
        if model.jnt_limited[joint]:
            drive, angle = in_terms_of_drive(model, rows, joint)
            low, high = model.jnt_range[joint].tolist()
            followers.setdefault(drive, []).append((angle, (low, high)))
    ranges = {}
    for joint in set(range(model.njnt)) - set(rows):
        whole = (float(model.jnt_range[joint, 0]), float(model.jnt_range[joint, 1]))
        kept = _widest(whole, followers.get(joint, ())) if model.jnt_limited[joint] else whole
        if kept is None:
            raise DexhotError(
                f"joint {model.joint(joint).name!r} cannot move: at no angle from {whole[0]:g} to {whole[1]:g} rad do "
                "all joints that follow it stay within their limits; correct the limits or the coupling in the model."
            )
        ranges[joint] = kept
    return ranges


def drives(model: mujoco.MjModel) -> dict[str, str]:
    """Name of each coupled joint -> the joint at the end of its chain, "" for a fixed one."""
    rows = joint_equalities(model)
    found = {}
    for joint in (joint for joints in _in_order(model, rows) for joint in joints):
        drive = joint
        while drive in rows:
            drive = rows[drive][0]
        found[model.joint(joint).name] = model.joint(drive).name if drive >= 0 else ""
    return found


def _in_order(model: mujoco.MjModel, rows: dict[int, tuple[int, np.ndarray]]) -> list[list[int]]:
    """The coupled joints, drives before followers, in groups in which no two share a drive."""
    groups: dict[tuple[int, int], list[int]] = {}
    shared: dict[int, int] = {}
    for joint in rows:
        depth, drive = 0, rows[joint][0]
        while drive in rows:
            depth, drive = depth + 1, rows[drive][0]
            if depth > len(rows):
                raise DexhotError(f"joint {model.joint(joint).name!r} follows itself, through a loop of couplings.")
        parent = rows[joint][0]
        rank = shared[parent] = shared.get(parent, -1) + 1
        groups.setdefault((depth, rank if parent >= 0 else 0), []).append(joint)
    return [groups[key] for key in sorted(groups)]


def _level(model: mujoco.MjModel, rows: dict[int, tuple[int, np.ndarray]], joints: list[int]) -> _Level:
    own = np.array(joints)
    drive = np.array([rows[joint][0] if rows[joint][0] >= 0 else joint for joint in joints])
    q, drive_q = model.jnt_qposadr[own], model.jnt_qposadr[drive]
    return _Level(
        q,
        model.jnt_dofadr[own],
        drive_q,
        model.jnt_dofadr[drive],
        model.qpos0[q],
        model.qpos0[drive_q],
        np.array([rows[joint][1] for joint in joints]).T,
    )


def in_terms_of_drive(
    model: mujoco.MjModel, rows: dict[int, tuple[int, np.ndarray]], joint: int
) -> tuple[int, Polynomial]:
    """The joint at the chain's end (-1: none) and the coupled joint's angle as a polynomial of that one's."""
    angle = Polynomial([0.0, 1.0])
    while joint in rows:
        drive, coefficients = rows[joint]
        zero = model.qpos0[model.jnt_qposadr[joint]]
        from_zero = Polynomial([-model.qpos0[model.jnt_qposadr[drive]] if drive >= 0 else 0.0, 1.0])
        angle = angle(zero + Polynomial(coefficients)(from_zero))
        joint = drive
    return joint, angle


def _widest(
    whole: tuple[float, float], followers: Iterable[tuple[Polynomial, tuple[float, float]]]
) -> tuple[float, float] | None:
    """The widest part of `whole` in which every follower stays within its limits; None if there is none."""
    followers = list(followers)
    roots = [(angle - limit).trim(1e-12).roots() for angle, limits in followers for limit in limits]
    real = [float(root.real) for found in roots for root in found if abs(root.imag) < 1e-9]
    ends = sorted({*whole, *(angle for angle in real if whole[0] < angle < whole[1])})
    parts: list[tuple[float, float]] = []
    for low, high in pairwise(ends):
        middle = 0.5 * (low + high)
        if all(limits[0] - 1e-9 <= angle(middle) <= limits[1] + 1e-9 for angle, limits in followers):
            joined = parts and parts[-1][1] == low
            parts[-1:] = [(parts[-1][0], high)] if joined else [*parts[-1:], (low, high)]
    return max(parts, key=lambda part: part[1] - part[0], default=None)


def _joined(arrays: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(arrays) if arrays else np.zeros(0, int)
