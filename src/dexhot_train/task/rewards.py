"""Reward terms of DexTrack (eq. 10-14, table 3): plain functions of a batch of transitions, weighted and summed.

Every term takes a Transition of N worlds and returns (N,). Eq. 10 and 14 apply the weight of the fingers twice; table 3
gives 0.05, which is meant once, likewise 0.3 and 0.05 for the wrist's translation and orientation. The paper has
neither a formula nor a weight for the affinity of hand and object: the one here is ours.

This file and termination.py are the home of their formulas for every simulator: plain operators, which NumPy arrays and
torch tensors share, in Python 3.8's syntax, because dexhot_isaacgym imports them too.
"""

from __future__ import annotations  # Python 3.8 reads no dict[str, ...] otherwise

import math
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping

Array = Any  # a NumPy array, or a torch tensor


@dataclass(frozen=True)
class Transition:
    """State after a step, beside the reference's frame that it should match. Rows are worlds (N)."""

    q: Array  # (N, 6+n) hand vector
    object_pose: Array  # (N, 7) world_T_mesh
    palm_pose: Array  # (N, 7)
    tips: Array  # (N, k, 3) world
    tip_contact: Array  # (N, k) bool
    wanted_q: Array  # (N, 6+n)
    wanted_object: Array  # (N, 7)
    wanted_palm: Array  # (N, 7)
    wanted_grasp: Array  # (N, k, 3) fingertips in the object's frame
    wanted_contact: Array  # (N, k) in [0, 1]
    position_error: Array  # (N,) m, of the object's centre of symmetry
    angle_error: Array  # (N,) rad, over the object's symmetries
    # of the terms of OMNIGRASP alone
    object_twist: Array = None  # (N, 6) m/s, rad/s
    wanted_twist: Array = None  # (N, 6)
    pregrasp_palm: Array = None  # (N, 7) the reference's just before the object moves
    pregrasp_tips: Array = None  # (N, k, 3) world
    grasping: Array = None  # (N,) bool: the reference's object moves, or has moved


Term = Callable[..., Array]


@dataclass(frozen=True)
class RewardTerm:
    """A term, its weight, and the function's parameters."""

    function: Term
    weight: float
    parameters: Mapping[str, Any] = field(default_factory=dict)


def object_position(t: Transition, offset: float = 0.9) -> Array:
    """Eq. 11."""
    return offset - t.position_error


def object_rotation(t: Transition) -> Array:
    """Eq. 12."""
    return math.pi - t.angle_error


def wrist_position(t: Transition) -> Array:
    """Eq. 13, translation: the L1 norm, m."""
    return -abs(t.q[:, :3] - t.wanted_q[:, :3]).sum(-1)


def wrist_rotation(t: Transition) -> Array:
    """Eq. 13, orientation: the L1 norm of the three wrist angles, rad."""
    return -abs(t.q[:, 3:6] - t.wanted_q[:, 3:6]).sum(-1)


def fingers(t: Transition) -> Array:
    """Eq. 14: the L1 norm over the finger joints, rad."""
    return -abs(t.q[:, 6:] - t.wanted_q[:, 6:]).sum(-1)


def affinity(t: Transition, scale: float = 0.05) -> Array:
    """Ours: 1 where every fingertip that should touch the object is where the reference has it on the object, down to
    0 with its distance; the mean over the planned contacts, 0 without any."""
    away = distances(t.tips, t.object_pose, t.wanted_grasp)
    planned = t.wanted_contact.sum(-1)
    some = planned > 0.2
    return some * (t.wanted_contact * math.e ** (-away / scale)).sum(-1) / (planned + ~some)


def bonus(t: Transition, distance: float = 0.05, angle: float = math.radians(5.0)) -> Array:
    """1 where the object is tracked accurately: within 5 cm and 5 degrees."""
    return 1.0 * ((t.position_error < distance) & (t.angle_error < angle))


def hand_pose(t: Transition) -> Array:
    """Residual hand agent, eq. 6, on the fingertips: minus the sum of their distances from the reference's, m."""
    return -distances(t.tips, t.wanted_object, t.wanted_grasp).sum(-1)


