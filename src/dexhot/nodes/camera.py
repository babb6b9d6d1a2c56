"""The embedded rig's camera: colour and depth of the scene's "workspace" camera, rendered beside the ticking thread."""

import threading

import mujoco
import numpy as np
from sensor_msgs.msg import CameraInfo, Image

from dexhot.hardware.embedded import EmbeddedWorld
from dexhot.nodes import messages
from dexhot.nodes.base import DexhotNode
from dexhot.simulation.renderer import NoRendererError, new_renderer

WIDTH, HEIGHT = 640, 480
FRAME = "camera_color_optical_frame"
NAME = "workspace"


class Camera:
    """Renders at `rate` Hz what the last tick left, in its own thread: MuJoCo's renderer takes longer than a tick."""

    def __init__(self, node: DexhotNode, world: EmbeddedWorld, rate: float):
        self.node, self.world, self.rate = node, world, rate
        self.color = node.advertise(Image, "/camera/color/image_raw", "sensor")
        self.depth = node.advertise(Image, "/camera/aligned_depth_to_color/image_raw", "sensor")
        self.info = node.advertise(CameraInfo, "/camera/color/camera_info", "sensor")
        self.camera = world.scene.model.camera(NAME)
        self.snapshot: tuple[float, np.ndarray] | None = None
        self.due, self.wake, self.stopped = 0.0, threading.Event(), False
        self.thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self.thread.start()

    def tick(self, stamp: float) -> None:
        """Hand the world's pose to the renderer when an image is due."""
        if stamp >= self.due:
            self.due = max(self.due, stamp - 1.0 / self.rate) + 1.0 / self.rate
            self.snapshot = stamp, self.world.data.qpos.copy()
            self.wake.set()

    def close(self) -> None:
        """Stop rendering."""
        self.stopped = True
        self.wake.set()
        self.thread.join(timeout=1.0)

    def _run(self) -> None:
        try:
            renderer = new_renderer(self.world.scene.model, WIDTH, HEIGHT)
        except NoRendererError as e:
            self.node.warnings["camera"] = str(e)
            self.node.get_logger().warning(str(e))
            return
        data, info = mujoco.MjData(self.world.scene.model), self._camera_info()
        while self.wake.wait() and not self.stopped:
            self.wake.clear()
            self._render(renderer, data, info)
        renderer.close()

    def _render(self, renderer: mujoco.Renderer, data: mujoco.MjData, info: CameraInfo) -> None:
        assert self.snapshot is not None
        stamp, data.qpos[:] = self.snapshot
        mujoco.mj_kinematics(self.world.scene.model, data)
        mujoco.mj_camlight(self.world.scene.model, data)
        info.header.stamp, info.header.frame_id = messages.to_stamp(stamp), FRAME
        renderer.disable_depth_rendering()
        renderer.update_scene(data, camera=NAME)
        pixels = renderer.render()
        self.color.publish(self._image(info, "rgb8", pixels))
        self.info.publish(info)
        renderer.enable_depth_rendering()
        renderer.update_scene(data, camera=NAME)
        millimetres = np.minimum(1000.0 * renderer.render(), 65535.0)
        self.depth.publish(self._image(info, "16UC1", millimetres.astype("<u2").view(np.uint8)))

    def _image(self, info: CameraInfo, encoding: str, pixels: np.ndarray) -> Image:
        step = pixels.size // HEIGHT
        image = Image(header=info.header, height=HEIGHT, width=WIDTH, encoding=encoding, step=step)
        image.data = messages.bytes_array(pixels)
        return image

    def _camera_info(self) -> CameraInfo:
        """Pinhole model of MuJoCo's camera: square pixels, the principal point in the middle, no distortion."""
        f = 0.5 * HEIGHT / np.tan(0.5 * np.radians(self.camera.fovy[0]))
        k = [f, 0.0, WIDTH / 2, 0.0, f, HEIGHT / 2, 0.0, 0.0, 1.0]
        info = CameraInfo(height=HEIGHT, width=WIDTH, distortion_model="plumb_bob", d=[0.0] * 5, k=k)
        info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
        info.p = [f, 0.0, WIDTH / 2, 0.0, 0.0, f, HEIGHT / 2, 0.0, 0.0, 0.0, 1.0, 0.0]
        return info
