"""The embedded rig: one MuJoCo world that is the arm, the hand and the object, and the only one that ticks.

Tick k is due at the start + k / 60 s and has that stamp whenever it runs: between two stamps the world makes one
control step, regardless of the machine's load. A tick waits up to `patience` for the response to the last one: the
object's state, and commands once arm and hand are driven. Late ticks are caught up as fast as responses arrive. On a
machine that is too slow the world runs slower than real time; its time is on /clock, the reference for the age of
stamps. With `perception: camera` the object's pose comes from the images of the rig's camera, a node of its own, and
the world also waits for them: an image must have been looked at LOOKED s after it arrives.

/rig/episode marks the clips: start after each reset, end `tail` seconds after the last frame. The world is
reset only when the supervisor has left `tracking`, so that no command of an old clip affects the new one.
"""

import time

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState

from dexhot.data.files import load
from dexhot.data.topics import CLOCK, EPISODE, LABELS, OBJECT_POSE, OBJECT_STATE, RIG_OBJECT, SAFETY_STATE
from dexhot.data.types import RATE, Reference
from dexhot.objects.asset import ObjectAsset
from dexhot.objects.library import load_object
from dexhot.rigs.embedded import EmbeddedWorld, install, uninstall
from dexhot.robots.robot_hand import RobotHand, load_hand
from dexhot.rollouts.arm import measured_pose, start_joints
from dexhot.ros.core import messages
from dexhot.ros.core.base import DexhotNode
from dexhot.ros.supervise.alarm import Alarm
from dexhot.safety.machine import State
from dexhot.simulation.scene import arm_scene
from dexhot.simulation.setup import physics_of

EARLY = 5e-4  # s by which a tick may be early: timers are inexact
HOPELESS = 6  # ticks of lag above which the world's time slips
LOOKED = 0.05  # s after an image's arrival until which perception must have looked at it


