"""Common base of the arm's and the hand's twin: a slice of the embedded world's joints."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from dexhot.errors import DexhotError
from dexhot.hardware.devices import Now, Reading
from dexhot.rigs.embedded import EmbeddedWorld, installed


class Twin:
    """A slice of the joints of this process's embedded world."""

    def __init__(self, name: str, part: slice):
        self.name, self.part = name, part
        self._world: EmbeddedWorld | None = None
        self._callback: Callable[[float], None] | None = None

    @property
    def world(self) -> EmbeddedWorld:
        """The connected world. Raises DexhotError when not connected."""
        if self._world is None:
            raise DexhotError("the twin is not connected: call connect() first.")
        return self._world

    @property
    def joint_names(self) -> tuple[str, ...]:
        return tuple(self.world.scene.joint_names[self.part])

    def connect(self) -> None:
        self._world = installed()

    def disconnect(self) -> None:
        if self._world is not None and self._callback in self._world.listeners:
            self._world.listeners.remove(self._callback)
        self._world = self._callback = None

    def listen(self, callback: Callable[[float], None]) -> bool:
        self._callback = callback
        self.world.listeners.append(callback)
        return True

    def time(self, now: Now) -> float:
        """The world's time, s: while it waits for a response, no command ages."""
        return self.world.stamp

    def latency(self, stamp: float, now: Now) -> float:
        return self.world.latency(stamp)

    def read(self) -> Reading:
        q, qd, effort = self.world.joints()
        return Reading(q[self.part], qd[self.part], effort[self.part])

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        self.disconnect()
