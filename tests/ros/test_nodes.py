"""The control nodes, live in one process: a clip is tracked; every fault ends in a hold."""

import copy
import time

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from dexhot.bringup.graph import plan
from dexhot.bringup.graphs import load_graph
from dexhot.data import files
from dexhot.errors import DexhotError
from dexhot.objects.library import save_object
from dexhot.ros.core import messages
from dexhot.ros.core.process import bring_down, bring_up, make_executor, make_node
from dexhot.ros.core.qos import publish_profile
from dexhot.ros.rig import rig_node
from dexhot.safety.machine import State
from dexhot.tracking.object_state import ObjectState

pytestmark = pytest.mark.ros


class Live:
    """The nodes of real_track but the recorder, with one executor."""

    def __init__(self, parameters_file, names):
        rclpy.init(args=["test", "--ros-args", "--params-file", str(parameters_file)])
        self.executor = make_executor()
        self.nodes = {name: make_node(name) for name in names}
        self.client = rclpy.create_node("client")
        for node in (*self.nodes.values(), self.client):
            self.executor.add_node(node)
        for node in self.nodes.values():
            assert bring_up(node), f"{node.get_name()}: {node.fault_reason}"

    def __getattr__(self, name):
        return self.nodes[name]

    @property
    def state(self) -> State:
        return self.supervisor.machine.state

    @property
    def reason(self) -> str:
        return self.supervisor.machine.reason

    def spin_until(self, condition, seconds: float = 60.0) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not condition():
            self.executor.spin_once(timeout_sec=0.02)
        return bool(condition())

    def spin(self, seconds: float) -> None:
        self.spin_until(lambda: False, seconds)

    def drive(self) -> None:
        """Until arm and hand follow commands."""
        assert self.spin_until(lambda: len(self.rig.world.driven) == 2), (self.state, self.reason)

    def stand_still(self) -> np.ndarray:
        """Until the arm has braked within its limits; the targets that it then holds."""
        ctrl = self.rig.world.data.ctrl

        def still() -> bool:
            told, ticks = ctrl.copy(), self.rig.ticks
            assert self.spin_until(lambda: self.rig.ticks > ticks + 5)
            return bool((ctrl == told).all())

        assert self.spin_until(still)
        return ctrl.copy()

    def start_again(self) -> None:
        """As a person does: once more where an input was still settling."""
        for _ in range(5):
            assert self.spin_until(lambda: self.state is State.READY)
            self.call("/safety/start")
            self.spin_until(lambda: len(self.rig.world.driven) == 2 or self.state is State.HOLDING)
            if self.state is State.TRACKING:
                break
        self.drive()

    def call(self, service: str) -> Trigger.Response:
        client = self.client.create_client(Trigger, service)
        assert client.wait_for_service(timeout_sec=60.0)
        future = client.call_async(Trigger.Request())
        assert self.spin_until(future.done, 60.0)
        return future.result()

    def close(self) -> None:
        for node in reversed(self.nodes.values()):
            bring_down(node)
        self.executor.shutdown()
        for node in (*self.nodes.values(), self.client):
            node.destroy_node()
        rclpy.try_shutdown()


@pytest.fixture(scope="module")
def placed(_placed_lift):
    return copy.deepcopy(_placed_lift)


@pytest.fixture
def live(tmp_path, ros_domain, cache, placed, lift):
    save_object(lift[1])
    reference = files.save(placed, tmp_path / "lift")
    patient = tmp_path / "parameters.yaml"  # all nodes share one thread, and that its core
    patient.write_text("supervisor: {heartbeat_timeout: 5.0}")
    given = {"reference": str(reference), "controller": "kinematic", "record": "false", "parameters": str(patient)}
    planned = plan(load_graph("real_track"), given, {})
    made = Live(planned.parameters_file, planned.node_names)
    yield made
    made.close()


def test_a_clip_is_tracked_to_its_end(live):
    start = live.rig.world.object_pose().copy()
    assert live.spin_until(lambda: live.state is State.TRACKING)
    assert live.spin_until(lambda: live.state is State.READY, 60.0)
    assert live.reason == "the clip has ended"
    assert live.rig.world.object_pose()[2] - start[2] > 0.08
    assert live.leap_driver.values["refused"] == 0


def test_the_world_does_not_run_away_from_a_filter_that_is_starved(live):
    live.rig.p.patience = 1e3
    assert live.spin_until(lambda: live.rig.world.following)
    live.object_filter.publisher.publish = lambda message: None
    live.spin(0.1)
    ticks = live.rig.ticks
    live.spin(0.3)
    assert live.rig.ticks <= ticks + 1


