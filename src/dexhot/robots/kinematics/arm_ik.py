"""Wrist pose -> FR3 joint angles, one 60 Hz step at a time, by mink within joint and velocity limits."""

import mink
import mujoco
import numpy as np
from numpy.typing import ArrayLike

from dexhot.data.types import RATE
from dexhot.errors import DexhotError
from dexhot.geometry.poses import pose_to_matrix
from dexhot.geometry.single import rotation_error
from dexhot.robots.arm import FLANGE_SITE, FR3_HOME, FR3_JOINTS, fr3_spec, link_T_palm
from dexhot.robots.joint_table import joint_table
from dexhot.robots.robot_hand import RobotHand

STANDING = ("fr3_link0", "fr3_link1")  # links that may touch the table
ITERATIONS = 2  # QPs per step, each with its fraction of the step's velocity


class ArmIK:
    """Differential inverse kinematics of the arm with `hand`; the arm's base is the world frame.

    The redundant elbow is attracted weakly to `home`, so that a motion forth and back is repeatable.
    """

    def __init__(self, hand: RobotHand, dt: float = 1.0 / RATE, home: ArrayLike = FR3_HOME):
        spec = fr3_spec()
        palm = link_T_palm(spec, hand)
        spec.site(FLANGE_SITE).parent.add_site(name="palm", pos=palm[:3], quat=palm[3:])
        for geom in spec.geoms:
            geom.contype, geom.conaffinity = (1, 0) if geom.contype and geom.parent.name not in STANDING else (0, 0)
        table = spec.worldbody.add_geom(name="table", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[2, 2, 0.1])
        table.contype, table.conaffinity = 0, 1
        self.model = spec.compile()
        self.dt = dt
        self.velocity = np.array([joint.velocity for joint in joint_table("fr3")])
        self.lower, self.upper = self.model.jnt_range.T.copy()
        self._configuration = mink.Configuration(self.model)
        self._palm = mink.FrameTask("palm", "site", position_cost=10.0, orientation_cost=3.0, lm_damping=1e-4)
        posture = mink.PostureTask(self.model, cost=1e-2, gain=0.02)  # low gain, or the elbow would move at full speed
        posture.set_target(np.asarray(home, float))
        self._tasks = [self._palm, posture]
        velocities = dict(zip(FR3_JOINTS, self.velocity))
        self._limits = [mink.ConfigurationLimit(self.model), mink.VelocityLimit(self.model, velocities)]

    def solve(self, world_T_palm: ArrayLike, q_previous: np.ndarray) -> tuple[np.ndarray, float, float]:
        """One control step from q_previous (7,) towards world_T_palm (7,).

        Returns q (7,), the remaining position error in m and rotation error in rad. Raises DexhotError for a non-finite
        input, which must never become a command.
        """
        world_T_palm = np.asarray(world_T_palm, float)
        if not (np.isfinite(world_T_palm).all() and np.isfinite(q_previous).all()):
            raise DexhotError(f"non-finite input of the arm IK: palm {world_T_palm}, joints {q_previous}.")
        configuration, dt = self._configuration, self.dt / ITERATIONS
        configuration.update(np.clip(q_previous, self.lower, self.upper))
        self._palm.set_target(mink.SE3.from_matrix(pose_to_matrix(world_T_palm)))
        for _ in range(ITERATIONS):
            v = mink.solve_ik(configuration, self._tasks, dt, "daqp", damping=1e-6, limits=self._limits)
            configuration.integrate_inplace(v, dt)
        q = np.clip(configuration.q, self.lower, self.upper)
        position, rotation = self.error(world_T_palm)
        return q, position, rotation

    def error(self, world_T_palm: np.ndarray) -> tuple[float, float]:
        """Error of the last configuration from a palm pose: m, rad."""
        data, site = self._configuration.data, self.model.site("palm").id
        turn = rotation_error(pose_to_matrix(world_T_palm)[:3, :3], data.site_xmat[site].reshape(3, 3))
        return float(np.linalg.norm(world_T_palm[:3] - data.site_xpos[site])), float(np.linalg.norm(turn))

    def touches_table(self) -> bool:
        """Whether a link above STANDING touches the table's plane z = 0 in the last configuration."""
        data = self._configuration.data
        mujoco.mj_collision(self.model, data)
        return bool(data.ncon > 0)

    def reach(self, world_T_palm: ArrayLike, q_start: ArrayLike, steps: int = 120) -> tuple[np.ndarray, float, float]:
        """Many steps towards one pose, without continuity to the start. Returns as `solve`."""
        q, position, rotation = np.asarray(q_start, float), np.inf, np.inf
        for _ in range(steps):
            q, position, rotation = self.solve(world_T_palm, q)
            if position < 1e-4 and rotation < 1e-3:
                break
        return q, position, rotation
