"""Every subscription of every node is fed well-typed nonsense: the node survives, reports rejections, publishes none.

The nodes are found, so that none can be forgotten; callbacks are called as the executor would, without waiting.
"""

import importlib
import pkgutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from nav_msgs.msg import Odometry
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState, Joy, TimeReference
from std_msgs.msg import Bool, Header, String

import dexhot.ros
import dexhot_bench.faults
from dexhot.data import bags, files
from dexhot.data.topics import FIT_FIELDS, JOURNAL, TARGET
from dexhot.geometry.cameras import pinhole
from dexhot.humans.open_hand import open_hand
from dexhot.paths import share_dir
from dexhot.retargeting.placement import with_arm_path
from dexhot.robots.arm import FR3_HOME
from dexhot.robots.joint_table import joint_table
from dexhot.ros.core import messages
from dexhot.ros.core.base import DexhotNode
from dexhot.ros.core.process import bring_down
from dexhot.ros.drivers.driver import DriverNode
from dexhot.ros.record import capture_node
from dexhot.ros.rig.rig_node import RigNode
from dexhot.ros.see.camera_messages import camera_info, image, keypoint_cloud
from dexhot.safety.machine import Event, State
from dexhot.tracking.object_state import ObjectState
from nonsense import nonsense

pytestmark = pytest.mark.ros
STAMP = messages.to_stamp(1000.0)
HAND, ARM = ([j.name for j in joint_table(robot)] for robot in ("leap_right", "fr3"))
PLACE = "world camera_color_optical_frame 0.3 -0.8 0.5 0.42 -0.906 -0.045 0.021"
POSE = np.array([0.5, 0.0, 0.1, 1.0, 0.0, 0.0, 0.0])
SAFE = messages.safety_state(messages.Safety(State.TRACKING, "started", 999.0), STAMP)
SEEN = Header(stamp=STAMP, frame_id="camera_color_optical_frame")
SHAPE = open_hand("right").shape_size
HOT = DiagnosticStatus(name="leap_driver: state", values=[KeyValue(key="temperature_max_c", value="40.0")])
GOOD = {
    "/object/pose": messages.object_pose(STAMP, POSE, np.eye(6) * 1e-6),
    "/object/state": messages.object_state(STAMP, ObjectState(1000.0, POSE, np.zeros(6), np.eye(12) * 1e-6)),
    "/leap/joint_states": messages.joint_state(HAND, STAMP, np.zeros(16), np.zeros(16), np.zeros(16)),
    "/franka/joint_states": messages.joint_state(ARM, STAMP, FR3_HOME, np.zeros(7), np.zeros(7)),
    "/leap/command": messages.joint_state(HAND, STAMP, np.zeros(16), np.zeros(16), np.zeros(16)),
    "/franka/command": messages.joint_state(ARM, STAMP, FR3_HOME, np.zeros(7), np.zeros(7)),
    "/tracker/target": messages.joint_state(["tx", "ty", "tz", "rx", "ry", "rz", *HAND], STAMP, np.zeros(22)),
    "/safety/state": SAFE,
    "/safety/estop_input": Bool(),
    "/rig/episode": messages.episode("start", 1, STAMP),
    "/heartbeat": Header(stamp=STAMP, frame_id="leap_driver"),
    "/diagnostics": DiagnosticArray(header=Header(stamp=STAMP), status=[HOT]),
    "/clock": Clock(clock=STAMP),
    "/controller/inputs": TimeReference(header=Header(stamp=STAMP), time_ref=STAMP, source="/object/state"),
    "/faults/inject": String(data="none"),
    "/rig/object": messages.object_pose(STAMP, POSE, np.eye(6) * 1e-6),
    "/object/fit": messages.object_pose(STAMP, POSE, np.eye(6) * 1e-6),
    "/camera/color/image_raw": image(SEEN, np.zeros((48, 64, 3), np.uint8)),
    "/camera/color/camera_info": camera_info(SEEN, pinhole(64, 48, 45.0)),
    "/camera/aligned_depth_to_color/image_raw": image(SEEN, np.full((48, 64), 800, np.uint16)),
    "/camera/aligned_depth_to_color/camera_info": camera_info(SEEN, pinhole(64, 48, 45.0)),
    "/segmentation/labels": image(SEEN, np.zeros((48, 64), np.uint8)),
    "/hand/keypoints": keypoint_cloud(SEEN, np.ones((21, 6))),
    "/hand_left/keypoints": keypoint_cloud(SEEN, np.ones((21, 6))),
    "/teleop/clutch": Joy(header=Header(stamp=STAMP), buttons=[1]),
    "/teleop/assist": Joy(header=Header(stamp=STAMP), buttons=[1]),
    "/teleop/correction": messages.joint_state(["tx", "ty", "tz", "rx", "ry", "rz", *HAND], STAMP, np.zeros(22)),
    "/teleop/state": DiagnosticArray(header=Header(stamp=STAMP), status=[HOT]),
    "/hand/fit": keypoint_cloud(SEEN, np.full((21, 4), 0.5), FIT_FIELDS),
    "/hand/points": keypoint_cloud(SEEN, np.full((21, 4), 0.5), FIT_FIELDS),
    "/hand/model": messages.joint_state([f"p{k}" for k in range(51 + SHAPE)], STAMP, np.zeros(51 + SHAPE)),
}


