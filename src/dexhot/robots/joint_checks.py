"""Checks the joints of a hand: hinges with limits in rad, in a tree, with names that nothing else needs."""

import mujoco
import numpy as np

from dexhot.data.types import WRIST_JOINTS
from dexhot.robots.kinematics.wrist import WRIST_BODIES

TURN = 2 * np.pi  # rad; a hinge of a hand that goes beyond is given in degrees
TINY = 0.06  # rad; a hand whose hinges all stay within is given in rad and read as degrees
RESERVED = ("object", "table", "floor", *WRIST_BODIES, *WRIST_JOINTS)
RESERVED_PREFIXES = ("fr3_", "ghost/", "robot/")
LOOPS = (mujoco.mjtEq.mjEQ_CONNECT, mujoco.mjtEq.mjEQ_WELD, mujoco.mjtEq.mjEQ_TENDON)


def check_joints(model: mujoco.MjModel, joints: list[int], bodies: list[int], coupled: dict[str, str]) -> str:
    """What is wrong with a hand of these joints and bodies (ids), as the end of a sentence; "" when it can be used.

    coupled: name of each joint that follows -> the joint at the end of its chain.
    """
    names = {model.joint(j).name: j for j in joints}
    taken = [*names, *(model.body(b).name for b in bodies)]
    reserved = [name for name in taken if name in RESERVED or name.startswith(RESERVED_PREFIXES)]
    if reserved:
        return f"calls something {reserved[0]!r}, a name that the scene needs; rename it in the model."
    for name, drive in coupled.items():
        if name in names and drive and drive not in names:
            return f"has joint {name!r}, which follows {drive!r}, and that is not of this hand; choose another root."
    loop = _loop(model, bodies)
    if loop:
        return (
            f"closes a loop by the equality {loop}, which kinematics cannot follow; write the linkage as joints that "
            "follow others (<mimic>, or <equality><joint>)."
        )
    for name, j in names.items():
        wrong = _wrong(model, j, name in coupled)
        if wrong:
            return wrong
    widest = max((abs(x) for j in joints if model.jnt_limited[j] for x in model.jnt_range[j]), default=0.0)
    if 0.0 < widest < TINY:
        return (
            f"lets no joint turn by more than {np.degrees(widest):.2g} degrees: its limits are in rad, but are read as "
            'degrees; write <compiler angle="radian"/> into it.'
        )
    return ""


def _wrong(model: mujoco.MjModel, joint: int, follows: bool) -> str:
    name, (low, high) = model.joint(joint).name, model.jnt_range[joint]
    if model.jnt_type[joint] != mujoco.mjtJoint.mjJNT_HINGE:
        return f"has joint {name!r}, which is no hinge; a hand's joints are hinges here."
    if not model.jnt_limited[joint] and not follows:
        return (
            f"has joint {name!r} without limits (continuous); add to the hand.yaml what it may do, in rad: "
            f"limits: {{{name}: [-0.5, 1.5]}}"
        )
    if model.jnt_limited[joint] and max(abs(low), abs(high)) > TURN:
        return (
            f"limits joint {name!r} to {low:g} .. {high:g}, which looks like degrees; angles are in rad: correct the "
            "model, or write `limits:` in the hand.yaml."
        )
    return ""


def _loop(model: mujoco.MjModel, bodies: list[int]) -> str:
    """Name and kind of an equality other than between joints that holds one of the bodies; "" without one."""
    for i in np.flatnonzero(np.isin(model.eq_type, LOOPS) & model.eq_active0.astype(bool)):
        kind = mujoco.mjtEq(int(model.eq_type[i]))
        ends = [int(model.eq_obj1id[i]), int(model.eq_obj2id[i])]
        if model.eq_objtype[i] == mujoco.mjtObj.mjOBJ_SITE:
            ends = [int(model.site_bodyid[end]) for end in ends]
        if kind == mujoco.mjtEq.mjEQ_TENDON or set(ends) & set(bodies):
            return f"{model.equality(i).name!r} ({kind.name.removeprefix('mjEQ_').lower()})"
    return ""
