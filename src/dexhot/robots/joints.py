"""The joint table urdf/joints.yaml: joint order, limits and motor convention, shared by simulation and hardware."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np

from dexhot.data.yaml_file import load_yaml
from dexhot.errors import NotFoundError
from dexhot.paths import share_dir


@dataclass(frozen=True)
class Joint:
    """One row. Angles in rad, velocity in rad/s, effort in N m; motor angle = sign * q + zero."""

    name: str
    motor_id: int
    sign: int
    zero: float
    lower: float
    upper: float
    velocity: float
    effort: float

    def to_motor(self, q: float) -> float:
        """Joint angle -> motor angle, rad."""
        return self.sign * q + self.zero

    def from_motor(self, angle: float) -> float:
        """Motor angle -> joint angle, rad."""
        return self.sign * (angle - self.zero)


def columns(joints: Iterable[Joint], *fields: str) -> list[np.ndarray]:
    """Fields of rows as arrays (n,), e.g. `lower, upper = columns(joint_table("fr3"), "lower", "upper")`."""
    rows = list(joints)
    return [np.array([getattr(joint, field) for joint in rows], float) for field in fields]


@cache
def shipped_joints(robot: str) -> tuple[Joint, ...]:
    """The rows of urdf/joints.yaml for `robot`. Raises NotFoundError, listing the robots."""
    content = load_yaml(share_dir() / "urdf" / "joints.yaml")
    fields = content.pop("columns")
    if robot not in content:
        raise NotFoundError("joint table", robot, content)
    return tuple(Joint(name=name, **dict(zip(fields, row, strict=True))) for name, row in content[robot].items())