def node_classes() -> dict[str, type]:
    """Every node of the package, by its class's name."""
    for package in (dexhot.ros, dexhot_bench.faults):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith(("_node", "_nodes", "_rig")):
                with suppress(ModuleNotFoundError):  # of what only a ROS distribution has
                    importlib.import_module(module.name)
    found, todo = {}, [DexhotNode]
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        if kind.__module__.startswith(("dexhot.", "dexhot_bench.")) and kind not in (DexhotNode, DriverNode):
            found[kind.__name__] = kind
    return found


def tape(folder: Path) -> str:
    """A bag with one input of a controller and the answer to it."""
    if (folder / "tape").exists():
        return str(folder / "tape")
    types = bags.typestore().types
    stamp = types["builtin_interfaces/msg/Time"](sec=1, nanosec=0)
    header = types["std_msgs/msg/Header"](stamp=stamp, frame_id="/rig/episode")
    empty = np.zeros(0)
    joints = types["sensor_msgs/msg/JointState"](header=header, name=[], position=empty, velocity=empty, effort=empty)
    with bags.BagWriter(folder / "tape") as writer:
        for topic, kind, said in (
            (JOURNAL, "std_msgs/msg/Header", header),
            ("/rig/episode", "std_msgs/msg/Header", header),
            (TARGET, "sensor_msgs/msg/JointState", joints),
        ):
            writer.write_message(writer.topic(topic, kind), 1, said)
    return str(folder / "tape")


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> str:
    demonstration = files.load(share_dir() / "policies" / "lift_box.npz")
    return str(
        files.save(with_arm_path(demonstration.reference), tmp_path_factory.mktemp("nonsense") / "reference.npz")
    )


