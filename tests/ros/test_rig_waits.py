"""The embedded rig in a loop that a camera closes: it publishes no pose, and waits for what perception has seen."""

import numpy as np
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from dexhot.data.files import save
from dexhot.ros.core import messages
from dexhot.ros.rig.rig_node import LOOKED, RigNode
from dexhot.ros.see.camera_messages import image
from node_bench import NodeBench

pytestmark = pytest.mark.ros
TICK = 1 / 60


@pytest.fixture
def bench(ros_domain, cache):
    found = NodeBench()
    yield found
    found.close()


def rig(bench, shipped, tmp_path, **parameters) -> RigNode:
    path = str(save(shipped.reference, tmp_path / "reference.npz"))
    node = bench.start(RigNode(), reference=path, **parameters)
    assert node.state == "active", node.resting
    node.alarm.set(np.inf)  # ticks when told
    return node


def looked(node: RigNode, stamp: float) -> None:
    header = Header(stamp=messages.to_stamp(stamp))
    node.on_labels(image(header, np.zeros((2, 2), np.uint8)))
    node.alarm.set(np.inf)


def test_with_a_camera_only_the_truth_for_the_camera_is_published(bench, shipped, tmp_path):
    node = rig(bench, shipped, tmp_path, perception="camera")
    assert node.pose is None and node.truth is not None
    said: list = []
    node.truth.publish = said.append
    node.tick()
    pose, _ = messages.read_object_pose(said[0])
    assert pose == pytest.approx(shipped.reference.object_pose[0], abs=1e-3)
    assert node.count_subscribers(node.full("/segmentation/labels")) == 1


def test_the_simulators_pose_is_the_default(bench, shipped, tmp_path):
    node = rig(bench, shipped, tmp_path)
    assert node.pose is not None and node.truth is None
    assert not [s for s in node.subscriptions if s.msg_type is Image]


def test_it_waits_for_an_image_that_should_have_been_looked_at(bench, shipped, tmp_path):
    node = rig(bench, shipped, tmp_path, perception="camera")
    allowed = 1 / node.p.camera_rate + node.p.camera_latency + LOOKED
    node.tick()
    assert not node.unseen()  # before the first image perception is not waited for
    looked(node, node.world.stamp)
    ticks = 0
    while not node.unseen():
        node.tick()
        ticks += 1
    assert ticks == int(allowed / TICK)
    looked(node, node.world.stamp)
    assert not node.unseen()
