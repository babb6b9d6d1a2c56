"""The viewer node: it shows what it receives, and works only while a browser is connected."""

import threading

import numpy as np
import pytest
import rclpy
import trimesh
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from dexhot.data.files import save
from dexhot.robots.arm import FR3_HOME, FR3_JOINTS
from dexhot.ros.core import messages
from dexhot.ros.show.markers import coarse
from dexhot.ros.show.viewer_node import ViewerNode
from dexhot.safety.machine import State
from dexhot.tracking.object_state import ObjectState
from node_bench import NodeBench
from report_samples import box_asset, lift_reference

pytestmark = pytest.mark.ros
T0, FRAME = 100.0, 40


@pytest.fixture
def bench(ros_domain, cache, tmp_path):
    """The active viewer of a lift."""
    box_asset()
    made = NodeBench()
    path = save(lift_reference(), tmp_path / "reference.npz")
    made.start(ViewerNode(), reference=str(path), port=18100)
    yield made
    made.close()


class Browser:
    """Connected; returns a picture once it has `drawn` the scene, or, as viser's, raises because it has left."""

    def __init__(self, leaves: bool = False):
        self.drawn, self.leaves = threading.Event(), leaves

    def get_render(self, height: int, width: int) -> np.ndarray:
        if not self.drawn.wait(30.0) or self.leaves:
            raise RuntimeError("the client disconnected before returning a frame.")
        return np.zeros((height, width, 3), np.uint8)


def publish_lift(bench: NodeBench) -> None:
    """The messages of a graph at frame FRAME of the lift, until the viewer has received them."""
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
    publishers = [(bench.publisher(kind, topic, qos), m) for kind, topic, qos, m in said]
    viewer = bench.tested

    def heard() -> bool:
        for publisher, message in publishers:
            publisher.publish(message)
        return len(viewer.heard) == 4 and viewer.newest.frame is not None

    assert bench.spin_until(heard)


def test_it_is_active_and_says_where_the_page_is(bench):
    viewer = bench.tested
    assert viewer.state == "active"
    assert viewer.values["url"].startswith("http://127.0.0.1:181")


def test_the_scene_follows_the_graph(bench):
    viewer = bench.tested
    publish_lift(bench)
    viewer.server.get_clients = lambda: {0: Browser()}
    viewer.draw()
    ref, data = lift_reference(), viewer.view.stage.data
    assert viewer.newest.frame == FRAME and "tracking" in viewer.view.state.content
    assert data.body("ghost/object").xpos == pytest.approx(ref.object_pose[FRAME, :3])
    assert data.body("object").xpos == pytest.approx(ref.object_pose[FRAME, :3])
    assert data.qpos[viewer.view.stage.scene.q_address[:7]] == pytest.approx(FR3_HOME + 0.1)


def test_nothing_is_drawn_while_nobody_looks(bench):
    viewer = bench.tested
    before = viewer.view.stage.data.qpos.copy()
    publish_lift(bench)
    viewer.draw()
    assert np.array_equal(viewer.view.stage.data.qpos, before)


def test_the_first_look_is_that_of_a_browser_that_has_drawn_the_scene(bench):
    viewer, looks = bench.tested, bench.listen(Header, "/viewer/first_look", "latched")
    leaver, stayer = Browser(leaves=True), Browser()
    viewer.server.get_clients = lambda: {0: leaver, 1: stayer}
    leaver.drawn.set()
    viewer.draw()  # it is connected, no more
    assert not viewer.looked
    for _ in range(20):
        bench.spin_until(lambda: True)
    assert not looks and not viewer.shown.is_set()
    stayer.drawn.set()
    assert bench.spin_until(lambda: len(looks) == 1) and viewer.looked


def test_it_refuses_to_configure_without_a_reference(ros_domain):
    rclpy.init()
    viewer = ViewerNode()
    viewer.set_parameters([Parameter("reference", value="/nowhere.npz")])
    viewer.trigger_configure()
    assert viewer.state == "unconfigured" and "/nowhere.npz" in viewer.fault_reason
    viewer.destroy_node()
    rclpy.try_shutdown()


def test_markers_stand_where_the_graph_says(bench):
    viewer = bench.tested
    heard = bench.listen(MarkerArray, "/scene/markers")
    publish_lift(bench)
    heard.clear()
    assert bench.spin_until(lambda: {m.markers[0].ns for m in heard} == {"scene", "reference"})
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
