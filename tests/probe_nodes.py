"""Light nodes for tests of the graph: a source of stamped messages, a controller that depends on their order."""

import os

from geometry_msgs.msg import Point
from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState
from std_msgs.msg import Header

from dexhot.ros.core.base import DexhotNode


class Probe(DexhotNode):
    """Ticks and does nothing else."""

    def __init__(self, name: str = "probe", **options) -> None:
        super().__init__(name, schema="base", **options)
        self.called: list[str] = []

    def setup(self) -> None:
        self.called.append("setup")
        self.publisher = self.advertise(JointState, f"/{self.get_name()}/joints", "state")
        self.loop(60.0, self.tick)

    def start(self) -> None:
        self.called.append("start")

    def stop(self) -> None:
        self.called.append("stop")

    def teardown(self) -> None:
        self.called.append("teardown")

    def tick(self) -> None:
        self.publisher.publish(JointState())


class Second(Probe):
    def __init__(self) -> None:
        super().__init__("second")


class Broken(Probe):
    """Cannot be configured."""

    def __init__(self) -> None:
        super().__init__("broken")

    def setup(self) -> None:
        raise ValueError("a wheel is missing")


class Suicide(Probe):
    """Its process dies without a word after a few ticks."""

    def __init__(self) -> None:
        super().__init__("suicide")
        self.left = 30

    def tick(self) -> None:
        self.left -= 1
        if not self.left:
            os._exit(3)


class Finisher(Probe):
    """Finishes its work after a few ticks."""

    def __init__(self) -> None:
        super().__init__("finisher")
        self.left = 30

    def tick(self) -> None:
        self.left -= 1
        if not self.left:
            self.finish("enough")


class Source(DexhotNode):
    """Object states at 60 Hz and joint states at 200 Hz, once the recorder is ready, until `frames` were answered."""

    frames = 150

    def __init__(self) -> None:
        super().__init__("source", schema="base")

    def setup(self) -> None:
        self.objects = self.advertise(Odometry, "/object/state", "state")
        self.joints = self.advertise(JointState, "/leap/joint_states", "state")
        self.heard = self.k = self.j = 0
        self.recorded = False
        self.subscribe(Header, "/heartbeat", self.on_heartbeat, "state")
        self.subscribe(JointState, "/tracker/target", self.on_target, "command")
        self.loop(60.0, self.object)
        self.loop(200.0, self.joint, "joints")

    def on_heartbeat(self, message: Header) -> None:
        self.recorded |= message.frame_id == "recorder"

    def on_target(self, message: JointState) -> None:
        self.heard += 1

    def object(self) -> None:
        if not self.recorded:
            return
        message = Odometry()
        message.header.stamp = self.stamp()
        message.pose.pose.position = Point(x=0.01 * self.k, y=1.0 / (1 + self.k), z=0.0)
        self.objects.publish(message)
        self.k += 1
        if self.heard >= self.frames:
            self.finish("all given")

    def joint(self) -> None:
        if not self.recorded:
            return
        message = JointState(position=[0.1 * self.j])
        message.header.stamp = self.stamp()
        self.joints.publish(message)
        self.j += 1


class OrderedController(DexhotNode):
    """A recursion over everything it is given: another order gives other commands."""

    journaled = True

    def __init__(self) -> None:
        super().__init__("controller", schema="base")

    def setup(self) -> None:
        self.x = 0.0
        self.subscribe(JointState, "/leap/joint_states", self.on_joints, "state")
        self.subscribe(Odometry, "/object/state", self.on_object, "state")
        self.targets = self.advertise(JointState, "/tracker/target", "command")

    def on_joints(self, message: JointState) -> None:
        self.x = 0.7 * self.x + message.position[0]

    def on_object(self, message: Odometry) -> None:
        self.x = 0.9 * self.x + message.pose.pose.position.y
        target = JointState(position=[self.x, message.pose.pose.position.x])
        target.header.stamp = message.header.stamp
        self.targets.publish(target)


class ShiftedController(OrderedController):
    """Another controller: its commands differ."""

    def on_joints(self, message: JointState) -> None:
        self.x = 0.7 * self.x + message.position[0] + 1e-3
