"""The embedded rig with measurement faults, injected by /faults/inject (std_msgs/String), for the fault benchmark.

/faults/driven lists at every tick which of arm and hand are driven: none when no motion command is accepted.
/faults/plant has the state of the physics: servo commands (effort) and joint positions (position).
"""

import copy
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from dexhot.errors import DexhotError, NotFoundError
from dexhot.geometry import single
from dexhot.objects.library import load_object
from dexhot.ros.core import messages
from dexhot.ros.core.refusals import RefusedError
from dexhot.ros.rig.rig_node import RigNode
from dexhot_bench.faults.faulty_nodes import FAR_COMMAND, NAN_COMMAND, NAN_TARGET

JUMP = 0.2  # m
BACK = 5  # s, backward jump of stamps
FLIPPED = 200_000_000  # ns, duration of a flipped pose, and of an unflipped one
OFF = 0.003  # s, offset of stamps from the tick
GAP = 5  # consecutive missing poses
STEP = 10.0  # s, forward step of the clock and all stamps
PATIENCE = {"patient": 0.5, "impatient": 0.017}  # s, wait of a tick for commands; a real robot does not wait


class FaultyRig(RigNode):
    """A RigNode with injectable faults."""

    def setup(self) -> None:
        super().setup()
        symmetry = load_object(self.reference.object_name).symmetry
        assert self.pose is not None, "the faults are those of perception:=truth"
        self.measured = Measured(self.pose, np.asarray(symmetry.rotations[-1]))
        self.pose = self.measured  # type: ignore[assignment]
        self.driven = self.advertise(String, "/faults/driven", "state")
        self.plant = self.advertise(JointState, "/faults/plant", "state")
        self.subscribe(String, "/faults/inject", self.on_fault, "state")

    def on_fault(self, message: String) -> None:
        if message.data not in KINDS:
            raise RefusedError(str(NotFoundError("fault", message.data[:40], KINDS)))
        if message.data in DRIVES:
            self.fail_once(DRIVES[message.data])
        elif message.data in PATIENCE:
            self.p.patience = PATIENCE[message.data]
        elif message.data == "step":
            self.epoch += STEP
        elif message.data not in OTHERS:
            self.measured.fault = message.data

    def fail_once(self, name: str) -> None:
        """Make the next command to the arm or the hand fail."""

        def broken(*targets: np.ndarray) -> None:
            delattr(self.world, name)
            raise DexhotError("the device has stopped by itself")

        setattr(self.world, name, broken)

    def tick(self) -> None:
        super().tick()
        self.driven.publish(String(data=",".join(sorted(self.world.driven))))
        q, qd, _ = self.world.joints()
        stamp = messages.to_stamp(self.world.stamp)
        self.plant.publish(messages.joint_state(self.world.scene.joint_names, stamp, q, qd, self.world.data.ctrl))


class Measured:
    """Wraps the publisher of the object's pose: publishes it with the present fault."""

    def __init__(self, publisher: Any, turn: np.ndarray):
        """`turn`: a symmetry rotation (4,) of the object."""
        self.publisher, self.turn = publisher, turn
        self.fault = "none"
        self.lacking = 0

    def publish(self, message: PoseWithCovarianceStamped) -> None:
        message = copy.deepcopy(message)
        position = message.pose.pose.position
        if self.fault == "gap":
            self.fault, self.lacking = "none", GAP
        self.lacking -= 1
        if self.fault == "silent" or self.lacking >= 0:
            return
        if self.fault == "jump":
            position.x += JUMP
        elif self.fault == "flip" and (message.header.stamp.nanosec // FLIPPED) % 2:
            flipped = single.multiply(messages.read_object_pose(message)[0][3:], self.turn)
            q = message.pose.pose.orientation
            q.w, q.x, q.y, q.z = map(float, flipped)
        elif self.fault == "nan":
            position.y = np.nan
        elif self.fault == "back":
            message.header.stamp.sec -= BACK
        elif self.fault == "frame":
            message.header.frame_id = "camera_link"
        elif self.fault == "off":
            message.header.stamp = messages.to_stamp(messages.seconds(message.header.stamp) + OFF)
        elif self.fault == "quaternion":
            message.pose.pose.orientation.w = message.pose.pose.orientation.x = 0.0
            message.pose.pose.orientation.y = message.pose.pose.orientation.z = 0.0
        self.publisher.publish(message)


DRIVES = {"arm": "drive_arm", "hand": "drive_hand"}
OTHERS = (NAN_TARGET, NAN_COMMAND, FAR_COMMAND)  # faults of other nodes
LIES = ("none", "silent", "gap", "jump", "flip", "nan", "back", "frame", "off", "quaternion", "step")
KINDS = (*LIES, *DRIVES, *PATIENCE, *OTHERS)
