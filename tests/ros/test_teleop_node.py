"""The node of teleoperation: its inputs in the graph, what engages it, and what it publishes."""

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState, Joy, PointCloud2
from std_msgs.msg import Header

from dexhot.bringup.graphs.teleop import scene
from dexhot.data import files
from dexhot.retargeting.placement import place
from dexhot.robots.arm import FR3_JOINTS
from dexhot.ros.core import messages
from dexhot.ros.see.camera_messages import keypoint_cloud
from dexhot.ros.track.teleop_node import TeleopNode
from dexhot.safety.machine import State
from dexhot.tracking.object_state import ObjectState
from node_bench import NodeBench
from teleop_hand import rows

pytestmark = pytest.mark.ros
T0 = 1001.0


class Fed:
    """The node, with the robot's states and a hand at half their rate."""

    def __init__(self, bench, path, reference, agent=None, **parameters):
        self.bench, self.reference, self.tick = bench, reference, 0
        self.targets = bench.listen(JointState, "/tracker/target", "command")
        self.corrections = bench.listen(JointState, "/teleop/correction", "command")
        self.told = bench.listen(DiagnosticArray, "/teleop/state", "latched")
        node = TeleopNode()
        node.agent = agent
        self.node = bench.start(node, reference=str(path), **parameters)
        assert self.node.state == "active", self.node.fault_reason
        self.hand = bench.publisher(JointState, "/leap/joint_states")
        self.arm = bench.publisher(JointState, "/franka/joint_states")
        self.object = bench.publisher(Odometry, "/object/state")
        self.keypoints = bench.publisher(PointCloud2, "/hand/keypoints", "sensor")
        self.left = bench.publisher(PointCloud2, "/hand_left/keypoints", "sensor")
        self.clutch, self.assist = (bench.publisher(Joy, f"/teleop/{name}") for name in ("clutch", "assist"))
        every = (self.hand, self.arm, self.object, self.keypoints, self.left, self.clutch, self.assist)
        assert bench.spin_until(lambda: all(p.get_subscription_count() for p in every))

    def start(self) -> None:
        self.bench.supervise(State.TRACKING, T0)
        assert self.bench.spin_until(lambda: self.node.t0 == T0)

    def run(self, ticks: int, seen: bool = True, other: bool = False, at=(0.0, 0.0, 0.5), **hand) -> str:
        """Feed ticks, each answered by a target; returns the clutch's status."""
        for _ in range(ticks):
            self.tick += 1
            stamp = messages.to_stamp(T0 + self.tick / 60)
            header = Header(stamp=stamp, frame_id="camera")
            if seen and self.tick % 2 == 0:
                if other:
                    self.left.publish(keypoint_cloud(header, rows(seed=self.tick)))
                    assert self.bench.spin_until(lambda s=stamp: self.node.other_seen == messages.seconds(s))
                self.keypoints.publish(keypoint_cloud(header, rows(at, **{"seed": self.tick} | hand)))
                assert self.bench.spin_until(lambda s=stamp: self.node.image == messages.seconds(s))
            q, count = self.reference.q[0], len(self.targets)
            self.hand.publish(messages.joint_state(self.reference.joint_names[6:], stamp, q[6:]))
            self.arm.publish(messages.joint_state(FR3_JOINTS, stamp, self.reference.arm_q[0]))
            assert self.bench.spin_until(lambda: self.node.hand is not None and self.node.arm is not None)
            known = ObjectState(T0 + self.tick / 60, self.reference.object_pose[0], np.zeros(6), np.eye(12) * 1e-6)
            self.object.publish(messages.object_state(stamp, known))
            assert self.bench.spin_until(lambda n=count: len(self.targets) > n)
        return self.node.teleop.status

    def press(self, publisher, on: bool) -> None:
        """Press or release; returns once the node has heard it."""
        heard: list[str] = []
        self.node.button, whole = lambda *given: (heard.append("button"), whole(*given))[1], self.node.button
        publisher.publish(Joy(buttons=[int(on)]))
        assert self.bench.spin_until(lambda: heard)
        self.node.button = whole


@pytest.fixture
def fed(ros_domain, cache, tmp_path, _lift_reference):
    bench, made = NodeBench(), scene(place(_lift_reference), 2.0)
    path = files.save(made, tmp_path / "scene")
    yield lambda **given: Fed(bench, path, made, **given)
    bench.close()


def test_the_switch_moves_the_robot_only_while_tracking_and_a_hold_releases(fed):
    fed = fed()
    fed.press(fed.clutch, True)
    assert "/safety/start" in fed.node.values["clutch"] and not fed.targets
    fed.start()
    assert fed.run(20) == "not engaged yet"  # pressed before
    first = np.array(fed.targets[0].position)
    np.testing.assert_allclose(fed.targets[-1].position, first)
    fed.press(fed.clutch, False)
    fed.press(fed.clutch, True)
    assert fed.run(4) == "engaged"
    assert fed.bench.spin_until(lambda: fed.told[-1].status[0].values[0].value == "1")
    fed.run(10, at=(0.0, 0.0, 0.48))
    assert np.abs(np.array(fed.targets[-1].position) - first)[6:].max() > 0.05
    fed.bench.supervise(State.HOLDING)
    assert fed.bench.spin_until(lambda: fed.node.t0 is None) and not fed.node.teleop.clutch.engaged
    assert fed.bench.spin_until(lambda: "holding" in fed.told[-1].status[0].message)


def test_a_lost_hand_releases_with_its_reason(fed):
    fed = fed(clutch="auto")
    fed.start()
    assert fed.run(24) == "engaged"
    assert fed.run(24, seen=False).startswith("the hand is lost")
    assert fed.bench.spin_until(lambda: "the hand is lost" in fed.told[-1].status[0].message)
    assert fed.targets[-1].position == fed.targets[-2].position


def test_of_two_hands_one_drives_and_the_node_says_which(fed):
    fed = fed(clutch="auto")
    fed.start()
    assert fed.run(24, other=True) == "engaged"
    assert fed.node.warnings["hands"].endswith("the right one drives the robot")


def test_a_correction_is_published_with_each_target(fed):
    fed = fed(clutch="auto", agent=lambda state, user: np.full(len(user), 0.01))
    fed.start()
    assert fed.run(24) == "engaged"
    fed.press(fed.assist, True)
    fed.run(15)
    assert fed.bench.spin_until(lambda: len(fed.corrections) == len(fed.targets))
    np.testing.assert_allclose(fed.corrections[-1].position, 0.005, atol=1e-9)  # faded in half
    assert [c.header.stamp for c in fed.corrections] == [t.header.stamp for t in fed.targets]
    assert fed.corrections[0].position[0] == 0.0


def test_assistance_without_an_agent_is_refused_by_name(fed):
    fed = fed()
    fed.press(fed.assist, True)
    assert "no agent" in fed.node.warnings["assist"]


def test_a_button_that_is_missing_is_refused(fed):
    fed = fed(clutch_button=3)
    fed.press(fed.clutch, True)
    assert "no button 3" in fed.node.refusals.why("/teleop/clutch")
