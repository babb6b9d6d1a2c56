"""Controller and shaper whose next messages are wrong when /faults/inject (std_msgs/String) says so."""

import copy
from typing import Any

import numpy as np
from rclpy.lifecycle import LifecyclePublisher
from std_msgs.msg import String

from dexhot.ros.core.messages import doubles
from dexhot.ros.core.qos import subscribe_profile
from dexhot.ros.track.controller_node import ControllerNode
from dexhot.ros.track.shaper_node import ShaperNode

NAN_TARGET, NAN_COMMAND, FAR_COMMAND = "nan target", "nan command", "far command"
FAR = 20.0  # rad


class Liar:
    """Stands for a publisher of joint states: the next `left` of them hold one value for all joints."""

    def __init__(self, publisher: LifecyclePublisher):
        self.publisher, self.left, self.value = publisher, 0, 0.0

    def lie(self, value: float, times: int) -> None:
        self.value, self.left = value, times

    def publish(self, message: Any) -> None:
        if self.left:
            self.left -= 1
            message = copy.deepcopy(message)
            message.position = doubles(np.full(len(message.position), self.value))
        self.publisher.publish(message)


class FaultyController(ControllerNode):
    """Its targets are not a number for a tenth of a second."""

    def __init__(self) -> None:
        super().__init__()
        self.create_subscription(String, "/faults/inject", self.on_fault, subscribe_profile("state"))  # no input

    def setup(self) -> None:
        super().setup()
        self.target = Liar(self.target)  # type: ignore[assignment]

    def on_fault(self, message: String) -> None:
        if message.data == NAN_TARGET:
            self.target.lie(np.nan, 6)  # type: ignore[attr-defined]


class FaultyShaper(ShaperNode):
    """One command to the hand is not a number, or far beyond the limits."""

    def setup(self) -> None:
        super().setup()
        self.hand_command = Liar(self.hand_command)  # type: ignore[assignment]
        self.subscribe(String, "/faults/inject", self.on_fault, "state")

    def on_fault(self, message: String) -> None:
        if message.data in (NAN_COMMAND, FAR_COMMAND):
            self.hand_command.lie(np.nan if message.data == NAN_COMMAND else FAR, 1)  # type: ignore[attr-defined]


FAULTY = {
    "controller": f"{__name__}:FaultyController",
    "shaper": f"{__name__}:FaultyShaper",
}
