"""Where the robot itself is seen: arm and hand drawn from their joint states, so that they are not taken for the
object."""

import mujoco
import numpy as np
from scipy.ndimage import minimum_filter

from dexhot.geometry.cameras import Intrinsics
from dexhot.geometry.poses import inverse, make_pose, transform
from dexhot.geometry.raster.channels import RIGHT
from dexhot.geometry.raster.rasterizer import Rasterizer
from dexhot.geometry.triangles import merged
from dexhot.perception.object_pose import noise_at
from dexhot.robots.arm import FR3_JOINTS, arm_hand_spec
from dexhot.robots.coupling import Coupled
from dexhot.robots.mjcf import VISUAL_GROUP
from dexhot.robots.robot_hand import RobotHand
from dexhot.simulation.geom_meshes import body_parts

SECTIONS = 12  # of a cylinder
MARGIN = 0.006  # m about the drawn robot that may be it too: its shape and the calibration are not exact


class RobotMask:
    """The arm with `hand` before a calibrated camera."""

    def __init__(self, hand: RobotHand, camera: Intrinsics, world_T_camera: np.ndarray):
        """world_T_camera (7,) of the optical frame; the world is the arm's base."""
        self.model = arm_hand_spec(hand).compile()
        self.data, self.coupled = mujoco.MjData(self.model), Coupled(self.model)
        self.order = [self.model.joint(name).qposadr[0] for name in (*FR3_JOINTS, *hand.joint_names)]
        self.parts = body_parts(self.model, np.flatnonzero(self.model.geom_group == VISUAL_GROUP), SECTIONS)
        _, faces = merged([(part.vertices, part.faces) for part in self.parts])
        self.raster = Rasterizer(camera, faces, np.full(len(faces), RIGHT))
        self.camera, self.camera_T_world = camera, inverse(world_T_camera)

    def points(self, q: np.ndarray) -> np.ndarray:
        """(V, 3) m in the world: the robot's vertices at q (7+n,) rad, arm then hand."""
        self.data.qpos[self.order] = q
        self.coupled.follow(self.data.qpos)
        mujoco.mj_kinematics(self.model, self.data)
        poses = make_pose(self.data.xpos, self.data.xquat)
        return np.concatenate([transform(poses[part.body], part.vertices) for part in self.parts])

    def depth(self, points: np.ndarray, camera_T_world: np.ndarray) -> np.ndarray:
        """(B, H, W) m along the optical axis, 0 where the robot with `points` (B, V, 3) is not."""
        drawn: np.ndarray = self.raster.forward(transform(camera_T_world, points)).depth
        return drawn

    def __call__(self, q: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """(H, W) bool: pixels that show the robot, or may, of an image with `depth` (m). What is measured before it,
        such as an object that it holds, is not it."""
        drawn = self.depth(self.points(q)[None], self.camera_T_world)[0]
        there = drawn > 0
        nearest = np.full(drawn.shape, np.inf)  # m that something before the robot is nearer than
        octave = np.floor(np.log2(drawn, out=np.zeros_like(drawn), where=there))
        for number in np.unique(octave[there]):  # the margin is more pixels of a link that is nearer
            z = 1.5 * 2.0**number
            reach = round(MARGIN * self.camera.fx / z)
            part = minimum_filter(np.where(there & (octave == number), drawn, np.inf), 2 * reach + 1)
            nearest = np.minimum(nearest, part - MARGIN - noise_at(z))
        before = (depth > 0) & (depth < nearest)
        found: np.ndarray = np.isfinite(nearest) & ~before
        return found
