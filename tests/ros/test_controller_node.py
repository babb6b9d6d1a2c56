"""The controller's node where nothing may move: a policy that is unsafe, a plan that is missing."""

import copy

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from nav_msgs.msg import Odometry
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState

from dexhot.data import files
from dexhot.data.diagnostics import UNPREPARED, by_node
from dexhot.objects.library import save_object
from dexhot.robots.arm import FR3_JOINTS
from dexhot.ros.core import messages
from dexhot.ros.core.process import bring_down, bring_up
from dexhot.ros.supervise.supervisor_node import SupervisorNode
from dexhot.ros.track.controller_node import ControllerNode
from dexhot.safety.machine import Event, State
from dexhot.simulation.setup import physics_of
from dexhot.tracking.object_state import ObjectState
from node_bench import NodeBench
from tiny_policy import write_policy

pytestmark = pytest.mark.ros
T0 = 1001.0


@pytest.fixture(scope="module")
def placed(_placed_lift):
    return copy.deepcopy(_placed_lift)


@pytest.fixture
def bench(ros_domain, cache, lift):
    save_object(lift[1])
    made = NodeBench()
    yield made
    made.close()


class Fed:
    """A controller and its inputs."""

    def __init__(self, bench, reference, path, **parameters):
        self.bench, self.reference = bench, reference
        self.targets = bench.listen(JointState, "/tracker/target", "command")
        self.residuals = bench.listen(JointState, "/tracker/residual", "command")
        self.heard = bench.listen(DiagnosticArray, "/diagnostics", "state")
        self.hand = bench.publisher(JointState, "/leap/joint_states")
        self.arm = bench.publisher(JointState, "/franka/joint_states")
        self.object = bench.publisher(Odometry, "/object/state")
        self.node = bench.start(ControllerNode(), reference=str(path), **parameters)
        assert self.node.state == "active", self.node.fault_reason
        assert bench.spin_until(lambda: all(p.get_subscription_count() for p in (self.hand, self.arm, self.object)))

    def feed(self, stamp: float) -> None:
        at, q = messages.to_stamp(stamp), self.reference.q[0]
        self.hand.publish(messages.joint_state(self.reference.joint_names[6:], at, q[6:]))
        self.arm.publish(messages.joint_state(FR3_JOINTS, at, self.reference.arm_q[0]))
        known = ObjectState(stamp, self.reference.object_pose[0], np.zeros(6), np.eye(12) * 1e-6)
        self.object.publish(messages.object_state(at, known))

    def told(self) -> str:
        """The last reason why it is unprepared."""
        found = [by_node(m)["controller"].values.get(UNPREPARED, "") for m in self.heard if "controller" in by_node(m)]
        return found[-1] if found else ""


def policy(bench, tmp_path, placed, **how) -> Fed:
    path = files.save(placed, tmp_path / "lift")
    network = write_policy(tmp_path / "tiny", placed, physics_of(placed), **how)
    return Fed(bench, placed, path, controller="policy", policy=str(network))


def drive(fed: Fed, ticks: int) -> None:
    """Through the ramp and `ticks` frames of the clip."""
    fed.bench.supervise(State.TRACKING, T0)
    assert fed.bench.spin_until(lambda: fed.node.tracker.t0 == T0)
    for k in range(-20, ticks):
        seen = len(fed.targets)
        fed.feed(T0 + k / 60)
        if not fed.bench.spin_until(lambda n=seen: len(fed.targets) > n or fed.node.unsafe, 10.0) or fed.node.unsafe:
            break


def test_the_sum_of_residuals_is_published_with_each_target(bench, tmp_path, placed):
    fed = policy(bench, tmp_path, placed, bias=0.001)
    drive(fed, 4)
    assert bench.spin_until(lambda: len(fed.residuals) == len(fed.targets))
    assert [m.header.stamp for m in fed.residuals] == [m.header.stamp for m in fed.targets]
    np.testing.assert_allclose(fed.residuals[-1].position, 0.004, atol=1e-6)
    np.testing.assert_array_equal(fed.residuals[0].position, 0.0)  # in the ramp
    assert list(fed.residuals[-1].name) == placed.joint_names


