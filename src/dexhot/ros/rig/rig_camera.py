"""The embedded rig's camera: colour and depth of the scene's "workspace" camera, rendered beside the ticking thread."""

import threading

import mujoco
import numpy as np

from dexhot.geometry.cameras import pinhole
from dexhot.hardware.camera.frames import Frames
from dexhot.rigs.embedded import EmbeddedWorld
from dexhot.ros.core.base import DexhotNode
from dexhot.ros.see.camera_messages import FramesPublisher
from dexhot.simulation.renderer import NoRendererError, new_renderer

WIDTH, HEIGHT = 640, 480
NAME = "workspace"


class RigCamera:
    """Renders the state of the last tick at `rate` Hz in its own thread: MuJoCo's renderer takes longer than a tick."""

    def __init__(self, node: DexhotNode, world: EmbeddedWorld, rate: float):
        self.node, self.world, self.rate = node, world, rate
        self.publisher = FramesPublisher(node)
        self.intrinsics = pinhole(WIDTH, HEIGHT, world.scene.model.camera(NAME).fovy[0])
        self.snapshot: tuple[float, np.ndarray] | None = None
        self.due, self.wake, self.stopped = 0.0, threading.Event(), False
        self.thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self.thread.start()

    def tick(self, stamp: float) -> None:
        """Pass the world's state to the renderer when an image is due."""
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
        data, number = mujoco.MjData(self.world.scene.model), 0
        while self.wake.wait() and not self.stopped:
            self.wake.clear()
            assert self.snapshot is not None
            stamp, data.qpos[:] = self.snapshot
            self.publisher.publish(Frames(stamp, number, *self._render(renderer, data), self.intrinsics))
            number += 1
        renderer.close()

    def _render(self, renderer: mujoco.Renderer, data: mujoco.MjData) -> tuple[np.ndarray, np.ndarray]:
        """Colour (H, W, 3) uint8 and depth (H, W) uint16, mm, 0 beyond its range."""
        mujoco.mj_kinematics(self.world.scene.model, data)
        mujoco.mj_camlight(self.world.scene.model, data)
        renderer.disable_depth_rendering()
        renderer.update_scene(data, camera=NAME)
        color = renderer.render()
        renderer.enable_depth_rendering()
        renderer.update_scene(data, camera=NAME)
        millimetres = np.round(1000.0 * renderer.render())
        return color, np.where(millimetres < 65536.0, millimetres, 0.0).astype(np.uint16)
