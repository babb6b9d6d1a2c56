"""Robot hands by name or file: `load_hand("leap_right")` or `load_hand("/path/to/hand.yaml")`.

A hand.yaml names either a `source` (our own model format, see dexhot.robots.model) or a `model` (any URDF or MJCF), the
joints' order, the fingertips and the palm frame: +x along the extended fingers, +z dorsal, y = z cross x. Joints that
follow another are not among the hand's `joints`: they are not commanded.
"""

import logging
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import yaml

from dexhot.data.yaml_file import load_yaml
from dexhot.errors import FileFormatError, NotFoundError
from dexhot.paths import share_dir
from dexhot.robots.hand_joints import check_names, joints_of, posture
from dexhot.robots.imported import ImportedModel, import_model
from dexhot.robots.joints import Joint, shipped_joints
from dexhot.robots.mjcf import add_model, strip_prefix, to_spec
from dexhot.robots.model import RobotModel, mirrored, pose_from, read_model
from dexhot.robots.servos import profile

log = logging.getLogger(__name__)
DEFAULT_SERVO = "dextrack"  # of a hand without servo data
YOURS = "Or give the path of a hand.yaml; `dexhot hand add` makes one of a URDF or an MJCF model."


@dataclass(frozen=True)
class RobotHand:
    """A robot hand with n finger joints and k fingertips; arrays are in joint order."""

    name: str  # argument of `load_hand`: a shipped hand's name, or the absolute path of its hand.yaml
    side: str  # "right" or "left"
    joints: tuple[Joint, ...]
    tip_sites: tuple[str, ...]  # sites at the centre of each fingertip's end sphere
    tip_radius: float  # m
    nominal: np.ndarray  # (n,) half closed: initial guess of solvers
    open: np.ndarray  # (n,) fingers straight, thumb opposed
    mount: np.ndarray  # (7,) flange_T_palm on the arm
    retarget: dict[str, Any]  # how human keypoints map to this hand; read by dexhot.retargeting
    model: RobotModel | ImportedModel
    servo: str = DEFAULT_SERVO  # profile of config/servos.yaml for its finger servos
    notes: tuple[str, ...] = ()  # corrections and omissions of its files, one sentence each

    @property
    def coupled(self) -> dict[str, str]:
        """Joints that follow another -> the one of `joints` at the end of their chain."""
        return self.model.coupled

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
        """(n,) velocity limits, rad/s."""
        return np.array([joint.velocity for joint in self.joints])

    @cached_property
    def effort(self) -> np.ndarray:
        """(n,) torque limits, N m."""
        return np.array([joint.effort for joint in self.joints])

    def spec(self, detailed: bool = False, visual: bool = True) -> mujoco.MjSpec:
        """A new spec whose one root body "palm" has the palm frame; see dexhot.robots.mjcf for names and options.

        A hand from its own URDF or MJCF comes whole, whatever `detailed` and `visual`.
        """
        if isinstance(self.model, RobotModel):
            return to_spec(self.model, self.joints, detailed, visual)
        spec = self.model.spec()
        for joint in self.joints:
            spec.joint(joint.name).range = [joint.lower, joint.upper]
        return spec

    def add_to(
        self,
        spec: mujoco.MjSpec,
        parent: mujoco.MjsBody,
        pose: np.ndarray,
        detailed: bool = False,
        visual: bool = True,
    ) -> None:
        """Add the hand below `parent`, a body of `spec`, its palm frame at `pose` (7,), as `spec` has it."""
        if isinstance(self.model, RobotModel):
            add_model(spec, parent, self.model, self.joints, pose, detailed, visual)
        else:
            parent.add_frame(pos=pose[:3], quat=pose[3:]).attach_body(self.spec().body("palm"), "hand/", "")
            strip_prefix(spec, "hand/")


def list_hands() -> list[str]:
    """The names of the shipped hands."""
    return sorted(path.parent.name for path in (share_dir() / "urdf").glob("*/hand.yaml"))


def load_hand(name_or_path: str | Path) -> RobotHand:
    """A shipped hand by name, or any hand by the path of its hand.yaml.

    Raises NotFoundError for an unknown name, FileFormatError for an invalid hand.yaml.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        if str(name_or_path) not in list_hands():
            raise NotFoundError("robot hand", str(name_or_path), list_hands(), YOURS)
        path = share_dir() / "urdf" / str(name_or_path) / "hand.yaml"
    if not path.is_file():
        raise FileFormatError(f"{path} does not exist; give a hand.yaml or one of {', '.join(list_hands())}.")
    try:
        hand = hand_from_config(path.resolve(), load_yaml(path))
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as e:
        raise FileFormatError(f"{path} is not a valid hand.yaml ({type(e).__name__}: {e}); see docs/robots.md.") from e
    for note in hand.notes:
        _say_once(f"{path}: {note}.")
    return hand


@cache
def _say_once(note: str) -> None:
    log.warning(note)


def hand_from_config(path: Path, config: dict[str, Any]) -> RobotHand:
    """The hand described by `config`, the content of a hand.yaml at `path`; see `load_hand`."""
    needed = ("name", "side", "tips", "tip_radius", "nominal", "open")
    missing = [key for key in needed if key not in config] + ([] if {"source", "model"} & set(config) else ["model"])
    if missing:
        raise FileFormatError(f"{path} lacks {', '.join(missing)}; see urdf/leap_right/hand.yaml and docs/robots.md.")
    if config["side"] not in ("right", "left"):
        raise FileFormatError(f"{path}: side must be right or left, not {config['side']!r}.")
    model: RobotModel | ImportedModel
    if "source" in config:
        model = read_model(path.parent / config["source"])
        model = mirrored(model) if config.get("mirror") else model
        known = tuple(name for name in model.joints if name not in model.coupled)
    else:
        model = import_model(
            path.parent / config["model"], config["palm"], config["tips"], config.get("root"), config.get("limits")
        )
        known = tuple(model.ranges)
    names = (
        tuple(config["joints"]) if "joints" in config else tuple(joint.name for joint in shipped_joints(config["name"]))
    )
    check_names(path, names, known, model.coupled)
    notes = list(model.notes) if isinstance(model, ImportedModel) else []
    joints = joints_of(path, config, model, notes)
    postures = {key: posture(path, key, config[key], joints, notes) for key in ("nominal", "open")}
    shipped = path.parent.parent == share_dir() / "urdf"
    return RobotHand(
        name=path.parent.name if shipped else str(path),
        side=config["side"],
        joints=joints,
        tip_sites=tuple(config["tips"]),
        tip_radius=float(config["tip_radius"]),
        nominal=postures["nominal"],
        open=postures["open"],
        mount=pose_from(config.get("mount", {})),
        retarget=config.get("retarget", {}),
        model=model,
        servo=profile(config.get("servo", DEFAULT_SERVO)).name,
        notes=tuple(notes),
    )
