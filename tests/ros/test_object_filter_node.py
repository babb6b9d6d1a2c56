"""The object filter's node: a state for every tick, as long as the object is known well enough."""

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped

from dexhot.data.files import save
from dexhot.ros.core import messages
from dexhot.ros.core.frames import FrameTree
from dexhot.ros.core.process import bring_down, bring_up
from dexhot.ros.track.object_filter_node import ObjectFilterNode

pytestmark = pytest.mark.ros
TICK = 1 / 60
BEGIN = 1000.0  # s
SPEED = 0.3  # m/s


class Told:
    """The node, fed by hand, and the states it published: (stamp, x, sigma)."""

    def __init__(self, node: ObjectFilterNode):
        self.node, self.states = node, []
        self.order: list[str] = []  # of what was published: states, and diagnostics with what is missing
        node.publisher.publish = self.hear
        node.publish_diagnostics = lambda: self.order.append(node.values["missing"])

    def hear(self, message) -> None:
        sigma = float(np.sqrt(np.max(np.asarray(message.pose.covariance)[[0, 7, 14]])))
        self.order.append("state")
        self.states.append((messages.seconds(message.header.stamp) - BEGIN, message.pose.pose.position.x, sigma))

    def pose(self, t: float, stamp: float | None = None, frame: str = "world", flipped: bool = False) -> None:
        """The object at time t, moving along x; `flipped` half round about z."""
        message = PoseWithCovarianceStamped()
        message.header.stamp = messages.to_stamp(BEGIN + (t if stamp is None else stamp))
        message.pose.pose.position.x = SPEED * t
        message.pose.pose.orientation.w, message.pose.pose.orientation.z = (0.0, 1.0) if flipped else (1.0, 0.0)
        message.header.frame_id = frame
        self.node.hear("/object/pose", self.node.on_pose, message)

    def clip(self, number: int, stamp: float) -> None:
        self.node.on_episode(messages.episode("start", number, messages.to_stamp(BEGIN + stamp)))

    def hand(self, t: float) -> None:
        self.node.on_hand(messages.joint_state([], messages.to_stamp(BEGIN + t), []))

    def stamps(self) -> np.ndarray:
        return np.array([stamp for stamp, _, _ in self.states])


@pytest.fixture
def told(ros_domain):
    rclpy.init(args=[])
    node = ObjectFilterNode()
    assert bring_up(node), node.fault_reason
    yield Told(node)
    bring_down(node)
    node.destroy_node()
    rclpy.try_shutdown()


def ticks(told: Told, count: int, seen=lambda k: True) -> None:
    """Hand states and poses of `count` ticks; a pose only where `seen`."""
    for k in range(count):
        told.hand(k * TICK)
        if seen(k):
            told.pose(k * TICK)


def test_with_a_pose_per_tick_nothing_is_predicted(told):
    ticks(told, 30)
    assert told.stamps() == pytest.approx(np.arange(30) * TICK, abs=1e-5)
    assert told.node.values["bridged"] == 0


def test_a_short_gap_is_bridged_by_states_that_move_on(told):
    ticks(told, 40, seen=lambda k: not 30 <= k < 35)
    assert told.stamps() == pytest.approx(np.arange(40) * TICK, abs=1e-5)
    assert [x for _, x, _ in told.states] == pytest.approx(SPEED * np.arange(40) * TICK, abs=2e-3)
    assert told.node.values["bridged"] >= 4


def test_poses_at_half_the_rate_give_a_state_per_tick(told):
    """The hand's states come 200 times a second, as on a real rig."""
    for k in range(200):
        told.hand(k * 0.005)
        if k % 7 == 0:  # 28.6 Hz
            told.pose(k * 0.005)
    steps = np.diff(told.stamps()[10:])
    assert 50 < len(told.states) < 64
    assert (steps > 0.4 * TICK).all() and (steps < 1.6 * TICK).all()


