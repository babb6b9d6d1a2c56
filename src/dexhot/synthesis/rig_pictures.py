"""What a depth camera in front of the robot would deliver: colour and depth of an arm scene, with a camera's noise.

It stands where the object is seen best along the reference, as a person would put it.
"""

import mujoco
import numpy as np

from dexhot.data.types import Reference
from dexhot.geometry.boxes import corners_of
from dexhot.geometry.cameras import Intrinsics, pinhole
from dexhot.geometry.meshes import surface_samples
from dexhot.geometry.poses import compose, inverse, transform
from dexhot.geometry.rotations import quat_to_matrix
from dexhot.objects.asset import ObjectAsset
from dexhot.perception.robot_mask import RobotMask
from dexhot.robots.robot_hand import RobotHand
from dexhot.simulation.renderer import new_renderer
from dexhot.simulation.scene import Scene
from dexhot.synthesis.noise import noise_level, noisy_color, noisy_depth
from dexhot.synthesis.scene import OPTICAL
from dexhot.synthesis.view import place

FOVY = 42.0  # degrees; a RealSense D435's colour image has 42.5
TURNS, TILTS = 12, (0.45, 0.8, 1.1)  # directions that are tried: about the vertical, and rad down onto the table
COARSE = 160, 120  # px, of the pictures that choose among them
MOMENTS, SAMPLES = 8, 300
SETTLED = 0.3  # weight of how firmly the visible part fixes the first pose
PLENTY = 0.5  # visible fraction of the object above which more is no better
ROUND = 10  # sides of a drawn cylinder
CLEAR = 0.3  # m before the camera in which the robot never is: nearer, a depth camera measures nothing
GRIPPED = 0.1  # m around the object that should be in view too: the hand


def rig_camera(width: int, height: int) -> Intrinsics:
    """The simulated camera."""
    return pinhole(width, height, FOVY)


def rig_view(reference: Reference, hand: RobotHand, asset: ObjectAsset) -> np.ndarray:
    """(7,) world_T_camera of the camera that sees most of the object along a reference with the arm's path, 0.5 to
    0.9 m away where its whole path is in view from there, and out of the robot's way."""
    frames = np.linspace(0, len(reference.q) - 1, MOMENTS).astype(int)
    poses = reference.object_pose[frames]
    low, high = asset.vertices.min(axis=0) - 0.5 * GRIPPED, asset.vertices.max(axis=0) + 0.5 * GRIPPED
    corners = corners_of(low, high)
    points = np.stack([transform(pose, corners) for pose in poses])
    centre = 0.5 * (points.reshape(-1, 3).min(axis=0) + points.reshape(-1, 3).max(axis=0))
    camera = rig_camera(*COARSE)
    views = [
        place(camera, centre, turn, tilt, points, 0.0).world_T_camera
        for turn in np.linspace(0, 2 * np.pi, TURNS, endpoint=False)
        for tilt in TILTS
    ]
    robot = RobotMask(hand, camera, views[0])
    shapes = np.stack([robot.points(np.r_[reference.arm_q[k], reference.q[k, 6:]]) for k in frames])
    samples, normals = surface_samples(asset.vertices, asset.faces, SAMPLES)[:2]
    surface = np.stack([transform(pose, samples) for pose in poses])
    outward = np.stack([normals @ quat_to_matrix(pose[3:]).T for pose in poses])

    scores = []
    for view in views:
        drawn = robot.depth(shapes, inverse(view))
        seen, free = _visible(camera, view, drawn, surface, outward)
        kept = _settled(surface[0][free[0]], outward[0][free[0]])
        in_the_way = bool(((drawn > 0) & (drawn < CLEAR)).any())
        scores.append((float(np.minimum(seen, PLENTY).mean() + 0.5 * seen.min()) - in_the_way, kept))
    best = max(kept for _, kept in scores) or 1.0
    return views[int(np.argmax([seen + SETTLED * kept / best for seen, kept in scores]))]


def _visible(
    camera: Intrinsics, view: np.ndarray, robot: np.ndarray, surface: np.ndarray, outward: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of the points (B, N, 3) with normals `outward`: (B,) fraction of those facing the camera that the robot, with
    depth (B, H, W), does not hide; and (B, N) which ones are seen."""
    x = transform(inverse(view), surface)
    facing = np.einsum("bni,bni->bn", outward, surface - view[:3]) < 0
    u, v = np.clip(np.round(camera.project(x)), 0, [camera.width - 1, camera.height - 1]).astype(int).transpose(2, 0, 1)
    before = robot[np.arange(len(x))[:, None], v, u]
    free = facing & ((before == 0) | (before > x[..., 2]))
    return free.sum(axis=1) / np.maximum(facing.sum(axis=1), 1), free


def _settled(points: np.ndarray, normals: np.ndarray) -> float:
    """How firmly the depth of points (N, 3) fixes the pose: the smallest deviation, in m per m, that a motion of unit
    size causes; 0 where a turn is not seen at all, as a mug's with the handle behind it."""
    if len(points) < 10:
        return 0.0
    arm = points - points.mean(axis=0)
    radius = float(np.sqrt((arm**2).sum(axis=1).mean()))
    rows = np.hstack([np.cross(arm, normals) / radius, normals])
    return float(np.sqrt(max(np.linalg.eigvalsh(rows.T @ rows / len(rows))[0], 0.0)))


class RigPictures:
    """Draws an arm scene from `world_T_camera` (7,). Close it. Raises NoRendererError."""

    def __init__(self, scene: Scene, camera: Intrinsics, world_T_camera: np.ndarray, noise: str, seed: int):
        """noise: "none", or a level of config/synthesis.yaml."""
        self.scene, self.camera = scene, camera
        self.level = None if noise == "none" else noise_level(noise)
        self.rng = np.random.default_rng(seed)
        model = scene.model
        quality = model.vis.quality
        # with shadows and antialiasing a picture of 320x240 takes 140 ms of a core, without 5
        quality.offsamples = quality.shadowsize = 0
        quality.numslices, quality.numstacks = ROUND, ROUND // 2
        fixed = model.camera("workspace")
        pose = compose(world_T_camera, inverse(OPTICAL))
        fixed.pos, fixed.quat = pose[:3], pose[3:]
        fixed.fovy = camera.fovy
        self.data = mujoco.MjData(model)
        self.renderer = new_renderer(model, camera.width, camera.height)
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            self.renderer.scene.flags[flag] = False

    def place(self, q: np.ndarray, object_pose: np.ndarray) -> None:
        """Put the robot to q (7+n,) and the object to (7,), without drawing them."""
        model, data = self.scene.model, self.data
        self.scene.set_joints(data, q)
        data.qpos[self.scene.object_qpos] = object_pose
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)

    def draw(self, q: np.ndarray, object_pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Colour (H, W, 3) uint8 and depth (H, W) uint16 mm, 0 where unknown; of the robot at q (7+n,), the object at
        (7,)."""
        self.place(q, object_pose)
        self.renderer.update_scene(self.data, camera="workspace")
        picture = self.renderer.render()
        self.renderer.enable_depth_rendering()
        z = self.renderer.render()
        self.renderer.disable_depth_rendering()
        if self.level is not None:
            picture = noisy_color(picture, self.camera, self.level, self.rng)
            return picture, noisy_depth(z, self.camera, self.level, self.rng)
        millimetres = np.round(1e3 * z)
        return picture, np.where(millimetres < 65536.0, millimetres, 0.0).astype(np.uint16)

    def close(self) -> None:
        """Release the renderer's memory."""
        self.renderer.close()
