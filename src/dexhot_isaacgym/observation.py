"""The observed features of the layout `dextrack` (eq. 8 and 9), for torch tensors.

What the reference alone decides comes from the exported folder. dexhot/control/observation.py is where features are
defined; a test holds these equal to it.
"""

from __future__ import annotations

from typing import Callable

import torch
from torch import Tensor

from dexhot_isaacgym.bundle import Bundle
from dexhot_isaacgym.rotations import quat_conjugate, quat_multiply, quat_rotate, quat_to_rotvec

RATE = 60.0  # Hz


class DextrackFrame:
    """What is known in a frame, in the demonstration's frame (without the clips' placement). Rows are worlds (N)."""

    def __init__(
        self,
        bundle: Bundle,
        clip: Tensor,
        frame: Tensor,
        q: Tensor,
        qd: Tensor,
        object_pose: Tensor,
        object_twist: Tensor,
        command: Tensor,
        residual: Tensor,
        tips: Tensor,
    ):
        self.bundle, self.clip, self.frame = bundle, clip, frame
        self.placement = bundle.placement[clip]
        self.q, self.command = self.hand(q), self.hand(command)
        self.qd, self.residual = (torch.cat([self.vector(x[:, :3]), x[:, 3:]], 1) for x in (qd, residual))
        self.object_pose = self.pose(object_pose)
        self.object_twist = torch.cat([self.vector(object_twist[:, :3]), self.vector(object_twist[:, 3:])], 1)
        turn = self.placement[:, None, 3:]
        self.tips = (quat_rotate(turn, tips) + self.placement[:, None, :3]).flatten(1)

    def vector(self, v: Tensor) -> Tensor:
        """World vectors (N, 3)."""
        return quat_rotate(self.placement[:, 3:], v)

    def hand(self, q: Tensor) -> Tensor:
        """Hand vectors (N, 6+n): the placement turns their base, not their angles."""
        return torch.cat([self.vector(q[:, :3]) + self.placement[:, :3], q[:, 3:]], 1)

    def pose(self, pose: Tensor) -> Tensor:
        """Poses (N, 7), the quaternion with w >= 0."""
        quat = quat_multiply(self.placement[:, 3:], pose[:, 3:])
        quat = torch.where(quat[:, :1] < 0, -quat, quat)
        return torch.cat([self.vector(pose[:, :3]) + self.placement[:, :3], quat], 1)

    def ahead(self, table: Tensor, frames: int) -> Tensor:
        """Rows of `table` (K, T, ...) `frames` from now; the last one's after the end."""
        return table[self.clip, torch.minimum(self.frame + frames, self.bundle.length[self.clip] - 1)]


def _goal_minus_object(s: DextrackFrame, ahead: int) -> Tensor:
    goal = s.pose(s.ahead(s.bundle.object_pose, ahead))
    turn = quat_to_rotvec(quat_multiply(goal[:, 3:], quat_conjugate(s.object_pose[:, 3:])))
    return torch.cat([goal[:, :3] - s.object_pose[:, :3], turn], 1)


FEATURES: dict[str, Callable[[DextrackFrame, int], Tensor]] = {
    "hand": lambda s, a: s.q,
    "hand_velocity": lambda s, a: s.qd,
    "object": lambda s, a: s.object_pose,
    "object_velocity": lambda s, a: s.object_twist,
    "last_command": lambda s, a: s.command,
    "residual": lambda s, a: s.residual,
    "fingertips": lambda s, a: s.tips,
    "goal_minus_hand": lambda s, a: s.hand(s.ahead(s.bundle.q, a)) - s.q,
    "goal_minus_object": _goal_minus_object,
}


def observation(seen: DextrackFrame) -> Tensor:
    """(N, P). Raises ValueError for a layout with other observed features."""
    whole, at = seen.ahead(seen.bundle.planned, 0).clone(), 0
    for feature in seen.bundle["layout"]:
        name = feature["name"].split("@")[0]
        if feature["observed"]:
            if name not in FEATURES:
                raise ValueError("feature {} is not for Isaac Gym; there are {}".format(name, ", ".join(FEATURES)))
            whole[:, at : at + feature["size"]] = FEATURES[name](seen, feature["ahead"])
        at += feature["size"]
    return whole


def joint_velocity(q: Tensor, before: Tensor) -> Tensor:
    """Finite difference of hand vectors of successive frames."""
    return (q - before) * RATE


def pose_velocity(pose: Tensor, before: Tensor) -> Tensor:
    """(N, 6) m/s and rad/s, world axes: the finite difference of poses of successive frames."""
    turn = quat_to_rotvec(quat_multiply(pose[:, 3:], quat_conjugate(before[:, 3:])))
    return torch.cat([pose[:, :3] - before[:, :3], turn], 1) * RATE
