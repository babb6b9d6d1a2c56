"""The rig node of a lab's own rig: it marks the clip, and warns while no object pose arrives."""

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped

from dexhot.data import files
from dexhot.ros.rig.real_rig_node import RealRigNode
from dexhot.safety.machine import State
from node_bench import NodeBench

pytestmark = pytest.mark.ros


class Lab(NodeBench):
    """The node, with its supervisor and a publisher of object poses."""

    def __init__(self, reference: str):
        super().__init__()
        self.marks = self.listen(DiagnosticArray, "/rig/episode", "latched")
        self.pose = self.publisher(PoseWithCovarianceStamped, "/object/pose")
        self.node = self.start(RealRigNode(), reference=reference, exit_when_done=True)
        assert self.node.state == "active", self.node.fault_reason

    def marked(self) -> list[str]:
        return [f"{mark.status[0].message} {mark.status[0].values[0].value}" for mark in self.marks]


@pytest.fixture
def lab(ros_domain, lift_reference, tmp_path):
    made = Lab(str(files.save(lift_reference, tmp_path / "reference.npz")))
    yield made
    made.close()


def test_it_says_that_no_pose_comes_until_one_comes(lab):
    assert lab.spin_until(lambda: "pose" in lab.node.warnings)
    assert "/object/pose" in lab.node.warnings["pose"]

    def told() -> bool:
        lab.pose.publish(PoseWithCovarianceStamped())
        return "pose" not in lab.node.warnings

    assert lab.spin_until(told)


def test_a_clip_ends_after_its_last_frame(lab):
    assert lab.spin_until(lambda: lab.marked() == ["start 1"])
    lab.supervise(State.TRACKING, lab.node.now() - 0.5)
    assert lab.spin_until(lambda: lab.node.safety.moving)
    assert not lab.node.finished
    lab.supervise(State.TRACKING, lab.node.now() - lab.node.frames / 60 - 1.0)
    assert lab.spin_until(lambda: lab.node.finished)
    assert lab.spin_until(lambda: lab.marked() == ["start 1", "end 1"])
