"""The viewer node: what it hears is what it shows, and it works only while somebody looks."""

import time

import numpy as np
import pytest
import rclpy
import trimesh
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from visualization_msgs.msg import MarkerArray

from dexhot.control.safety import State
from dexhot.data.files import save
from dexhot.hands.arm import FR3_HOME, FR3_JOINTS
from dexhot.nodes import messages
from dexhot.nodes.markers import coarse
from dexhot.nodes.qos import publish_profile
from dexhot.nodes.viewer_node import ViewerNode
from dexhot.tracking.object_filter import ObjectState
from report_samples import box_asset, lift_reference

pytestmark = pytest.mark.ros
T0, FRAME = 100.0, 40


@pytest.fixture
def graph(ros_domain, cache, tmp_path):
    """The active viewer of a lift, and a plain node beside it, on one executor."""
    rclpy.init()
    box_asset()
    viewer, other = ViewerNode(), rclpy.create_node("other")
    path = save(lift_reference(), tmp_path / "reference.npz")
    viewer.set_parameters([Parameter("reference", value=str(path)), Parameter("port", value=18100)])
    executor = SingleThreadedExecutor()
    for node in (viewer, other):
        executor.add_node(node)
    viewer.trigger_configure()
    viewer.trigger_activate()
    yield viewer, other, executor
    viewer.trigger_deactivate()
    viewer.trigger_cleanup()
    for node in (viewer, other):
        node.destroy_node()
    executor.shutdown()
    rclpy.try_shutdown()


def spin_until(executor, condition, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        executor.spin_once(timeout_sec=0.02)
    return condition()


def publish_lift(other, executor, viewer) -> None:
    """What a graph says at frame FRAME of the lift, until the viewer has heard it."""
    ref, stamp = lift_reference(), messages.to_stamp(T0 + FRAME / 60)
    state = ObjectState(T0 + FRAME / 60, ref.object_pose[FRAME], np.zeros(6), np.eye(12))
    said = (
        (
            DiagnosticArray,
            "/safety/state",
            "latched",
            messages.safety_state(messages.Safety(State.TRACKING, "", T0), stamp),
        ),
        (JointState, "/franka/joint_states", "state", messages.joint_state(FR3_JOINTS, stamp, FR3_HOME + 0.1)),
        (JointState, "/leap/joint_states", "state", messages.joint_state(ref.joint_names[6:], stamp, ref.q[FRAME, 6:])),
        (JointState, "/tracker/target", "command", messages.joint_state(ref.joint_names, stamp, ref.target[FRAME])),
        (Odometry, "/object/state", "state", messages.object_state(stamp, state)),
    )
    publishers = [(other.create_publisher(kind, topic, publish_profile(qos)), m) for kind, topic, qos, m in said]

    def heard() -> bool:
        for publisher, message in publishers:
            publisher.publish(message)
        return len(viewer.heard) == 4 and viewer.newest.frame is not None

    assert spin_until(executor, heard)


def test_it_is_active_and_says_where_the_page_is(graph):
    viewer, _, _ = graph
    assert viewer.state == "active"
    assert viewer.values["url"].startswith("http://127.0.0.1:181")


def test_the_scene_follows_the_graph(graph):
    viewer, other, executor = graph
    publish_lift(other, executor, viewer)
    viewer.server.get_clients = lambda: {0: None}
    viewer.draw()
    ref, data = lift_reference(), viewer.view.stage.data
    assert viewer.newest.frame == FRAME and "tracking" in viewer.view.state.content
    assert data.body("ghost/object").xpos == pytest.approx(ref.object_pose[FRAME, :3])
    assert data.body("object").xpos == pytest.approx(ref.object_pose[FRAME, :3])
    assert data.qpos[viewer.view.stage.scene.arm_q_address] == pytest.approx(FR3_HOME + 0.1)


def test_nothing_is_drawn_while_nobody_looks(graph):
    viewer, other, executor = graph
    before = viewer.view.stage.data.qpos.copy()
    publish_lift(other, executor, viewer)
    viewer.draw()
    assert np.array_equal(viewer.view.stage.data.qpos, before)


def test_it_refuses_to_configure_without_a_reference(ros_domain):
    rclpy.init()
    viewer = ViewerNode()
    viewer.set_parameters([Parameter("reference", value="/nowhere.npz")])
    viewer.trigger_configure()
    assert viewer.state == "unconfigured" and "/nowhere.npz" in viewer.fault_reason
    viewer.destroy_node()
    rclpy.try_shutdown()


def test_markers_stand_where_the_graph_says(graph):
    viewer, other, executor = graph
    heard: list = []
    other.create_subscription(MarkerArray, "/scene/markers", heard.append, 10)
    publish_lift(other, executor, viewer)
    heard.clear()
    assert spin_until(executor, lambda: {m.markers[0].ns for m in heard} == {"scene", "reference"})
    model = viewer.view.stage.scene.model
    box = next(m for a in heard for m in a.markers if m.id == model.geom("object_visual").id)
    place = [box.pose.position.x, box.pose.position.y, box.pose.position.z]
    assert place == pytest.approx(lift_reference().object_pose[FRAME, :3], abs=1e-6)
    assert len(box.points) == 36 and box.header.frame_id == "world"


def test_a_coarse_mesh_keeps_its_size():
    ball = trimesh.creation.icosphere(subdivisions=4)
    vertices, faces = coarse(np.asarray(ball.vertices), np.asarray(ball.faces))
    assert len(faces) <= 600 < len(ball.faces)
    assert np.ptp(vertices, axis=0) == pytest.approx(2.0, abs=0.1)
