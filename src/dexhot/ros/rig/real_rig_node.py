"""The rig of `rig:=real`: nothing is simulated; it times the clip and warns when no object pose arrives.

The object's pose must come from outside, on /object/pose: a motion capture system or a pose estimator.
"""

import time

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped

from dexhot.data.files import load
from dexhot.data.topics import EPISODE, OBJECT_POSE, SAFETY_STATE
from dexhot.data.types import RATE, Reference
from dexhot.ros.core import messages
from dexhot.ros.core.base import DexhotNode
from dexhot.safety.machine import State

LOOKS = 20.0  # Hz
QUIET = 1.0  # s without a pose before a warning
POSE = OBJECT_POSE


class RealRigNode(DexhotNode):
    """Monitors /object/pose, and ends the clip by time."""

    def __init__(self) -> None:
        super().__init__("rig", "real_rig")

    def setup(self) -> None:
        self.frames = len(load(self.p.reference, Reference).q)
        self.episodes = self.advertise(DiagnosticArray, EPISODE, "latched")
        self.obey(DiagnosticArray, SAFETY_STATE, self.on_safety, "latched")
        self.subscribe(PoseWithCovarianceStamped, POSE, self.on_pose, "state")
        self.loop(LOOKS, self.look, "look")

    def start(self) -> None:
        self.safety = messages.Safety(State.INACTIVE)
        self.ended = False
        self.seen = time.monotonic()  # time of the last pose
        self.begun = 0.0  # stamp of the first tracked frame
        self.episodes.publish(messages.episode("start", 1, self.stamp()))

    def on_safety(self, message: DiagnosticArray) -> None:
        self.safety = messages.read_safety_state(message)

    def on_pose(self, message: PoseWithCovarianceStamped) -> None:
        messages.read_object_pose(message)  # raises RefusedError for an invalid pose
        self.seen = time.monotonic()
        self.warnings.pop("pose", None)

    def look(self) -> None:
        """Check for object poses, and for the end of the clip."""
        if time.monotonic() - self.seen > QUIET and "pose" not in self.warnings:
            who = "its publishers are silent" if self.count_publishers(self.full(POSE)) else "no node publishes it"
            self.warnings["pose"] = f"no object pose on {POSE}: {who}"
            self.get_logger().warning(self.warnings["pose"])
        if not self.safety.moving:
            return
        now = self.now()
        self.begun = self.begun or now
        if self.p.duration and now - self.begun >= self.p.duration:
            self.finish(f"{self.p.duration:g} s of tracking have passed")
        if not self.ended and now >= self.safety.t0 + self.frames / RATE + self.p.tail:
            self.end_clip()

    def end_clip(self) -> None:
        """Mark the end; finish if requested."""
        self.ended = True
        self.episodes.publish(messages.episode("end", 1, self.stamp()))
        if self.p.exit_when_done:
            self.finish("the clip has ended")
