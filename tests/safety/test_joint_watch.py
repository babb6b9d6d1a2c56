"""What the supervisor makes of measured joints and of stamps."""

import numpy as np
import pytest

from dexhot.robots.servos import profile
from dexhot.safety.inputs import InputMonitor
from dexhot.safety.joint_watch import JointBounds, JointWatch, Sustained
from dexhot.safety.machine import Event

BOUNDS = JointBounds(divergence=0.3, margin=0.1, strain_time=1.0, patience=0.2)
STILL = np.zeros(7)


@pytest.fixture
def watch() -> JointWatch:
    made = JointWatch("fr3", BOUNDS)
    made.middle = 0.5 * (made.lower + made.upper)
    return made


def seen(watch: JointWatch, q: np.ndarray, effort: np.ndarray = STILL, seconds: float = 2.0):
    """What the watch makes of a state that lasts."""
    found = [watch.see(10.0 + k / 60, q, effort) for k in range(round(60 * seconds))]
    return next((f for f in found if f), None)


def test_a_condition_counts_only_when_it_lasts():
    condition = Sustained(0.2)
    assert [
        condition.see(bad, t) for bad, t in ((True, 0.0), (True, 0.1), (False, 0.15), (True, 0.2), (True, 0.39))
    ] == [False] * 5
    assert condition.see(True, 0.41)


def test_stamps_that_jump_back_begin_anew():
    condition = Sustained(0.2)
    assert not condition.see(True, 10.0) and not condition.see(True, 5.0) and condition.see(True, 5.2)


def test_a_joint_away_from_its_command_is_named(watch):
    watch.commanded(watch.middle)
    event, reason = seen(watch, watch.middle + 0.4 * (np.arange(7) == 3))
    assert event is Event.DIVERGED and "fr3_joint4 has a tracking error of 0.40 rad" in reason


def test_a_moment_away_is_nothing(watch):
    watch.commanded(watch.middle)
    assert seen(watch, watch.middle + 0.4, seconds=0.15) is None


def test_without_a_command_nothing_diverges(watch):
    watch.commanded(watch.middle)
    watch.commanded(None)
    assert seen(watch, watch.middle + 0.4) is None


def test_a_command_beyond_the_limits_is_compared_as_the_driver_clamps_it(watch):
    watch.commanded(watch.upper + 20.0)
    assert seen(watch, watch.upper) is None


def test_a_joint_beyond_its_limit_is_named(watch):
    event, reason = seen(watch, watch.upper + 0.15 * (np.arange(7) == 6))
    assert event is Event.OUT_OF_LIMITS and "fr3_joint7 is 0.15 rad beyond" in reason


@pytest.mark.parametrize(("driven", "expected"), [(True, Event.STRAINED), (False, None)])
def test_a_driven_joint_that_works_at_its_torque_limit_is_strained(watch, driven, expected):
    watch.commanded(watch.middle if driven else None)
    found = seen(watch, watch.middle, watch.effort * (np.arange(7) == 1))
    assert (found and found[0]) is expected


def test_a_stamp_in_the_future_is_no_fresh_input():
    monitor = InputMonitor(("a",))
    monitor.see("a", 100.0)
    event, reason = monitor.check(90.0)
    assert event is Event.STALE and "10000 ms in the future" in reason


@pytest.mark.parametrize("step", [10.0, -10.0])
def test_a_clock_that_is_set_is_reported_once(step):
    monitor = InputMonitor(("a",))
    monitor.see("a", 100.0, steady=1.0)
    monitor.see("a", 100.02 + step, steady=1.02)
    event, reason = monitor.check(100.02 + step)
    assert event is Event.CLOCK_STEP and "jumped" in reason
    assert monitor.check(100.02 + step)[0] is Event.INPUTS_READY


def test_a_stream_that_pauses_or_comes_in_a_burst_is_no_step_of_the_clock():
    monitor = InputMonitor(("a",))
    for stamp, steady in ((100.0, 1.0), (105.0, 6.0), (105.1, 6.0), (105.2, 6.0), (105.2, 9.0)):
        monitor.see("a", stamp, steady=steady)
    assert monitor.check(105.2)[0] is Event.INPUTS_READY


def test_a_grip_at_the_servos_current_limit_for_a_minute_is_no_strain():
    """What a hand holds with all its current it may hold on: heat is watched apart, and the joints bear 0.95 N m."""
    watch = JointWatch("leap_right", JointBounds(divergence=10.0, margin=0.1, strain_time=20.0))
    q = 0.5 * (watch.lower + watch.upper)
    watch.commanded(q + 0.2)
    assert seen(watch, q, np.full(16, profile("leap").torque), seconds=60.0) is None
    event, _ = seen(watch, q, np.full(16, 0.95), seconds=60.0)
    assert event is Event.STRAINED
