"""Pictures of a rollout: the robot solid, the reference as a translucent ghost; with MuJoCo's offscreen renderer."""

from pathlib import Path

import mujoco
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from PIL.PngImagePlugin import PngInfo

from dexhot.data.files import PICTURE_METADATA, replacing
from dexhot.data.types import Reference, Rollout
from dexhot.robots.mjcf import VISUAL_GROUP
from dexhot.simulation.renderer import new_renderer
from dexhot.simulation.scene import Scene, arm_scene, floating_scene
from dexhot.simulation.setup import Setup

GHOST_RGB = (95, 104, 235)  # the reference's colour, as in the plots
GHOST_GROUP, HIDDEN_GROUP = 5, 4
AZIMUTHS, ELEVATIONS = (140, 180, 215, 40, 5, 110), (-24, -10)  # degrees, candidate camera angles
FOVY = 45.0  # degrees, MuJoCo's default
WIDE = 0.4  # m: the camera follows an object that is carried further, as the hand would be tiny in a view of the whole
ASTRAY = 0.15  # m: an object further from its reference may leave the picture
SHEET_COLUMNS, SHEET_FRAMES = 4, 8


def ghost_scene(reference: Reference, setup: Setup, arm: bool) -> Scene:
    """The world of `reference` with a ghost that follows it: arm and hand, or the floating hand alone.

    Visible ghost geoms are in geom group GHOST_GROUP.
    """
    hand, asset, physics = setup.hand, setup.asset, setup.physics
    if arm:
        scene = arm_scene(hand, asset, physics, reference.table_height, ghost_base_quat=reference.base_quat)
    else:
        scene = floating_scene(hand, asset, reference.base_quat, physics, reference.table_height, ghost=True)
    model = scene.model
    seen = is_ghost(model) & (model.geom_group <= VISUAL_GROUP)
    model.geom_group[seen] = GHOST_GROUP
    model.geom_rgba[seen] = (*(c / 255 for c in GHOST_RGB), 0.4)
    model.geom_matid[seen] = -1
    return scene


def is_ghost(model: mujoco.MjModel) -> np.ndarray:
    """(ngeom,) bool: the geoms of the reference's ghost."""
    bodies = [model.body(b).name.startswith("ghost/") for b in range(model.nbody)]
    found: np.ndarray = np.array(bodies)[model.geom_bodyid]
    return found


def pose_scene(scene: Scene, data: mujoco.MjData, rollout: Rollout, frame: int) -> None:
    """Pose robot, object and ghost as at `frame`, kinematics only."""
    q = rollout.q[frame]
    scene.set_joints(data, np.concatenate([rollout.arm_q[frame], q[6:]]) if len(rollout.arm_q) else q)
    data.qpos[scene.object_qpos] = rollout.object_pose[frame]
    scene.show_ghost(data, rollout.reference.q[frame], rollout.reference.object_pose[frame])
    mujoco.mj_kinematics(scene.model, data)
    mujoco.mj_camlight(scene.model, data)


