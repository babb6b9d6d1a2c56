"""Camera reconnection and stream health monitoring.

An unplugged camera usually raises no error; its frames just stop. After `silence` seconds without frames it is closed,
and reopened every `retry` seconds: with the two seconds that a RealSense takes to start, frames resume within 6 s of
plugging it in again.
"""

import time
import zlib
from collections.abc import Callable

from dexhot.hardware.camera.frames import Camera, CameraError, CameraLostError, Frames

FROZEN = 30  # consecutive equal images; sensor noise never produces two
RECENT = 90  # images for which a decreasing stamp is reported
BLANK = 30  # consecutive depth images without a valid pixel


class WatchedCamera:
    """Reads like a camera, but never raises CameraLostError: `lost` is the time and reason of the loss."""

    def __init__(
        self,
        open_camera: Callable[[], Camera],
        silence: float = 1.0,
        retry: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ):
        """Open the camera. Raises CameraError if it is missing at the start, as it is then not waited for."""
        self._open, self.silence, self.retry, self.clock, self.sleep = open_camera, silence, retry, clock, sleep
        self._camera: Camera | None = open_camera()
        self.name, self.recorded, self.notice = self._camera.name, self._camera.recorded, self._camera.notice
        self._heard = self._tried = clock()
        self.lost: tuple[float, str] | None = None  # since when (clock), why
        self.reconnects = 0
        self.health = StreamHealth()

    def read(self, timeout: float) -> Frames | None:
        """As a camera's; a reopening attempt may take longer than `timeout`. Raises EndOfFrames."""
        if self._camera is None:
            self._reopen(timeout)
            return None
        try:
            frames = self._camera.read(timeout)
        except CameraLostError as e:
            self._lose(str(e))
            return None
        now = self.clock()
        if frames is not None:
            self._heard, self.lost = now, None
            self.health.add(frames)
        elif now - self._heard > self.silence:
            self._lose(f"no frames for {now - self._heard:.1f} s")
        return frames

    def close(self) -> None:
        if self._camera is not None:
            self._camera.close()
            self._camera = None

    def _lose(self, why: str) -> None:
        self.lost = self.lost or (self._heard, why)
        self.close()

    def _reopen(self, timeout: float) -> None:
        wait = self._tried + self.retry - self.clock()
        if wait > 0:
            self.sleep(min(wait, timeout))
            return
        try:
            self._camera = self._open()
        except CameraError as e:
            assert self.lost is not None
            self.lost = (self.lost[0], str(e))
        else:
            self.reconnects += 1
            self.health.restart()
        self._tried = self._heard = self.clock()


class StreamHealth:
    """Statistics of a stream, and its problems."""

    def __init__(self) -> None:
        self.frames = self.dropped = self.stamps_back = self.without_depth = 0
        self.restart()

    def restart(self) -> None:
        """Forget the last frame: numbers and stamps start over."""
        self.number: int | None = None
        self.stamp = float("-inf")
        self.print, self.equal, self.blank, self.forward = 0, 0, 0, RECENT

    def add(self, frames: Frames) -> None:
        self.frames += 1
        if self.number is not None and frames.number > self.number:
            self.dropped += frames.number - self.number - 1
        back = frames.stamp <= self.stamp
        self.stamps_back += back
        self.forward = 0 if back else self.forward + 1
        self.number, self.stamp = frames.number, frames.stamp
        fingerprint = zlib.crc32(frames.color[::8, ::8].tobytes())  # 14 KB of 900
        self.equal = self.equal + 1 if fingerprint == self.print else 0
        self.print = fingerprint
        self.without_depth += frames.depth is None
        seen = frames.depth is None or frames.depth.any()
        self.blank = 0 if seen else self.blank + 1

    @property
    def values(self) -> dict[str, object]:
        """Values for diagnostics."""
        return {
            "frames": self.frames,
            "dropped": self.dropped,
            "stamps_back": self.stamps_back,
            "without_depth": self.without_depth,
        }

    @property
    def warnings(self) -> dict[str, str]:
        """Current problems."""
        found = {}
        if self.equal >= FROZEN:
            found["frozen"] = f"the last {self.equal + 1} images are equal: the camera is frozen"
        if self.blank >= BLANK:
            found["blank"] = (
                f"the last {self.blank} depth images are empty: lens covered, scene too near, or projector off"
            )
        if self.forward < RECENT:
            found["stamps"] = f"{self.stamps_back} images have a stamp not later than the previous one"
        return found