def parameters(name: str, reference: str, folder: Path) -> dict[str, object]:
    """What a node needs to be configured."""
    tracked: dict[str, object] = {"reference": reference}
    return {
        "SupervisorNode": {"required_nodes": ["leap_driver", "shaper"]},
        "ObjectFilterNode": {},
        "ControllerNode": tracked | {"controller": "kinematic"},
        "TeleopNode": tracked,
        "ShaperNode": tracked,
        "FaultyController": tracked | {"controller": "kinematic"},
        "FaultyShaper": tracked,
        "RigNode": tracked,
        "FaultyRig": tracked,
        "RealRigNode": tracked,
        "WireRigNode": tracked | {"leap_port": str(folder / "bus"), "franka_host": "127.3.0.1"},
        "LeapDriverNode": tracked | {"rig": "sim"},
        "FrankaDriverNode": {"rig": "sim"},
        "ViewerNode": tracked | {"port": 18300},
        "RecorderNode": {"bag": str(folder / "bag")},
        "CaptureNode": {"bag": str(folder / "bag"), "min_free": 0.0},
        "PlayerNode": {"report": str(folder / "report.json"), "source": tape(folder)},
        "BagPlayerNode": {"source": tape(folder)},
        "CameraNode": {"camera": "sim"},
        "RigCameraNode": tracked | {"static_transforms": [PLACE]},
        "PerceptionNode": tracked | {"static_transforms": [PLACE], "robot": True},
        "FittingNode": {"object": "parametric/sphere-60"},
        "HandObjectFilterNode": tracked | {"static_transforms": [PLACE]},
        "WatchViewerNode": {"port": 18310, "static_transforms": [PLACE], "object": "parametric/sphere-60"},
        "RobotStateNode": {"urdf": str(share_dir() / "urdf" / "fr3_leap_right" / "fr3_leap_right.urdf")},
    }[name]


class Fed:
    """A node that is active, on no executor; `said`: what it published."""

    def __init__(self, kind: type, given: dict[str, object]):
        self.node = kind()
        self.node.set_parameters([Parameter(name, value=value) for name, value in given.items()])
        self.node.trigger_configure()
        assert self.node.state == "inactive", self.node.fault_reason
        self.node.trigger_activate()
        self.said: list = []
        for publisher in self.node.publishers:
            publisher.publish = self.said.append
        self.lives("activated")

    def lives(self, after: object) -> None:
        assert self.node.state == "active" and not self.node.fault_reason, (self.node.fault_reason, str(after)[:2000])

    def feed(self, message, subscription) -> None:
        try:
            subscription.callback(message)
        except ValueError:
            assert subscription.topic_name == "/clock"  # rclpy's own: ros/core/process.py lives on
        self.lives(message)

    def turn(self) -> None:
        """What its timers do."""
        for timer in self.node.timers:
            timer.callback()
        self.lives("its timers")

    def close(self) -> None:
        bring_down(self.node)
        self.node.destroy_node()


@pytest.fixture
def fed(ros_domain, cache, reference, tmp_path, request):
    """A function of a node's name; drivers get the rig whose world they read."""
    rclpy.init(args=[])
    made: list[Fed] = []

    def make(name: str) -> Fed:
        if name in ("LeapDriverNode", "FrankaDriverNode"):
            made.append(Fed(RigNode, parameters("RigNode", reference, tmp_path)))
        made.append(Fed(node_classes()[name], parameters(name, reference, tmp_path)))
        return made[-1]

    yield make
    for each in reversed(made):
        each.close()
    rclpy.try_shutdown()


def finite(message) -> bool:
    """Nothing that a joint or an object cannot be is passed on."""
    if isinstance(message, JointState):
        return bool(np.isfinite([*message.position, *message.velocity, *message.effort]).all())
    if isinstance(message, Odometry):
        return bool(np.isfinite(message.pose.covariance).all() and np.isfinite(message.pose.pose.position.x))
    return True


@pytest.mark.parametrize("name", node_classes())
def test_a_node_lives_on_nonsense_and_passes_none_on(fed, name):
    if name == "WireRigNode":
        pytest.importorskip("franky_sim")
    made = fed(name)
    node = made.node
    for subscription in [s for s in node.subscriptions if not s.topic_name.endswith("parameter_events")]:
        topic = subscription.topic_name
        before = sum(node.refusals.counts.values())
        for message in nonsense(GOOD[topic]):
            if name != "SupervisorNode" and topic != "/safety/state" and hasattr(node, "on_safety"):
                node.on_safety(SAFE)  # in motion
            made.feed(message, subscription)
        made.turn()
        if (name, topic) not in STAMP_ALONE and topic not in ANYTHING_GOES:
            assert sum(node.refusals.counts.values()) > before, f"nothing of {topic} is refused"
    assert all(map(finite, made.said)), [m for m in made.said if not finite(m)][:1]


