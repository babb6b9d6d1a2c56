"""The embedded rig's camera: colour images of the scene's "workspace" camera, rendered beside the ticking thread."""

import threading

import mujoco
import numpy as np
from sensor_msgs.msg import CameraInfo, Image

from dexhot.hardware.embedded import EmbeddedWorld
from dexhot.nodes import messages
from dexhot.nodes.base import DexhotNode

WIDTH, HEIGHT = 640, 480
FRAME = "camera_color_optical_frame"


class Camera:
    """Renders at `rate` Hz what the last tick left, in its own thread: MuJoCo's renderer takes longer than a tick."""

    def __init__(self, node: DexhotNode, world: EmbeddedWorld, rate: float):
        self.world, self.rate = world, rate
        self.image = node.advertise(Image, "/camera/color/image_raw", "sensor")
        self.info = node.advertise(CameraInfo, "/camera/color/camera_info", "sensor")
        self.camera = world.scene.model.camera("workspace")
        self.snapshot: tuple[float, np.ndarray] | None = None
        self.due, self.wake, self.stopped = 0.0, threading.Event(), False
        self.thread = threading.Thread(target=self._render, name="camera", daemon=True)
        self.thread.start()

    def tick(self, stamp: float) -> None:
        """Hand the world's pose to the renderer when an image is due."""
        if stamp >= self.due:
            self.due = max(self.due, stamp - 1.0 / self.rate) + 1.0 / self.rate
            self.snapshot = stamp, self.world.data.qpos.copy()
            self.wake.set()

    def close(self) -> None:
        self.stopped = True
        self.wake.set()
        self.thread.join(timeout=1.0)

    def _render(self) -> None:
        model = self.world.scene.model
        data, renderer = mujoco.MjData(model), mujoco.Renderer(model, HEIGHT, WIDTH)
        info = self._camera_info()
        while self.wake.wait() and not self.stopped:
            self.wake.clear()
            assert self.snapshot is not None
            stamp, data.qpos[:] = self.snapshot
            mujoco.mj_kinematics(model, data)
            mujoco.mj_camlight(model, data)
            renderer.update_scene(data, camera="workspace")
            self._publish(stamp, renderer.render(), info)
        renderer.close()

    def _publish(self, stamp: float, pixels: np.ndarray, info: CameraInfo) -> None:
        image = Image(height=HEIGHT, width=WIDTH, encoding="rgb8", step=3 * WIDTH)
        image.header.stamp, image.header.frame_id = messages.to_stamp(stamp), FRAME
        image.data = messages.bytes_array(pixels)
        info.header = image.header
        self.image.publish(image)
        self.info.publish(info)

    def _camera_info(self) -> CameraInfo:
        """Pinhole model of MuJoCo's camera: square pixels, the principal point in the middle, no distortion."""
        f = 0.5 * HEIGHT / np.tan(0.5 * np.radians(self.camera.fovy[0]))
        k = [f, 0.0, WIDTH / 2, 0.0, f, HEIGHT / 2, 0.0, 0.0, 1.0]
        info = CameraInfo(height=HEIGHT, width=WIDTH, distortion_model="plumb_bob", d=[0.0] * 5, k=k)
        info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
        info.p = [f, 0.0, WIDTH / 2, 0.0, 0.0, f, HEIGHT / 2, 0.0, 0.0, 0.0, 1.0, 0.0]
        return info
