"""Inverse dynamics of the arm: the feed-forward torque of a motion, which a soft impedance would need an error for."""

import mujoco
import numpy as np

from dexhot.robots.arm import FR3_JOINTS, arm_hand_spec
from dexhot.robots.coupling import Coupled
from dexhot.robots.robot_hand import RobotHand


class ArmDynamics:
    """Inverse dynamics of the arm with the hand on it, without gravity, which the arm compensates itself."""

    def __init__(self, hand: RobotHand):
        spec = arm_hand_spec(hand)
        spec.option.gravity = [0.0, 0.0, 0.0]
        self.model = spec.compile()
        self.data = mujoco.MjData(self.model)
        joints = [self.model.joint(name) for name in FR3_JOINTS]
        self.q, self.v = [j.qposadr[0] for j in joints], [j.dofadr[0] for j in joints]
        for name, angle in zip(hand.joint_names, hand.nominal):
            self.data.qpos[self.model.joint(name).qposadr[0]] = angle
        Coupled(self.model).follow(self.data.qpos)
        self.acceleration, self.inertial, self.bias = np.zeros((3, self.model.nv))
        self.palm, self.jacobian = self.model.body("palm").id, np.zeros((6, self.model.nv))

    def torque(self, q: np.ndarray, qd: np.ndarray, qdd: np.ndarray) -> np.ndarray:
        """M(q) qdd + C(q, qd) qd (7,), N m."""
        m, d = self.model, self.data
        d.qpos[self.q], d.qvel[self.v], self.acceleration[self.v] = q, qd, qdd
        mujoco.mj_fwdPosition(m, d)
        mujoco.mj_fwdVelocity(m, d)
        mujoco.mj_mulM(m, d, self.inertial, self.acceleration)
        mujoco.mj_rne(m, d, 0, self.bias)
        torque: np.ndarray = (self.inertial + self.bias)[self.v]
        return torque

    def inertia(self) -> np.ndarray:
        """(7, 7) kg m2, M at the q of the last `torque`."""
        full = np.zeros((self.model.nv, self.model.nv))
        mujoco.mj_fullM(self.model, self.data, full)
        return full[np.ix_(self.v, self.v)]

    def velocity(self, q: np.ndarray, near: np.ndarray, twist: np.ndarray) -> np.ndarray:
        """(7,) rad/s at q, near `near` (7,), with which the palm moves by `twist` (6,) in m/s and rad/s."""
        J = self.palm_jacobian(q)
        rates: np.ndarray = near + damped_inverse(J) @ (twist - J @ near)
        return rates

    def palm_jacobian(self, q: np.ndarray) -> np.ndarray:
        """(6, 7) the palm's twist, world axes, per joint velocity at q (7,)."""
        m, d = self.model, self.data
        d.qpos[self.q] = q
        mujoco.mj_kinematics(m, d)
        mujoco.mj_comPos(m, d)
        mujoco.mj_jacBody(m, d, self.jacobian[:3], self.jacobian[3:], self.palm)
        return self.jacobian[:, self.v]


def damped_inverse(J: np.ndarray, damping: float = 1e-4) -> np.ndarray:
    """(7, 6) of J (6, 7): it stays bounded where the arm is stretched."""
    inverse: np.ndarray = J.T @ np.linalg.inv(J @ J.T + damping * np.eye(len(J)))
    return inverse