ANYTHING_GOES = ("/safety/estop_input", "/heartbeat", "/clock", JOURNAL)
RIGS = ("RigNode", "FaultyRig", "WireRigNode")
ANSWERS = ("/leap/command", "/franka/command", "/leap/joint_states", "/franka/joint_states")
STAMP_ALONE = {  # what these nodes read of these topics, or nothing but whether it is finite
    *((rig, "/object/state") for rig in RIGS),
    *(("WireRigNode", topic) for topic in ANSWERS),
    ("ObjectFilterNode", "/leap/joint_states"),
    ("HandObjectFilterNode", "/diagnostics"),  # one reason of another node, if it is there
    ("PlayerNode", TARGET),
    ("TeleopNode", "/hand_left/keypoints"),  # that there is one says enough
    ("ViewerNode", "/teleop/state"),  # shown as text
    ("SupervisorNode", TARGET),
    ("FaultyShaper", "/faults/inject"),  # what is another node's
    ("FaultyController", "/faults/inject"),
}


def test_the_supervisor_says_what_is_and_a_reset_leads_out_of_everything(fed):
    made = fed("SupervisorNode")
    node = made.node
    for subscription in list(node.subscriptions):
        if subscription.topic_name.endswith("parameter_events"):
            continue
        for message in nonsense(GOOD[subscription.topic_name]):
            node.machine.state, node.machine.reason = State.TRACKING, "started"
            node.buttons.pressed.clear()
            made.feed(message, subscription)
            node.publish_state()
            told = messages.read_safety_state(made.said[-1])
            assert (told.state, told.reason) == (node.machine.state, node.machine.reason)
    assert Event.INTERNAL not in node.machine.counts
    node.apply(Event.ESTOP, "emergency stop")
    node.recovery.failed.clear()
    node.buttons.pressed.clear()
    assert node.reset() == "" and node.machine.state is State.INACTIVE


@pytest.mark.parametrize("name", ["RecorderNode", "CaptureNode"])
def test_a_recorder_keeps_nonsense_as_it_is(fed, name, monkeypatch):
    monkeypatch.setattr(capture_node, "BACKLOG", 10_000)
    made = fed(name)
    frame = image(Header(stamp=STAMP), np.zeros((4, 4, 3), np.uint8))
    kept = 0
    for topic, good in (("/camera", frame), ("/leap/joint_states", GOOD["/leap/joint_states"]), ("/clock", Bool())):
        made.node.record(topic, f"{type(good).__module__.split('.')[0]}/msg/{type(good).__name__}")
        _, keep = made.node.open[topic]
        for message in nonsense(good):
            if len(data := serialize_message(message)) < 100_000:
                kept += 1
                made.node.guarded(keep, kept, data)
                made.node.latest = kept
        made.node.guarded(made.node.write)
    made.turn()
    made.node.trigger_deactivate()
    made.node.trigger_cleanup()
    recorded = [c.topic for c, _, _ in bags.serialized(made.node.p.bag)]
    assert sum(topic.startswith(("/camera", "/leap", "/clock")) for topic in recorded) == kept


@pytest.mark.parametrize("names", [HAND, ARM])
def test_joints_in_another_order_are_the_same_joints(names):
    values = np.arange(len(names), dtype=float)
    order = np.random.default_rng(0).permutation(len(names))
    message = messages.joint_state([names[k] for k in order], STAMP, values[order], -values[order], 2 * values[order])
    np.testing.assert_array_equal(messages.measured(message, names), values)
    np.testing.assert_array_equal(messages.velocities(message, names), -values)
    np.testing.assert_array_equal(messages.efforts(message, names), 2 * values)
