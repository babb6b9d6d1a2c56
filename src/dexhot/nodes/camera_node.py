"""A camera under realsense2_camera's topic names: colour, depth aligned to it, and their camera infos.

A thread of its own waits for frames and publishes them. A device that is lost is opened again
(hardware/camera/watch.py); meanwhile the node warns on /diagnostics, where the frames' age, drops and reconnects are
counted too.
"""

import threading
import time

from dexhot.hardware.camera.frames import EndOfFrames
from dexhot.hardware.camera.source import Mode, camera_source
from dexhot.hardware.camera.watch import WatchedCamera
from dexhot.nodes.base import DexhotNode
from dexhot.nodes.camera_messages import FramesPublisher

WAIT = 0.2  # s; how soon the thread sees that it should stop


class CameraNode(DexhotNode):
    """The thread only reads and publishes; a loop tells how it fares."""

    def __init__(self) -> None:
        super().__init__("camera")

    def setup(self) -> None:
        mode = Mode(self.p.width, self.p.height, self.p.fps, self.p.loop)
        self.open = camera_source(self.p.camera, mode)
        self.publisher = FramesPublisher(self)
        self.age = self.latency("age")
        self.loop(2.0, self.watch, "watch")

    def start(self) -> None:
        self.camera = WatchedCamera(self.open, self.p.silence, self.p.retry)
        self.get_logger().info(f"reading {self.camera.name}")
        self.failure: Exception | None = None
        self.was_lost: tuple[float, str] | None = None
        self.counted = time.monotonic(), 0
        self.stopped = False
        self.thread = threading.Thread(target=self.read, name="camera", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.stopped = True
        self.thread.join()
        self.camera.close()

    def alive(self) -> bool:
        return super().alive() and self.camera.health.frames > 0

    def read(self) -> None:
        """Until the node is stopped or the recording is over."""
        try:
            while not self.stopped:
                frames = self.camera.read(WAIT)
                if frames is not None:
                    self.age.add(time.time() - frames.stamp)
                    self.publisher.publish(frames)
        except EndOfFrames:
            self.finish(f"{self.camera.name} is over: {self.camera.health.frames} frames")
        except Exception as e:
            self.failure = e  # `watch` makes a fault of it: a node is deactivated from its executor only

    def watch(self) -> None:
        """Rate, drops and reconnects to the diagnostics; what is wrong to the log, once."""
        if self.failure is not None:
            raise self.failure
        now, health = time.monotonic(), self.camera.health
        self.values |= health.values | {"reconnects": self.camera.reconnects}
        if now - self.counted[0] >= 1.0:
            self.values["rate_hz"] = (health.frames - self.counted[1]) / (now - self.counted[0])
            self.counted = now, health.frames
        lost = self.camera.lost
        found = health.warnings
        if lost is not None:
            found["lost"] = f"{self.camera.name} is lost for {now - lost[0]:.1f} s: {lost[1]}"
        for key in found.keys() - self.warnings.keys():
            self.get_logger().warning(found[key])
        if self.was_lost is not None and lost is None:
            self.get_logger().info(f"{self.camera.name} is back after {now - self.was_lost[0]:.1f} s")
        self.warnings, self.was_lost = found, lost
