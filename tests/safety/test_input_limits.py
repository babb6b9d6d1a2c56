"""Where exactly an input is stale, a clock has stepped and a condition has lasted: at its limit, not beside it.

Times are multiples of 1/8 s, so that sums and differences are exact.
"""

import numpy as np
import pytest

from dexhot.safety.inputs import InputMonitor, freshness
from dexhot.safety.joint_watch import STRAIN, JointBounds, JointWatch, Sustained
from dexhot.safety.limits import Limits
from dexhot.safety.machine import Event, SafetyMachine, State

EIGHTH = 0.125


def monitor() -> InputMonitor:
    return InputMonitor(("a",), max_age=EIGHTH, max_step=2 * EIGHTH)


@pytest.mark.parametrize(
    ("age", "event"),
    [
        (EIGHTH, Event.INPUTS_READY),
        (1.01 * EIGHTH, Event.STALE),
        (-EIGHTH, Event.INPUTS_READY),
        (-1.01 * EIGHTH, Event.STALE),
    ],
)
def test_an_input_at_its_limit_is_fresh(age, event):
    seen = monitor()
    seen.see("a", 10.0)
    assert seen.check(10.0 + age)[0] is event


def test_a_stale_input_is_named_with_its_age_and_limit():
    seen = monitor()
    seen.see("a", 10.0)
    assert seen.check(12.0)[1] == "a is 2000 ms old, the limit is 125 ms"
    assert seen.check(10.1252)[1] == "a is 125.2 ms old, the limit is 125 ms"  # never "125 ms old, the limit is 125 ms"
    assert seen.check(8.0)[1] == "a is stamped 2000 ms in the future: are the clocks synchronised?"


def test_before_the_simulated_clock_is_heard_nothing_is_said_to_be_in_the_future():
    seen = monitor()
    seen.see("a", 1.8e9)
    event, reason = seen.check(0.0)
    assert event is Event.STALE and "no /clock" in reason
    seen.see("a", 1.8e9, finite=False)
    assert seen.check(0.0)[0] is Event.NON_FINITE


@pytest.mark.parametrize(
    ("ahead", "steady", "steps"),
    [
        (0.0, 0.0, False),
        (-EIGHTH, 1.0, False),
        (-2 * EIGHTH, 1.0, True),  # back by max_step
        (-3 * EIGHTH, 1.0, True),
        (1.0 + EIGHTH, 1.0, False),
        (1.0 + 2 * EIGHTH, 1.0, True),  # ahead of the steady clock by max_step
        (5.0, 5.0, False),  # a pause is none
    ],
)
def test_a_clock_steps_when_stamps_leave_the_steady_clock(ahead, steady, steps):
    seen = monitor()
    seen.see("a", 10.0, steady=100.0)
    seen.see("a", 10.0 + ahead, steady=100.0 + steady)
    event, reason = seen.check(10.0 + ahead)
    assert event is (Event.CLOCK_STEP if steps else Event.INPUTS_READY)
    assert not steps or f"jumped by {ahead:.2f} s" in reason


def test_a_step_is_measured_from_the_last_message_of_that_stream():
    seen = InputMonitor(("a", "b"), max_age=1.0, max_step=2 * EIGHTH)
    for k in range(20):
        seen.see("a", 10.0 + k * EIGHTH, steady=100.0 + k * EIGHTH)
    seen.see("b", 12.0, steady=102.0)
    assert seen.check(12.5)[0] is Event.INPUTS_READY


def test_a_value_that_is_not_finite_comes_before_one_that_is_missing():
    seen = InputMonitor(("a", "b"))
    seen.see("b", 10.0, finite=False)
    assert seen.check(10.0)[0] is Event.NON_FINITE
    seen.see("b", 10.0)
    assert seen.check(10.0)[0] is Event.STALE


@pytest.mark.parametrize(("age", "refused"), [(EIGHTH, False), (0.126, True), (-EIGHTH, False), (-0.126, True)])
def test_a_command_at_its_limit_is_driven(age, refused):
    assert bool(freshness(age, EIGHTH)) is refused


def test_a_refused_command_is_named_with_its_age_and_limit():
    assert freshness(2.0, 0.1) == "the command is 2000 ms old, the limit is 100 ms"
    assert freshness(-2.0, 0.1).startswith("the command's stamp lies 2000 ms in the future")


