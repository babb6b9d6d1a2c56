"""NumPy <-> ROS messages. Quaternions are wxyz in dexhot and xyzw in messages: they are converted here.

Array fields are `array.array`: rclpy checks every element of a list in Python, but accepts an array without checks.
Messages are untrusted: an invalid one raises RefusedError, which names the error and the expected value.
"""

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Pose, PoseWithCovarianceStamped, Transform
from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState
from std_msgs.msg import Header

from dexhot.geometry import single
from dexhot.ros.core.names import OBJECT_FRAME, WORLD_FRAME
from dexhot.ros.core.refusals import RefusedError
from dexhot.safety.machine import State
from dexhot.tracking.object_state import ObjectState

if TYPE_CHECKING:  # nodes load it in 4 ms
    from numpy.typing import ArrayLike

EPISODE_STATUS = "rig: clip"
LATEST = 2**31 - 1  # s, latest stamp
FAR = 10.0  # m from the world's origin, and m/s: implausible for an object above it
FAST = 1e3  # rad/s, implausible above it
TURNED = 100.0  # rad, or m: implausible joint position above it
VARIANCE = 1e4  # m^2, rad^2: implausible variance above it
FLOOR = 1e-9 * np.eye(6)  # added to a singular covariance
UNIT = 0.01  # allowed deviation of a quaternion's norm from 1
NAMED = 8  # joint names listed in an error


def seconds(stamp: Time) -> float:
    """s."""
    found: float = stamp.sec + 1e-9 * stamp.nanosec
    return found


