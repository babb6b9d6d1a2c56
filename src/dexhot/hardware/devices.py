"""What a driver node needs of an arm or a hand: connect, read, write, hold, disconnect; used as a context manager.

Real devices and twins look the same. A device that ticks by itself (a twin in the embedded world) calls the `listen`
callback after every tick with the tick's stamp; one that does not returns False, and its node polls it in a loop.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import numpy as np


@dataclass
class Reading:
    """Joint positions (rad), velocities (rad/s) and torques (N m), in joint-table order."""

    q: np.ndarray
    qd: np.ndarray
    effort: np.ndarray


class Device(Protocol):
    """An arm or a hand. Every call raises DexhotError when the device is gone or refuses."""

    @property
    def joint_names(self) -> tuple[str, ...]:
        """In joint-table order."""

    def connect(self) -> None: ...

    def disconnect(self) -> None: ...

    def listen(self, callback: Callable[[float], None]) -> bool: ...

    def time(self, now: float) -> float: ...  # what ages of stamps are measured by: `now` (ROS time), or the twin's

    def latency(self, stamp: float, now: float) -> float: ...  # s of real time since the state stamped so

    def read(self) -> Reading: ...

    def write(self, q: np.ndarray, qd: np.ndarray, effort: np.ndarray) -> None: ...

    def hold(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None: ...


class Polled:
    """What devices share that do not tick by themselves: their node polls them, and their time is ROS time."""

    def connect(self) -> None:
        raise NotImplementedError

    def disconnect(self) -> None:
        raise NotImplementedError

    def listen(self, callback: Callable[[float], None]) -> bool:
        return False

    def time(self, now: float) -> float:
        return now

    def latency(self, stamp: float, now: float) -> float:
        return now - stamp

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, kind: type | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        self.disconnect()