def test_each_event_that_moved_the_machine_is_counted():
    machine = SafetyMachine()
    assert machine.state is State.INACTIVE and machine.reason == "not started"
    for event in (Event.INPUTS_READY, Event.STOP, Event.INPUTS_READY, Event.STOP, Event.STOP):
        machine.handle(event)
    assert machine.counts == {Event.INPUTS_READY: 2, Event.STOP: 2}
    assert machine.reason == "stop"


def test_commands_are_limited_below_and_above_and_each_clamped_entry_counts():
    limits = Limits(np.full(4, -1.0), np.full(4, 1.0), np.full(4, 8.0), np.ones(4))
    for _ in range(2):
        safe = limits.apply(np.array([5.0, -5.0, 0.5, -0.5]), np.array([0.5, -0.5, 0.5, 0.5]), EIGHTH)
        np.testing.assert_array_equal(safe, [1.0, -1.0, 0.5, -0.5])
    assert limits.clamped == 4


def test_a_command_moves_at_most_by_its_velocity_in_either_direction():
    limits = Limits(np.full(2, -9.0), np.full(2, 9.0), np.array([8.0, 4.0]), np.ones(2))
    np.testing.assert_array_equal(limits.apply(np.full(2, 5.0), np.zeros(2), EIGHTH), [1.0, 0.5])
    np.testing.assert_array_equal(limits.apply(np.full(2, -5.0), np.zeros(2), EIGHTH), [-1.0, -0.5])


def test_a_condition_has_lasted_at_its_patience_and_anew_after_a_pause():
    condition = Sustained(2 * EIGHTH)
    assert [condition.see(True, 10.0 + k * EIGHTH) for k in range(4)] == [False, False, True, True]
    condition.see(False, 10.5)
    assert [condition.see(True, 10.5 + k * EIGHTH) for k in range(3)] == [False, False, True]


def test_the_same_stamp_twice_is_not_a_new_beginning():
    condition = Sustained(EIGHTH)
    assert [condition.see(True, stamp) for stamp in (10.0, 10.0, 10.125, 10.125)] == [False, False, True, True]


@pytest.fixture
def watch() -> JointWatch:
    return JointWatch("fr3", JointBounds(divergence=0.5, margin=0.25, strain_time=8.0, patience=2.0))


def found(watch: JointWatch, q: np.ndarray, effort: np.ndarray | None = None, seconds: int = 9):
    seen = [watch.see(float(k), q, np.zeros(7) if effort is None else effort) for k in range(seconds)]
    return seen[-1] and seen[-1][0]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("error", "event"), [(0.49, None), (0.51, Event.DIVERGED)])
def test_a_joint_diverges_beyond_the_bound_in_either_direction(watch, sign, error, event):
    middle = 0.5 * (watch.lower + watch.upper)
    watch.commanded(middle)
    assert found(watch, middle + sign * error * (np.arange(7) == 2)) is event


@pytest.mark.parametrize(("beyond", "event"), [(0.24, None), (0.26, Event.OUT_OF_LIMITS)])
def test_a_joint_is_out_of_limits_beyond_the_margin_at_either_end(watch, beyond, event):
    assert found(watch, watch.upper + beyond * (np.arange(7) == 2)) is event
    assert found(watch, watch.lower - beyond * (np.arange(7) == 4)) is event


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("share", "seconds", "event"),
    [(STRAIN - 0.01, 20, None), (STRAIN + 0.01, 8, None), (STRAIN + 0.01, 9, Event.STRAINED)],
)
def test_a_joint_is_strained_above_95_percent_of_its_torque_for_that_long(watch, sign, share, seconds, event):
    middle = 0.5 * (watch.lower + watch.upper)
    watch.commanded(middle)
    assert found(watch, middle, sign * share * watch.effort * (np.arange(7) == 5), seconds) is event
    assert STRAIN == 0.95


def test_bounds_have_a_patience_of_200_ms_and_stay_as_they_are():
    bounds = JointBounds(0.1, 0.1, 1.0)
    assert bounds.patience == 0.2 and hash(bounds) == hash(JointBounds(0.1, 0.1, 1.0))
