"""The torque that a motion of the arm takes, so that a soft impedance need not err to produce it."""

import mujoco
import numpy as np

from dexhot.hands.arm import FR3_JOINTS, arm_hand_spec
from dexhot.hands.robot_hand import RobotHand


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
        self.acceleration, self.inertial, self.velocity = np.zeros((3, self.model.nv))

    def torque(self, q: np.ndarray, qd: np.ndarray, qdd: np.ndarray) -> np.ndarray:
        """M(q) qdd + C(q, qd) qd (7,), N m."""
        m, d = self.model, self.data
        d.qpos[self.q], d.qvel[self.v], self.acceleration[self.v] = q, qd, qdd
        mujoco.mj_fwdPosition(m, d)
        mujoco.mj_fwdVelocity(m, d)
        mujoco.mj_mulM(m, d, self.inertial, self.acceleration)
        mujoco.mj_rne(m, d, 0, self.velocity)
        return (self.inertial + self.velocity)[self.v]
