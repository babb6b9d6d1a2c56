"""The device interface of driver nodes: connect, read, write, hold, disconnect; used as a context manager.

Real devices and twins have the same interface. A device with its own tick (a twin in the embedded world) calls the
`listen` callback after every tick with the tick's stamp; for any other `listen` returns False and its node polls it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import numpy as np

Now = Callable[[], float]  # ROS time, s; called only by a device without its own time


@dataclass
class Reading:
    """Joint positions (rad), velocities (rad/s) and torques (N m), in joint-table order."""

    q: np.ndarray
    qd: np.ndarray
    effort: np.ndarray


class Device(Protocol):
    """An arm or a hand. Every call raises DexhotError if the device is disconnected or refuses."""

    @property
    def joint_names(self) -> tuple[str, ...]:
        """In joint-table order."""

    def connect(self) -> None: ...

    def disconnect(self) -> None: ...

    def listen(self, callback: Callable[[float], None]) -> bool: ...

    def time(self, now: Now) -> float: ...  # reference for the age of stamps: ROS time, or the twin's time

    def latency(self, stamp: float, now: Now) -> float: ...  # s of real time since the state with this stamp

    def read(self) -> Reading: ...

    def write(self, q: np.ndarray, qd: np.ndarray, effort: np.ndarray) -> None: ...

    def hold(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None: ...


class Polled:
    """Base of devices without their own tick: their node polls them, and their time is ROS time."""

    def connect(self) -> None:
        raise NotImplementedError

    def disconnect(self) -> None:
        raise NotImplementedError

    def listen(self, callback: Callable[[float], None]) -> bool:
        return False

    def time(self, now: Now) -> float:
        return now()

    def latency(self, stamp: float, now: Now) -> float:
        return now() - stamp

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        self.disconnect()
