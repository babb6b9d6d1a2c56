"""Synthetic cameras, and one for trying captures without hardware: a ball that rolls over a chequered table, with exact
depth."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from dexhot.geometry.cameras import Intrinsics, pinhole_rays
from dexhot.hardware.camera.frames import Frames

TABLE, RADIUS = 0.8, 0.06  # m, height of the camera above the table (it looks straight down); radius of the ball
ORBIT, PERIOD = 0.15, 4.0  # m, s


class DrawnCamera(ABC):
    """Frames at `fps` in real time, drawn as they are read; late reads drop frames, as with a device."""

    name, recorded, notice = "drawn scene", False, ""

    def __init__(
        self,
        intrinsics: Intrinsics,
        fps: float,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self.intrinsics, self.fps, self.clock, self.sleep = intrinsics, fps, clock, sleep
        self.begin, self.number = clock(), -1

    def read(self, timeout: float) -> Frames | None:
        due = self.begin + (self.number + 1) / self.fps
        wait = due - self.clock()
        self.sleep(min(max(wait, 0.0), timeout))
        if wait > timeout:
            return None
        self.number = max(self.number + 1, int((self.clock() - self.begin) * self.fps))
        color, depth = self.draw(self.number / self.fps)
        return Frames(self.begin + self.number / self.fps, self.number, color, depth, self.intrinsics)

    @abstractmethod
    def draw(self, t: float) -> tuple[np.ndarray, np.ndarray]:
        """Colour (H, W, 3) uint8 and depth (H, W) uint16 mm at time t, s."""

    def close(self) -> None:  # noqa: B027
        """Release what draws."""


class SimCamera(DrawnCamera):
    """The ball."""

    def __init__(
        self,
        width: int,
        height: int,
        fps: float,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ):
        f = 600.0 * width / 640
        super().__init__(Intrinsics(width, height, f, f, (width - 1) / 2, (height - 1) / 2), fps, clock, sleep)
        v, u = np.mgrid[:height, :width]
        self.x, self.y = np.moveaxis(pinhole_rays(np.stack([u, v], -1), self.intrinsics.pinhole), -1, 0)
        squares = (np.floor(self.x * TABLE / 0.05) + np.floor(self.y * TABLE / 0.05)) % 2
        self.table = np.where(squares[..., None] > 0, (176, 164, 148), (120, 110, 100)).astype(np.uint8)

    def draw(self, t: float) -> tuple[np.ndarray, np.ndarray]:
        """The ray (x, y, 1) z meets the ball's near side or the table."""
        angle = 2 * np.pi * t / PERIOD
        centre = np.array([ORBIT * np.cos(angle), ORBIT * np.sin(angle), TABLE - RADIUS])
        a = self.x**2 + self.y**2 + 1.0
        b = self.x * centre[0] + self.y * centre[1] + centre[2]
        root = b * b - a * (centre @ centre - RADIUS**2)
        ball = root > 0
        depth = np.full(ball.shape, round(1e3 * TABLE), np.uint16)
        near = (b[ball] - np.sqrt(root[ball])) / a[ball]
        depth[ball] = np.round(1e3 * near)
        color = self.table.copy()
        shade = (TABLE - near) / (2 * RADIUS)
        color[ball] = (np.array([230, 120, 40]) * (0.4 + 0.6 * np.clip(shade, 0, 1))[:, None]).astype(np.uint8)
        return color, depth
