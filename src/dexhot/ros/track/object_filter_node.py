"""/object/pose -> /object/state: the error-state filter, driven by arriving measurements.

A missing measurement is bridged by the filter's prediction, whose uncertainty grows until the object counts as lost.
Its clock is that of the hand's states, which never pause: poses may arrive at less than 60 Hz or be missing briefly,
and downstream nodes still get a state for every tick.
"""

import time
from collections import deque

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState

from dexhot.data.files import load
from dexhot.data.topics import EPISODE, LEAP_STATES, OBJECT_POSE, OBJECT_STATE
from dexhot.data.types import RATE, Reference
from dexhot.errors import NotFoundError
from dexhot.objects.asset import Symmetry
from dexhot.objects.library import load_symmetry
from dexhot.ros.core import messages
from dexhot.ros.core.base import DexhotNode
from dexhot.ros.core.frames import FrameTree
from dexhot.ros.core.refusals import RefusedError
from dexhot.tracking.object_filter import FilterOptions, ObjectFilter

TICK = 1.0 / RATE  # s
LATE = 1.5 * TICK  # s after the expected measurement
NOTED = 3.5 * TICK  # s without an accepted measurement before a warning
FUTURE = 0.5  # s ahead of the hand's states: implausible for a measurement, and would block the filter until then
RECENT = 30  # measurements; the longest of their delays counts, as the hand's states may lag too


class ObjectFilterNode(DexhotNode):
    """See the module's docstring."""

    def __init__(self) -> None:
        super().__init__("object_filter")

    def setup(self) -> None:
        names = FilterOptions.__dataclass_fields__
        options = FilterOptions(**{name: getattr(self.p, name) for name in names})
        self.filter = ObjectFilter(options, self.symmetry())
        self.frames = FrameTree(self.p.static_transforms, self.p.frame_prefix)
        if self.p.tf != "none":
            self.frames.listen(self, moving=self.p.tf == "all")
        self.publisher = self.advertise(Odometry, OBJECT_STATE, "state")
        self.step = self.latency("step")
        self.obey(DiagnosticArray, EPISODE, self.on_episode, "latched")  # first: before the new clip's poses
        self.obey(PoseWithCovarianceStamped, OBJECT_POSE, self.on_pose, "state")
        self.obey(JointState, LEAP_STATES, self.on_hand, "state")

    def symmetry(self) -> Symmetry:
        """Symmetry of the reference's object; none, with a warning, if this machine lacks the object."""
        if not self.p.reference:
            return Symmetry()
        name = load(self.p.reference, Reference).object_name
        try:
            return load_symmetry(name)
        except NotFoundError as e:
            self.get_logger().warning(f"measurements that flip between symmetric poses will be rejected: {e}")
            return Symmetry()

    def start(self) -> None:
        kind = self.filter.symmetry.kind
        self.values = {"rejected": 0, "bridged": 0, "old_clip": 0, "symmetry": kind, "missing": ""}
        self.clip_begin = -np.inf  # stamp from which poses belong to the present clip
        self.tick = 0.0  # stamp of the hand's last state
        self.forget()

    def forget(self) -> None:
        self.filter.reset()
        self.delays: deque[float] = deque(maxlen=RECENT)  # s, delays of measurements relative to the hand's states
        self.refused = ""  # why the last measurement was rejected
        self.published = self.bridge = -np.inf  # stamps of the last state, and of the last predicted one
        self.lost = True  # until it is seen

    def on_episode(self, message: DiagnosticArray) -> None:
        """After a rig reset the object has been displaced: queued measurements of the old clip
        are invalid for the new one."""
        kind, _, stamp = messages.read_episode(message)
        if kind == "start":
            self.clip_begin = stamp
            self.forget()

    def on_pose(self, message: PoseWithCovarianceStamped) -> None:
        begin = time.monotonic()
        stamp = messages.seconds(message.header.stamp)
        if 0.5 * TICK < self.clip_begin - stamp < self.p.lost_after:  # further back it is another clock
            self.values["old_clip"] += 1  # type: ignore[operator]
            return
        pose, covariance = self.measured(message, stamp)
        if not self.filter.update(stamp, pose, covariance):
            self.values["rejected"] += 1  # type: ignore[operator]
        if stamp < self.filter.stamp:
            self.refused = f"its measured poses have stamps {self.filter.stamp - stamp:.1f} s in the past"
            return  # no new information
        self.refused = ""
        self.values["flipped"] = self.filter.flipped
        self.delays.append(max(self.tick - stamp, 0.0))  # the hand's states may lag, or not have arrived yet
        if stamp > self.bridge + 0.5 * TICK:  # otherwise its tick already has a state
            self.publish_state(self.filter, message.header.stamp)
        self.step.add(time.monotonic() - begin)

    def measured(self, message: PoseWithCovarianceStamped, stamp: float) -> tuple[np.ndarray, np.ndarray]:
        """world_T_mesh and covariance of a message. Raises RefusedError: the supervisor holds without a state."""
        try:
            if self.tick and stamp - self.tick > FUTURE:
                raise RefusedError(f"a pose is stamped {stamp - self.tick:.3g} s ahead of the hand's states.")
            measured = messages.read_object_pose(message)
            pose, covariance = self.frames.to_world(message.header.frame_id, *measured, stamp)
            return messages.near(pose), covariance
        except RefusedError as e:
            self.refused = f"its measured poses are rejected: {str(e).rstrip('.')}"
            raise

    def on_hand(self, message: JointState) -> None:
        """Publish a predicted state for a tick without a measurement; none for a lost object."""
        first, self.tick = not self.tick, messages.seconds(message.header.stamp)
        if first and self.filter.stamp - self.tick > FUTURE:
            self.forget()  # an earlier pose is too old
        if self.lost:
            return
        now, stamp = self.tick - max(self.delays), self.published + TICK  # now: stamp of the expected measurement
        if not LATE <= now - self.filter.stamp <= self.p.lost_after:  # more is not a gap: a clock was set
            return
        if self.filter.ahead(now).lost(now):
            stamp = now
        elif stamp > now - 0.5 * TICK:
            return
        self.bridge = stamp
        self.values["bridged"] += 1  # type: ignore[operator]
        self.publish_state(self.filter.ahead(stamp), messages.to_stamp(stamp))

    def publish_state(self, known: ObjectFilter, stamp: Time) -> None:
        """Publish the state, also of a lost object: the supervisor decides by its uncertainty, and quotes the reason
        from the diagnostics, so those go first."""
        was_lost, self.published, self.lost = self.lost, known.stamp, known.lost(known.stamp)
        missing = known.missing(known.stamp)
        if missing and self.refused:
            missing = self.refused
        self.warnings.pop("pose", None)
        if self.lost:
            self.warnings["pose"] = f"the object is lost: {missing}" if missing else "the object is lost"
        elif known.stamp - known.object_accepted < NOTED:
            missing = ""
        changed = bool(missing) and (self.lost, bool(self.values["missing"])) != (was_lost, True)
        self.values["missing"] = missing
        if changed:
            self.publish_diagnostics()
        self.publisher.publish(messages.object_state(stamp, known.state(), self.p.frame_prefix))
