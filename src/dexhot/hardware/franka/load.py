"""The arm's payload: mass, centre of mass and inertia of a hand at the flange."""

from dataclasses import dataclass

import mujoco
import numpy as np

from dexhot.geometry.rotations import quat_to_matrix
from dexhot.robots.coupling import Coupled
from dexhot.robots.robot_hand import RobotHand


@dataclass(frozen=True)
class Load:
    """In the flange's frame; inertia about the centre of mass."""

    mass: float  # kg
    com: np.ndarray  # (3,) m
    inertia: np.ndarray  # (3, 3) kg m2


def hand_load(hand: RobotHand) -> Load:
    """The load of `hand` in its nominal pose, on the mount given in its hand.yaml."""
    model = hand.spec(visual=False).compile()
    data = mujoco.MjData(model)
    for name, angle in zip(hand.joint_names, hand.nominal):
        data.qpos[model.joint(name).qposadr[0]] = angle
    Coupled(model).follow(data.qpos)
    mujoco.mj_fwdPosition(model, data)
    palm = model.body("palm").id
    rotation = quat_to_matrix(hand.mount[3:]) @ data.xmat[palm].reshape(3, 3).T  # world -> flange
    mass = float(model.body_subtreemass[palm])
    com = data.subtree_com[palm]
    inertia = np.zeros((3, 3))
    for body in range(palm, model.nbody):
        frame = data.ximat[body].reshape(3, 3)
        arm = data.xipos[body] - com
        inertia += frame @ np.diag(model.body_inertia[body]) @ frame.T
        inertia += model.body_mass[body] * (arm @ arm * np.eye(3) - np.outer(arm, arm))
    return Load(mass, hand.mount[:3] + rotation @ (com - data.xpos[palm]), rotation @ inertia @ rotation.T)
