"""A camera under realsense2_camera's topic names: colour, depth aligned to it, and their camera infos.

A thread of its own waits for frames and publishes them. A device that is lost is opened again
(hardware/camera/reconnect.py); meanwhile the node warns on /diagnostics, where the frames' age, drops and reconnects
are counted too. Frames wait until their `audience` has subscribed, so that a recorder has all of them.
"""

import threading
import time

from dexhot.hardware.camera.frames import EndOfFrames
from dexhot.hardware.camera.reconnect import WatchedCamera
from dexhot.hardware.camera.source import Mode, camera_source
from dexhot.ros.core.base import DexhotNode
from dexhot.ros.see.camera_messages import PUBLISHED, FramesPublisher

WAIT = 0.2  # s; how soon the thread sees that it should stop
LOOK = 0.02  # s between looks for subscribers
DELIVERY = 2.0  # s that the last images may take to those who listen


class CameraNode(DexhotNode):
    """The thread only reads and publishes; a loop tells how it fares."""

    def __init__(self) -> None:
        super().__init__("camera")

    def setup(self) -> None:
        mode = Mode(self.p.width, self.p.height, self.p.fps, self.p.loop, self.p.camera_namespace)
        self.open = camera_source(self.p.camera, mode)
        self.publisher = FramesPublisher(self)
        self.age = self.latency("age")
        self.loop(2.0, self.watch, "watch")

    def start(self) -> None:
        self.camera = WatchedCamera(self.open, self.p.silence, self.p.retry)
        self.hardware_id = self.camera.name
        self.get_logger().info(f"reading {self.camera.name}")
        if self.camera.notice:
            self.get_logger().warning(self.camera.notice)
        self.failure: Exception | None = None
        self.was_lost: tuple[float, str] | None = None
        self.began = time.monotonic()
        self.counted = self.began, 0
        self.stopped = False
        self.thread = threading.Thread(target=self.read, name="camera", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.stopped = True
        self.thread.join()
        self.camera.close()
        self.count()
        self.publish_diagnostics()  # how many images a recorder should have

    def alive(self) -> bool:
        return super().alive() and self.camera.health.frames > 0

    def read(self) -> None:
        """Until the node is stopped or the recording is over."""
        attended = not (self.camera.recorded or self.p.audience)
        try:
            while not self.stopped:
                attended = attended or self.audience()
                if self.camera.recorded and not attended:
                    time.sleep(LOOK)
                    continue
                frames = self.camera.read(WAIT)
                if frames is not None and attended:
                    self.age.add(time.time() - frames.stamp)
                    self.publisher.publish(frames)
        except EndOfFrames as e:
            self.publisher.delivered(DELIVERY)
            given = self.camera.health.frames
            lost = f"; it is damaged: {'; '.join(e.lost)}" if e.lost else ""
            self.finish(f"{self.camera.name} is over: {given} frames{lost}", code=0 if given and not lost else 1)
        except Exception as e:
            self.failure = e  # `watch` makes a fault of it: a node is deactivated from its executor only

    def audience(self) -> bool:
        """Whether those who should have all frames subscribe, or have been waited for long enough."""
        if self.publisher.heard(self.p.audience):
            return True
        late = time.monotonic() - self.began > self.p.patience
        if late:
            who = self.p.audience or "anybody"
            self.get_logger().warning(f"waited {self.p.patience:g} s for {who} to subscribe, in vain")
        return bool(late)

    def count(self) -> None:
        """Images published per topic, to the diagnostics: a recorder compares them with what it has."""
        self.values |= {PUBLISHED + topic: n for topic, n in self.publisher.published.items()}

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
        self.count()
        found = health.warnings | ({"notice": self.camera.notice} if self.camera.notice else {})
        if lost is not None:
            found["lost"] = f"{self.camera.name} is lost for {now - lost[0]:.1f} s: {lost[1]}"
        for key in found.keys() - self.warnings.keys() - {"notice"}:
            self.get_logger().warning(found[key])
        if self.was_lost is not None and lost is None:
            self.get_logger().info(f"{self.camera.name} is back after {now - self.was_lost[0]:.1f} s")
        self.warnings, self.was_lost = found, lost
