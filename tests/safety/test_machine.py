import numpy as np
import pytest

from dexhot.errors import NotFoundError
from dexhot.safety.inputs import InputMonitor, freshness
from dexhot.safety.limits import Limits
from dexhot.safety.machine import FAULT_EVENTS, HOLD_EVENTS, TRANSITIONS, Event, SafetyMachine, State


def tracking() -> SafetyMachine:
    machine = SafetyMachine()
    machine.handle(Event.INPUTS_READY)
    machine.handle(Event.START)
    return machine


def test_motion_is_accepted_in_tracking_alone():
    assert [s for s in State if SafetyMachine(s).moving] == [State.TRACKING]


def test_tracking_begins_only_from_ready():
    assert [s for s, e in TRANSITIONS if e is Event.START] == [State.READY]


@pytest.mark.parametrize("event", HOLD_EVENTS)
def test_a_bad_input_holds(event):
    machine = tracking()
    assert machine.handle(event, "why") and machine.state is State.HOLDING and machine.reason == "why"


@pytest.mark.parametrize("event", FAULT_EVENTS)
@pytest.mark.parametrize("state", [s for s in State if s is not State.FAULT])
def test_a_fault_is_reached_from_everywhere(state, event):
    machine = SafetyMachine(state)
    assert machine.handle(event) and machine.state is State.FAULT


def test_a_fault_is_left_by_reset_alone():
    assert [e for (s, e), new in TRANSITIONS.items() if s is State.FAULT and new is not State.FAULT] == [Event.RESET]


def test_a_reset_does_not_lead_to_motion():
    machine = SafetyMachine(State.FAULT)
    machine.handle(Event.RESET)
    assert machine.state is State.INACTIVE


def test_the_first_reason_of_a_fault_stays():
    machine = tracking()
    machine.handle(Event.ESTOP, "button")
    assert not machine.handle(Event.DEAD_NODE, "later") and machine.reason == "button"


def test_a_hold_needs_a_new_start_to_move_again():
    machine = tracking()
    machine.handle(Event.STALE)
    machine.handle(Event.INPUTS_READY)
    assert machine.state is State.READY


def test_inputs_are_ready_when_all_are_fresh():
    monitor = InputMonitor(("a", "b"))
    monitor.see("a", 1.0)
    monitor.see("b", 1.05)
    assert monitor.check(1.08)[0] is Event.INPUTS_READY


def test_an_unseen_input_is_named():
    monitor = InputMonitor(("a", "b"))
    monitor.see("a", 1.0)
    assert monitor.check(1.0) == (Event.STALE, "b has not arrived")


def test_an_old_input_is_stale_after_100_ms():
    monitor = InputMonitor(("a",))
    monitor.see("a", 1.0)
    assert monitor.check(1.0999)[0] is Event.INPUTS_READY
    assert monitor.check(1.1001)[0] is Event.STALE


def test_a_non_finite_input_is_reported():
    monitor = InputMonitor(("a",))
    monitor.see("a", 1.0, finite=False)
    assert monitor.check(1.0)[0] is Event.NON_FINITE


def test_an_unknown_stream_lists_the_known_ones():
    with pytest.raises(NotFoundError, match="a, b"):
        InputMonitor(("a", "b")).see("c", 0.0)


def test_limits_leave_a_good_command_alone():
    limits = Limits(np.full(2, -1.0), np.full(2, 1.0), np.full(2, 6.0), np.ones(2))
    command = np.array([0.05, -0.05])
    assert (limits.apply(command, np.zeros(2), 1 / 60) == command).all() and limits.clamped == 0


def test_limits_clamp_and_count():
    limits = Limits(np.full(3, -1.0), np.full(3, 1.0), np.array([60.0, 6.0, 60.0]), np.ones(3))
    safe = limits.apply(np.array([5.0, 0.5, 0.2]), np.array([0.9, 0.0, 0.0]), 1 / 60)
    np.testing.assert_allclose(safe, [1.0, 0.1, 0.2])
    assert limits.clamped == 2


def test_an_old_or_future_command_is_refused_with_its_age():
    assert freshness(0.05, 0.1) == ""
    assert "150 ms old" in freshness(0.15, 0.1)
    assert "future" in freshness(-1.0, 0.1)


def test_limits_come_from_the_joint_table():
    assert Limits.of("fr3").upper.shape == (7,)
    np.testing.assert_allclose(Limits.of("leap_right", 0.5).velocity, 0.5 * Limits.of("leap_right").velocity)