def test_an_emergency_stop_is_latched_and_holds_arm_and_hand(live):
    live.drive()
    assert live.call("/safety/estop").success
    assert live.spin_until(lambda: not live.rig.world.driven) and live.state is State.FAULT
    assert not live.call("/safety/start").success
    live.spin(0.5)
    assert np.abs(live.franka_driver.device.read().qd).max() < 0.05


def test_a_reset_does_not_start_motion(live):
    live.drive()
    live.call("/safety/estop")
    assert live.call("/safety/reset").success
    assert live.spin_until(lambda: live.state is State.READY)
    live.spin(0.5)
    assert live.state is State.READY and not live.rig.world.driven


def test_object_states_that_stop_coming_end_in_a_hold(live):
    live.drive()
    live.object_filter.publisher.publish = lambda message: None
    assert live.spin_until(lambda: live.state is State.HOLDING)
    assert live.reason.startswith("/object/state is ")
    assert live.spin_until(lambda: not live.rig.world.driven)


def test_a_pose_that_is_not_finite_ends_in_a_hold(live, monkeypatch):
    live.drive()
    monkeypatch.setattr(rig_node, "measured_pose", lambda *a: np.full(7, np.nan))
    assert live.spin_until(lambda: live.state is State.HOLDING)
    assert "not finite" in live.object_filter.refusals.why("/object/pose")


def test_a_lost_object_ends_in_a_hold(live):
    live.drive()
    state = live.object_filter.filter.state
    live.object_filter.filter.state = lambda: ObjectState(state().stamp, state().pose, state().twist, np.eye(12) * 0.01)
    assert live.spin_until(lambda: live.state is State.HOLDING)
    assert "sigma" in live.reason


def test_a_controller_that_dies_is_a_fault_and_named(live):
    live.drive()
    live.controller.trigger_deactivate()
    assert live.spin_until(lambda: live.state is State.FAULT)
    assert "controller" in live.reason


def test_a_driver_that_faults_is_a_fault_with_its_reason(live):
    live.drive()
    live.leap_driver.fault("the bus is unplugged")
    assert live.spin_until(lambda: live.state is State.FAULT)
    assert live.reason == "leap_driver: the bus is unplugged"


def test_one_reset_activates_the_driver_that_failed(live):
    live.drive()
    live.leap_driver.fault("the bus is unplugged")
    assert live.spin_until(lambda: live.state is State.FAULT)
    assert live.call("/safety/reset").success
    assert live.spin_until(lambda: live.state is State.READY), live.reason
    assert live.spin_until(lambda: not live.rig.world.driven)
    assert live.leap_driver.state == "active" and live.state is State.READY


def test_a_driver_that_cannot_be_recovered_keeps_the_fault_and_gives_the_reason(live, monkeypatch):
    def gone() -> None:
        raise DexhotError("the cable is still out")

    live.drive()
    live.leap_driver.fault("the bus is unplugged")
    assert live.spin_until(lambda: live.state is State.FAULT)
    monkeypatch.setattr(live.leap_driver, "start", gone)
    live.call("/safety/reset")
    assert live.spin_until(lambda: live.reason.startswith("not reset"))
    assert "the cable is still out" in live.reason and live.state is State.FAULT


def test_drivers_hold_without_a_supervisor(live):
    live.drive()
    live.supervisor.publisher.publish = lambda message: None
    assert live.spin_until(lambda: live.leap_driver.safety.state is State.FAULT)
    assert live.spin_until(lambda: not live.rig.world.driven)


def test_a_supervisor_that_is_deactivated_stops_arm_and_hand_by_its_last_state(live):
    live.drive()
    live.supervisor.trigger_deactivate()
    assert live.spin_until(lambda: live.leap_driver.safety.reason == "the supervisor was deactivated")
    assert live.spin_until(lambda: not live.rig.world.driven)
    assert not live.call("/safety/start").success
    assert live.call("/safety/estop").success
    assert live.spin_until(lambda: live.franka_driver.safety.state is State.FAULT)


@pytest.mark.parametrize("topic", ["/leap/command", "/franka/command", "/leap/joint_states", "/franka/joint_states"])
def test_unknown_joints_take_nobody_down(live, topic):
    live.drive()
    stamp = messages.to_stamp(live.rig.world.stamp)
    message = messages.joint_state([f"joint{k}" for k in range(7)], stamp, np.zeros(7))
    for node in live.nodes.values():
        for subscription in node.subscriptions:
            if subscription.topic_name == topic:
                subscription.callback(message)
    assert "joint0" in live.supervisor.refusals.why(topic)
    live.spin(0.2)
    assert {node.state for node in live.nodes.values()} == {"active"} and live.state is State.TRACKING