def to_stamp(time: float) -> Time:
    """Seconds -> stamp, to the microsecond, the resolution of a float at the present epoch. Raises RefusedError."""
    if not -LATEST < time < LATEST:
        raise RefusedError(f"{time:g} s is out of range for a stamp.")
    micro = round(time * 1e6)
    return Time(sec=micro // 1_000_000, nanosec=micro % 1_000_000 * 1000)


def doubles(x: "ArrayLike") -> "array[float]":
    """A float array in the fastest form for message fields."""
    out = array("d")
    out.frombytes(np.ascontiguousarray(x, np.float64).tobytes())
    return out


def bytes_array(x: np.ndarray) -> "array[int]":
    """A byte array in the fastest form for message fields."""
    out = array("B")
    out.frombytes(np.ascontiguousarray(x, np.uint8).tobytes())
    return out


def joint_state(
    names: Sequence[str], stamp: Time, position: "ArrayLike", velocity: "ArrayLike" = (), effort: "ArrayLike" = ()
) -> JointState:
    """A JointState from arrays in the order of `names`."""
    message = JointState()
    message.header.stamp = stamp
    message.header.frame_id = WORLD_FRAME
    message.name = names
    message.position, message.velocity, message.effort = doubles(position), doubles(velocity), doubles(effort)
    return message


def positions(message: JointState, names: Sequence[str]) -> np.ndarray:
    """The positions in the order of `names`, also non-finite ones. Raises RefusedError for other joints."""
    return _ordered(message, message.position, names)


def velocities(message: JointState, names: Sequence[str]) -> np.ndarray:
    """The velocities in the order of `names`; zero if the message has none."""
    return _ordered(message, message.velocity, names) if message.velocity else np.zeros(len(names))


def efforts(message: JointState, names: Sequence[str]) -> np.ndarray:
    """The efforts in the order of `names`; zero if the message has none."""
    return _ordered(message, message.effort, names) if message.effort else np.zeros(len(names))


def measured(message: JointState, names: Sequence[str]) -> np.ndarray:
    """The positions in the order of `names`. Raises RefusedError for implausible ones."""
    q = _ordered(message, message.position, names)
    if not all(-TURNED <= x <= TURNED for x in message.position):
        bad = [name for name, x in zip(names, q) if not abs(x) <= TURNED]
        raise RefusedError(f"implausible joint position {q[list(names).index(bad[0])]:g}: {_some(bad)}.")
    return q


def _ordered(message: JointState, values: Sequence[float], names: Sequence[str]) -> np.ndarray:
    said = message.name
    if len(said) == len(names) == len(values):
        if list(said) == list(names):
            return np.array(values)
        if set(said) == set(names):
            return np.array([values[said.index(name)] for name in names])
    raise RefusedError(
        f"a JointState of {len(said)} joints ({_some(said)}) with {len(values)} values; expected "
        f"{len(names)}: {_some(names)}."
    )


def _some(names: Sequence[str]) -> str:
    """The first of `names`, for a sentence."""
    return ", ".join(name[:40] for name in names[:NAMED]) + ", ..." * (len(names) > NAMED) or "none"


def _fill_pose(pose: Pose, x: np.ndarray) -> None:
    p, q = pose.position, pose.orientation
    p.x, p.y, p.z, q.w, q.x, q.y, q.z = x.tolist()


def _read_pose(pose: Pose) -> np.ndarray:
    p, q = pose.position, pose.orientation
    return np.array([p.x, p.y, p.z, q.w, q.x, q.y, q.z])


def object_pose(stamp: Time, pose: np.ndarray, covariance: np.ndarray, prefix: str = "") -> PoseWithCovarianceStamped:
    """world_T_mesh (7,) and its covariance (6, 6): position, then rotation about the world's axes.

    `prefix`, here and below: of the robot's frames.
    """
    return stamped_pose(Header(stamp=stamp, frame_id=prefix + WORLD_FRAME), pose, covariance)


def stamped_pose(header: Header, pose: np.ndarray, covariance: np.ndarray) -> PoseWithCovarianceStamped:
    """A pose (7,) in the header's frame and its covariance (6, 6): position, then rotation about the frame's axes."""
    message = PoseWithCovarianceStamped(header=header)
    _fill_pose(message.pose.pose, pose)
    message.pose.covariance = np.ravel(covariance)
    return message


def read_object_pose(message: PoseWithCovarianceStamped) -> tuple[np.ndarray, np.ndarray]:
    """(7,) frame_T_mesh and its covariance (6, 6). Raises RefusedError. (ros/core/frames.py: the same in the world.)"""
    covariance = np.reshape(message.pose.covariance, (6, 6))
    _check_bytes(covariance.tobytes())
    return rigid(_read_pose(message.pose.pose)), covariance


def rigid(pose: np.ndarray) -> np.ndarray:
    """Check that `pose` (7,) is a rigid transform; returns it. Raises RefusedError."""
    x, y, z, *q = pose.tolist()  # plain floats: NumPy calls would dominate the cost
    norm = math.sqrt(sum(c * c for c in q))
    if not (math.isfinite(x + y + z) and math.isfinite(norm)):
        raise RefusedError("a pose is not finite.")
    if abs(norm - 1.0) > UNIT:
        raise RefusedError(f"a quaternion has the norm {norm:.3g}, not 1.")
    return pose


def near(pose: np.ndarray) -> np.ndarray:
    """Check that `pose` (7,) in the world is plausible for an object; returns it. Raises RefusedError."""
    if max(map(abs, pose[:3].tolist())) > FAR:
        raise RefusedError(f"the object is more than {FAR:g} m from the world's origin.")
    return pose


@lru_cache(16)
def _check_bytes(covariance: bytes) -> None:
    """`check_covariance` of an array's bytes, unless it is all zeros: a sensor sends the same one again and again."""
    values = np.frombuffer(covariance).reshape(6, 6)
    if values.any():
        check_covariance(values)


def check_covariance(covariance: np.ndarray) -> None:
    """Raise RefusedError for an invalid covariance (6, 6) of a measurement."""
    if not np.abs(covariance).max() <= VARIANCE:
        raise RefusedError(f"the covariance is not finite, or larger than {VARIANCE:g}.")
    try:
        np.linalg.cholesky(covariance + FLOOR)
        symmetric = float(np.abs(covariance - covariance.T).max()) < 1e-6
    except np.linalg.LinAlgError:
        symmetric = False
    if not symmetric:
        raise RefusedError("the covariance is not symmetric and positive semi-definite; all zeros mean unknown.")


def read_transform(transform: Transform) -> np.ndarray:
    """(7,) parent_T_child. Raises RefusedError if it is not a rigid transform."""
    p, q = transform.translation, transform.rotation
    return rigid(np.array([p.x, p.y, p.z, q.w, q.x, q.y, q.z]))


def object_state(stamp: Time, state: ObjectState, prefix: str = "") -> Odometry:
    """An ObjectState as Odometry, with the twist in the child (mesh) frame as Odometry requires."""
    message = Odometry()
    message.header.stamp = stamp
    message.header.frame_id, message.child_frame_id = prefix + WORLD_FRAME, prefix + OBJECT_FRAME
    _fill_pose(message.pose.pose, state.pose)
    R = single.matrix(state.pose[3:].tolist())
    linear, angular = message.twist.twist.linear, message.twist.twist.angular
    linear.x, linear.y, linear.z = (state.twist[:3] @ R).tolist()
    angular.x, angular.y, angular.z = (state.twist[3:] @ R).tolist()
    turn = np.zeros((6, 6))
    turn[:3, :3] = turn[3:, 3:] = R
    message.pose.covariance = np.ravel(state.covariance[:6, :6])
    message.twist.covariance = np.ravel(turn.T @ state.covariance[6:, 6:] @ turn)
    return message


def read_object_state(message: Odometry, prefix: str = "") -> ObjectState:
    """The ObjectState of a message, its twist in the world; pose-twist correlations are dropped.

    Raises RefusedError for another frame or an implausible state.
    """
    pose = check_object_state(message, prefix)
    R = single.matrix(pose[3:].tolist())
    linear, angular = message.twist.twist.linear, message.twist.twist.angular
    twist = np.concatenate([R @ (linear.x, linear.y, linear.z), R @ (angular.x, angular.y, angular.z)])
    turn = np.zeros((6, 6))
    turn[:3, :3] = turn[3:, 3:] = R
    covariance = np.zeros((12, 12))
    covariance[:6, :6] = np.reshape(message.pose.covariance, (6, 6))
    covariance[6:, 6:] = turn @ np.reshape(message.twist.covariance, (6, 6)) @ turn.T
    return ObjectState(seconds(message.header.stamp), pose, twist, covariance)


def check_object_state(message: Odometry, prefix: str = "") -> np.ndarray:
    """The pose (7,) of an object's state. Raises RefusedError for another frame or an implausible state."""
    world, child = prefix + WORLD_FRAME, prefix + OBJECT_FRAME
    frames = message.header.frame_id, message.child_frame_id
    if frames != (world, child):
        said = " and ".join(repr(name[:40]) for name in frames)
        raise RefusedError(f"an object's state must be of {child!r} in {world!r}, not with frames {said}.")
    v, w = message.twist.twist.linear, message.twist.twist.angular
    speed, turning = math.hypot(v.x, v.y, v.z), math.hypot(w.x, w.y, w.z)
    if not (speed <= FAR and turning <= FAST):
        raise RefusedError("the object's twist is not finite, or implausibly fast.")
    return near(rigid(_read_pose(message.pose.pose)))


def episode(kind: str, number: int, stamp: Time) -> DiagnosticArray:
    """A clip marker on /rig/episode; `kind` is start or end."""
    values = [KeyValue(key="number", value=str(number))]
    message = DiagnosticArray(status=[DiagnosticStatus(name=EPISODE_STATUS, message=kind, values=values)])
    message.header.stamp = stamp
    return message


def read_episode(message: DiagnosticArray) -> tuple[str, int, float]:
    """("start" or "end", number, stamp s) of a marker on /rig/episode. Raises RefusedError."""
    said = [(s.name, s.message, *(v.value for v in s.values if v.key == "number")) for s in message.status]
    if len(said) != 1 or len(said[0]) != 3 or said[0][0] != EPISODE_STATUS:
        raise RefusedError(f"a clip marker is one status named {EPISODE_STATUS!r} with its number.")
    _, kind, number = said[0]
    if kind not in ("start", "end") or not (number.isascii() and number.isdecimal() and len(number) < 10):
        raise RefusedError(f"{kind[:40]!r} {number[:10]!r} is not a clip marker; expected start or end and a number.")
    return kind, int(number), seconds(message.header.stamp)


def number(text: str) -> float:
    """The number in a diagnostic value. Raises RefusedError if it is not a number."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise RefusedError(f"{text[:40]!r} is not a number.")
    return found


@dataclass(frozen=True)
class Safety:
    """Content of /safety/state: the state, its reason, and the stamp (s) of the reference's frame 0 while tracking."""

    state: State
    reason: str = ""
    t0: float = 0.0

    @property
    def moving(self) -> bool:
        """Whether motion commands are accepted."""
        return self.state is State.TRACKING


STATES = {str(state): state for state in State}
LEVELS = {State.HOLDING: DiagnosticStatus.WARN, State.FAULT: DiagnosticStatus.ERROR}


def safety_state(safety: Safety, stamp: Time, token: str = "") -> DiagnosticArray:
    """`stamp`: of the change; `token`: the bring-up's. The frame-0 stamp is sent as a value, to the nanosecond."""
    t0 = to_stamp(safety.t0)
    values = [KeyValue(key="reason", value=safety.reason), KeyValue(key="t0", value=f"{t0.sec}.{t0.nanosec:09d}")]
    level = LEVELS.get(safety.state, DiagnosticStatus.OK)
    status = DiagnosticStatus(name="safety", message=str(safety.state), level=level, hardware_id=token, values=values)
    message = DiagnosticArray(status=[status])
    message.header.stamp = stamp
    return message


def read_safety_state(message: DiagnosticArray) -> Safety:
    """The Safety of a message. Raises RefusedError for any other DiagnosticArray."""
    if len(message.status) != 1 or message.status[0].name != "safety":
        raise RefusedError(f"a safety state is one status named 'safety', not {len(message.status)} others.")
    status = message.status[0]
    values = {v.key: v.value for v in status.values}
    if status.message not in STATES or "reason" not in values or "t0" not in values:
        known = ", ".join(STATES)
        raise RefusedError(f"{status.message[:40]!r} is not a safety state with its reason and t0; one of {known}.")
    t0 = number(values["t0"])
    if abs(t0) > LATEST:
        raise RefusedError(f"the stamp of the clip's first frame, {t0:g} s, is out of range.")
    return Safety(STATES[status.message], values["reason"], t0)
