"""The arm's forward kinematics and Jacobian: of one configuration by MuJoCo, for the 60 Hz loop, and of a batch in
NumPy.

The base frame is the world frame, the end effector is the palm of the mounted hand; angles in rad.
"""

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from dexhot.geometry import single
from dexhot.geometry.poses import pose_to_matrix
from dexhot.geometry.rotations import rotation_error
from dexhot.robots.arm import FR3_HOME, FR3_JOINTS, arm_hand_spec
from dexhot.robots.kinematics.wrist import palm_to_wrist
from dexhot.robots.robot_hand import RobotHand

DAMPING = 1e-4 * np.eye(6)  # of the least squares of `solve`
STEP = 0.3  # rad, longest change of a joint per iteration


class ArmKinematics:
    """Kinematics of one configuration. `model`: the arm with the hand, without other bodies."""

    def __init__(self, hand: RobotHand):
        self.model = arm_hand_spec(hand, visual=False).compile()
        self.data = mujoco.MjData(self.model)
        joints = [self.model.joint(name) for name in FR3_JOINTS]
        self.q, self.v = [j.qposadr[0] for j in joints], [j.dofadr[0] for j in joints]  # addresses
        self.lower, self.upper = np.array([j.range for j in joints]).T
        self.palm, self.jacobian = self.model.body("palm").id, np.zeros((6, self.model.nv))

    def palm_pose(self, arm_q: np.ndarray) -> np.ndarray:
        """(7,) arm joints -> (7,) world_T_palm."""
        self.data.qpos[self.q] = arm_q
        mujoco.mj_kinematics(self.model, self.data)
        return np.concatenate([self.data.xpos[self.palm], self.data.xquat[self.palm]])

    def palm_jacobian(self, arm_q: np.ndarray) -> np.ndarray:
        """(6, 7) Jacobian of the palm, linear over angular, world axes, at arm_q (7,)."""
        m, d = self.model, self.data
        d.qpos[self.q] = arm_q
        mujoco.mj_kinematics(m, d)
        mujoco.mj_comPos(m, d)
        mujoco.mj_jacBody(m, d, self.jacobian[:3], self.jacobian[3:], self.palm)
        return self.jacobian[:, self.v]

    def solve(self, world_T_palm: np.ndarray, start: np.ndarray, iterations: int) -> tuple[np.ndarray, float]:
        """`ArmChain.solve` for one palm pose (7,), equal to rounding: q (7,) from `start` (7,), position error in m."""
        position, quat, q = world_T_palm[:3], world_T_palm[3:].tolist(), start
        for _ in range(iterations):
            J = self.palm_jacobian(q)
            turn = single.multiply(quat, single.conjugate(self.data.xquat[self.palm].tolist()))
            error = np.concatenate([position - self.data.xpos[self.palm], single.log(turn)])
            step = J.T @ np.linalg.solve(J @ J.T + DAMPING, error)
            q = _within(self.lower, q + _within(-STEP, step, STEP), self.upper)
        left = position - self.palm_pose(q)[:3]
        return q, float(np.sqrt(left @ left))

    def hand_vector(self, arm_q: np.ndarray, hand_q: np.ndarray, base_quat: np.ndarray, near: np.ndarray) -> np.ndarray:
        """Hand vector (6+n,) of arm and finger joints; the wrist's angles within pi of near[3:6]."""
        return np.concatenate([palm_to_wrist(self.palm_pose(arm_q), base_quat, near), hand_q])


