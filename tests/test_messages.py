"""NumPy <-> ROS messages."""

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message

from dexhot.control.safety import State
from dexhot.errors import DexhotError
from dexhot.geometry import single
from dexhot.nodes import messages
from dexhot.tracking.object_filter import ObjectState

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
    with pytest.raises(DexhotError, match="2 joints .a, b."):
        messages.positions(messages.joint_state(["a", "b"], STAMP, [1.0, 2.0]), names)


def test_a_safety_state_comes_back():
    safety = messages.Safety(State.TRACKING, "started", 1_795_158_751.123456)
    found = messages.read_safety_state(through_the_wire(messages.safety_state(safety, STAMP)))
    assert (found.state, found.reason) == (safety.state, safety.reason)
    assert found.t0 == pytest.approx(safety.t0, abs=5e-7) and found.moving
