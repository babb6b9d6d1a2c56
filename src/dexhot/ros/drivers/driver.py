"""Common base of the drivers of arm and hand: joint states out, validated commands in.

A command is executed only if the safety state is `tracking`, and it is fresh, finite and within the limits; any other
is counted and leaves the device holding. The watchdog holds when commands stop arriving, and when a second node
publishes commands or the safety state.
"""

import time

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState

from dexhot.data.topics import CLOCK, SAFETY_STATE
from dexhot.data.types import RATE
from dexhot.errors import DexhotError
from dexhot.hardware.devices import Device
from dexhot.robots.joint_table import joint_table
from dexhot.ros.core import messages
from dexhot.ros.core.base import DexhotNode
from dexhot.safety.inputs import freshness
from dexhot.safety.limits import Limits
from dexhot.safety.machine import State

WATCHDOG_RATE, HEALTH_RATE = 50.0, 2.0  # Hz
RETRY = 0.25  # s


class DriverNode(DexhotNode):
    """A device as a node; `robot` names its rows of the joint table."""

    topic = ""  # "/leap": <topic>/joint_states, <topic>/command

    def robot(self) -> str:
        """Name of the joint table."""
        raise NotImplementedError

    def make_device(self) -> Device:
        """The device of the parameter `rig`: "sim", the twin in this process's embedded world, or "real"."""
        raise NotImplementedError

    def setup(self) -> None:
        self.names = [j.name for j in joint_table(self.robot())]
        self.limits = Limits.of(self.robot(), self.p.velocity_scale)
        self.device = self.make_device()
        self.connect()
        self.states = self.advertise(JointState, f"{self.topic}/joint_states", "state")
        self.obey(JointState, f"{self.topic}/command", self.on_command, "command")
        self.obey(DiagnosticArray, SAFETY_STATE, self.on_safety, "latched")
        self.delay = self.latency("stamp_to_command")
        self.loop(WATCHDOG_RATE, self.watch, "watchdog")
        if self.device.listen(self.publish_state):
            return
        if self.get_parameter("use_sim_time").value:  # protocol-level simulation with its own tick
            self.subscribe(Clock, CLOCK, lambda m: self.publish_state(messages.seconds(m.clock)), "state")
        else:
            self.loop(self.p.rate, lambda: self.publish_state(self.now()), "bus")

    def connect(self) -> None:
        """Retry for `connect_for` s: the device may still be starting. Raises DexhotError."""
        end = time.monotonic() + self.p.connect_for
        while True:
            try:
                return self.device.connect()
            except DexhotError as e:
                if time.monotonic() > end:
                    raise
                self.get_logger().info(f"waiting: {e}", throttle_duration_sec=10.0)
                time.sleep(RETRY)

    def start(self) -> None:
        self.safety = messages.Safety(State.INACTIVE)
        self.previous: np.ndarray | None = None  # the last command executed while moving
        self.last_stamp = self.supervised = 0.0
        self.abandoned_t0: float | None = (
            None  # t0 of the clip abandoned because the supervisor was silent, or a second one published
        )
        self.values = {"refused": 0, "clamped": 0, "held": 0}
        self.device.hold()

    def stop(self) -> None:
        self.device.hold()

    def teardown(self) -> None:
        if hasattr(self, "device"):
            self.device.disconnect()

    def publish_state(self, stamp: float) -> None:
        if self.active:
            r = self.device.read()
            self.states.publish(messages.joint_state(self.names, messages.to_stamp(stamp), r.q, r.qd, r.effort))

    def on_command(self, message: JointState) -> None:
        stamp = messages.seconds(message.header.stamp)
        age = self.device.time(self.now) - stamp
        q, qd = messages.positions(message, self.names), messages.velocities(message, self.names)
        effort = messages.efforts(message, self.names)
        if not self.safety.moving:
            return self.refuse(f"the safety state is {self.safety.state} ({self.safety.reason})")
        if why := freshness(age, self.p.max_age):
            return self.refuse(why)
        if not (np.isfinite(q).all() and np.isfinite(qd + effort).all()):
            return self.refuse("the command is not finite")
        starting = self.previous is None
        previous = self.device.read().q if self.previous is None else self.previous
        dt = 1.0 / RATE if starting else max(stamp - self.last_stamp, 1.0 / RATE)
        self.previous, self.last_stamp = self.limits.apply(q, previous, dt), stamp
        self.values["clamped"] = self.limits.clamped
        qd = np.clip(qd, -self.limits.velocity, self.limits.velocity)
        self.device.write(self.previous, qd, np.clip(effort, -self.limits.effort, self.limits.effort))
        self.delay.add(self.device.latency(stamp, self.now))
        self.warnings.pop("refused", None)

    def refuse(self, why: str) -> None:
        """Reject a command; a held device keeps holding, a moving one is stopped by the watchdog unless a valid one
        follows."""
        self.values["refused"] += 1  # type: ignore[operator]
        self.warnings["refused"] = why

    def on_safety(self, message: DiagnosticArray) -> None:
        said, self.supervised = messages.read_safety_state(message), time.monotonic()
        if said.moving and said.t0 == self.abandoned_t0:
            return  # no direct return to motion: the supervisor must stop and start again
        if said.moving and not self.safety.moving and self.speakers.first():
            return  # only after the second publisher's last messages
        self.safety, self.abandoned_t0 = said, None
        if not self.safety.moving:
            self.hold()

    def watch(self) -> None:
        """Hold when commands stop arriving, the supervisor has died, or a second publisher exists."""
        if self.safety.moving and time.monotonic() - self.supervised > self.p.supervisor_timeout:
            self.abandon("the supervisor is silent")
        if self.safety.moving and (why := self.speakers.first()):
            self.abandon(why)
        if self.previous is not None and self.device.time(self.now) - self.last_stamp > self.p.max_age:
            self.hold()

    def abandon(self, why: str) -> None:
        """Hold until the supervisor has stopped and started again."""
        self.abandoned_t0 = self.safety.t0
        self.safety = messages.Safety(State.FAULT, why)
        self.hold()

    def hold(self) -> None:
        """Hold once when motion ends: the device stays at its present position."""
        if self.previous is not None:
            self.values["held"] += 1  # type: ignore[operator]
            self.previous = None
            self.device.hold()
