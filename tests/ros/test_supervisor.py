"""The supervisor alone, fed by hand with the messages of its topics."""

from types import SimpleNamespace

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from nav_msgs.msg import Odometry
from rclpy.parameter import Parameter
from rclpy.task import Future
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Header
from std_srvs.srv import Trigger

from dexhot.robots.joint_table import joint_table
from dexhot.ros.core import messages
from dexhot.ros.core.process import bring_down, bring_up
from dexhot.ros.drivers.leap_driver_node import LeapDriverNode
from dexhot.ros.supervise.recovery import Recovery
from dexhot.ros.supervise.supervisor_node import SupervisorNode
from dexhot.safety.machine import Event, State
from dexhot.tracking.object_state import ObjectState
from node_bench import NodeBench

pytestmark = pytest.mark.ros
ARM = joint_table("fr3")
MIDDLE = np.array([0.5 * (j.lower + j.upper) for j in ARM])


@pytest.fixture
def supervisor(ros_domain):
    """One that lets a controller drive."""
    rclpy.init(args=[])
    node = SupervisorNode()
    node.set_parameters([Parameter("required_nodes", value=["leap_driver"])])
    assert bring_up(node), node.fault_reason
    node.p.supervisor_timeout = 5.0  # the machine may be busy
    node.machine.handle(Event.INPUTS_READY)
    node.machine.handle(Event.START)
    yield node
    bring_down(node)
    node.destroy_node()
    rclpy.try_shutdown()


def temperature(celsius: float) -> DiagnosticArray:
    values = [KeyValue(key="temperature_max_c", value=str(celsius))]
    return DiagnosticArray(status=[DiagnosticStatus(name="leap_driver: state", values=values)])


def arm_state(stamp: float, q: np.ndarray) -> JointState:
    return messages.joint_state([j.name for j in ARM], messages.to_stamp(stamp), q, np.zeros(7), np.zeros(7))


def test_a_motor_that_is_too_hot_holds_until_it_has_cooled(supervisor):
    supervisor.on_diagnostics(temperature(69.0))
    assert supervisor.machine.state is State.HOLDING
    assert "leap_driver reports a motor temperature of 69 C" in supervisor.machine.reason
    assert supervisor.wrong
    supervisor.on_diagnostics(temperature(50.0))
    assert not supervisor.wrong


def test_a_foreign_publisher_is_named_in_the_reason_once_its_name_is_known(supervisor):
    supervisor.judge("speakers", (Event.FOREIGN, "/leap/command has 2 publishers (one without a name yet)"))
    assert supervisor.machine.state is State.HOLDING
    supervisor.judge("speakers", (Event.FOREIGN, "/leap/command has 2 publishers (/stranger)"))
    assert "/stranger" in supervisor.machine.reason
    supervisor.judge("speakers", None)
    assert "speakers" not in supervisor.wrong


@pytest.mark.parametrize("why", ["it jumped by 20 cm: its measurements are rejected", "it has not been seen for 0.4 s"])
def test_the_hold_says_whether_a_lost_object_jumped_or_is_not_seen(supervisor, why):
    supervisor.p.required_nodes = ["object_filter"]
    values = [KeyValue(key="missing", value=why)]
    supervisor.on_diagnostics(DiagnosticArray(status=[DiagnosticStatus(name="object_filter: state", values=values)]))
    supervisor.on_object(object_state(sigma=0.04))
    assert supervisor.machine.state is State.HOLDING
    assert supervisor.machine.reason == f"the object is lost: {why}; its position sigma is 4.0 cm"


def object_state(sigma: float) -> Odometry:
    known = ObjectState(0.0, np.array([0.4, 0, 0.1, 1, 0, 0, 0]), np.zeros(6), np.eye(12) * sigma**2)
    return messages.object_state(messages.to_stamp(1000.0), known)


