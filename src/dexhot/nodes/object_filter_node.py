"""/object/pose -> /object/state: the error-state filter, run by the measurements that arrive."""

import time

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from std_msgs.msg import Header

from dexhot.nodes import messages
from dexhot.nodes.base import DexhotNode
from dexhot.tracking.object_filter import FilterOptions, ObjectFilter


class ObjectFilterNode(DexhotNode):
    def __init__(self) -> None:
        super().__init__("object_filter")

    def setup(self) -> None:
        names = FilterOptions.__dataclass_fields__
        self.filter = ObjectFilter(FilterOptions(**{name: getattr(self.p, name) for name in names}))
        self.publisher = self.advertise(Odometry, "/object/state", "state")
        self.step = self.latency("step")
        self.subscribe(PoseWithCovarianceStamped, "/object/pose", self.on_pose, "state")
        self.subscribe(Header, "/rig/episode", self.on_episode, "latched")

    def start(self) -> None:
        self.filter.reset()
        self.values = {"rejected": 0, "non_finite": 0}

    def on_episode(self, header: Header) -> None:
        """A rig that was reset has moved the object without moving it."""
        if header.frame_id.startswith("start"):
            self.filter.reset()

    def on_pose(self, message: PoseWithCovarianceStamped) -> None:
        begin = time.monotonic()
        pose, covariance = messages.read_object_pose(message)
        if not np.isfinite(pose).all():
            self.values["non_finite"] += 1  # type: ignore[operator]
            self.warnings["pose"] = "a measured pose is not finite"
            return  # without a state the supervisor holds
        stamp = messages.seconds(message.header.stamp)
        if not self.filter.update(stamp, pose, covariance):
            self.values["rejected"] += 1  # type: ignore[operator]
        if stamp < self.filter.stamp:
            return  # came late: nothing new is known
        if self.filter.lost(stamp):
            self.warnings["pose"] = "the object is lost"
        else:
            self.warnings.pop("pose", None)
        self.publisher.publish(messages.object_state(message.header.stamp, self.filter.state()))
        self.step.add(time.monotonic() - begin)