def test_poses_off_the_tick_are_tracked(live, monkeypatch):
    live.drive()
    of_the_tick = messages.object_pose

    def off(stamp, *pose):
        return of_the_tick(messages.to_stamp(messages.seconds(stamp) + 0.003), *pose)

    monkeypatch.setattr(messages, "object_pose", off)
    live.spin(0.5)
    assert {node.state for node in live.nodes.values()} == {"active"} and live.state is State.TRACKING


def test_a_command_that_is_not_finite_is_refused(live):
    live.drive()
    before = live.rig.world.data.ctrl.copy()
    message = messages.joint_state(live.leap_driver.names, messages.to_stamp(live.rig.world.stamp), np.full(16, np.nan))
    live.leap_driver.on_command(message)
    assert live.leap_driver.values["refused"] == 1 and (live.rig.world.data.ctrl == before).all()


def test_a_command_beyond_the_limits_is_clamped_and_counted(live):
    live.drive()
    stamp = messages.to_stamp(live.rig.world.stamp)
    live.leap_driver.on_command(messages.joint_state(live.leap_driver.names, stamp, np.full(16, 100.0)))
    assert live.leap_driver.values["clamped"] >= 16
    assert (live.rig.world.data.ctrl[7:] <= live.leap_driver.limits.upper).all()


def test_an_old_command_is_refused(live):
    live.drive()
    stamp = messages.to_stamp(live.rig.world.stamp - 0.2)
    live.leap_driver.on_command(messages.joint_state(live.leap_driver.names, stamp, np.zeros(16)))
    assert "200 ms old" in live.leap_driver.warnings["refused"]


def test_commands_carry_the_stamp_of_the_tick_they_answer(live):
    heard: list[JointState] = []
    live.client.create_subscription(JointState, "/leap/command", heard.append, 10)
    live.drive()
    assert live.spin_until(lambda: len(heard) > 3)
    stamps = live.rig.world.ticked
    assert all(min(abs(messages.seconds(m.header.stamp) - s) for s in stamps) < 1e-5 for m in heard[-3:])


@pytest.mark.parametrize("topic", ["/franka/command", "/leap/joint_states", "/object/pose"])
def test_a_second_publisher_is_named_and_nothing_moves_until_it_is_gone_and_started_anew(live, plain_node, topic):
    live.drive()
    kind = PoseWithCovarianceStamped if topic == "/object/pose" else JointState
    stranger = plain_node("stranger")
    stranger.create_publisher(kind, topic, 10)
    assert live.spin_until(lambda: live.state is State.HOLDING and not live.rig.world.driven)
    assert live.reason.startswith(f"{topic} has 2 publishers") and "/stranger" in live.reason
    told = live.stand_still()
    live.spin(0.3)
    assert live.state is State.HOLDING and (live.rig.world.data.ctrl == told).all()
    stranger.destroy_node()
    live.start_again()


def test_after_an_emergency_stop_a_foreign_tracking_state_moves_nothing(live, plain_node):
    live.drive()
    live.call("/safety/estop")
    assert live.spin_until(lambda: not live.rig.world.driven)
    stranger = plain_node("stranger")
    state = stranger.create_publisher(DiagnosticArray, "/safety/state", publish_profile("latched"))
    commands = stranger.create_publisher(JointState, "/leap/command", publish_profile("command"))
    assert live.spin_until(lambda: state.get_subscription_count() > 3 and commands.get_subscription_count())
    told = live.stand_still()
    for _ in range(20):
        stamp = messages.to_stamp(live.rig.world.stamp)
        state.publish(messages.safety_state(messages.Safety(State.TRACKING, "", 1.0), stamp))
        commands.publish(messages.joint_state(live.leap_driver.names, stamp, np.full(16, 0.8)))
        live.spin(0.02)
    stranger.destroy_node()
    assert (live.rig.world.data.ctrl == told).all() and not live.rig.world.driven
    assert live.state is State.FAULT


def test_an_emergency_stop_is_heard_from_any_node(live, plain_node):
    live.drive()
    stranger = plain_node("stranger")
    strangers = [stranger.create_publisher(Bool, "/safety/estop_input", 10) for _ in range(2)]
    assert live.spin_until(lambda: all(p.get_subscription_count() for p in strangers))
    strangers[0].publish(Bool(data=True))
    assert live.spin_until(lambda: live.state is State.FAULT and not live.rig.world.driven)
    stranger.destroy_node()
