"""The floating hand's joints from the real robot's: arm joints and fingers -> wrist joints and fingers."""

import mujoco
import numpy as np

from dexhot.robots.arm import arm_hand_spec
from dexhot.robots.robot_hand import RobotHand
from dexhot.robots.wrist import palm_to_wrist


class PalmKinematics:
    """Forward kinematics of the arm (its base is the world frame) with the hand on it."""

    def __init__(self, hand: RobotHand):
        self.model = arm_hand_spec(hand).compile()
        self.data = mujoco.MjData(self.model)
        self.palm = self.model.body("palm").id
        self.arm = [int(self.model.joint(f"fr3_joint{i}").qposadr[0]) for i in range(1, 8)]

    def palm_pose(self, arm_q: np.ndarray) -> np.ndarray:
        """(7,) arm joints -> (7,) world_T_palm."""
        self.data.qpos[self.arm] = arm_q
        mujoco.mj_kinematics(self.model, self.data)
        return np.concatenate([self.data.xpos[self.palm], self.data.xquat[self.palm]])

    def hand_vector(self, arm_q: np.ndarray, hand_q: np.ndarray, base_quat: np.ndarray, near: np.ndarray) -> np.ndarray:
        """(6+n,) of arm and fingers; the wrist's angles within pi of near[3:6]."""
        return np.concatenate([palm_to_wrist(self.palm_pose(arm_q), base_quat, near), hand_q])
