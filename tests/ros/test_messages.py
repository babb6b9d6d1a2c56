"""NumPy <-> ROS messages."""

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message

from dexhot.errors import DexhotError
from dexhot.geometry import single
from dexhot.ros.core import messages
from dexhot.ros.core.refusals import RefusedError
from dexhot.safety.machine import State
from dexhot.tracking.object_state import ObjectState

STAMP = messages.to_stamp(1_795_158_751.386737)
POSE = np.concatenate([[0.4, -0.1, 0.2], single.exp((0.3, -1.0, 2.0))])


def through_the_wire(message):
    return deserialize_message(serialize_message(message), type(message))


def test_stamps_keep_the_microsecond():
    assert messages.seconds(STAMP) == pytest.approx(1_795_158_751.386737, abs=5e-7)
    assert STAMP.nanosec == 386_737_000


def test_an_object_pose_comes_back():
    root = np.arange(36.0).reshape(6, 6)
    covariance = root @ root.T
    message = through_the_wire(messages.object_pose(STAMP, POSE, covariance))
    pose, found = messages.read_object_pose(message)
    np.testing.assert_array_equal(pose, POSE)
    np.testing.assert_array_equal(found, covariance)


def test_quaternions_are_xyzw_in_messages():
    q = messages.object_pose(STAMP, POSE, np.zeros((6, 6))).pose.pose.orientation
    np.testing.assert_array_equal([q.x, q.y, q.z, q.w], POSE[[4, 5, 6, 3]])


def test_an_object_state_comes_back():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(12, 12))
    covariance = A @ A.T
    covariance[:6, 6:] = covariance[6:, :6] = 0.0  # not carried
    state = ObjectState(messages.seconds(STAMP), POSE, rng.normal(size=6), covariance)
    found = messages.read_object_state(through_the_wire(messages.object_state(STAMP, state)))
    np.testing.assert_allclose(found.pose, state.pose, atol=1e-15)
    np.testing.assert_allclose(found.twist, state.twist, atol=1e-12)
    np.testing.assert_allclose(found.covariance, state.covariance, atol=1e-10)


def test_the_twist_of_an_odometry_is_in_the_child_frame():
    twist = np.array([1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    quarter = np.concatenate([np.zeros(3), single.exp((0.0, 0.0, np.pi / 2))])
    message = messages.object_state(STAMP, ObjectState(0.0, quarter, twist, np.zeros((12, 12))))
    assert message.child_frame_id == "object" and message.twist.twist.linear.y == pytest.approx(-1.0)


def test_joints_come_in_the_order_asked_for():
    message = through_the_wire(messages.joint_state(["a", "b"], STAMP, [1.0, 2.0], [3.0, 4.0]))
    np.testing.assert_array_equal(messages.positions(message, ["b", "a"]), [2.0, 1.0])
    np.testing.assert_array_equal(messages.velocities(message, ["a", "b"]), [3.0, 4.0])
    np.testing.assert_array_equal(messages.efforts(message, ["a", "b"]), [0.0, 0.0])


@pytest.mark.parametrize("names", [["a"], ["a", "c"]])
def test_other_joints_than_expected_are_named(names):
    with pytest.raises(DexhotError, match=r"2 joints \(a, b\)"):
        messages.positions(messages.joint_state(["a", "b"], STAMP, [1.0, 2.0]), names)


@pytest.mark.parametrize("time", [np.nan, np.inf, 2.0**31, -1e300])
def test_what_no_stamp_can_hold_is_refused(time):
    with pytest.raises(RefusedError, match="out of range for a stamp"):
        messages.to_stamp(time)


def test_stamps_before_zero_come_back():
    assert messages.seconds(messages.to_stamp(-0.25)) == -0.25


@pytest.mark.parametrize("names", [["a", "a"], ["a", "b", "b"], ["b", "b", "a"]])
def test_joints_that_are_named_twice_are_refused(names):
    with pytest.raises(RefusedError):
        messages.positions(messages.joint_state(names, STAMP, [1.0, 2.0]), ["a", "b"])


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e300, 101.0])
def test_a_joint_that_cannot_be_there_is_named(value):
    message = messages.joint_state(["a", "b"], STAMP, [0.0, value])
    assert messages.positions(message, ["a", "b"]).shape == (2,)
    with pytest.raises(RefusedError, match="b"):
        messages.measured(message, ["a", "b"])


