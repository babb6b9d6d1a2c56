"""A camera under realsense2_camera's topic names: colour, depth aligned to it, and their camera infos.

A separate thread waits for frames and publishes them. A lost device is reopened (hardware/camera/reconnect.py);
meanwhile the node warns on /diagnostics, which also has the frames' age, drops and reconnects. Frames wait until their
`audience` has subscribed, so that a recorder gets all of them.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import cycle
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray

from dexhot.data.topics import TELEOP_STATE
from dexhot.hardware.camera.frames import Camera, EndOfFrames, Frames
from dexhot.hardware.camera.reconnect import WatchedCamera
from dexhot.hardware.camera.source import RIG, Mode, camera_source
from dexhot.ros.core.base import DexhotNode
from dexhot.ros.see.camera_messages import PUBLISHED, FramesPublisher

WAIT = 0.2  # s, reaction time of the thread to a stop
LOOK = 0.02  # s between checks for subscribers
DELIVERY = 2.0  # s, delivery timeout of the last images


class CameraNode(DexhotNode):
    """The thread only reads and publishes; a loop reports its health."""

    def __init__(self) -> None:
        super().__init__("camera")

    def setup(self) -> None:
        mode = Mode(self.p.width, self.p.height, self.p.fps, self.p.loop, self.p.camera_namespace)
        self.open = self.rendered(mode) or camera_source(self.p.camera, mode)
        self.publisher = FramesPublisher(self, self.p.depth)
        self.age = self.latency("age")
        self.engaged, self.clutch = not self.p.hold, "teleoperation has not reported yet"
        if self.p.hold:
            self.subscribe(DiagnosticArray, TELEOP_STATE, self.on_teleop, "latched")
        self.loop(2.0, self.watch, "watch")

    def rendered(self, mode: Mode) -> Callable[[], Camera] | None:
        """Opens a rendered person's camera, if it is one."""
        kind, _, file = self.p.camera.partition(":")
        if kind != RIG:
            return None
        from dexhot.synthesis.rendered_camera import RenderedCamera  # with MuJoCo, which no other camera needs

        return partial(RenderedCamera, Path(file), mode.width, mode.height, mode.fps)

    def on_teleop(self, message: DiagnosticArray) -> None:
        """Once the clutch has engaged, the recording plays on."""
        values = {v.key: v.value for status in message.status for v in status.values}
        self.clutch = "; ".join(status.message for status in message.status)
        self.engaged = self.engaged or values.get("engaged") == "1"

    def start(self) -> None:
        self.camera = WatchedCamera(self.open, self.p.silence, self.p.retry)
        self.hardware_id = self.camera.name
        self.get_logger().info(f"reading {self.camera.name}")
        if self.camera.notice:
            self.get_logger().warning(self.camera.notice)
        self.failure: Exception | None = None
        self.was_lost: tuple[float, str] | None = None
        self.first: list[Frames] = []  # while the recording waits for the clutch
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
        self.publish_diagnostics()  # the number of images that a recorder should have

    def alive(self) -> bool:
        return super().alive() and self.camera.health.frames > 0

    def read(self) -> None:
        """Read until the node is stopped or the recording ends."""
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
                    self.wait_with(frames)
        except EndOfFrames as e:
            self.publisher.delivered(DELIVERY)
            given = self.camera.health.frames
            lost = f"; it is damaged: {'; '.join(e.lost)}" if e.lost else ""
            self.finish(f"end of {self.camera.name}: {given} frames{lost}", code=0 if given and not lost else 1)
        except Exception as e:
            self.failure = e  # `watch` raises the fault: a node is deactivated from its executor only

    def wait_with(self, frames: Frames) -> None:
        """Keep the recording's first images; once they last for `hold` s, show them to and fro until the clutch
        engages. End the node's work where it does not within `hold_timeout` s."""
        if self.engaged or not self.camera.recorded:
            self.first.clear()
            return
        self.first.append(frames)
        if len(self.first) < max(self.p.hold * self.p.fps, 2):
            return
        due = time.monotonic()
        last = due + self.p.hold_timeout
        for again in cycle([*self.first[::-1], *self.first]):
            if self.engaged or self.stopped:
                return
            due += 1.0 / self.p.fps
            if due > last:
                why = f"the clutch has not engaged within {self.p.hold_timeout:g} s: {self.clutch}"
                self.stopped = True
                return self.finish(why, code=1)
            time.sleep(max(due - time.monotonic(), 0.0))
            self.publisher.publish(replace(again, stamp=time.time()))

    def audience(self) -> bool:
        """Whether the audience has subscribed, or the wait has timed out."""
        if self.publisher.heard(self.p.audience):
            return True
        late = time.monotonic() - self.began > self.p.patience
        if late:
            who = self.p.audience or "anybody"
            self.get_logger().warning(f"{who} has not subscribed within {self.p.patience:g} s")
        return bool(late)

    def count(self) -> None:
        """Report the images published per topic in the diagnostics: a recorder compares them with its counts."""
        self.values |= {PUBLISHED + topic: n for topic, n in self.publisher.published.items()}

    def watch(self) -> None:
        """Report rate, drops and reconnects in the diagnostics, and log each problem once."""
        if self.failure is not None:
            self.finish(f"{self.camera.name} cannot be read any more", code=1)  # no graph goes on without its camera
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
            found["lost"] = f"{self.camera.name} has been lost for {now - lost[0]:.1f} s: {lost[1]}"
        for key in found.keys() - self.warnings.keys() - {"notice"}:
            self.get_logger().warning(found[key])
        if self.was_lost is not None and lost is None:
            self.get_logger().info(f"{self.camera.name} is back after {now - self.was_lost[0]:.1f} s")
        self.warnings, self.was_lost = found, lost
