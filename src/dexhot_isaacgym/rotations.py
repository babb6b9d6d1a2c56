"""Quaternions (..., 4) wxyz of torch tensors; dexhot.geometry.rotations has the same functions for NumPy."""

from __future__ import annotations

import torch
from torch import Tensor


def quat_multiply(a: Tensor, b: Tensor) -> Tensor:
    """Hamilton product."""
    w, x, y, z = a.unbind(-1)
    t, u, v, s = b.unbind(-1)
    return torch.stack(
        [
            w * t - x * u - y * v - z * s,
            w * u + x * t + y * s - z * v,
            w * v - x * s + y * t + z * u,
            w * s + x * v - y * u + z * t,
        ],
        -1,
    )


def quat_conjugate(q: Tensor) -> Tensor:
    """The inverse of unit quaternions."""
    return torch.cat([q[..., :1], -q[..., 1:]], -1)


def quat_rotate(q: Tensor, v: Tensor) -> Tensor:
    """Vectors (..., 3), turned."""
    axis, v = torch.broadcast_tensors(q[..., 1:], v)
    twice = 2.0 * torch.cross(axis, v, dim=-1)
    return v + q[..., :1] * twice + torch.cross(axis, twice, dim=-1)


def quat_angle(a: Tensor, b: Tensor) -> Tensor:
    """Angle (...) between orientations, rad in [0, pi]."""
    relative = quat_multiply(quat_conjugate(a), b)
    return 2.0 * torch.atan2(relative[..., 1:].norm(dim=-1), relative[..., 0].abs())


def quat_to_rotvec(q: Tensor) -> Tensor:
    """Rotation vectors (..., 3), at most pi long."""
    q = torch.where(q[..., :1] < 0, -q, q)
    length = q[..., 1:].norm(dim=-1, keepdim=True)
    angle = 2.0 * torch.atan2(length, q[..., :1])
    return q[..., 1:] * torch.where(length > 1e-9, angle / length.clamp(min=1e-9), 2.0 + 0.0 * angle)


def axis_angle(axis: Tensor, angle: Tensor) -> Tensor:
    """Turns by `angle` (...) about a unit axis (3,)."""
    half = 0.5 * angle.unsqueeze(-1)
    return torch.cat([torch.cos(half), torch.sin(half) * axis], -1)


def to_xyzw(q: Tensor) -> Tensor:
    """wxyz to Isaac Gym's order."""
    return torch.cat([q[..., 1:], q[..., :1]], -1)


def from_xyzw(q: Tensor) -> Tensor:
    """Isaac Gym's order to wxyz."""
    return torch.cat([q[..., 3:], q[..., :3]], -1)