def test_an_object_that_stays_away_is_reported_lost_and_then_not_at_all(told):
    ticks(told, 90, seen=lambda k: k < 30)
    sigmas = [sigma for _, _, sigma in told.states]
    assert sigmas[-1] > 0.03 and max(sigmas[:-1]) <= 0.03
    assert 0.05 < told.stamps()[-1] - 29 * TICK < 0.25
    assert told.node.warnings["pose"] == "the object is lost: it has not been seen for 0.1 s"
    assert told.order[-2:] == ["it has not been seen for 0.1 s", "state"]  # the reason first


def test_what_is_seen_again_is_known_again(told):
    ticks(told, 120, seen=lambda k: k < 30 or k >= 100)
    assert told.stamps()[-5:] == pytest.approx(np.arange(115, 120) * TICK, abs=1e-5)
    assert "pose" not in told.node.warnings


def test_poses_that_come_late_but_steadily_are_not_predicted(told):
    """An estimator takes 80 ms: its stamps lie that far back, and they count."""
    for k in range(60):
        told.hand(k * TICK)
        if k >= 5:
            told.pose((k - 5) * TICK)
    assert told.stamps() == pytest.approx(np.arange(55) * TICK, abs=1e-5)
    assert told.node.values["bridged"] == 0


def test_a_hand_whose_states_come_late_and_at_once_makes_nothing_missing(told):
    ticks(told, 30)
    for k in range(30, 42):
        told.pose(k * TICK)
    for k in range(30, 42):
        told.hand(k * TICK)
    assert told.node.values["bridged"] == 0
    assert told.stamps() == pytest.approx(np.arange(42) * TICK, abs=1e-5)


def test_a_pose_that_comes_before_the_first_state_of_the_hand_makes_nothing_missing(told):
    for k in range(3):
        told.pose(k * TICK)
    for k in range(3, 30):
        told.hand(k * TICK)
        told.pose(k * TICK)
    assert told.stamps() == pytest.approx(np.arange(30) * TICK, abs=1e-5)
    assert told.node.values["bridged"] == 0


@pytest.mark.parametrize("wrong", ["not finite", "stamped back"])
def test_a_pose_that_says_nothing_does_not_count_as_seen(told, wrong):
    ticks(told, 30)
    for k in range(30, 90):
        told.hand(k * TICK)
        told.pose(np.nan, stamp=k * TICK) if wrong == "not finite" else told.pose(k * TICK, stamp=k * TICK - 5.0)
    assert told.states[-1][2] > 0.03
    assert told.stamps()[-1] < 45 * TICK
    missing = told.node.values["missing"]
    assert (
        missing.startswith("its measured poses")
        and ("not finite" if wrong == "not finite" else "in the past") in missing
    )


@pytest.mark.parametrize("step", [-10.0, 10.0])
def test_a_clock_that_is_set_is_no_gap(told, step):
    ticks(told, 30)
    for k in range(30, 60):
        told.hand(k * TICK + step)
        told.pose(k * TICK, stamp=k * TICK + step)
    assert told.node.values["bridged"] == 0
    assert len(told.states) == (60 if step > 0 else 30)


def test_before_the_object_was_seen_there_is_nothing_to_publish(told):
    for k in range(30):
        told.hand(k * TICK)
    assert told.states == []


def test_an_object_that_jumped_is_lost_for_another_reason_than_one_not_seen(told):
    ticks(told, 30)
    for k in range(30, 40):
        told.hand(k * TICK)
        told.pose(k * TICK + 0.4 / SPEED, stamp=k * TICK)
    assert told.node.warnings["pose"] == "the object is lost: it jumped by 40 cm: its measurements are rejected"
    said = [entry for entry in told.order if entry != "state"]
    assert len(said) == 2  # once when it was noticed, once when it was lost
    first = told.order.index(said[0])
    assert told.states[sum(entry == "state" for entry in told.order[:first])][2] < 0.03


def test_a_camera_of_half_the_rate_is_no_gap_worth_a_warning(told):
    ticks(told, 60, seen=lambda k: k % 2 == 0)
    assert set(told.order) == {"state"}


