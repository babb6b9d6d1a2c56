"""Controller and shaper with faulty messages on request by /faults/inject (std_msgs/String)."""

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


class FaultyPublisher:
    """Wraps a publisher of joint states: the next `left` messages have one value for all joints."""

    def __init__(self, publisher: LifecyclePublisher):
        self.publisher, self.left, self.value = publisher, 0, 0.0

    def inject(self, value: float, times: int) -> None:
        self.value, self.left = value, times

    def publish(self, message: Any) -> None:
        if self.left:
            self.left -= 1
            message = copy.deepcopy(message)
            message.position = doubles(np.full(len(message.position), self.value))
        self.publisher.publish(message)


class FaultyController(ControllerNode):
    """Publishes NaN targets for 0.1 s on request."""

    def __init__(self) -> None:
        super().__init__()
        # not a controller input
        self.create_subscription(String, "/faults/inject", self.on_fault, subscribe_profile("state"))

    def setup(self) -> None:
        super().setup()
        self.target = FaultyPublisher(self.target)  # type: ignore[assignment]

    def on_fault(self, message: String) -> None:
        if message.data == NAN_TARGET:
            self.target.inject(np.nan, 6)  # type: ignore[attr-defined]


class FaultyShaper(ShaperNode):
    """Publishes one hand command that is NaN or far beyond the limits on request."""

    def setup(self) -> None:
        super().setup()
        self.hand_command = FaultyPublisher(self.hand_command)  # type: ignore[assignment]
        self.subscribe(String, "/faults/inject", self.on_fault, "state")

    def on_fault(self, message: String) -> None:
        if message.data in (NAN_COMMAND, FAR_COMMAND):
            self.hand_command.inject(np.nan if message.data == NAN_COMMAND else FAR, 1)  # type: ignore[attr-defined]


FAULTY = {
    "controller": f"{__name__}:FaultyController",
    "shaper": f"{__name__}:FaultyShaper",
}