class Painter:
    """Draws frames of one rollout. Close it, or use it as a context manager.

    The camera keeps the whole motion of palm and object in view with `margin` m around it, and `beside` (T, P, 3),
    further points of each frame; it follows an object that is carried far.
    """

    def __init__(
        self,
        rollout: Rollout,
        setup: Setup,
        width: int = 640,
        height: int = 480,
        margin: float = 0.09,
        beside: np.ndarray | None = None,
    ):
        self.rollout, self.margin = rollout, margin
        self.scene = ghost_scene(rollout.reference, setup, arm=len(rollout.arm_q) > 0)
        self.data = mujoco.MjData(self.scene.model)
        brighten(self.scene)
        self.renderer = new_renderer(self.scene.model, width, height)
        self.scene.model.vis.quality.offsamples = 0  # pixels of a mask belong to one body: twice as fast
        self.masks = new_renderer(self.scene.model, width, height)
        self.masks.enable_segmentation_rendering()
        self.solid, self.outlined = mujoco.MjvOption(), mujoco.MjvOption()
        self.outlined.geomgroup[:] = 0
        self.outlined.geomgroup[GHOST_GROUP] = 1
        self.camera, self.lookat = mujoco.MjvCamera(), np.zeros(3)
        self.way = carried(rollout)
        self.points = (motion(rollout).reshape(3, -1, 3) - self.way).reshape(-1, 3)
        if beside is not None:
            self.points = np.concatenate([self.points, (beside - self.way[:, None]).reshape(-1, 3)])
        self._choose_view(width / height)

    def __enter__(self) -> "Painter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the renderers' memory."""
        self.renderer.close()
        self.masks.close()

    def frame(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 of frame `index`: the robot, with the outlined reference where it tracks one."""
        self._show(index)
        self.renderer.update_scene(self.data, self.camera, self.solid)
        for flag in (mujoco.mjtRndFlag.mjRND_REFLECTION, mujoco.mjtRndFlag.mjRND_HAZE):
            self.renderer.scene.flags[flag] = 0
        picture: np.ndarray = self.renderer.render()
        if "teleop" in self.rollout.reference.provenance:
            return picture
        bodies = self._bodies(self.outlined)
        thing = np.where(bodies < 0, 0, np.where(bodies == self.scene.model.body("ghost/object").id, 2, 1))
        return outline(picture, thing, tint=(thing > 0) & (self._bodies(self.solid) <= 0))

    def _show(self, index: int) -> None:
        pose_scene(self.scene, self.data, self.rollout, index)
        self.aim(index)

    def aim(self, index: int) -> None:
        """Aim the camera for frame `index`."""
        self.camera.lookat[:] = self.lookat + self.way[index]

    def _bodies(self, option: mujoco.MjvOption) -> np.ndarray:
        """(H, W) id of the body seen in each pixel, -1 for none."""
        self.masks.update_scene(self.data, self.camera, option)
        geoms = self.masks.render()[..., 0]
        return np.where(geoms >= 0, self.scene.model.geom_bodyid[np.maximum(geoms, 0)], -1)

    def _choose_view(self, aspect: float) -> None:
        """Select the camera direction, of twelve, with the best view of the object, and then of the hand."""
        reference, object_body = self.rollout.reference, self.scene.model.body("object").id
        hand = below(self.scene.model, "palm")  # not the arm: a link close to the camera would win
        frames = [int(f) for f in np.linspace(reference.grasp_start, reference.grasp_end, 4)[1:3]]
        seen: dict[tuple[float, float], int] = {}
        for view in [(azimuth, elevation) for azimuth in AZIMUTHS for elevation in ELEVATIONS]:
            self._turn(view, aspect)
            seen[view] = 0
            for frame in frames:
                self._show(frame)
                bodies = self._bodies(self.solid)
                seen[view] += int(
                    10 * np.count_nonzero(bodies == object_body) + np.count_nonzero(np.isin(bodies, hand))
                )
        self._turn(max(seen, key=seen.__getitem__), aspect)

    def _turn(self, view: tuple[float, float], aspect: float) -> None:
        self.camera.azimuth, self.camera.elevation = view
        frame_motion(self.camera, self.points, aspect, self.margin)
        self.lookat = self.camera.lookat.copy()


def below(model: mujoco.MjModel, root: str) -> list[int]:
    """Ids of the body `root` and its descendants."""
    found = {model.body(root).id}
    for body in range(model.nbody):  # parents come first
        if model.body_parentid[body] in found:
            found.add(body)
    return sorted(found)


def outline(picture: np.ndarray, thing: np.ndarray, tint: np.ndarray) -> np.ndarray:
    """Draw a line around each region of equal `thing` (H, W) int, and tint the pixels of `tint` (H, W) bool."""
    edge = np.zeros(thing.shape, bool)
    for axis in (0, 1):
        step = np.diff(thing, axis=axis) != 0
        edge |= np.pad(step, [(0, 1) if a == axis else (0, 0) for a in (0, 1)])
        edge |= np.pad(step, [(1, 0) if a == axis else (0, 0) for a in (0, 1)])
    alpha = Image.fromarray(np.where(edge, 255, np.where(tint, 70, 0)).astype(np.uint8))
    base = Image.fromarray(picture)
    base.paste(Image.new("RGB", base.size, GHOST_RGB), mask=alpha.filter(ImageFilter.GaussianBlur(0.6)))
    return np.asarray(base)


def brighten(scene: Scene) -> None:
    """Light table and sky without floor, for slides, and cheaper shadows."""
    model = scene.model
    model.geom_rgba[scene.table_geom] = (0.86, 0.85, 0.83, 1.0)
    model.geom_group[model.geom("floor").id] = HIDDEN_GROUP
    model.stat.extent = 1.6  # m; the floor's size would blur the shadows
    model.vis.quality.shadowsize = 2048
    for texture in range(model.ntex):
        if model.tex_type[texture] == mujoco.mjtTexture.mjTEXTURE_SKYBOX:
            start, size = model.tex_adr[texture], model.tex_width[texture] * model.tex_height[texture] * 3
            model.tex_data[start : start + size] = 242


def motion(rollout: Rollout) -> np.ndarray:
    """(3 T, 3) points that a picture of the whole clip must show: actual and reference object, and the palm."""
    meant = rollout.reference.object_pose[:, :3]
    off = rollout.object_pose[:, :3] - meant
    off *= np.minimum(1.0, ASTRAY / np.maximum(np.linalg.norm(off, axis=1), 1e-9))[:, None]
    return np.concatenate([meant + off, meant, rollout.q[:, :3]])


def carried(rollout: Rollout) -> np.ndarray:
    """(T, 3) the reference object's horizontal motion; zeros if it is below WIDE."""
    way = rollout.reference.object_pose[:, :3] * (1.0, 1.0, 0.0)
    return way if np.ptp(way, axis=0).max() > WIDE else np.zeros_like(way)


def frame_motion(camera: mujoco.MjvCamera, points: np.ndarray, aspect: float, margin: float) -> None:
    """Move a free camera, keeping its direction, as near as every point (N, 3) stays in view with `margin` m around
    it."""
    azimuth, elevation = np.radians(camera.azimuth), np.radians(camera.elevation)
    forward = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    right = np.array([np.sin(azimuth), -np.cos(azimuth), 0.0])
    axes = np.stack([right, np.cross(right, forward), forward])
    local = points @ axes.T
    center = (local.min(axis=0) + local.max(axis=0)) / 2
    across, depth = np.abs(local - center)[:, :2] + margin, (local - center)[:, 2]
    slope = np.tan(np.radians(FOVY) / 2) * np.array([aspect, 1.0])
    camera.lookat[:] = center @ axes
    camera.distance = float((across / slope - depth[:, None]).max())


def sheet_frames(rollout: Rollout, count: int = SHEET_FRAMES) -> list[int]:
    """Frame numbers spread evenly over the clip, the last one included."""
    T = len(rollout.q)
    return [round((k + 1) * (T - 1) / count) for k in range(count)]


def grasp_frames(rollout: Rollout) -> list[int]:
    """Four key frames: before the grasp, at its start, during the lift and at its top."""
    reference = rollout.reference
    start, top = reference.grasp_start, int(np.argmax(rollout.object_pose[:, 2]))
    return [max(0, start - round(0.5 * reference.rate)), start, (start + top) // 2, top]


def contact_sheet(painter: Painter, frames: list[int], path: Path, columns: int = SHEET_COLUMNS) -> Path:
    """Write a PNG of numbered `frames`, `columns` to a row."""
    gap = 8
    height, width = painter.renderer.height, painter.renderer.width
    rows = -(-len(frames) // columns)
    sheet = Image.new("RGBA", (columns * (width + gap) - gap, rows * (height + gap) - gap), (0, 0, 0, 0))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(24)
    for k, frame in enumerate(frames):
        x, y = (k % columns) * (width + gap), (k // columns) * (height + gap)
        sheet.paste(Image.fromarray(painter.frame(frame)), (x, y))
        label = f"{k + 1}   {painter.rollout.time[frame] - painter.rollout.time[0]:.2f} s"
        box = draw.textbbox((x + 24, y + 18), label, font=font)
        draw.rounded_rectangle((box[0] - 12, box[1] - 8, box[2] + 12, box[3] + 8), 9, fill=(255, 255, 255))
        draw.text((x + 24, y + 18), label, fill=(20, 23, 28), font=font)
    info = PngInfo()
    for key, text in PICTURE_METADATA.items():
        info.add_text(key, text)
    with replacing(path) as temporary:
        sheet.save(temporary, format="PNG", compress_level=6, pnginfo=info)
    return path