def pregrasp(t: Transition) -> Array:
    """OmniGrasp before the grasp: palm and fingertips at the pre-grasp pose. Its reward for coming nearer from more
    than 20 cm is left out: the residual is about a reference that comes near by itself."""
    palm = ((t.palm_pose[:, :3] - t.pregrasp_palm[:, :3]) ** 2).sum(-1)
    tips = ((t.tips - t.pregrasp_tips) ** 2).sum(-1)
    near = (palm + tips.sum(-1)) / (3 * (1 + tips.shape[1]))  # the mean over coordinates
    dot = abs((t.palm_pose[:, 3:] * t.pregrasp_palm[:, 3:]).sum(-1))
    turned = 8.0 * (1.0 - dot)  # the angle squared, to 1 % below 40 degrees
    return ~t.grasping * (0.9 * math.e ** (-100.0 * near) + 0.1 * math.e ** (-10.0 * turned))


def carried(t: Transition) -> Array:
    """OmniGrasp from the grasp on: the object's pose and velocity, while a fingertip touches it and it moves, or should
    be still; and 0.1 for that. Theirs asks for an object off the table, in place of one that should be still."""
    away, twist = t.position_error**2 / 3, (t.object_twist - t.wanted_twist) ** 2 / 3
    speed, wanted = ((x[:, :3] ** 2).sum(-1) ** 0.5 for x in (t.object_twist, t.wanted_twist))
    holding = t.grasping & (t.tip_contact.sum(-1) > 0) & ((speed > 0.01) | (wanted < 0.01))
    tracked = (
        0.5 * math.e ** (-100.0 * away)
        + 0.3 * math.e ** (-10.0 * t.angle_error**2)
        + 0.05 * math.e ** (-0.1 * twist[:, :3].sum(-1))
        + 0.05 * math.e ** (-0.1 * twist[:, 3:].sum(-1))
    )
    return holding * (tracked + 0.1)


DEXTRACK: dict[str, RewardTerm] = {  # table 3
    "object_position": RewardTerm(object_position, 1.0),
    "object_rotation": RewardTerm(object_rotation, 0.33),
    "wrist_position": RewardTerm(wrist_position, 0.3),
    "wrist_rotation": RewardTerm(wrist_rotation, 0.05),
    "fingers": RewardTerm(fingers, 0.05),
    "affinity": RewardTerm(affinity, 0.2),
    "bonus": RewardTerm(bonus, 1.0),
}
ASSISTED: dict[str, RewardTerm] = {**DEXTRACK, "hand_pose": RewardTerm(hand_pose, 0.01)}  # w_pose of the paper's IV-B
# OmniGrasp (Luo et al. 2024) with the numbers of its release, as a baseline.
OMNIGRASP: dict[str, RewardTerm] = {"pregrasp": RewardTerm(pregrasp, 1.0), "carried": RewardTerm(carried, 1.0)}
REWARDS = {"dextrack": DEXTRACK, "assisted": ASSISTED, "omnigrasp": OMNIGRASP}


def total(terms: Mapping[str, RewardTerm], t: Transition) -> tuple[Array, dict[str, Array]]:
    """The reward (N,) and each term's weighted part of it."""
    parts = {name: term.weight * term.function(t, **term.parameters) for name, term in terms.items()}
    return sum(parts.values(), 0.0 * t.position_error), parts


def distances(points: Array, pose: Array, local: Array) -> Array:
    """(N, k) m of world points (N, k, 3) from the points `local` (N, k, 3) of a body at `pose` (N, 7)."""
    w, x, y, z = (pose[:, None, k] for k in (3, 4, 5, 6))
    a, b, c = (local[..., k] for k in range(3))
    u, v, s = 2 * (y * c - z * b), 2 * (z * a - x * c), 2 * (x * b - y * a)  # twice the cross product
    turned = (a + w * u + y * s - z * v, b + w * v + z * u - x * s, c + w * s + x * v - y * u)
    return sum((points[..., k] - pose[:, None, k] - turned[k]) ** 2 for k in range(3)) ** 0.5
