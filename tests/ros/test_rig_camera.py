"""The rig's camera: images of what the rig and the drivers publish, at its rate, and late by its latency."""

import threading

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image

from dexhot.data.files import save
from dexhot.data.topics import COLOR, COLOR_INFO, DEPTH, DEPTH_INFO
from dexhot.robots.arm import FR3_JOINTS
from dexhot.ros.core import messages

pytest.importorskip("warp")
from dexhot.ros.rig.rig_camera_node import RigCameraNode

pytestmark = pytest.mark.ros
BEGIN, TICK = 1000.0, 1 / 60
PLACE = "world camera_color_optical_frame 0.3 -0.8 0.5 0.42 -0.906 -0.045 0.021"


@pytest.fixture
def reference(shipped):
    return shipped.reference


@pytest.fixture
def node(bench, reference, tmp_path, cache):
    """The node, active, drawing without noise."""
    bench.heard = {
        topic: bench.listen(kind, topic, "state")
        for topic, kind in ((COLOR, Image), (DEPTH, Image), (COLOR_INFO, CameraInfo), (DEPTH_INFO, CameraInfo))
    }
    made = RigCameraNode()
    path = str(save(reference, tmp_path / "reference.npz"))
    bench.start(made, reference=path, static_transforms=[PLACE], camera_noise="none")
    if "Cannot render" in made.resting:
        pytest.skip(made.resting)
    assert made.state == "active", made.resting
    return made


def ticks(node: RigCameraNode, reference, numbers, joints: bool = True) -> None:
    """What the rig publishes at some ticks."""
    for k in numbers:
        if node.job is not None:
            node.job.result()  # as at a pace at which it can draw every image
        stamp = messages.to_stamp(BEGIN + k * TICK)
        if joints:
            node.on_arm(messages.joint_state(FR3_JOINTS, stamp, reference.arm_q[0]))
            node.on_hand(messages.joint_state(reference.joint_names[6:], stamp, reference.q[0, 6:]))
        node.on_object(messages.object_pose(stamp, reference.object_pose[0], np.zeros((6, 6))))


def test_four_topics_at_fifteen_hertz_each_late_by_the_latency(bench, node, reference):
    ticks(node, reference, range(2))
    node.job.result()
    assert node.values["images"] == 1 and len(node.ready) == 1  # drawn; not delivered before its latency is over
    assert bench.spin_until(lambda: node.publisher.color.get_subscription_count() == 1)
    ticks(node, reference, range(2, 10))
    assert bench.spin_until(lambda: all(len(heard) == 2 for heard in bench.heard.values()))
    for heard in bench.heard.values():
        stamps = [messages.seconds(m.header.stamp) - BEGIN for m in heard]
        assert stamps == pytest.approx([0.0, 4 * TICK], abs=1e-4)
        assert {m.header.frame_id for m in heard} == {"camera_color_optical_frame"}
        assert all((m.width, m.height) == (320, 240) for m in heard)
    assert bench.heard[COLOR_INFO][0].k[2] == pytest.approx(159.5)


def test_without_joint_states_nothing_is_drawn(node, reference):
    ticks(node, reference, range(8), joints=False)
    assert node.values["images"] == 0


def test_a_camera_without_a_place_is_refused(bench, reference, tmp_path, cache, capfd):
    made = RigCameraNode()
    bench.start(made, reference=str(save(reference, tmp_path / "reference.npz")))
    assert made.state == "unconfigured" and "the rig's camera has no place" in capfd.readouterr().err


def test_an_image_that_is_due_while_another_is_drawn_is_left_out(node, reference):
    drawing = threading.Event()
    node.painter.submit(drawing.wait)
    for k in range(9):
        stamp = messages.to_stamp(BEGIN + k * TICK)
        node.on_arm(messages.joint_state(FR3_JOINTS, stamp, reference.arm_q[0]))
        node.on_hand(messages.joint_state(reference.joint_names[6:], stamp, reference.q[0, 6:]))
        node.on_object(messages.object_pose(stamp, reference.object_pose[0], np.zeros((6, 6))))
    assert node.values["left_out"] == 1  # of three: the first is drawn, the second replaced by the third
    drawing.set()
    node.job.result()
    assert node.values["images"] == 1


def test_an_image_that_is_done_late_is_published_without_another_tick(bench, node, reference):
    """The world may wait for what is seen in it."""
    drawing = threading.Event()
    node.painter.submit(drawing.wait)
    assert bench.spin_until(lambda: node.publisher.depth.get_subscription_count() == 1)
    for k in range(4):
        stamp = messages.to_stamp(BEGIN + k * TICK)
        node.on_arm(messages.joint_state(FR3_JOINTS, stamp, reference.arm_q[0]))
        node.on_hand(messages.joint_state(reference.joint_names[6:], stamp, reference.q[0, 6:]))
        node.on_object(messages.object_pose(stamp, reference.object_pose[0], np.zeros((6, 6))))
    assert bench.heard[DEPTH] == []
    drawing.set()
    assert bench.spin_until(lambda: len(bench.heard[DEPTH]) == 1)
