"""The lifecycle base class: gating, faults, diagnostics, heartbeats, parameters on the node."""

import os
import time

import psutil
import pytest
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.duration import Duration
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState, TimeReference
from std_msgs.msg import Header

from dexhot.errors import DexhotError
from dexhot.hardware.real_time import make_real_time
from dexhot.ros.core import messages
from dexhot.ros.core.diagnostics import Histogram, TickMonitor
from dexhot.ros.core.process import HOPELESS, bring_down, let_go, make_executor, say_goodbye, turn
from dexhot.ros.core.refusals import RefusedError
from dexhot.ros.core.sim_time import share_clock
from probe_nodes import Broken, OrderedController, Probe

pytestmark = pytest.mark.ros


@pytest.fixture(params=["events", "single"])
def executor(ros_domain, request, monkeypatch):
    monkeypatch.setenv("DEXHOT_EXECUTOR", request.param)
    rclpy.init()
    made = make_executor()
    yield made
    for node in made.get_nodes():
        node.destroy_node()
    made.shutdown()
    rclpy.try_shutdown()


@pytest.fixture
def sender(executor, plain_node):
    return plain_node("sender")


def spin_until(executor, condition, seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        executor.spin_once(timeout_sec=0.02)
    return condition()


def wait_until(condition, seconds: float = 60.0) -> bool:
    """The same while no executor spins."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def make(executor, kind=Probe, activate: bool = True):
    node = kind()
    executor.add_node(node)
    if activate:
        node.trigger_configure()
        node.trigger_activate()
    return node


def listen(executor, msg_type, topic):
    """(messages, node) of a plain node that hears `topic`."""
    heard: list = []
    node = rclpy.create_node("listener")
    node.create_subscription(msg_type, topic, heard.append, 100)
    executor.add_node(node)
    return heard


def test_transitions_call_the_subclass_in_order(executor):
    node = make(executor)
    node.trigger_deactivate()
    node.trigger_cleanup()
    assert node.called == ["setup", "start", "stop", "teardown"]


def test_a_node_can_be_configured_again(executor):
    node = make(executor)
    for transition in (node.trigger_deactivate, node.trigger_cleanup, node.trigger_configure, node.trigger_activate):
        transition()
    assert node.state == "active" and len(node._loops) == 1


def test_a_destroyed_node_leaves_no_participant(ros_domain):
    def ports() -> list[int]:
        used = [c.laddr.port for c in psutil.Process().net_connections("udp") if c.laddr]
        return [port for port in used if 0 <= port - 7400 - 250 * ros_domain < 250]

    rclpy.init()
    executor = make_executor()
    node = make(executor)
    assert ports()
    node.destroy_node()
    executor.shutdown()
    rclpy.try_shutdown()
    assert not ports()


def test_a_busy_executor_lets_go_of_a_nodes_publishers_too(executor, sender):
    heard, due = listen(executor, Header, "/work"), sender.create_publisher(Header, "/work", 10)
    node = make(executor)
    assert spin_until(executor, lambda: due.get_subscription_count() and node._loops["loop"][1].ticks)
    for _ in range(5):
        due.publish(Header())
    assert due.wait_for_all_acked(Duration(seconds=60)) and not heard
    bring_down(node)
    let_go(executor, node)
    assert wait_until(lambda: not sender.get_publishers_info_by_topic("/probe/joints"))  # while nobody spins
    node.destroy_node()


def test_loops_run_only_while_active(executor):
    node = make(executor)
    ticks = node._loops["loop"][1]
    assert spin_until(executor, lambda: ticks.ticks >= 5)
    node.trigger_deactivate()
    before = ticks.ticks
    spin_until(executor, lambda: False, 0.2)
    assert ticks.ticks == before


def test_subscriptions_run_only_while_active(executor, sender):
    node = make(executor, OrderedController)
    publisher = sender.create_publisher(JointState, "/leap/joint_states", 10)
    assert spin_until(executor, lambda: publisher.get_subscription_count() == 1)
    publisher.publish(JointState(position=[1.0]))
    assert spin_until(executor, lambda: node.x == 1.0)
    node.trigger_deactivate()
    publisher.publish(JointState(position=[1.0]))
    spin_until(executor, lambda: False, 0.2)
    assert node.x == 1.0


def test_surplus_calls_of_a_timer_neither_tick_nor_put_off_the_next_tick(executor):
    """As the events executor makes them when it is busy: each moves the next call on by a period."""
    node = make(executor)
    timer, monitor = node._loops["loop"]
    assert spin_until(executor, lambda: monitor.ticks)
    before = monitor.ticks
    for _ in range(50):
        with timer.handle:
            timer.handle.call_timer()
        timer.callback()
    assert monitor.ticks <= before + 1 and timer.time_until_next_call() <= 1.01e9 * monitor.period
    assert spin_until(executor, lambda: monitor.ticks > before + 3)


def test_an_exception_in_a_loop_is_a_fault_that_deactivates(executor):
    node = make(executor)
    node.publisher.publish = lambda message: 1 / 0
    assert spin_until(executor, lambda: node.state == "inactive")
    assert "ZeroDivisionError" in node.fault_reason and node.called[-1] == "stop"


def test_a_fault_is_reported_as_error_diagnostics_and_silences_the_heartbeat(executor):
    beats, told = listen(executor, Header, "/heartbeat"), []
    told_node = rclpy.create_node("operator")
    told_node.create_subscription(DiagnosticArray, "/diagnostics", told.append, 100)
    executor.add_node(told_node)
    node = make(executor)
    assert spin_until(executor, lambda: len(beats) >= 3 and len(told) >= 1)
    then = node.now()
    node.fault("the bus is gone")
    assert spin_until(executor, lambda: told[-1].status[0].level == b"\x02")
    assert told[-1].status[0].message == "the bus is gone"
    spin_until(executor, lambda: False, 0.4)
    assert messages.seconds(beats[-1].stamp) <= then


def test_a_reason_stands_beside_what_is_not_active(executor):
    told = listen(executor, DiagnosticArray, "/diagnostics")
    node = make(executor, activate=False)

    def says(message: str) -> bool:
        node.publish_diagnostics()
        return spin_until(executor, lambda: told and told[-1].status[0].message == message)

    assert says("unconfigured: not configured yet")
    node.trigger_configure()
    assert says("inactive: not activated yet")
    node.trigger_activate()
    assert says("active")
    node.trigger_deactivate()
    assert says("inactive: it was deactivated")
    node.trigger_cleanup()
    assert says("unconfigured: it was cleaned up")


def test_a_node_says_that_it_ends_as_it_was_asked_to(executor):
    told = listen(executor, DiagnosticArray, "/diagnostics")
    node = make(executor)
    say_goodbye([node], "asked to")
    assert spin_until(executor, lambda: told and {v.key: v.value for v in told[-1].status[0].values}.get("ending"))


def test_an_activation_clears_the_fault(executor):
    node = make(executor)
    node.fault("the bus is gone")
    node.trigger_activate()
    assert node.state == "active" and node.fault_reason == ""


def test_a_setup_that_raises_is_logged_and_leaves_the_node_unconfigured(executor):
    node = make(executor, Broken, activate=False)
    node.trigger_configure()
    assert node.state == "unconfigured" and "a wheel is missing" in node.fault_reason


def test_a_second_node_of_the_same_name_in_the_domain_is_refused(executor):
    first, second = make(executor), make(executor, activate=False)
    second.trigger_configure()
    assert second.state == "unconfigured" and "ROS_DOMAIN_ID" in second.fault_reason
    first.trigger_deactivate()
    first.trigger_cleanup()
    second.trigger_configure()
    assert second.state == "inactive"


def test_diagnostics_hold_the_loops_figures(executor):
    told = listen(executor, DiagnosticArray, "/diagnostics")
    make(executor)
    assert spin_until(executor, lambda: len(told) >= 2)
    values = {v.key: v.value for s in told[-1].status for v in s.values}
    assert values["state"] == "active" and int(values["loop.ticks"]) > 0
    assert [s.name for s in told[-1].status] == ["probe: state", "probe: loop loop", "probe: process"]
    assert all(s.hardware_id == "none" for s in told[-1].status)
    assert {"loop.tick_ok_fraction", "loop.lateness.p99_ms", "loop.overruns", "process.cpu_percent"} <= set(values)


def test_a_value_out_of_bounds_is_refused_with_the_bounds(executor):
    node = make(executor, activate=False)
    result = node.set_parameters([Parameter("heartbeat_rate", value=1000.0)])[0]
    assert not result.successful


def test_a_configured_node_refuses_a_parameter_that_is_read_at_configure(executor):
    node = make(executor)
    result = node.set_parameters([Parameter("heartbeat_rate", value=20.0)])[0]
    assert not result.successful and "configure" in result.reason


def test_inputs_of_a_journaled_node_are_named_in_order(executor, sender):
    named = listen(executor, TimeReference, "/controller/inputs")
    make(executor, OrderedController)
    publisher = sender.create_publisher(JointState, "/leap/joint_states", 10)
    assert spin_until(executor, lambda: publisher.get_subscription_count() == 1)
    for k in range(3):
        message = JointState(position=[0.0])
        message.header.stamp.sec = k
        publisher.publish(message)
    assert spin_until(executor, lambda: len(named) == 3)
    assert [(m.source, m.time_ref.sec) for m in named] == [("/leap/joint_states", k) for k in range(3)]


def test_a_duration_that_nobody_knows_is_not_counted():
    histogram = Histogram()
    for seconds in (float("inf"), float("nan"), 0.01):
        histogram.add(seconds)
    assert histogram.count == 1 and histogram.max == 0.01


def test_diagnostics_are_plain_values_with_units_in_their_keys():
    histogram = Histogram()
    for ms in (0.05, 0.15, 3.0, 70.0, 400.0):
        histogram.add(1e-3 * ms)
    values = histogram.values("step")
    below = {edge: values[f"step.at_most_{edge}_ms"] for edge in ("0.1", "0.2", "1", "5", "50", "100")}
    assert below == {"0.1": 1, "0.2": 2, "1": 2, "5": 3, "50": 3, "100": 4} and values["step.count"] == 5
    assert all(type(value) in (int, float) for value in values.values())


def test_a_loop_that_misses_ticks_is_a_warning_once():
    monitor = TickMonitor(0.1)
    monitor.tick(0.1)
    assert monitor.judge() == (b"\0", "on time")
    monitor.tick(0.75)  # four grid points later
    assert monitor.judge() == (b"\1", "4 ticks missed") and monitor.judge() == (b"\0", "on time")


def test_a_refused_message_is_counted_and_named_and_no_fault(executor):
    told = listen(executor, DiagnosticArray, "/diagnostics")
    node = make(executor)

    def refuse(message) -> None:
        raise RefusedError("names without end: " + "x" * 10_000)

    for _ in range(3):
        node.hear("/joints", refuse, JointState())
    node.publish_diagnostics()
    assert spin_until(executor, lambda: told and told[-1].status[0].level == b"\x01")
    status = told[-1].status[0]
    assert status.message.startswith("/joints: rejected: names") and len(status.message) < 400
    assert {v.key: v.value for v in status.values}["refused./joints"] == "3" and node.state == "active"


def test_what_rclpy_itself_raises_does_not_end_a_process(executor, sender):
    """A /clock before zero, in a node that follows it."""
    node = make(executor, lambda: Probe(parameter_overrides=[Parameter("use_sim_time", value=True)]))
    clock = sender.create_publisher(Clock, "/clock", 1)
    failures = []

    def raised() -> bool:
        clock.publish(Clock(clock=Time(sec=-5)))
        failures.append(turn(executor, node, 0))
        return any(failures)

    assert spin_until(executor, raised)
    assert node.state == "active" and node.refusals.counts["rclpy"] >= 1
    with pytest.raises(ValueError, match="negative"):
        spin_until(executor, lambda: clock.publish(Clock(clock=Time(sec=-5))) or turn(executor, node, HOPELESS) < 0)


@pytest.fixture
def followers(executor):
    """Three nodes of a process that follow /clock, and the node that hears it for them."""
    follow = [Parameter("use_sim_time", value=True)]
    nodes = [make(executor, lambda name=name: Probe(name, parameter_overrides=follow)) for name in ("a", "b", "c")]
    intake, read = share_clock(nodes)
    for node in nodes:
        node.read_clock = read
    yield nodes, intake
    intake.destroy_node()


def test_the_nodes_of_a_process_hear_the_clock_once_and_all_follow_it(executor, sender, followers):
    nodes, intake = followers
    assert [sum(s.topic_name == "/clock" for s in node.subscriptions) for node in (*nodes, intake)] == [0, 0, 0, 1]
    clock = sender.create_publisher(Clock, "/clock", 1)
    assert spin_until(executor, lambda: clock.publish(Clock(clock=Time(sec=42))) or nodes[2].now() == 42.0)
    assert [node.now() for node in nodes] == [42.0] * 3
    nodes[1].set_parameters([Parameter("use_sim_time", value=False)])
    assert nodes[1].now() > 1e9


def test_no_executor_wakes_for_the_clock_yet_the_time_is_the_newest(executor, sender, followers):
    nodes, _ = followers
    clock = sender.create_publisher(Clock, "/clock", 1)
    assert spin_until(executor, clock.get_subscription_count)
    clock.publish(Clock(clock=Time(sec=42)))
    assert wait_until(lambda: nodes[0].now() == 42.0)  # nobody spins
    assert clock.get_subscription_count() == 1


def test_a_clock_before_zero_is_refused_and_named(executor, sender, followers):
    nodes, _ = followers
    clock = sender.create_publisher(Clock, "/clock", 10)
    assert spin_until(executor, clock.get_subscription_count)
    clock.publish(Clock(clock=Time(sec=42)))
    assert wait_until(lambda: nodes[0].now() == 42.0)
    clock.publish(Clock(clock=Time(sec=-5)))
    assert wait_until(lambda: nodes[0].now() == 42.0 and nodes[0].refusals.why("rclpy"))


def test_without_sim_time_a_process_listens_to_no_clock(executor):
    assert share_clock([make(executor, lambda: Probe("a"))]) is None


def test_percentiles_of_a_histogram_are_right_to_five_percent():
    histogram = Histogram()
    for k in range(1, 1001):
        histogram.add(k * 1e-4)
    assert histogram.percentile(50) == pytest.approx(0.05, rel=0.05)
    assert histogram.percentile(99) == pytest.approx(0.099, rel=0.05)


def test_a_tick_monitor_counts_late_and_missed_ticks():
    monitor = TickMonitor(0.1)
    monitor.restart(0.0)
    for now in (0.1, 0.2, 0.55, 0.6):  # the third tick is due at 0.3, the one of 0.4 is skipped
        monitor.tick(now)
    assert (monitor.ticks, monitor.ok, monitor.missed) == (4, 3, 1)


def test_a_refused_real_time_priority_says_how_to_be_allowed(monkeypatch):
    def refuse(*arguments):
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with pytest.raises(DexhotError, match="rtprio"):
        make_real_time(40)
