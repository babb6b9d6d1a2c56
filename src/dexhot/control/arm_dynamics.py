"""Inverse dynamics of the arm: feed-forward torque, so that a soft impedance needs no tracking error to accelerate."""

import mujoco
import numpy as np

from dexhot.robots.coupling import Coupled
from dexhot.robots.kinematics.arm import DAMPING, ArmKinematics
from dexhot.robots.robot_hand import RobotHand


class ArmDynamics:
    """Inverse dynamics of the arm with the hand, without gravity, which the arm compensates itself."""

    def __init__(self, hand: RobotHand):
        self.kinematics = ArmKinematics(hand)
        self.model, self.data = self.kinematics.model, self.kinematics.data
        self.q, self.v = self.kinematics.q, self.kinematics.v
        self.model.opt.gravity[:] = 0.0
        for name, angle in zip(hand.joint_names, hand.nominal):
            self.data.qpos[self.model.joint(name).qposadr[0]] = angle
        Coupled(self.model).follow(self.data.qpos)
        self.acceleration, self.inertial, self.bias = np.zeros((3, self.model.nv))

    def torque(self, q: np.ndarray, qd: np.ndarray, qdd: np.ndarray) -> np.ndarray:
        """M(q) qdd + C(q, qd) qd (7,), N m."""
        m, d = self.model, self.data
        d.qpos[self.q], d.qvel[self.v], self.acceleration[self.v] = q, qd, qdd
        mujoco.mj_kinematics(m, d)
        mujoco.mj_comPos(m, d)
        mujoco.mj_makeM(m, d)
        mujoco.mj_comVel(m, d)
        mujoco.mj_mulM(m, d, self.inertial, self.acceleration)
        mujoco.mj_rne(m, d, 0, self.bias)
        torque: np.ndarray = (self.inertial + self.bias)[self.v]
        return torque

    def inertia(self) -> np.ndarray:
        """(7, 7) kg m2, the mass matrix at the q of the last `torque` call."""
        full = np.zeros((self.model.nv, self.model.nv))
        mujoco.mj_fullM(self.model, self.data, full)
        return full[np.ix_(self.v, self.v)]

    def velocity(self, q: np.ndarray, near: np.ndarray, twist: np.ndarray) -> np.ndarray:
        """(7,) rad/s at q that give the palm `twist` (6,), m/s and rad/s; the solution nearest to `near` (7,)."""
        J = self.kinematics.palm_jacobian(q)
        rates: np.ndarray = near + damped_inverse(J) @ (twist - J @ near)
        return rates


def damped_inverse(J: np.ndarray) -> np.ndarray:
    """(7, 6) damped pseudo-inverse of J (6, 7): bounded at singularities, where the arm is stretched."""
    inverse: np.ndarray = J.T @ np.linalg.inv(J @ J.T + DAMPING)
    return inverse
