"""The Jacobian of a body of any MuJoCo model."""

import mujoco
import numpy as np


def body_jacobian(model: mujoco.MjModel, data: mujoco.MjData, body: int) -> np.ndarray:
    """(6, nv) linear and angular velocity of a body's origin, world, per joint velocity. Needs mj_kinematics."""
    mujoco.mj_comPos(model, data)
    jacobian = np.empty((6, model.nv))
    mujoco.mj_jacBody(model, data, jacobian[:3], jacobian[3:], body)
    return jacobian
