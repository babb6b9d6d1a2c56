"""The rig of `rig:=sim-wire`: one MuJoCo world with protocol-level simulation for the real drivers.

Ticks and topics are those of the embedded rig; but arm and hand are moved by their drivers, in separate processes,
over libfranka's protocol and the servo bus. The world runs in cycles of the arm (1 ms), PARTS per tick, and publishes
its time on /clock after each. Half a tick after a tick, the states and commands in response to it must have arrived: on
a machine that is too slow for them, or for the cycles, the world runs slower than real time. `scale` in the diagnostics
is the real-time factor.
"""

import time

from diagnostic_msgs.msg import DiagnosticArray
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState

from dexhot.data.topics import FRANKA_COMMAND, FRANKA_STATES, LEAP_COMMAND, LEAP_STATES
from dexhot.data.types import RATE
from dexhot.objects.asset import ObjectAsset
from dexhot.rigs.wire_world import WireWorld, wire_scene
from dexhot.robots.robot_hand import RobotHand
from dexhot.ros.core import messages
from dexhot.ros.rig.rig_node import RigNode
from dexhot.simulation.setup import physics_of

PARTS = 2  # per tick; states stamped in the middle belong to no frame
REPORTS = 1.0  # Hz
COMMANDS = (LEAP_COMMAND, FRANKA_COMMAND)
STATES = (LEAP_STATES, FRANKA_STATES)


class WireRigNode(RigNode):
    """A rig whose arm and hand are moved by external drivers; see the module's docstring."""

    world: WireWorld

    def make_world(self, hand: RobotHand, asset: ObjectAsset) -> WireWorld:
        scene = wire_scene(hand, asset, physics_of(self.reference), self.reference.table_height)
        return WireWorld(scene, self.p.franka_host, self.p.leap_port, self.p.scale)

    def setup(self) -> None:
        super().setup()
        self.world.open()
        for topic in (*COMMANDS, *STATES):
            self.subscribe(JointState, topic, lambda m, topic=topic: self.on_answer(topic, m), "state")
        self.loop(REPORTS, self.report, "report")

    def start(self) -> None:
        self.part = self.given_up = 0
        super().start()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.close()
        super().teardown()

    def reset_world(self) -> None:
        """Reset the object only: once drivers hold the robot, it cannot be moved."""
        if self.world.cycles == 0:
            super().reset_world()
        else:
            self.world.put_object(self.reference.object_pose[0], hold=self.p.hold_object)

    def on_answer(self, topic: str, message: JointState) -> None:
        """Register a response to the last tick, by its stamp; the next ones are then waited for as well."""
        if self.answers(message):
            self.world.drive(topic)

    def on_safety(self, message: DiagnosticArray) -> None:
        super().on_safety(message)
        if not self.safety.moving:
            for topic in COMMANDS:
                self.world.rest(topic)

    def on_alarm(self) -> None:
        """Run the next part of a tick, once its responses have arrived or timed out."""
        now = time.monotonic()
        if self.begun is None:
            self.begun = self.last = now
        if self.waiting():
            if now - self.last < self.p.patience:
                return self.set_alarm()
            self.give_up()
        self.part += 1
        self.world.run_until((self.ticks + self.part / PARTS) / RATE)
        while self.world.notes:
            self.get_logger().warning(self.world.notes.pop())
        if self.part == PARTS:
            self.part = 0
            self.tick()
            self.last = time.monotonic()
        else:
            self.clock.publish(Clock(clock=messages.to_stamp(self.epoch + (self.ticks - 1 + self.part / PARTS) / RATE)))
        self.set_alarm()

    def give_up(self) -> None:
        """Stop waiting for missing responders until their next response."""
        self.given_up += 1
        self.world.driven -= self.world.unanswered
        self.world.following -= self.world.unanswered
        self.world.unanswered.clear()

    def waiting(self) -> bool:
        """Whether the world waits for responses to the last tick."""
        return self.part == PARTS - 1 and bool(self.world.unanswered)

    def set_alarm(self) -> None:
        assert self.alarm is not None
        self.alarm.set(self.last + self.p.patience if self.waiting() else time.monotonic())

    def count(self, now: float) -> None:
        """Does nothing: lateness is not measured by ticks here; see `report`."""

    def stamp(self):  # type: ignore[no-untyped-def]
        """The world's time, which is the time of the whole graph."""
        return messages.to_stamp(self.world.stamp) if self.world.stamp else super().stamp()

    def report(self) -> None:
        """Report the real-time factor, and the causes of delays, on /diagnostics."""
        scale = self.world.measured_scale()
        self.values = {
            "scale": scale,
            "scale_asked": self.p.scale,
            "world_time_s": self.world.time,
            "slipped_s": self.world.slipped,
            "answers_given_up": self.given_up,
            "arm_cycles_missed": self.world.server.missed,
            "arm_reflexes": self.world.server.reflexes,
        }
        if scale < 0.9 * self.p.scale:
            self.warnings["scale"] = f"the real-time factor is {scale:.2f}, below the requested {self.p.scale:g}"
        else:
            self.warnings.pop("scale", None)
