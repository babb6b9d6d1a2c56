"""/robot_description, /joint_states and /tf: what RViz, Foxglove and MoveIt need to see the robot."""

import time

import numpy as np
import pytest
from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState
from std_msgs.msg import String

import stub_messages
from dexhot.geometry import poses
from dexhot.robots.arm import FR3_HOME, FR3_JOINTS
from dexhot.robots.description import describe
from dexhot.robots.kinematics.arm import ArmKinematics
from dexhot.robots.robot_hand import load_hand
from dexhot.robots.urdf_tree import read_tree
from dexhot.ros.core import messages
from dexhot.ros.show.robot_state_node import RobotStateNode
from dexhot.tracking.object_state import ObjectState
from node_bench import NodeBench

pytestmark = pytest.mark.ros
HAND = load_hand("six_motor_right")  # with joints that follow others
ARM_Q, CAMERA = FR3_HOME + 0.1, np.array([0.5, 0.1, 0.9, 0.6, 0.0, 0.8, 0.0])
OBJECT = np.array([0.4, 0.2, 0.05, 1.0, 0.0, 0.0, 0.0])


class Kept:
    """A publisher of a message that only a distribution has."""

    def __init__(self) -> None:
        self.messages: list = []

    def publish(self, message) -> None:
        self.messages.append(message)


@pytest.fixture
def bench(ros_domain, tmp_path):
    made = NodeBench()
    made.urdf = tmp_path / "robot.urdf"
    describe(HAND).write(made.urdf)
    yield made
    made.close()


def tell(bench, stamp: float, efforts: bool = True, tf: bool = False):
    """The drivers' states and the object's of `stamp`, once the node listens; to the object's only where it has /tf."""
    at = messages.to_stamp(stamp)
    arm = messages.joint_state(FR3_JOINTS, at, ARM_Q, np.full(7, 0.1), np.full(7, 2.0) if efforts else ())
    n = len(HAND.joint_names)
    hand = messages.joint_state(HAND.joint_names, at, HAND.nominal, np.full(n, 0.2), np.full(n, 3.0))
    state = ObjectState(stamp, OBJECT, np.zeros(6), np.eye(12))
    told = {"/franka/joint_states": arm, "/leap/joint_states": hand, "/object/state": messages.object_state(at, state)}
    bench.told = getattr(bench, "told", None) or {
        topic: bench.publisher(Odometry if "object" in topic else JointState, topic) for topic in told
    }
    heard = [publisher for topic, publisher in bench.told.items() if tf or "object" not in topic]
    assert bench.spin_until(lambda: all(p.get_subscription_count() for p in heard))
    for topic, message in told.items():
        bench.told[topic].publish(message)


def test_the_description_waits_for_those_who_come_late(bench):
    bench.start(RobotStateNode(), urdf=str(bench.urdf))
    heard = bench.listen(String, "/robot_description", "latched")
    assert bench.spin_until(lambda: heard)
    assert read_tree(heard[0].data).driven == (*FR3_JOINTS, *(f"hand_{n}" for n in read_hand_order()))


def read_hand_order() -> list[str]:
    return [name.removeprefix("hand_") for name in read_tree(describe(HAND).urdf).driven[7:]]


def test_joint_states_are_those_of_arm_and_hand_under_the_urdfs_names(bench):
    bench.start(RobotStateNode(), urdf=str(bench.urdf))
    heard = bench.listen(JointState, "/joint_states", "state")
    tell(bench, 100.0)
    assert bench.spin_until(lambda: heard)
    state = heard[-1]
    assert list(state.name) == [*FR3_JOINTS, *(f"hand_{name}" for name in HAND.joint_names)]
    assert np.array(state.position) == pytest.approx(np.r_[ARM_Q, HAND.nominal])
    assert list(state.velocity) == [0.1] * 7 + [0.2] * 6 and list(state.effort) == [2.0] * 7 + [3.0] * 6
    assert messages.seconds(state.header.stamp) == 100.0
    tell(bench, 100.0)  # nothing new: readers of /tf warn of a stamp that comes twice
    tell(bench, 101.0, efforts=False)
    assert bench.spin_until(lambda: messages.seconds(heard[-1].header.stamp) == 101.0)
    assert [messages.seconds(m.header.stamp) for m in heard].count(100.0) == 1
    assert not heard[-1].effort and len(heard[-1].velocity) == 13


