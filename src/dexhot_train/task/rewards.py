"""Reward terms of DexTrack (eq. 10-14, table 3): plain functions of a batch of transitions, weighted and summed.

Every term takes a Transition of N worlds and returns (N,). Eq. 10 and 14 apply the weight of the fingers twice; table 3
gives 0.05, which is meant once, likewise 0.3 and 0.05 for the wrist's translation and orientation. The paper has
neither a formula nor a weight for the affinity of hand and object: the one here is ours.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dexhot.geometry.rotations import quat_conjugate, quat_rotate


@dataclass(frozen=True)
class Transition:
    """State after a step, beside the reference's frame that it should match. Rows are worlds (N)."""

    q: np.ndarray  # (N, 6+n) hand vector
    object_pose: np.ndarray  # (N, 7) world_T_mesh
    palm_pose: np.ndarray  # (N, 7)
    tips: np.ndarray  # (N, k, 3) world
    tip_contact: np.ndarray  # (N, k) bool
    wanted_q: np.ndarray  # (N, 6+n)
    wanted_object: np.ndarray  # (N, 7)
    wanted_palm: np.ndarray  # (N, 7)
    wanted_grasp: np.ndarray  # (N, k, 3) fingertips in the object's frame
    wanted_contact: np.ndarray  # (N, k) in [0, 1]
    position_error: np.ndarray  # (N,) m, of the object's centre of symmetry
    angle_error: np.ndarray  # (N,) rad, over the object's symmetries


Term = Callable[..., np.ndarray]


@dataclass(frozen=True)
class RewardTerm:
    """A term, its weight, and the function's parameters."""

    function: Term
    weight: float
    parameters: Mapping[str, Any] = field(default_factory=dict)


def object_position(t: Transition, offset: float = 0.9) -> np.ndarray:
    """Eq. 11."""
    return offset - t.position_error


def object_rotation(t: Transition) -> np.ndarray:
    """Eq. 12."""
    return np.pi - t.angle_error


def wrist_position(t: Transition) -> np.ndarray:
    """Eq. 13, translation: the L1 norm, m."""
    error: np.ndarray = -np.abs(t.q[:, :3] - t.wanted_q[:, :3]).sum(axis=-1)
    return error


def wrist_rotation(t: Transition) -> np.ndarray:
    """Eq. 13, orientation: the L1 norm of the three wrist angles, rad."""
    error: np.ndarray = -np.abs(t.q[:, 3:6] - t.wanted_q[:, 3:6]).sum(axis=-1)
    return error


def fingers(t: Transition) -> np.ndarray:
    """Eq. 14: the L1 norm over the finger joints, rad."""
    error: np.ndarray = -np.abs(t.q[:, 6:] - t.wanted_q[:, 6:]).sum(axis=-1)
    return error


def affinity(t: Transition, scale: float = 0.05) -> np.ndarray:
    """Ours: 1 where every fingertip that should touch the object is where the reference has it on the object, down to
    0 with its distance; the mean over the planned contacts, 0 without any."""
    away = np.linalg.norm(tips_on_object(t) - t.wanted_grasp, axis=-1)
    planned = t.wanted_contact.sum(axis=-1)
    near: np.ndarray = (t.wanted_contact * np.exp(-away / scale)).sum(axis=-1) / np.maximum(planned, 1e-6)
    return np.where(planned > 0.2, near, 0.0)


def bonus(t: Transition, distance: float = 0.05, angle: float = np.radians(5.0)) -> np.ndarray:
    """1 where the object is tracked accurately: within 5 cm and 5 degrees."""
    return ((t.position_error < distance) & (t.angle_error < angle)).astype(float)


def hand_pose(t: Transition) -> np.ndarray:
    """Residual hand agent, eq. 6, on the fingertips: minus the sum of their distances from the reference's, m."""
    wanted = t.wanted_object[:, None, :3] + quat_rotate(t.wanted_object[:, None, 3:], t.wanted_grasp)
    away: np.ndarray = -np.linalg.norm(t.tips - wanted, axis=-1).sum(axis=-1)
    return away


DEXTRACK: dict[str, RewardTerm] = {  # table 3
    "object_position": RewardTerm(object_position, 1.0),
    "object_rotation": RewardTerm(object_rotation, 0.33),
    "wrist_position": RewardTerm(wrist_position, 0.3),
    "wrist_rotation": RewardTerm(wrist_rotation, 0.05),
    "fingers": RewardTerm(fingers, 0.05),
    "affinity": RewardTerm(affinity, 0.2),
    "bonus": RewardTerm(bonus, 1.0),
}
ASSISTED: dict[str, RewardTerm] = DEXTRACK | {"hand_pose": RewardTerm(hand_pose, 0.01)}  # w_pose of the paper's IV-B
REWARDS = {"dextrack": DEXTRACK, "assisted": ASSISTED}


def total(terms: Mapping[str, RewardTerm], t: Transition) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The reward (N,) and each term's weighted part of it."""
    parts = {name: term.weight * term.function(t, **term.parameters) for name, term in terms.items()}
    return sum(parts.values(), np.zeros(len(t.q))), parts


def tips_on_object(t: Transition) -> np.ndarray:
    """(N, k, 3) fingertips in the object's frame."""
    return quat_rotate(quat_conjugate(t.object_pose[:, None, 3:]), t.tips - t.object_pose[:, None, :3])
