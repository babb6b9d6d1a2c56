"""Checks the joints and postures of a hand.yaml against its model: names, limits, speeds, angles."""

from pathlib import Path
from typing import Any

import numpy as np

from dexhot.errors import FileFormatError
from dexhot.robots.imported import ImportedModel
from dexhot.robots.joint_checks import TURN
from dexhot.robots.joints import Joint, shipped_joints
from dexhot.robots.model import RobotModel

FASTEST = 30.0  # rad/s, above the speed of any hand joint


def joints_of(
    path: Path, config: dict[str, Any], model: RobotModel | ImportedModel, notes: list[str]
) -> tuple[Joint, ...]:
    """The shipped joint table; or the file's own `joints`: rows as in urdf/joints.yaml, or only names for an imported
    model, with the model's limits and the `velocity` and `effort` of the hand.yaml or the model."""
    if "joints" not in config:
        return shipped_joints(config["name"])
    listed = config["joints"]
    if isinstance(listed, dict):
        joints = tuple(Joint(name, *row) for name, row in listed.items())
    elif isinstance(model, ImportedModel):
        joints = tuple(
            Joint(name, i, 1, 0.0, *model.ranges[name], *_strength(path, config, model, name, notes))
            for i, name in enumerate(listed)
        )
    else:
        raise FileFormatError("a hand.yaml with only joint names needs a `model`.")
    for joint in joints:
        if not -TURN <= joint.lower < joint.upper <= TURN:
            raise FileFormatError(
                f"{path}: joint {joint.name!r} has limits {joint.lower:g} to {joint.upper:g}; they must increase, and "
                "be in rad, not degrees."
            )
        if isinstance(model, ImportedModel):
            _check_row(path, joint, model)
        if not 0.0 < joint.velocity <= FASTEST:
            raise FileFormatError(
                f"{path}: joint {joint.name!r} has a velocity of {joint.velocity:g} rad/s; a hand's is above 0 and at "
                f"most {FASTEST:g}. Velocities are in rad/s, not degrees."
            )
    return joints


def _strength(
    path: Path, config: dict[str, Any], model: ImportedModel, name: str, notes: list[str]
) -> tuple[float, float]:
    """Velocity and effort of a joint: the hand.yaml's, or else the model's; never faster than the model's."""
    found = []
    for key, unit, known in (("velocity", "rad/s", model.speeds), ("effort", "N m", model.efforts)):
        if key not in config and name not in known:
            raise FileFormatError(f"{path} needs `{key}` in {unit}: its model has none for joint {name!r}.")
        found.append(float(config.get(key, known.get(name, 0.0))))
    if "velocity" not in config and found[0] > FASTEST:
        notes.append(f"joint {name!r}: velocity limited to {FASTEST:g} rad/s, instead of the {found[0]:g} in its model")
        found[0] = FASTEST
    fastest = model.speeds.get(name, found[0])
    if fastest < found[0] <= FASTEST:
        notes.append(
            f"joint {name!r}: velocity limited to its model's {fastest:g} rad/s, not {found[0]:g}; if that is wrong, "
            "correct the model, or give the joints as rows"
        )
        found[0] = fastest
    return found[0], found[1]


def _check_row(path: Path, joint: Joint, model: ImportedModel) -> None:
    """A row must stay within the model's limits for a joint with followers, and may override them for others."""
    low, high = model.ranges[joint.name]
    if joint.name in model.coupled.values() and not low - 1e-6 <= joint.lower < joint.upper <= high + 1e-6:
        followers = ", ".join(follower for follower, drive in model.coupled.items() if drive == joint.name)
        raise FileFormatError(
            f"{path} limits joint {joint.name!r} to {joint.lower:g} .. {joint.upper:g} rad; because of {followers}, "
            f"which follow it, the model allows {low:.4g} .. {high:.4g}."
        )


def posture(path: Path, key: str, values: list[float], joints: tuple[Joint, ...], notes: list[str]) -> np.ndarray:
    """(n,) rad, within the limits."""
    if len(values) != len(joints):
        raise FileFormatError(f"{path}: {key} has {len(values)} values for {len(joints)} joints.")
    wanted = np.array(values, float)
    for joint, value in zip(joints, wanted):
        outside = f"{key} has {joint.name!r} at {value:g} rad, its limits are {joint.lower:g} to {joint.upper:g}"
        if not abs(value) <= TURN:
            raise FileFormatError(f"{path}: {outside}; angles are in rad, not degrees.")
        if not joint.lower - 1e-6 <= value <= joint.upper + 1e-6:
            notes.append(f"{outside}: clipped to the nearer limit")
    within: np.ndarray = np.clip(wanted, [joint.lower for joint in joints], [joint.upper for joint in joints])
    return within


def check_names(path: Path, names: tuple[str, ...], known: tuple[str, ...], coupled: dict[str, str]) -> None:
    """Raise FileFormatError unless `names` are the joints of the model that can be driven, `known`."""
    wrong = [name for name in names if name not in known]
    if wrong and wrong[0] in coupled:
        drive = coupled[wrong[0]]
        follows = f"follows {drive!r}" if drive else "is fixed"
        raise FileFormatError(f"{path} lists joint {wrong[0]!r}, which {follows}; list {', '.join(known)}.")
    if wrong:
        raise FileFormatError(
            f"{path} names joint {wrong[0]!r}, which is not in its model; the model has {', '.join(known)}."
        )
    left_out = [name for name in known if name not in names]
    if left_out:
        raise FileFormatError(
            f"{path} omits joint {left_out[0]!r} of its model; list all of {', '.join(known)}. If the model is of "
            "a whole robot, set `root:` to the hand's base body."
        )