WRONG_POSES = {
    "finite": np.r_[np.nan, POSE[1:]],
    "norm 0": np.zeros(7),
    "norm 1.5": np.r_[POSE[:3], 1.5, 0, 0, 0],
}


@pytest.mark.parametrize("why", WRONG_POSES)
def test_a_pose_that_cannot_be_is_refused_with_the_reason(why):
    with pytest.raises(RefusedError, match=why):
        messages.read_object_pose(messages.object_pose(STAMP, WRONG_POSES[why], np.zeros((6, 6))))


@pytest.mark.parametrize("covariance", [-np.eye(6), np.full((6, 6), np.nan), 1e300 * np.eye(6), np.eye(6)[::-1]])
def test_what_is_no_covariance_is_refused(covariance):
    for _ in range(2):  # also a covariance that is known already
        with pytest.raises(RefusedError, match="covariance"):
            messages.read_object_pose(messages.object_pose(STAMP, POSE, covariance))


@pytest.mark.parametrize(("frame", "child"), [("", "object"), ("map", "object"), ("world", "")])
def test_an_objects_state_in_another_frame_is_refused_with_the_frame(frame, child):
    message = messages.object_state(STAMP, ObjectState(0.0, POSE, np.zeros(6), np.eye(12)))
    message.header.frame_id, message.child_frame_id = frame, child
    with pytest.raises(RefusedError, match=f"{frame!r} and {child!r}"):
        messages.read_object_state(message)


def test_an_object_far_away_or_too_fast_is_refused():
    for pose, twist in ((np.r_[11.0, POSE[1:]], np.zeros(6)), (POSE, np.full(6, 1e5))):
        with pytest.raises(RefusedError, match=r"from the world's origin|fast"):
            messages.read_object_state(messages.object_state(STAMP, ObjectState(0.0, pose, twist, np.eye(12))))


@pytest.mark.parametrize("text", ["start", "start x", "end ", "begin 1", "", "end 99999999999"])
def test_what_marks_no_clip_is_refused(text):
    with pytest.raises(RefusedError, match="is not a clip marker"):
        kind, _, number = text.partition(" ")
        messages.read_episode(messages.episode(kind, number, STAMP))


@pytest.mark.parametrize("change", ["none", "two", "name", "number"])
def test_what_is_no_mark_of_a_clip_is_refused(change):
    message = messages.episode("end", 12, STAMP)
    [status] = message.status
    if change in ("none", "two"):
        message.status = [status, status] if change == "two" else []
    elif change == "name":
        status.name = "rig: state"
    else:
        status.values = []
    with pytest.raises(RefusedError, match="one status named 'rig: clip'"):
        messages.read_episode(message)


def test_marks_of_a_clip_come_back():
    assert messages.read_episode(messages.episode("end", 12, STAMP)) == ("end", 12, messages.seconds(STAMP))


@pytest.mark.parametrize("change", ["none", "two", "state", "name", "t0", "t0 nan", "t0 far"])
def test_what_is_no_safety_state_is_refused(change):
    message = messages.safety_state(messages.Safety(State.TRACKING, "started", 5.0), STAMP)
    [status] = message.status
    if change in ("none", "two"):
        message.status = [] if change == "none" else [status, status]
    elif change == "t0":
        status.values = status.values[:1]
    elif change.startswith("t0"):
        status.values[1].value = "nan" if change == "t0 nan" else "1e300"
    else:
        setattr(status, {"state": "message"}.get(change, change), "other")
    with pytest.raises(RefusedError):
        messages.read_safety_state(message)


def test_a_safety_state_comes_back():
    safety = messages.Safety(State.TRACKING, "started", 1_795_158_751.123456)
    found = messages.read_safety_state(through_the_wire(messages.safety_state(safety, STAMP)))
    assert (found.state, found.reason) == (safety.state, safety.reason)
    assert found.t0 == pytest.approx(safety.t0, abs=5e-7) and found.moving


def test_an_object_state_of_another_robot_is_refused():
    state = ObjectState(1.0, POSE, np.zeros(6), np.eye(12))
    message = messages.object_state(STAMP, state, "robot1/")
    assert (message.header.frame_id, message.child_frame_id) == ("robot1/world", "robot1/object")
    assert np.allclose(messages.read_object_state(message, "robot1/").pose, POSE)
    for prefix in ("", "robot2/"):
        with pytest.raises(RefusedError, match="not with frames 'robot1/world' and 'robot1/object'"):
            messages.read_object_state(message, prefix)