@pytest.mark.parametrize("bias, why", [(np.nan, "not finite"), (0.5, "jumps")])
def test_an_unsafe_output_publishes_no_target_and_is_told_until_activated_again(bench, tmp_path, placed, bias, why):
    fed = policy(bench, tmp_path, placed, bias=bias)
    drive(fed, 4)
    assert why in fed.node.unsafe
    assert all(np.isfinite(m.position).all() for m in fed.targets) and len(fed.targets) == 20  # those of the ramp
    assert bench.spin_until(lambda: why in fed.told())
    bench.supervise(State.TRACKING, T0 + 60.0)  # another start
    bench.spin_until(lambda: fed.node.tracker.t0 is not None, 0.5)
    assert fed.node.tracker.t0 is None
    fed.node.trigger_deactivate()
    fed.node.trigger_activate()
    assert not fed.node.unsafe and UNPREPARED not in fed.node.values


def test_a_card_of_another_rig_keeps_the_node_from_being_configured(bench, tmp_path, placed):
    network = write_policy(tmp_path / "tiny", placed, physics_of(placed), servo="dextrack")
    node = bench.start(
        ControllerNode(),
        reference=str(files.save(placed, tmp_path / "lift")),
        controller="policy",
        policy=str(network),
    )
    assert node.state == "unconfigured"


def test_planned_tells_that_it_is_unprepared_until_its_plan_is_chosen(bench, tmp_path, placed):
    path = files.save(placed, tmp_path / "lift")
    fed = Fed(bench, placed, path, controller="planned", planning_rollouts=10, prior="none", planning_limit=0.0)
    assert bench.spin_until(lambda: "planning has not begun" in fed.told())
    for k in range(20):
        fed.feed(1000.0 + k / 60)
        bench.spin_until(lambda: False, 0.02)
    fed.node.preparation.wait()
    fed.feed(1000.5)
    assert bench.spin_until(lambda: "plan" in fed.node.values and fed.told() == "")
    assert not fed.targets


def test_unsafe_feedback_on_a_plan_holds_until_activated_again(bench, tmp_path, placed):
    path = files.save(placed, tmp_path / "lift")
    network = write_policy(tmp_path / "tiny", placed, physics_of(placed), bias=np.nan, baseline="planned")
    budget = {"planning_rollouts": 10, "prior": "none", "planning_limit": 0.0}
    fed = Fed(bench, placed, path, controller="planned", feedback=str(network), **budget)
    for k in range(20):
        fed.feed(1000.0 + k / 60)
        bench.spin_until(lambda: False, 0.02)
    fed.node.preparation.wait()
    drive(fed, 4)
    assert "not finite" in fed.node.unsafe and len(fed.residuals) == len(fed.targets) == 20  # those of the ramp
    assert bench.spin_until(lambda: "not finite" in fed.told())
    told = len(fed.heard)
    fed.feed(T0 + 1.0)  # the plan that is chosen does not take it back
    bench.spin_until(lambda: len(fed.heard) > told, 0.5)
    assert "not finite" in fed.node.values[UNPREPARED]
    for _ in range(2):
        fed.node.trigger_deactivate()
        fed.node.trigger_activate()
        assert not fed.node.unsafe and "planning has not begun" in fed.node.values[UNPREPARED]


def unprepared(why: str) -> DiagnosticArray:
    values = [KeyValue(key=UNPREPARED, value=why)] if why else []
    return DiagnosticArray(status=[DiagnosticStatus(name="controller: state", values=values)])


def test_the_supervisor_holds_while_the_controller_is_unprepared(ros_domain):
    import rclpy

    rclpy.init(args=[])
    node = SupervisorNode()
    try:
        node.set_parameters([Parameter("required_nodes", value=["controller"])])
        assert bring_up(node), node.fault_reason
        node.machine.handle(Event.INPUTS_READY)
        node.machine.handle(Event.START)
        node.on_diagnostics(unprepared("policy tiny: the network's output is not finite."))
        assert node.machine.state is State.HOLDING and "controller: policy tiny" in node.machine.reason
        assert UNPREPARED in node.wrong  # nor does it become ready
        node.on_diagnostics(unprepared(""))
        assert not node.wrong
    finally:
        bring_down(node)
        node.destroy_node()
        rclpy.try_shutdown()
