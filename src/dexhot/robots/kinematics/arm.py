"""The arm's forward kinematics and Jacobian: of one configuration by MuJoCo, for the 60 Hz loop, of many in NumPy.

The arm's base is the world frame, the end is the palm of the hand that it carries; angles in rad.
"""

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from dexhot.geometry.poses import pose_to_matrix
from dexhot.geometry.rotations import rotation_error
from dexhot.robots.arm import FR3_HOME, FR3_JOINTS, arm_hand_spec
from dexhot.robots.kinematics.wrist import palm_to_wrist
from dexhot.robots.robot_hand import RobotHand


class ArmKinematics:
    """One configuration at a time. `model` is the arm with the hand on it, alone."""

    def __init__(self, hand: RobotHand):
        self.model = arm_hand_spec(hand).compile()
        self.data = mujoco.MjData(self.model)
        joints = [self.model.joint(name) for name in FR3_JOINTS]
        self.q, self.v = [j.qposadr[0] for j in joints], [j.dofadr[0] for j in joints]  # addresses
        self.palm, self.jacobian = self.model.body("palm").id, np.zeros((6, self.model.nv))

    def palm_pose(self, arm_q: np.ndarray) -> np.ndarray:
        """(7,) arm joints -> (7,) world_T_palm."""
        self.data.qpos[self.q] = arm_q
        mujoco.mj_kinematics(self.model, self.data)
        return np.concatenate([self.data.xpos[self.palm], self.data.xquat[self.palm]])

    def palm_jacobian(self, arm_q: np.ndarray) -> np.ndarray:
        """(6, 7) the palm's twist, linear over angular, world axes, per joint velocity at arm_q (7,)."""
        m, d = self.model, self.data
        d.qpos[self.q] = arm_q
        mujoco.mj_kinematics(m, d)
        mujoco.mj_comPos(m, d)
        mujoco.mj_jacBody(m, d, self.jacobian[:3], self.jacobian[3:], self.palm)
        return self.jacobian[:, self.v]

    def hand_vector(self, arm_q: np.ndarray, hand_q: np.ndarray, base_quat: np.ndarray, near: np.ndarray) -> np.ndarray:
        """(6+n,) of arm and fingers; the wrist's angles within pi of near[3:6]."""
        return np.concatenate([palm_to_wrist(self.palm_pose(arm_q), base_quat, near), hand_q])


class ArmChain:
    """Many configurations at once: the seven hinges from the arm's base to the palm, read from the model."""

    def __init__(self, hand: RobotHand):
        model = arm_hand_spec(hand).compile()
        bodies = [model.joint(name).bodyid[0] for name in FR3_JOINTS]
        self.lower, self.upper = np.array([model.joint(name).range for name in FR3_JOINTS]).T
        self.axes = np.array([model.joint(name).axis for name in FR3_JOINTS])
        first = pose_to_matrix(np.r_[model.body_pos[1], model.body_quat[1]])  # base_T_link0
        links = [pose_to_matrix(np.r_[model.body_pos[b], model.body_quat[b]]) for b in bodies]
        self.links = np.array([first @ links[0], *links[1:]])  # (7, 4, 4) parent_T_link at zero
        palm = model.body("palm").id
        self.palm = pose_to_matrix(np.r_[model.body_pos[palm], model.body_quat[palm]])  # link7_T_palm

    def forward(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, 7) -> base_T_palm (N, 4, 4) and its Jacobian (N, 6, 7): linear over angular velocity, base frame."""
        T = np.broadcast_to(np.eye(4), (len(q), 4, 4))
        origins, axes = [], []
        for k in range(7):
            T = T @ self.links[k]
            origins.append(T[:, :3, 3])
            axes.append(T[:, :3, :3] @ self.axes[k])
            T = T @ _turn(self.axes[k], q[:, k])
        T = T @ self.palm
        axis, origin = np.stack(axes, -1), np.stack(origins, -1)  # (N, 3, 7)
        linear = np.cross(axis, T[:, :3, 3:] - origin, axis=1)
        return T, np.concatenate([linear, axis], axis=1)

    def solve(
        self, wanted: np.ndarray, start: ArrayLike = FR3_HOME, iterations: int = 40
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Damped least squares towards base_T_palm (N, 4, 4), within limits.

        Returns q (N, 7), position errors (N,) m and rotation errors (N,) rad.
        """
        q = np.array(np.broadcast_to(start, (len(wanted), 7)))
        for _ in range(iterations):
            error, J = self.error(q, wanted)
            A = J @ J.transpose(0, 2, 1) + 1e-4 * np.eye(6)
            step = np.einsum("nji,nj->ni", J, np.linalg.solve(A, error[..., None])[..., 0])
            q = np.clip(q + np.clip(step, -0.3, 0.3), self.lower, self.upper)
        error, _ = self.error(q, wanted)
        return q, np.linalg.norm(error[:, :3], axis=1), np.linalg.norm(error[:, 3:], axis=1)

    def margin(self, q: np.ndarray) -> np.ndarray:
        """(N,) how far the nearest joint limit is, rad."""
        margin: np.ndarray = np.minimum(q - self.lower, self.upper - q).min(axis=1)
        return margin

    def error(self, q: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, 6) what is left to move and turn, and the Jacobian."""
        T, J = self.forward(q)
        turn = rotation_error(wanted[:, :3, :3], T[:, :3, :3])
        return np.concatenate([wanted[:, :3, 3] - T[:, :3, 3], turn], axis=1), J


def _turn(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Rotation by angles (N,) about one axis (3,) -> (N, 4, 4)."""
    x, y, z = axis
    K = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    out = np.broadcast_to(np.eye(4), (len(angle), 4, 4)).copy()
    s, c = np.sin(angle)[:, None, None], 1.0 - np.cos(angle)[:, None, None]
    out[:, :3, :3] += s * K + c * (K @ K)
    return out