def test_what_is_left_of_the_old_clip_is_no_measurement_of_the_new_one(told):
    """Under load the mark of the reset overtakes poses in the queue: the object would be lost for 1.5 s."""
    ticks(told, 30)
    told.clip(2, stamp=32 * TICK)
    for k in (30, 31):
        told.pose(k * TICK)  # of the old clip
    assert told.node.values["old_clip"] == 2
    for k in range(32, 60):
        told.hand(k * TICK)
        told.pose((k - 32) * TICK - 0.5 / SPEED, stamp=k * TICK)  # 0.5 m away
    assert told.node.values["rejected"] == 0 and "pose" not in told.node.warnings
    assert max(sigma for _, _, sigma in told.states) < 0.03
    assert told.stamps() == pytest.approx(np.r_[np.arange(30), np.arange(32, 60)] * TICK, abs=1e-5)


def test_a_mark_by_another_clock_does_not_blind_the_filter(told):
    told.clip(1, stamp=3600.0)
    ticks(told, 10)
    assert len(told.states) == 10


def test_the_node_knows_the_symmetry_of_the_references_object(ros_domain, tmp_path, lift_reference, cache):
    path = save(lift_reference, tmp_path / "reference.npz")
    rclpy.init(args=["--ros-args", "-p", f"reference:={path}"])
    node = ObjectFilterNode()
    try:
        assert bring_up(node), node.fault_reason
        assert node.filter.symmetry.kind == "discrete" and len(node.filter.symmetry.rotations) == 4
        told = Told(node)
        for k in range(30):
            told.pose(0.0, stamp=k * TICK, flipped=k % 2 == 1)
        assert node.values["rejected"] == 0 and node.values["flipped"] == 15
    finally:
        bring_down(node)
        node.destroy_node()
        rclpy.try_shutdown()


def test_an_object_that_is_not_here_is_tracked_without_symmetry(ros_domain, tmp_path, lift_reference, cache):
    lift_reference.object_name = "user/elsewhere"
    path = save(lift_reference, tmp_path / "reference.npz")
    rclpy.init(args=["--ros-args", "-p", f"reference:={path}"])
    node = ObjectFilterNode()
    try:
        assert bring_up(node), node.fault_reason
        assert node.filter.symmetry.kind == "none"
    finally:
        bring_down(node)
        node.destroy_node()
        rclpy.try_shutdown()


def test_a_pose_in_a_frame_of_the_rig_is_taken_into_the_world(told):
    told.node.frames = FrameTree(["world mocap 1 2 3 1 0 0 0"])
    ticks(told, 5)
    told.node.forget()
    told.states.clear()
    told.pose(6 * TICK, frame="mocap")
    assert told.states[0][1] == pytest.approx(SPEED * 6 * TICK + 1.0)


def test_a_pose_in_a_frame_that_nobody_knows_is_refused_by_its_name(told):
    told.pose(0.0, frame="map")
    assert told.states == [] and "'map'" in told.node.refusals.why("/object/pose")
    assert told.node.state == "active"


def test_a_pose_off_the_tick_is_a_pose(told):
    ticks(told, 30)
    told.pose(30 * TICK, stamp=29 * TICK + 0.003)
    ticks(told, 3)
    assert told.node.state == "active" and not told.node.refusals.counts


def test_a_pose_of_the_far_future_does_not_stop_those_of_now(told):
    ticks(told, 30)
    told.pose(0.0, stamp=1e6)
    assert "ahead of the hand" in told.node.refusals.why("/object/pose")
    told.hand(30 * TICK)
    told.pose(30 * TICK)
    assert told.stamps()[-1] == pytest.approx(30 * TICK, abs=1e-5)


def test_one_that_came_before_the_hands_states_is_forgotten(told):
    told.pose(0.0, stamp=1e6)
    ticks(told, 5)
    assert told.stamps()[-1] == pytest.approx(4 * TICK, abs=1e-5)