class RigNode(DexhotNode):
    """The world, its ticks and its clips; see the module's docstring."""

    def __init__(self) -> None:
        super().__init__("rig")

    def setup(self) -> None:
        self.reference = load(self.p.reference, Reference)
        hand, asset = load_hand(self.reference.hand), load_object(self.reference.object_name)
        self.world = self.make_world(hand, asset)
        self.start_q = start_joints(self.reference)
        self.reset_world()
        install(self.world)
        seen = self.p.perception == "camera"
        self.pose = None if seen else self.advertise(PoseWithCovarianceStamped, OBJECT_POSE, "state")
        noisy = self.p.position_noise or self.p.rotation_noise
        apart = noisy or self.p.camera or seen  # the rig's camera draws the truth
        self.truth = self.advertise(PoseWithCovarianceStamped, RIG_OBJECT, "state") if apart else None
        if seen:
            self.subscribe(Image, LABELS, self.on_labels)
        self.episodes = self.advertise(DiagnosticArray, EPISODE, "latched")
        self.obey(DiagnosticArray, SAFETY_STATE, self.on_safety, "latched")
        self.obey(Odometry, OBJECT_STATE, self.on_state, "state")
        self.clock = self.advertise(Clock, CLOCK, "state")
        self.alarm = Alarm(self, self.guarded_alarm)
        self.world.answered = self.set_alarm
        self.lateness = self.latency("tick_lateness")
        variance = [max(self.p.position_noise, 1e-3) ** 2] * 3 + [max(self.p.rotation_noise, 1e-2) ** 2] * 3
        self.covariance = np.diag(variance)

    def make_world(self, hand: RobotHand, asset: ObjectAsset) -> EmbeddedWorld:
        """The arm scene with hand and object on the table of the reference."""
        table = self.reference.table_height
        return EmbeddedWorld(arm_scene(hand, asset, physics_of(self.reference), table, visual=False))

    def start(self) -> None:
        self.safety = messages.Safety(State.INACTIVE)
        self.episode = self.tracked = 0
        self.begun: float | None = None
        self.epoch, self.ticks, self.slipped = time.time(), 0, 0.0  # ROS time is what we publish
        self.ticks_counted = self.ticks_ok = 0
        self.rng = np.random.default_rng(self.p.seed)
        self.interruption, self.interrupted = "", 0  # the last one's reason; clips that the rig itself began again
        self.looked: float | None = None  # stamp of the newest image that perception has looked at, while waited for
        self.begin_episode()
        self.alarm.set(time.monotonic())

    def stop(self) -> None:
        self.alarm.set(np.inf)

    def teardown(self) -> None:
        uninstall()
        if hasattr(self, "alarm"):
            self.alarm.close()
            del self.alarm

    def reset_world(self) -> None:
        """Put robot and object at the start of the reference."""
        self.world.reset(self.start_q, self.reference.object_pose[0], hold_object=self.p.hold_object)

    def begin_episode(self) -> None:
        """Reset, and mark the start of a clip with the stamp of its first tick."""
        self.episode += 1
        self.ended, self.last_tracked = False, 0.0
        self.reset_world()
        first = messages.to_stamp(self.epoch + self.ticks / RATE)
        self.episodes.publish(messages.episode("start", self.episode, first))

    def on_safety(self, message: DiagnosticArray) -> None:
        self.safety = messages.read_safety_state(message)
        if self.safety.state in (State.HOLDING, State.FAULT):
            self.interruption = f"{self.safety.state}: {self.safety.reason}"

    def on_state(self, message: Odometry) -> None:
        if self.answers(message):
            self.world.follow(OBJECT_STATE)

    def on_labels(self, message: Image) -> None:
        """Perception has looked at an image."""
        self.looked = messages.seconds(message.header.stamp)
        if self.begun is not None:
            self.set_alarm()

    def unseen(self) -> bool:
        """Whether the next tick would be too far ahead of the newest image that perception has looked at."""
        if self.looked is None:
            return False
        age = self.world.stamp + 1.0 / RATE - self.looked
        return bool(age > 1.0 / self.p.camera_rate + self.p.camera_latency + LOOKED)

    def answers(self, message: Odometry | JointState) -> bool:
        """Whether its stamp is that of the last tick."""
        return abs(messages.seconds(message.header.stamp) - self.world.stamp) < 1e-5

    def guarded_alarm(self) -> None:
        """Run the alarm only while active; an exception is a fault."""
        if self.active:
            self.guarded(self.on_alarm)

    def on_alarm(self) -> None:
        """Tick when one is due and the last one's response has arrived or timed out; then reset the alarm."""
        now = time.monotonic()
        if self.begun is None:
            self.begun = self.last = now
        late = now - self.last >= self.p.patience
        waiting = self.world.unanswered or self.unseen()
        if (late or not waiting) and now >= self.due() - EARLY:
            self.last = now
            self.world.following -= self.world.unanswered  # timed out: do not wait again before the next response
            self.looked = None if self.unseen() else self.looked
            self.count(now)
            self.tick()
        self.set_alarm()

    def set_alarm(self) -> None:
        """Wake when the next tick is due, or when the response to the last one times out."""
        wake = self.last + self.p.patience if self.world.unanswered or self.unseen() else self.due()
        self.alarm.set(wake)

    def due(self) -> float:
        """Monotonic time at which the next tick is due."""
        assert self.begun is not None
        return self.begun + self.ticks / RATE

    def count(self, now: float) -> None:
        """Measure the lateness of the next tick; far beyond its due time the world's time slips. Statistics are of
        tracking only."""
        late = now - self.due()
        allowed = HOPELESS if self.world.driven else 1  # periods; without responses nothing limits the catch-up
        slip = max(late - allowed / RATE, 0.0)
        self.begun = (self.begun or now) + slip
        if not self.safety.moving:
            return
        self.lateness.add(late)
        self.slipped += slip
        self.ticks_counted += 1
        self.ticks_ok += late <= 1.0 / RATE
        self.values = {
            "ticks": self.ticks_counted,
            "slipped_s": self.slipped,
            "tick_ok_fraction": self.ticks_ok / (self.ticks_counted + self.slipped * RATE),
            "interrupted": self.interrupted,
        }

    def tick(self) -> None:
        """One control step of the world, published with one stamp."""
        begin = time.monotonic()
        stamp = self.epoch + self.ticks / RATE
        self.ticks += 1
        frame = round((stamp - self.safety.t0) * RATE) if self.safety.moving else None
        message_stamp = messages.to_stamp(stamp)
        self.clock.publish(Clock(clock=message_stamp))
        self.world.tick(stamp)
        if frame is not None and frame >= 0:
            self.world.release()
        truth = self.world.object_pose()
        if self.truth:
            self.truth.publish(messages.object_pose(message_stamp, truth, np.zeros((6, 6)), self.p.frame_prefix))
        if self.pose:
            seen = measured_pose(truth, self.p.position_noise, self.p.rotation_noise, self.rng)
            self.pose.publish(messages.object_pose(message_stamp, seen, self.covariance, self.p.frame_prefix))
        self.latency("step").add(time.monotonic() - begin)
        self.follow_clip(frame, stamp)

    def follow_clip(self, frame: int | None, stamp: float) -> None:
        """End the clip after its last frame, or when interrupted; start the next when nothing is driven."""
        if frame is not None:
            self.tracked += 1
            self.last_tracked = stamp
        if self.p.duration and self.tracked >= self.p.duration * RATE:
            self.finish(f"{self.p.duration:g} s of tracking have passed")
        if not self.ended and frame is not None and frame >= len(self.reference.q) + self.p.tail * RATE:
            self.end_clip()
        interrupted = not self.ended and self.last_tracked > 0.0 and stamp - self.last_tracked > self.p.give_up
        if self.p.loop and (interrupted or self.ended) and self.safety.state is State.READY:
            self.interrupted += interrupted
            self.begin_episode()
        elif interrupted and self.p.exit_when_done:
            self.finish(f"tracking was interrupted ({self.interruption})", code=1)

    def end_clip(self) -> None:
        """Mark the end; finish if requested."""
        self.ended = True
        self.episodes.publish(messages.episode("end", self.episode, self.stamp()))
        if self.p.exit_when_done:
            self.finish("the clip has ended")
