"""Robot hands by name or file: `load_hand("leap_right")` or `load_hand("/path/to/hand.yaml")`.

A hand.yaml names either a `source` (our own numbers, see dexhot.hands.model) or a `model` (anyone's URDF or MJCF), the
joints' order, the fingertips and the palm frame: +x along the extended fingers, +z dorsal, y = z cross x.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import yaml

from dexhot.errors import FileFormatError, NotFoundError
from dexhot.hands.joint_table import Joint, joint_table
from dexhot.hands.mjcf import add_model, to_spec
from dexhot.hands.model import RobotModel, mirrored, pose_from, read_model
from dexhot.paths import share_dir


@dataclass(frozen=True)
class RobotHand:
    """A robot hand with n finger joints and k fingertips; arrays are in joint order."""

    name: str
    side: str  # "right" or "left"
    joints: tuple[Joint, ...]
    tip_sites: tuple[str, ...]  # sites at the centre of each fingertip's end sphere
    tip_radius: float  # m
    nominal: np.ndarray  # (n,) half closed: where solvers start
    open: np.ndarray  # (n,) fingers straight, thumb opposed
    mount: np.ndarray  # (7,) flange_T_palm on the arm
    retarget: dict[str, Any]  # how human keypoints map to this hand; read by dexhot.retargeting
    model: RobotModel

    @property
    def joint_names(self) -> tuple[str, ...]:
        return tuple(joint.name for joint in self.joints)

    @cached_property
    def lower(self) -> np.ndarray:
        """(n,) rad."""
        return np.array([joint.lower for joint in self.joints])

    @cached_property
    def upper(self) -> np.ndarray:
        """(n,) rad."""
        return np.array([joint.upper for joint in self.joints])

    @cached_property
    def velocity(self) -> np.ndarray:
        """(n,) largest speeds, rad/s."""
        return np.array([joint.velocity for joint in self.joints])

    @cached_property
    def effort(self) -> np.ndarray:
        """(n,) largest torques, N m."""
        return np.array([joint.effort for joint in self.joints])

    def spec(self) -> mujoco.MjSpec:
        """A new spec whose one root body "palm" has the palm frame; see dexhot.hands.mjcf for its names."""
        return to_spec(self.model, self.joints)

    def add_to(self, parent, pose: np.ndarray):
        """Add the hand below the spec body `parent`, its palm frame at `pose` (7,); returns the body "palm"."""
        return add_model(parent, self.model, self.joints, pose)


def list_hands() -> list[str]:
    """The names of the shipped hands."""
    return sorted(path.parent.name for path in (share_dir() / "urdf").glob("*/hand.yaml"))


def load_hand(name_or_path: str | Path) -> RobotHand:
    """A shipped hand by name, or any hand by the path of its hand.yaml.

    Raises NotFoundError for an unknown name, FileFormatError for a file that does not describe a hand.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        if str(name_or_path) not in list_hands():
            raise NotFoundError("robot hand", str(name_or_path), list_hands(), "Or give the path of a hand.yaml.")
        path = share_dir() / "urdf" / str(name_or_path) / "hand.yaml"
    if not path.is_file():
        raise FileFormatError(f"{path} does not exist; give a hand.yaml or one of {', '.join(list_hands())}.")
    return _from_config(path, yaml.safe_load(path.read_text()))


def _from_config(path: Path, config: dict[str, Any]) -> RobotHand:
    model = read_model(path.parent / config["source"])
    joints = joint_table(config["name"])
    return RobotHand(
        name=config["name"],
        side=config["side"],
        joints=joints,
        tip_sites=tuple(config["tips"]),
        tip_radius=config["tip_radius"],
        nominal=np.array(config["nominal"], float),
        open=np.array(config["open"], float),
        mount=pose_from(config.get("mount", {})),
        retarget=config.get("retarget", {}),
        model=mirrored(model) if config["mirror"] else model,
    )
