"""The arm's kinematics for many configurations at once: what the search for a reachable placement needs."""

import numpy as np
from numpy.typing import ArrayLike

from dexhot.geometry.poses import pose_to_matrix
from dexhot.robots.arm import FR3_HOME, FR3_JOINTS, arm_hand_spec
from dexhot.robots.robot_hand import RobotHand


class ArmChain:
    """The seven hinges from the arm's base to the hand's palm, read from the model; angles (N, 7) in rad."""

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
            error, J = self._error(q, wanted)
            A = J @ J.transpose(0, 2, 1) + 1e-4 * np.eye(6)
            step = np.einsum("nji,nj->ni", J, np.linalg.solve(A, error[..., None])[..., 0])
            q = np.clip(q + np.clip(step, -0.3, 0.3), self.lower, self.upper)
        error, _ = self._error(q, wanted)
        return q, np.linalg.norm(error[:, :3], axis=1), np.linalg.norm(error[:, 3:], axis=1)

    def margin(self, q: np.ndarray) -> np.ndarray:
        """(N,) how far the nearest joint limit is, rad."""
        margin: np.ndarray = np.minimum(q - self.lower, self.upper - q).min(axis=1)
        return margin

    def _error(self, q: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, 6) what is left to move and turn, and the Jacobian."""
        T, J = self.forward(q)
        R = wanted[:, :3, :3] @ T[:, :3, :3].transpose(0, 2, 1)
        sine = 0.5 * np.stack([R[:, 2, 1] - R[:, 1, 2], R[:, 0, 2] - R[:, 2, 0], R[:, 1, 0] - R[:, 0, 1]], -1)
        norm = np.linalg.norm(sine, axis=1)
        angle = np.arctan2(norm, 0.5 * (np.trace(R, axis1=1, axis2=2) - 1.0))
        turn = sine * np.where(norm > 1e-9, angle / np.maximum(norm, 1e-9), 1.0)[:, None]
        return np.concatenate([wanted[:, :3, 3] - T[:, :3, 3], turn], axis=1), J


def _turn(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Rotation by angles (N,) about one axis (3,) -> (N, 4, 4)."""
    x, y, z = axis
    K = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    out = np.broadcast_to(np.eye(4), (len(angle), 4, 4)).copy()
    s, c = np.sin(angle)[:, None, None], 1.0 - np.cos(angle)[:, None, None]
    out[:, :3, :3] += s * K + c * (K @ K)
    return out