def test_a_pressed_button_is_a_fault_that_no_reset_leaves(supervisor):
    supervisor.on_estop(Bool(data=True))
    assert supervisor.machine.state is State.FAULT
    assert "pressed" in supervisor.reset()
    supervisor.on_estop(Bool(data=False))
    assert supervisor.machine.state is State.FAULT
    assert supervisor.reset() == ""
    assert supervisor.machine.state is State.INACTIVE


def test_an_emergency_stop_in_a_fault_is_answered_with_success(supervisor):
    supervisor.apply(Event.DRIVER_FAULT, "the bus is unplugged")
    assert supervisor.stop_all() == ""
    assert supervisor.machine.reason == "the bus is unplugged"


def test_a_button_that_falls_silent_counts_as_pressed(supervisor):
    supervisor.p.estop_timeout = 0.3
    supervisor.buttons.heard["/safety/estop_input"] -= 1.0
    supervisor.check()
    assert supervisor.machine.state is State.FAULT
    assert "silent" in supervisor.machine.reason
    assert "silent" in supervisor.reset()


@pytest.mark.parametrize("qos", ["latched", "state"])
def test_a_button_of_either_quality_is_heard_and_none_is_called_unheard(ros_domain, capfd, qos):
    bench = NodeBench()
    try:
        supervisor = bench.start(SupervisorNode())
        button = bench.publisher(Bool, "/safety/estop_input", qos)
        assert bench.spin_until(button.get_subscription_count)
        button.publish(Bool(data=True))
        assert bench.spin_until(lambda: supervisor.machine.state is State.FAULT)
        for _ in range(10):
            bench.executor.spin_once(timeout_sec=0.02)
    finally:
        bench.close()
    assert "offering incompatible QoS" not in capfd.readouterr().err


def says(name: str, level: bytes, message: str = "") -> DiagnosticArray:
    return DiagnosticArray(status=[DiagnosticStatus(name=f"{name}: state", level=level, message=message)])


@pytest.fixture
def failed(supervisor):
    """A supervisor whose hand driver has a fault and is being activated."""
    supervisor.p.required_nodes = ["leap_driver"]
    supervisor.recovery = Recovery(supervisor, ["leap_driver"])
    supervisor.recovery.begin = lambda now: setattr(supervisor.recovery, "_end", now + 20.0)
    supervisor.recovery._asked = {"leap_driver": Future()}
    supervisor.on_diagnostics(says("leap_driver", DiagnosticStatus.ERROR, "the bus is unplugged"))
    assert supervisor.reset() == ""
    return supervisor


def test_a_reset_waits_until_nobody_has_a_fault(failed):
    assert failed.machine.state is State.FAULT and "activating leap_driver" in failed.machine.reason
    failed.on_diagnostics(says("leap_driver", DiagnosticStatus.OK))
    failed.go_on_resetting()
    assert failed.machine.state is State.INACTIVE


def test_an_emergency_stop_ends_a_reset_that_is_under_way(failed):
    failed.apply(Event.ESTOP, "emergency stop")
    failed.on_diagnostics(says("leap_driver", DiagnosticStatus.OK))
    failed.check()
    assert failed.machine.state is State.FAULT and failed.machine.reason == "emergency stop"


def test_a_reset_that_takes_too_long_is_given_up(failed):
    failed.recovery._end = failed.steady() - 1.0
    failed.check()
    assert failed.machine.state is State.FAULT
    assert failed.machine.reason == "not reset: leap_driver: the bus is unplugged"
    assert not failed.recovery.under_way


def test_a_node_that_is_not_there_cannot_be_reset(supervisor):
    supervisor.p.required_nodes = ["leap_driver"]
    supervisor.recovery = Recovery(supervisor, ["leap_driver"])
    supervisor.on_diagnostics(says("leap_driver", DiagnosticStatus.ERROR, "it broke"))
    supervisor.reset()
    assert supervisor.machine.state is State.FAULT and supervisor.machine.reason == "not reset: leap_driver: it broke"


