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
from dexhot.hands.imported import ImportedModel, import_model
from dexhot.hands.joint_table import Joint, joint_table
from dexhot.hands.mjcf import add_model, strip_prefix, to_spec
from dexhot.hands.model import RobotModel, mirrored, pose_from, read_model
from dexhot.paths import share_dir


@dataclass(frozen=True)
class RobotHand:
    """A robot hand with n finger joints and k fingertips; arrays are in joint order."""

    name: str  # what `load_hand` takes: a shipped hand's name, or the whole path of its hand.yaml
    side: str  # "right" or "left"
    joints: tuple[Joint, ...]
    tip_sites: tuple[str, ...]  # sites at the centre of each fingertip's end sphere
    tip_radius: float  # m
    nominal: np.ndarray  # (n,) half closed: where solvers start
    open: np.ndarray  # (n,) fingers straight, thumb opposed
    mount: np.ndarray  # (7,) flange_T_palm on the arm
    retarget: dict[str, Any]  # how human keypoints map to this hand; read by dexhot.retargeting
    model: RobotModel | ImportedModel

    @property
    def joint_names(self) -> tuple[str, ...]:
        """n names in joint-table order."""
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
        if isinstance(self.model, RobotModel):
            return to_spec(self.model, self.joints)
        spec = self.model.spec()
        for joint in self.joints:
            spec.joint(joint.name).range = [joint.lower, joint.upper]
        return spec

    def add_to(self, spec: mujoco.MjSpec, parent, pose: np.ndarray) -> None:
        """Add the hand below `parent`, a body of `spec`, its palm frame at `pose` (7,), names unchanged."""
        if isinstance(self.model, RobotModel):
            add_model(parent, self.model, self.joints, pose)
        else:
            parent.add_frame(pos=pose[:3], quat=pose[3:]).attach_body(self.spec().body("palm"), "hand/", "")
            strip_prefix(spec, "hand/")


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
    try:
        return _from_config(path.resolve(), yaml.safe_load(path.read_text()))
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as e:
        raise FileFormatError(
            f"{path} does not describe a hand ({type(e).__name__}: {e}); docs/robots.md shows one."
        ) from e


def _from_config(path: Path, config: dict[str, Any]) -> RobotHand:
    needed = ("name", "side", "tips", "tip_radius", "nominal", "open")
    missing = [key for key in needed if key not in config] + ([] if {"source", "model"} & set(config) else ["model"])
    if missing:
        raise FileFormatError(
            f"{path} lacks {', '.join(missing)}; urdf/leap_right/hand.yaml and docs/robots.md show one."
        )
    if config["side"] not in ("right", "left"):
        raise FileFormatError(f"{path}: side must be right or left, not {config['side']!r}.")
    model: RobotModel | ImportedModel
    if "source" in config:
        model = read_model(path.parent / config["source"])
        model = mirrored(model) if config.get("mirror") else model
        known = tuple(model.joints)
    else:
        model = import_model(path.parent / config["model"], config["palm"], config["tips"])
        known = tuple(model.ranges)
    names = (
        tuple(config["joints"]) if "joints" in config else tuple(joint.name for joint in joint_table(config["name"]))
    )
    _check_joints(path, names, known)
    joints = _joints(config, model)
    for key in ("nominal", "open"):
        if len(config[key]) != len(joints):
            raise FileFormatError(f"{path}: {key} has {len(config[key])} values for {len(joints)} joints.")
    shipped = path.parent.parent == share_dir() / "urdf"
    return RobotHand(
        name=path.parent.name if shipped else str(path),
        side=config["side"],
        joints=joints,
        tip_sites=tuple(config["tips"]),
        tip_radius=float(config["tip_radius"]),
        nominal=np.array(config["nominal"], float),
        open=np.array(config["open"], float),
        mount=pose_from(config.get("mount", {})),
        retarget=config.get("retarget", {}),
        model=model,
    )


def _joints(config: dict[str, Any], model: RobotModel | ImportedModel) -> tuple[Joint, ...]:
    """The shipped joint table; or the file's own `joints`: rows as in urdf/joints.yaml, or names alone for an imported
    model, with the model's limits and the hand's one `velocity` and `effort`."""
    if "joints" not in config:
        return joint_table(config["name"])
    listed = config["joints"]
    if isinstance(listed, dict):
        return tuple(Joint(name, *row) for name, row in listed.items())
    if not isinstance(model, ImportedModel) or not {"velocity", "effort"} <= set(config):
        raise FileFormatError("a hand.yaml that lists joint names alone needs a `model`, a `velocity` and an `effort`.")
    speed, torque = float(config["velocity"]), float(config["effort"])
    return tuple(Joint(name, i, 1, 0.0, *model.ranges[name], speed, torque) for i, name in enumerate(listed))


def _check_joints(path: Path, names: tuple[str, ...], known: tuple[str, ...]) -> None:
    wrong = [name for name in names if name not in known]
    if wrong:
        raise FileFormatError(
            f"{path} names joint {wrong[0]!r}, which its model does not have; it has {', '.join(known)}."
        )
    left_out = [name for name in known if name not in names]
    if left_out:
        raise FileFormatError(f"{path} leaves out joint {left_out[0]!r} of its model; list all of {', '.join(known)}.")
