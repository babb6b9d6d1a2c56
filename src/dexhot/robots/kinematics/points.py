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
        self.order = [self.model.joint(name).qposadr[0] for name in (*FR3_JOINTS, *hand.joint_names)]
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