def test_a_supervisor_that_was_late_holds_as_its_drivers_did(supervisor):
    supervisor.alive_at -= 10.0
    supervisor.watch_ourselves()
    assert supervisor.machine.state is State.HOLDING
    assert "the supervisor was delayed" in supervisor.machine.reason


def test_a_required_process_that_has_ended_is_a_fault(supervisor):
    supervisor.p.required_nodes, supervisor.here = ["shaper"], {"shaper"}
    supervisor.beats["shaper"] = supervisor.steady()
    supervisor.check()
    assert supervisor.machine.state is State.FAULT
    assert supervisor.machine.reason == "the process of shaper has ended"


def test_a_process_that_ends_when_nothing_moves_is_no_fault(supervisor):
    supervisor.machine.handle(Event.FINISH)
    supervisor.p.required_nodes, supervisor.here = ["shaper"], {"shaper"}
    supervisor.beats["shaper"] = supervisor.steady()
    supervisor.check()
    assert supervisor.machine.state is not State.FAULT


def test_an_arm_with_a_large_tracking_error_is_a_fault(supervisor):
    supervisor.on_command("/franka/joint_states", arm_state(1.0, MIDDLE))
    for k in range(30):
        supervisor.on_joints("/franka/joint_states", arm_state(1.0 + k / 60, MIDDLE + 0.5))
    assert supervisor.machine.state is State.FAULT
    assert "tracking error" in supervisor.machine.reason


@pytest.mark.parametrize("told", ["target", "command"])
def test_what_is_not_finite_holds(supervisor, told):
    if told == "target":
        supervisor.on_target(JointState(position=[float("nan")] * 22))
    else:
        supervisor.on_command("/franka/joint_states", arm_state(1.0, np.full(7, np.nan)))
    assert supervisor.machine.state is State.HOLDING
    assert "not finite" in supervisor.machine.reason


def test_a_supervisor_that_is_back_is_obeyed_only_when_it_starts_anew():
    driver = LeapDriverNode.__new__(LeapDriverNode)  # its state alone; no node is needed
    driver.previous, driver.abandoned_t0, driver.safety = None, 5.0, messages.Safety(State.FAULT)
    driver.speakers = SimpleNamespace(first=lambda: "")

    def say(state: State, t0: float) -> bool:
        driver.on_safety(messages.safety_state(messages.Safety(state, "", t0), messages.to_stamp(1.0)))
        return driver.safety.moving

    assert not say(State.TRACKING, 5.0)
    assert say(State.TRACKING, 6.0)
    driver.abandoned_t0, driver.safety = 6.0, messages.Safety(State.FAULT)
    assert not say(State.READY, 0.0)
    assert say(State.TRACKING, 6.0)


# Nothing but its lifecycle ends the watch, and stops are heard in all of it


def ask(node: SupervisorNode, decide) -> Trigger.Response:
    return node.answer(decide, Trigger.Request(), Trigger.Response())


@pytest.fixture
def said(supervisor):
    """The safety states that it publishes, as drivers read them."""
    heard: list[messages.Safety] = []
    supervisor.publisher.publish = lambda message: heard.append(messages.read_safety_state(message))
    return heard


def test_an_error_of_its_own_is_a_fault_that_a_reset_leads_out_of(supervisor, said):
    supervisor.inputs.see = lambda *a: 1 / 0
    supervisor.hear(
        "/franka/joint_states", lambda m: supervisor.on_joints("/franka/joint_states", m), arm_state(1.0, MIDDLE)
    )
    assert said[-1].state is State.FAULT and "ZeroDivisionError" in said[-1].reason
    assert supervisor.state == "active"
    assert supervisor.reset() == "" and said[-1].state is State.INACTIVE