class ArmChain:
    """Batched kinematics: the seven hinges from the arm's base to the palm, read from the model."""

    def __init__(self, hand: RobotHand):
        model = arm_hand_spec(hand, visual=False).compile()
        bodies = [model.joint(name).bodyid[0] for name in FR3_JOINTS]
        self.lower, self.upper = np.array([model.joint(name).range for name in FR3_JOINTS]).T
        self.axes = np.array([model.joint(name).axis for name in FR3_JOINTS])
        first = pose_to_matrix(np.r_[model.body_pos[1], model.body_quat[1]])  # base_T_link0
        links = [pose_to_matrix(np.r_[model.body_pos[b], model.body_quat[b]]) for b in bodies]
        self.links = np.array([first @ links[0], *links[1:]])  # (7, 4, 4) parent_T_link at zero
        self.skew = np.zeros((7, 4, 4))
        self.skew[:, :3, :3] = np.cross(self.axes[:, None], np.eye(3)).transpose(0, 2, 1)  # skew @ v = axis x v
        self.skew_squared = self.skew @ self.skew
        palm = model.body("palm").id
        self.palm = pose_to_matrix(np.r_[model.body_pos[palm], model.body_quat[palm]])  # link7_T_palm

    def frames(self, q: np.ndarray) -> np.ndarray:
        """(N, 7) -> base_T_link (N, 7, 4, 4)."""
        s, c = np.sin(q)[..., None, None], 1.0 - np.cos(q)[..., None, None]
        T: np.ndarray = self.links @ (np.eye(4) + s * self.skew + c * self.skew_squared)  # (N, 7, 4, 4) parent_T_link
        for k in range(1, 7):
            np.matmul(T[:, k - 1], T[:, k], out=T[:, k])  # base_T_link
        return T

    def hinges(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Origins and axes (N, 7, 3) of the joints, base frame: a hinge's turn moves neither its own origin nor its
        axis, so the links' poses after it give both."""
        axes: np.ndarray = (frames[..., :3, :3] @ self.axes[..., None])[..., 0]
        return frames[..., :3, 3], axes

    def forward(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, 7) -> base_T_palm (N, 4, 4) and its Jacobian (N, 6, 7): linear over angular velocity, base frame."""
        T = self.frames(q)
        palm, (origin, axis) = T[:, -1] @ self.palm, self.hinges(T)
        arm = palm[:, None, :3, 3] - origin
        linear = axis[..., [1, 2, 0]] * arm[..., [2, 0, 1]] - axis[..., [2, 0, 1]] * arm[..., [1, 2, 0]]
        return palm, np.concatenate([linear, axis], axis=-1).transpose(0, 2, 1)

    def solve(
        self, wanted: np.ndarray, start: ArrayLike = FR3_HOME, iterations: int = 40
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Damped least squares towards base_T_palm (N, 4, 4), within limits.

        Returns q (N, 7), position errors (N,) m and rotation errors (N,) rad.
        """
        q = np.array(np.broadcast_to(start, (len(wanted), 7)))
        for _ in range(iterations):
            error, J = self.error(q, wanted)
            A = J @ J.transpose(0, 2, 1) + DAMPING
            step = np.einsum("nji,nj->ni", J, np.linalg.solve(A, error[..., None])[..., 0])
            q = _within(self.lower, q + _within(-STEP, step, STEP), self.upper)
        error, _ = self.error(q, wanted)
        return q, np.linalg.norm(error[:, :3], axis=1), np.linalg.norm(error[:, 3:], axis=1)

    def margin(self, q: np.ndarray) -> np.ndarray:
        """(N,) distance to the nearest joint limit, rad."""
        margin: np.ndarray = np.minimum(q - self.lower, self.upper - q).min(axis=1)
        return margin

    def error(self, q: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Remaining position and rotation error (N, 6), and the Jacobian."""
        T, J = self.forward(q)
        turn = rotation_error(wanted[:, :3, :3], T[:, :3, :3])
        return np.concatenate([wanted[:, :3, 3] - T[:, :3, 3], turn], axis=1), J


def _within(lower: ArrayLike, x: np.ndarray, upper: ArrayLike) -> np.ndarray:
    """np.clip, without its overhead."""
    found: np.ndarray = np.minimum(np.maximum(x, lower), upper)
    return found
