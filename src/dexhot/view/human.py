"""Pictures of a human demonstration, a skeleton of 21 keypoints and the object, to be shown beside those of the
robot."""

import mujoco
import numpy as np

from dexhot.data.keypoints import ACROSS, BONES
from dexhot.datasets.source_clip import HumanMotion
from dexhot.simulation.renderer import new_renderer
from dexhot.simulation.scene import object_scene
from dexhot.view.render import Painter, brighten

BONE, JOINT = 0.0045, 0.0065  # m, radii
PALM_RGB = (0.45, 0.49, 0.55)
# thumb, index, middle, ring, little; the colour-blind-safe palette of Okabe and Ito; as in report.css
FINGER_RGB = ((0.84, 0.37, 0.0), (0.0, 0.45, 0.70), (0.0, 0.62, 0.45), (0.80, 0.47, 0.65), (0.90, 0.62, 0.0))


class HumanPainter:
    """Draws frames of a human motion with the camera of `robot`, which must outlive it. Must be closed."""

    def __init__(self, human: HumanMotion, robot: Painter):
        self.human, self.robot = human, robot
        of = robot.scene
        self.scene = object_scene(of.object, of.physics, of.table_height)  # type: ignore[arg-type]  # a rollout has one
        brighten(self.scene)
        shift = of.model.geom_pos[of.table_geom] - self.scene.model.geom_pos[self.scene.table_geom]
        self.scene.model.geom_pos[self.scene.table_geom] += shift  # the rig's table is in front of the arm
        self.data = mujoco.MjData(self.scene.model)
        self.renderer = new_renderer(self.scene.model, robot.renderer.width, robot.renderer.height)

    def close(self) -> None:
        """Release the renderer's memory."""
        self.renderer.close()

    def frame(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 of frame `index`."""
        self.data.qpos[self.scene.object_qpos] = self.human.object_pose[index]
        mujoco.mj_kinematics(self.scene.model, self.data)
        mujoco.mj_camlight(self.scene.model, self.data)
        self.robot.aim(index)
        self.renderer.update_scene(self.data, self.robot.camera, self.robot.solid)
        for flag in (mujoco.mjtRndFlag.mjRND_REFLECTION, mujoco.mjtRndFlag.mjRND_HAZE):
            self.renderer.scene.flags[flag] = 0
        for keypoints in self.human.keypoints.values():
            add_skeleton(self.renderer.scene, keypoints[index])
        picture: np.ndarray = self.renderer.render()
        return picture


def add_skeleton(scene: mujoco.MjvScene, keypoints: np.ndarray) -> None:
    """Append bones and joints of a hand, keypoints (21, 3), to `scene`."""
    capsule = mujoco.mjtGeom.mjGEOM_CAPSULE
    for a, b in (*ACROSS, *BONES):
        colour = PALM_RGB if (a, b) in ACROSS else colour_of(b)
        mujoco.mjv_connector(_add_geom(scene, colour), capsule, BONE, keypoints[a], keypoints[b])
    for k, point in enumerate(keypoints):
        geom = _add_geom(scene, colour_of(k))
        geom.size[:], geom.pos[:] = JOINT, point


def colour_of(keypoint: int) -> tuple[float, float, float]:
    """Colour of a keypoint's finger."""
    return PALM_RGB if keypoint == 0 else FINGER_RGB[(keypoint - 1) // 4]


def _add_geom(scene: mujoco.MjvScene, rgb: tuple[float, float, float]) -> mujoco.MjvGeom:
    """Add a sphere of that colour, without size and position."""
    geom, nothing = scene.geoms[scene.ngeom], np.zeros(3)
    rgba = np.array([*rgb, 1.0], np.float32)
    mujoco.mjv_initGeom(geom, mujoco.mjtGeom.mjGEOM_SPHERE, nothing, nothing, np.eye(3).ravel(), rgba)
    geom.category = mujoco.mjtCatBit.mjCAT_DYNAMIC  # so that it casts a shadow
    scene.ngeom += 1
    return geom