def test_an_error_in_every_check_is_logged_once_and_stays_a_fault(supervisor, capfd):
    supervisor.ended = lambda: 1 / 0
    for _ in range(5):
        supervisor.guarded(supervisor.check)
    assert supervisor.machine.state is State.FAULT and capfd.readouterr().err.count("Traceback") == 1


@pytest.mark.parametrize("message", [temperature(0.0), arm_state(1.0, MIDDLE)])
def test_a_message_that_cannot_be_is_refused_and_changes_nothing(supervisor, message):
    if isinstance(message, DiagnosticArray):
        message.status[0].values[0].value = "n/a"
        supervisor.hear("/diagnostics", supervisor.on_diagnostics, message)
    else:
        message.name = [f"joint{k}" for k in range(7)]
        supervisor.hear("/joints", lambda m: supervisor.on_joints("/franka/joint_states", m), message)
        supervisor.hear("/joints", lambda m: supervisor.on_command("/franka/joint_states", m), message)
    assert supervisor.machine.state is State.TRACKING and supervisor.state == "active"
    [topic] = supervisor.refusals.counts
    assert ("'n/a' is not a number" if topic == "/diagnostics" else "joint0") in supervisor.refusals.why(topic)


def test_an_error_beside_a_value_that_is_no_number_still_counts(supervisor):
    message = temperature(0.0)
    message.status[0].values[0].value = "n/a"
    message.status.append(DiagnosticStatus(name="leap_driver: state", level=DiagnosticStatus.ERROR, message="it broke"))
    supervisor.hear("/diagnostics", supervisor.on_diagnostics, message)
    assert supervisor.machine.state is State.FAULT and "it broke" in supervisor.machine.reason


def test_diagnostics_of_a_node_that_is_not_required_count_for_nothing(supervisor):
    message = temperature(99.0)
    message.status[0].name, message.status[0].level = "printer: state", DiagnosticStatus.ERROR
    supervisor.on_diagnostics(message)
    assert supervisor.machine.state is State.TRACKING


def test_its_last_state_is_true(supervisor, said):
    supervisor.trigger_deactivate()
    assert (said[-1].state, said[-1].reason) == (State.INACTIVE, "the supervisor was deactivated")
    supervisor.trigger_cleanup()
    assert (said[-1].state, said[-1].reason) == (State.INACTIVE, "the supervisor is not configured")


@pytest.mark.parametrize("lifecycle", ["active", "inactive", "unconfigured"])
def test_stops_are_honoured_in_every_state_of_the_lifecycle(supervisor, said, lifecycle):
    if lifecycle != "active":
        supervisor.trigger_deactivate()
    if lifecycle == "unconfigured":
        supervisor.trigger_cleanup()
    assert supervisor.state == lifecycle
    assert ask(supervisor, supervisor.ask_to_stop).success and not said[-1].moving
    assert ask(supervisor, supervisor.stop_all).success and said[-1].state is State.FAULT
    supervisor.hear("/safety/estop_input", supervisor.on_estop, Bool(data=True))
    assert supervisor.buttons.pressed


@pytest.mark.parametrize("state", list(State))
def test_stops_are_honoured_in_every_safety_state(supervisor, said, state):
    supervisor.machine.state = state
    assert ask(supervisor, supervisor.ask_to_stop).success and not said[-1].moving
    assert ask(supervisor, supervisor.stop_all).success and said[-1].state is State.FAULT


def test_what_is_not_active_starts_and_resets_nothing_and_gives_the_reason(supervisor):
    supervisor.trigger_deactivate()
    supervisor.stop_all()
    for decide in (supervisor.begin_tracking, supervisor.reset):
        answer = ask(supervisor, decide)
        assert not answer.success and "rejected: the supervisor is inactive" in answer.message


def test_a_fault_outlasts_a_deactivation(supervisor):
    supervisor.on_estop(Bool(data=True))
    supervisor.trigger_deactivate()
    supervisor.trigger_activate()
    assert supervisor.machine.state is State.FAULT and "pressed" in supervisor.reset()


