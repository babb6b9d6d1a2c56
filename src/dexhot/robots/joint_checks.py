"""Checks the joints of a hand: hinges with limits in rad, in a tree, without reserved names."""

import mujoco
import numpy as np

from dexhot.data.types import WRIST_JOINTS
from dexhot.robots.kinematics.wrist import WRIST_BODIES

TURN = 2 * np.pi  # rad; a hinge with larger limits is given in degrees
TINY = 0.06  # rad; a hand with only smaller limits is given in rad but read as degrees
RESERVED = ("object", "table", "floor", *WRIST_BODIES, *WRIST_JOINTS)
RESERVED_PREFIXES = ("fr3_", "ghost/", "robot/")
LOOPS = (mujoco.mjtEq.mjEQ_CONNECT, mujoco.mjtEq.mjEQ_WELD, mujoco.mjtEq.mjEQ_TENDON)


def check_joints(model: mujoco.MjModel, joints: list[int], bodies: list[int], coupled: dict[str, str]) -> str:
    """The fault of a hand with these joints and bodies (ids), as the end of a sentence; "" if it is usable.

    coupled: name of each joint that follows -> the joint at the end of its chain.
    """
    names = {model.joint(j).name: j for j in joints}
    taken = [*names, *(model.body(b).name for b in bodies)]
    reserved = [name for name in taken if name in RESERVED or name.startswith(RESERVED_PREFIXES)]
    if reserved:
        return f"uses the reserved name {reserved[0]!r}; rename it in the model."
    for name, drive in coupled.items():
        if name in names and drive and drive not in names:
            return f"has joint {name!r}, which follows {drive!r}, a joint outside this hand; choose another root."
    loop = _loop(model, bodies)
    if loop:
        return (
            f"closes a kinematic loop with the equality {loop}, which is not supported; model the linkage by coupled "
            "joints (<mimic>, or <equality><joint>)."
        )
    for name, j in names.items():
        wrong = _wrong(model, j, name in coupled)
        if wrong:
            return wrong
    widest = max((abs(x) for j in joints if model.jnt_limited[j] for x in model.jnt_range[j]), default=0.0)
    if 0.0 < widest < TINY:
        return (
            f"has no joint limit above {np.degrees(widest):.2g} degrees: its limits are in rad, but are read as "
            'degrees; add <compiler angle="radian"/>.'
        )
    return ""


def _wrong(model: mujoco.MjModel, joint: int, follows: bool) -> str:
    name, (low, high) = model.joint(joint).name, model.jnt_range[joint]
    if model.jnt_type[joint] != mujoco.mjtJoint.mjJNT_HINGE:
        return f"has joint {name!r}, which is not a hinge; only hinges are supported."
    if not model.jnt_limited[joint] and not follows:
        return (
            f"has joint {name!r} without limits (continuous); add its limits to the hand.yaml, in rad: "
            f"limits: {{{name}: [-0.5, 1.5]}}"
        )
    if model.jnt_limited[joint] and max(abs(low), abs(high)) > TURN:
        return (
            f"limits joint {name!r} to {low:g} .. {high:g}, which looks like degrees; angles are in rad: correct the "
            "model, or write `limits:` in the hand.yaml."
        )
    return ""


def _loop(model: mujoco.MjModel, bodies: list[int]) -> str:
    """Name and kind of an equality on one of the bodies, other than between joints; "" without one."""
    for i in np.flatnonzero(np.isin(model.eq_type, LOOPS) & model.eq_active0.astype(bool)):
        kind = mujoco.mjtEq(int(model.eq_type[i]))
        ends = [int(model.eq_obj1id[i]), int(model.eq_obj2id[i])]
        if model.eq_objtype[i] == mujoco.mjtObj.mjOBJ_SITE:
            ends = [int(model.site_bodyid[end]) for end in ends]
        if kind == mujoco.mjtEq.mjEQ_TENDON or set(ends) & set(bodies):
            return f"{model.equality(i).name!r} ({kind.name.removeprefix('mjEQ_').lower()})"
    return ""
