"""Points of arm and hand in the world that stand for the hand in state estimation: fingertips, and four of the palm."""

import mujoco
import numpy as np

from dexhot.robots.arm import FR3_JOINTS, arm_hand_spec
from dexhot.robots.coupling import Coupled
from dexhot.robots.robot_hand import RobotHand

PALM = 0.03 * np.array([[1, 1, 0], [1, -1, 0], [-1, 1, 0], [-1, -1, 0]])  # m, in the palm's frame
PALM_WEIGHT = 0.3  # of a palm point in carrying an object, against a fingertip


class HandPoints:
    """The points of one hand on the arm."""

    def __init__(self, hand: RobotHand):
        self.model = arm_hand_spec(hand, visual=False).compile()
        self.data, self.coupled = mujoco.MjData(self.model), Coupled(self.model)
        joints = [self.model.joint(name) for name in (*FR3_JOINTS, *hand.joint_names)]
        self.order, self.v = [j.qposadr[0] for j in joints], [j.dofadr[0] for j in joints]
        self.tips = [self.model.site(name).id for name in hand.tip_sites]
        self.palm = self.model.body("palm").id
        self.weight = np.array([1.0] * len(self.tips) + [PALM_WEIGHT] * len(PALM))

    def __call__(self, q: np.ndarray) -> np.ndarray:
        """(K, 3) m of joints q (7+n,) rad, arm then hand."""
        self.data.qpos[self.order] = q
        self.coupled.follow(self.data.qpos)
        mujoco.mj_kinematics(self.model, self.data)
        palm = self.data.xpos[self.palm] + PALM @ self.data.xmat[self.palm].reshape(3, 3).T
        return np.concatenate([self.data.site_xpos[self.tips], palm])

    def linearised(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The points (K, 3) m, and their Jacobian (3K, 7+n) by the joints."""
        points = self(q)
        mujoco.mj_comPos(self.model, self.data)
        J = np.empty((len(points), 3, self.model.nv))
        bodies = [*self.model.site_bodyid[self.tips], *[self.palm] * len(PALM)]
        for row, point, body in zip(J, points, bodies):
            mujoco.mj_jac(self.model, self.data, row, None, point, body)
        by_joint: np.ndarray = self.coupled.reduce(J, self.data.qpos)[..., self.v].reshape(points.size, -1)
        return points, by_joint