def test_a_start_on_inputs_that_are_stale_is_refused_with_the_input(supervisor):
    supervisor.machine.handle(Event.FINISH)
    answer = ask(supervisor, supervisor.begin_tracking)
    assert not answer.success and "/object/state has not arrived" in answer.message


def ready(supervisor) -> None:
    """All inputs are there, and nothing is missing."""
    supervisor.p.required_nodes = []
    supervisor.judge_inputs = lambda: (Event.INPUTS_READY, "all inputs are fresh")
    supervisor.inputs.stamps["/object/state"] = 1.0
    supervisor.check()


@pytest.mark.parametrize("stop", ["estop", "stop", "fault", "bad input"])
def test_after_a_stop_or_a_fault_a_loop_waits_for_a_person(supervisor, stop):
    supervisor.p.auto_start = supervisor.armed = True
    if stop == "estop":
        supervisor.stop_all()
    elif stop == "stop":
        supervisor.ask_to_stop()
    else:
        supervisor.apply(Event.DEAD_NODE if stop == "fault" else Event.STALE, "x")
    supervisor.reset()
    ready(supervisor)
    supervisor.on_episode(messages.episode("start", 2, messages.to_stamp(2.0)))  # the rig was reset
    supervisor.check()
    assert supervisor.machine.moving == (stop == "bad input")
    supervisor.begin_tracking()
    supervisor.on_episode(messages.episode("end", 2, messages.to_stamp(2.0)))
    supervisor.on_episode(messages.episode("start", 3, messages.to_stamp(2.0)))
    supervisor.check()
    assert supervisor.machine.moving  # and then the loop goes on


def test_an_invalid_mark_starts_nothing(supervisor):
    supervisor.armed = True
    supervisor.machine.handle(Event.FINISH)
    supervisor.hear("/rig/episode", supervisor.on_episode, messages.episode("soon", 1, messages.to_stamp(1.0)))
    assert not supervisor.wants_start and "is not a clip marker" in supervisor.refusals.why("/rig/episode")


def test_what_is_missing_stands_beside_inactive(supervisor, said):
    supervisor.machine.state = State.INACTIVE
    supervisor.check()
    assert said and "no heartbeat from leap_driver" in supervisor.machine.reason
    assert "/object/state has not arrived" in supervisor.machine.reason


def ends(name: str, stamp: float) -> DiagnosticArray:
    message = DiagnosticArray(
        status=[DiagnosticStatus(name=f"{name}: state", values=[KeyValue(key="ending", value="asked to")])]
    )
    message.header.stamp = messages.to_stamp(stamp)
    return message


def test_a_node_that_ends_as_it_was_asked_to_is_a_hold_and_no_fault(supervisor, capfd):
    supervisor.here = {"leap_driver"}
    supervisor.beats["leap_driver"] = supervisor.steady() - 10.0
    supervisor.on_diagnostics(ends("leap_driver", 5.0))
    supervisor.check()
    assert supervisor.machine.state is State.HOLDING and "leap_driver ends: asked to" in supervisor.machine.reason
    assert "[WARN]" not in capfd.readouterr().err
    supervisor.on_heartbeat(Header(stamp=messages.to_stamp(4.9), frame_id="leap_driver"))
    assert supervisor.leaving
    supervisor.on_heartbeat(Header(stamp=messages.to_stamp(6.0), frame_id="leap_driver"))  # started again
    assert not supervisor.leaving


def test_an_automatic_start_waits_for_the_first_look_but_not_for_ever(supervisor):
    now = 100.0
    supervisor.steady = lambda: now
    supervisor.p.view_wait, supervisor.looked = 30.0, False
    assert not supervisor.watched()
    now += 29.0
    assert not supervisor.watched()
    now += 2.0
    assert supervisor.watched()
    supervisor.looked = False
    supervisor.on_look(Header())
    assert supervisor.watched()
