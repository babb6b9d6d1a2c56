"""NumPy <-> ROS messages. Quaternions are wxyz on our side and xyzw in messages: this is where they turn round.

Array fields are given as `array.array`: rclpy checks every element of a list in Python, and takes an array as it is.
"""

from array import array
from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState

from dexhot.control.safety import State
from dexhot.errors import DexhotError
from dexhot.geometry import single
from dexhot.tracking.object_filter import ObjectState

WORLD_FRAME, OBJECT_FRAME = "world", "object"


def seconds(stamp: Time) -> float:
    """s."""
    return stamp.sec + 1e-9 * stamp.nanosec


def to_stamp(time: float) -> Time:
    """Seconds -> stamp, to the microsecond: what a float of the present epoch can hold."""
    micro = round(time * 1e6)
    return Time(sec=micro // 1_000_000, nanosec=micro % 1_000_000 * 1000)


def doubles(x) -> array:
    """A float array as message fields take it fastest."""
    out = array("d")
    out.frombytes(np.ascontiguousarray(x, np.float64).tobytes())
    return out


def bytes_array(x: np.ndarray) -> array:
    """A byte array as message fields take it fastest."""
    out = array("B")
    out.frombytes(np.ascontiguousarray(x, np.uint8).tobytes())
    return out


def joint_state(names, stamp: Time, position, velocity=(), effort=()) -> JointState:
    """A JointState from arrays in the order of `names`."""
    message = JointState()
    message.header.stamp = stamp
    message.header.frame_id = WORLD_FRAME
    message.name = names
    message.position, message.velocity, message.effort = doubles(position), doubles(velocity), doubles(effort)
    return message


def positions(message: JointState, names) -> np.ndarray:
    """The positions in the order of `names`. Raises DexhotError for other names or another size."""
    return _ordered(message, message.position, names)


def velocities(message: JointState, names) -> np.ndarray:
    """The velocities in the order of `names`; zero where the message has none."""
    return _ordered(message, message.velocity, names) if message.velocity else np.zeros(len(names))


def efforts(message: JointState, names) -> np.ndarray:
    """The efforts in the order of `names`; zero where the message has none."""
    return _ordered(message, message.effort, names) if message.effort else np.zeros(len(names))


def _ordered(message: JointState, values, names) -> np.ndarray:
    if list(message.name) == list(names) and len(values) == len(names):
        return np.array(values)
    if set(message.name) != set(names) or len(values) != len(names):
        raise DexhotError(
            f"a JointState of {list(message.name)} with {len(values)} values came; expected {list(names)}."
        )
    return np.array([values[message.name.index(name)] for name in names])


def _fill_pose(pose, x: np.ndarray) -> None:
    p, q = pose.position, pose.orientation
    p.x, p.y, p.z, q.w, q.x, q.y, q.z = map(float, x)


def _read_pose(pose) -> np.ndarray:
    p, q = pose.position, pose.orientation
    return np.array([p.x, p.y, p.z, q.w, q.x, q.y, q.z])


def object_pose(stamp: Time, pose: np.ndarray, covariance: np.ndarray) -> PoseWithCovarianceStamped:
    """world_T_mesh (7,) and its covariance (6, 6): position, then rotation about the world's axes."""
    message = PoseWithCovarianceStamped()
    message.header.stamp, message.header.frame_id = stamp, WORLD_FRAME
    _fill_pose(message.pose.pose, pose)
    message.pose.covariance = np.ravel(covariance)
    return message


def read_object_pose(message: PoseWithCovarianceStamped) -> tuple[np.ndarray, np.ndarray]:
    """(7,) world_T_mesh and its covariance (6, 6)."""
    return _read_pose(message.pose.pose), np.reshape(message.pose.covariance, (6, 6))


def object_state(stamp: Time, state: ObjectState) -> Odometry:
    """An ObjectState; as Odometry demands, the twist is in the child (mesh) frame."""
    message = Odometry()
    message.header.stamp, message.header.frame_id, message.child_frame_id = stamp, WORLD_FRAME, OBJECT_FRAME
    _fill_pose(message.pose.pose, state.pose)
    R = single.matrix(state.pose[3:])
    linear, angular = message.twist.twist.linear, message.twist.twist.angular
    linear.x, linear.y, linear.z = map(float, state.twist[:3] @ R)
    angular.x, angular.y, angular.z = map(float, state.twist[3:] @ R)
    turn = np.zeros((6, 6))
    turn[:3, :3] = turn[3:, 3:] = R
    message.pose.covariance = np.ravel(state.covariance[:6, :6])
    message.twist.covariance = np.ravel(turn.T @ state.covariance[6:, 6:] @ turn)
    return message


def read_object_state(message: Odometry) -> ObjectState:
    """The ObjectState of a message, its twist in the world again; pose-twist correlations are not carried."""
    pose = _read_pose(message.pose.pose)
    R = single.matrix(pose[3:])
    linear, angular = message.twist.twist.linear, message.twist.twist.angular
    twist = np.concatenate([R @ (linear.x, linear.y, linear.z), R @ (angular.x, angular.y, angular.z)])
    turn = np.zeros((6, 6))
    turn[:3, :3] = turn[3:, 3:] = R
    covariance = np.zeros((12, 12))
    covariance[:6, :6] = np.reshape(message.pose.covariance, (6, 6))
    covariance[6:, 6:] = turn @ np.reshape(message.twist.covariance, (6, 6)) @ turn.T
    return ObjectState(seconds(message.header.stamp), pose, twist, covariance)


@dataclass(frozen=True)
class Safety:
    """What /safety/state says: the state, why, and the stamp (s) of the reference's frame 0 while tracking."""

    state: State
    reason: str = ""
    t0: float = 0.0

    @property
    def moving(self) -> bool:
        """Whether motion commands are accepted."""
        return self.state is State.TRACKING


LEVELS = {State.HOLDING: DiagnosticStatus.WARN, State.FAULT: DiagnosticStatus.ERROR}


def safety_state(safety: Safety, stamp: Time, token: str = "") -> DiagnosticArray:
    """`stamp`: of the change; `token`: the bring-up's. The frame-0 stamp travels as a value, to the nanosecond."""
    t0 = to_stamp(safety.t0)
    values = [KeyValue(key="reason", value=safety.reason), KeyValue(key="t0", value=f"{t0.sec}.{t0.nanosec:09d}")]
    level = LEVELS.get(safety.state, DiagnosticStatus.OK)
    status = DiagnosticStatus(name="safety", message=str(safety.state), level=level, hardware_id=token, values=values)
    message = DiagnosticArray(status=[status])
    message.header.stamp = stamp
    return message


def read_safety_state(message: DiagnosticArray) -> Safety:
    """The Safety of a message."""
    status = message.status[0]
    values = {v.key: v.value for v in status.values}
    return Safety(State(status.message), values["reason"], float(values["t0"]))