def test_it_wakes_for_its_rate_alone_not_for_each_state(bench):
    """As a message wakes the process of the recorder, beside the control loop on its cores."""
    node = bench.start(RobotStateNode(), urdf=str(bench.urdf))
    tell(bench, 100.0)
    assert not {s.topic_name for s in node.subscriptions} & set(bench.told)
    assert bench.told["/object/state"].get_subscription_count() == (node.tf is not None)


def test_without_tf2_msgs_it_reports_it(bench, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tf2_msgs", None)
    node = bench.start(RobotStateNode(), urdf=str(bench.urdf))
    assert node.state == "active" and "tf2_msgs is not installed" in node.values["tf"]


def test_frames_lead_from_the_world_to_palm_fingers_camera_and_object(bench, monkeypatch):
    """Against generated messages: tf2_msgs itself comes with a distribution only."""
    (kind,) = stub_messages.install(monkeypatch, "tf2_msgs/msg/TFMessage")
    node, kept, advertise = RobotStateNode(), {}, RobotStateNode.advertise

    def keep(self, msg_type, topic, qos="sensor"):
        if msg_type is not kind:
            return advertise(self, msg_type, topic, qos)
        kept[topic] = Kept(), qos
        return kept[topic][0]

    monkeypatch.setattr(RobotStateNode, "advertise", keep)
    given = [f"world camera_color_optical_frame {' '.join(map(str, CAMERA))}"]
    bench.start(node, urdf=str(bench.urdf), frame_prefix="left/", static_transforms=given)
    assert kept["/tf_static"][1] == "latched" and kept["/tf"][1] == "state"
    moving = kept["/tf"][0].messages
    tell(bench, 100.0, tf=True)
    assert bench.spin_until(lambda: {"left/object", "left/fr3_link1"} <= children(moving))
    steps = {}
    for message in kept["/tf_static"][0].messages + moving:
        for t in message.transforms:
            p, q = t.transform.translation, t.transform.rotation
            assert t.child_frame_id not in steps or message in moving, "a frame is both static and moving"
            steps[t.child_frame_id] = t.header.frame_id, np.array([p.x, p.y, p.z, q.w, q.x, q.y, q.z])
    assert all(messages.seconds(t.header.stamp) == 100.0 for m in moving for t in m.transforms)

    def world_T(frame: str) -> np.ndarray:
        if frame == "left/world":
            return poses.IDENTITY
        parent, step = steps[frame]
        return poses.compose(world_T(parent), step)

    assert world_T("left/hand_palm") == pytest.approx(ArmKinematics(HAND).palm_pose(ARM_Q), abs=1e-6)
    assert world_T("left/object") == pytest.approx(OBJECT)
    assert world_T("left/camera_color_optical_frame") == pytest.approx(CAMERA)
    q = dict(zip([*FR3_JOINTS, *(f"hand_{n}" for n in HAND.joint_names)], np.r_[ARM_Q, HAND.nominal]))
    tip = f"hand_{HAND.tip_sites[0]}"
    assert world_T(f"left/{tip}") == pytest.approx(read_tree(describe(HAND).urdf).poses(q)[tip], abs=1e-9)


def children(heard) -> set[str]:
    return {t.child_frame_id for message in heard for t in message.transforms}


def test_nonsense_moves_nothing(bench):
    node = bench.start(RobotStateNode(), urdf=str(bench.urdf))
    heard = bench.listen(JointState, "/joint_states", "state")
    tell(bench, 100.0)
    assert bench.spin_until(lambda: heard)
    bench.told["/franka/joint_states"].publish(messages.joint_state(FR3_JOINTS, messages.to_stamp(101.0), [np.nan] * 7))
    assert bench.spin_until(lambda: node.refusals.why("/franka/joint_states"))
    time.sleep(0.1)
    bench.spin_until(lambda: False, 0.1)
    assert len(heard) == 1


@pytest.mark.parametrize("text", ["", "<robot name='no'/>"])
def test_a_file_that_is_no_urdf_is_refused_at_configure(bench, text):
    if text:
        bench.urdf.write_text(text)
    else:
        bench.urdf.unlink()
    node = bench.start(RobotStateNode(), urdf=str(bench.urdf))
    assert node.state == "unconfigured" and "could not configure" in node.fault_reason
