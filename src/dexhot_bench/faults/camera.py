"""Faults of a camera: a synthetic one with the monitoring of every camera.

In the graph no motion depends on a camera alone: its loss there is the fault "object lost".
"""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from dexhot.hardware.camera.drawn import SimCamera
from dexhot.hardware.camera.frames import CameraError, CameraLostError, Frames
from dexhot.hardware.camera.reconnect import WatchedCamera
from dexhot.hardware.camera.source import Mode
from dexhot_bench.faults.table import FaultTable, Outcome

FAULTS = FaultTable("camera")
WIDTH, HEIGHT = 160, 120
WAIT = 0.1  # s for a frame
LONGEST, BACK = 6.0, 6.0  # s, detection timeout; recovery timeout


class FaultyCamera:
    """A synthetic scene with a `fault`: "", unplugged, silent, frozen, back (decreasing stamps) or blind (no depth)."""

    name, recorded, notice = "faulty camera", False, ""

    def __init__(self) -> None:
        self.fault = ""
        self.drawn = SimCamera(WIDTH, HEIGHT, Mode.fps)
        self.last: Frames | None = None

    def read(self, timeout: float) -> Frames | None:
        frames = self.drawn.read(timeout)
        if self.fault == "unplugged":
            raise CameraLostError("the camera was unplugged")
        if frames is None or self.fault == "silent":
            return None
        if self.fault == "frozen" and self.last is not None:
            return replace(frames, color=self.last.color, depth=self.last.depth)
        if self.fault == "back":
            return replace(frames, stamp=frames.stamp - 10.0)
        if self.fault == "blind":
            return replace(frames, depth=np.zeros((HEIGHT, WIDTH), np.uint16))
        self.last = frames
        return frames

    def close(self) -> None:
        pass


class CameraRig:
    """A camera with an injectable `fault`, and its monitoring."""

    def __init__(self) -> None:
        self.camera = FaultyCamera()
        self.watched = WatchedCamera(self.open)
        self.read(0.5)

    def open(self) -> FaultyCamera:
        if self.camera.fault == "unplugged":
            raise CameraError("no camera is plugged in")
        return self.camera

    def read(self, seconds: float, until: Callable[[], object] = lambda: False) -> bool:
        """Read frames for `seconds`, or until a condition; returns whether it was met."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.watched.read(WAIT)
            if until():
                return True
        return False

    def told(self) -> str:
        """The node's message on /diagnostics."""
        lost = self.watched.lost
        return lost[1] if lost is not None else "; ".join(self.watched.health.warnings.values())


def injected(rig: CameraRig, fault: str, state: str) -> Outcome:
    """Wait for its detection; then remove the cause and wait for frames."""
    frames = rig.watched.health.frames
    begin = time.monotonic()
    rig.camera.fault = fault
    seen = rig.read(LONGEST, until=rig.told)
    ms, told = 1e3 * (time.monotonic() - begin), rig.told()
    bad = rig.watched.health.frames - frames
    rig.camera.fault = ""
    counted = rig.watched.health.frames
    back = rig.read(BACK, until=lambda: rig.watched.lost is None and rig.watched.health.frames > counted + 3)
    how = "reopened automatically" if rig.watched.reconnects else "automatic"
    lost = f"{bad} unusable images" if bad and state == "warning" else "images during the fault"
    return Outcome(told if seen else "", ms if seen else None, None, state, how if back else "", lost)


FAULTS.case("camera unplugged", injected, "unplugged", "no images", moves=False)
FAULTS.case("camera silent", injected, "silent", "no images", moves=False)
FAULTS.case("frozen image with new stamps", injected, "frozen", "warning", quick=True, moves=False)
FAULTS.case("camera stamps jump back", injected, "back", "warning", quick=True, moves=False)
FAULTS.case("depth all zero", injected, "blind", "warning", moves=False)
