"""For any goal, the commands to the arm keep every limit."""

import numpy as np
import pytest

from dexhot.errors import DexhotError
from dexhot.hardware.franka.clock_watch import ClockWatch
from dexhot.hardware.franka.limits import (
    DECELERATION,
    OFFSET,
    STEP,
    MotionLimits,
    Setpoint,
    _fits,
    fr3_limits,
    stopping_distance,
)
from dexhot.robots.joint_table import joint_table

STEPS = 1200
ROUNDING = 1e-9
HOME = np.array([0.0, -0.785, 0.0, -2.356, 0.0, 1.571, 0.785])


def some_limits(rng: np.random.Generator, n: int = 24) -> MotionLimits:
    """Joints from slow and soft to fast and stiff."""
    acceleration = 10 ** rng.uniform(0, 1.5, n)
    return MotionLimits(
        lower=-rng.uniform(0.2, 2, n),
        upper=rng.uniform(0.2, 2, n),
        velocity=10 ** rng.uniform(-1, 1, n),
        acceleration=acceleration,
        jerk=acceleration * 10 ** rng.uniform(0.7, 3, n),
        braking=acceleration * rng.uniform(0.3, 0.9, n),
        reserve=rng.uniform(0, 0.1, n),
    )


def goals(kind: str, limits: MotionLimits, rng: np.random.Generator):
    """Commands of somebody who wants to break the arm: (goal, velocity) for every step."""
    n = len(limits.lower)
    goal, velocity = rng.uniform(limits.lower, limits.upper), np.zeros(n)
    for _ in range(STEPS):
        if kind == "jumps" and rng.random() < 0.02:
            goal = rng.uniform(limits.lower - 1, limits.upper + 1)
        elif kind == "noise":
            goal, velocity = rng.uniform(limits.lower - 3, limits.upper + 3), rng.normal(0, 10, n)
        elif kind == "ends" and rng.random() < 0.005:
            far = np.where(rng.random(n) < 0.5, -1e6, 1e6)
            goal, velocity = far, 100 * np.sign(far) * rng.integers(0, 2)
        elif kind == "speeds" and rng.random() < 0.1:
            velocity = rng.normal(0, 3, n)
        yield goal, velocity


def told(kind: str, limits: MotionLimits, seed: int) -> np.ndarray:
    """(STEPS + 3, n) positions; it stands still at the start."""
    rng = np.random.default_rng(seed)
    setpoint = Setpoint(limits)
    setpoint.reset(rng.uniform(limits.lower, limits.upper))
    path = [setpoint.q] * 3
    for goal, velocity in goals(kind, limits, rng):
        setpoint.step(goal, velocity)
        path.append(setpoint.q)
    return np.array(path)


@pytest.mark.parametrize("kind", ["jumps", "noise", "ends", "speeds"])
@pytest.mark.parametrize("robot", ["fr3", "any", "other"])
def test_no_sequence_of_goals_leads_out_of_the_limits(kind, robot):
    seed = ["fr3", "any", "other"].index(robot)
    limits = some_limits(np.random.default_rng(100 + seed)) if seed else fr3_limits()
    q = told(kind, limits, seed)
    v, a, j = (np.diff(q, order, axis=0) / STEP**order for order in (1, 2, 3))
    assert (q >= limits.lower - ROUNDING).all() and (q <= limits.upper + ROUNDING).all()
    assert (np.abs(v) <= limits.velocity + ROUNDING).all()
    assert (np.abs(a) <= limits.acceleration + 1e-6).all()
    assert (np.abs(j) <= limits.jerk * (1 + 1e-6) + 1e-2).all()  # third differences of 1e-16 over 1e-9


@pytest.mark.parametrize("kind", ["jumps", "noise", "ends"])
def test_the_fr3s_velocity_limits_that_shrink_towards_the_ends_are_kept(kind):
    q = told(kind, fr3_limits(), seed=7)
    v = np.diff(q, axis=0) / STEP
    joints = joint_table("fr3")
    room_up, room_down = np.array([j.upper for j in joints]) - q[1:], q[1:] - np.array([j.lower for j in joints])
    for room, speed in ((room_up, v), (room_down, -v)):
        allowed = np.sqrt(DECELERATION * np.maximum(room + 0.0035, 0.0)) - OFFSET  # libfranka's ends lie further out
        assert (speed <= np.maximum(allowed, 0.0) + 1e-9).all()


def test_goals_that_keep_the_limits_are_followed():
    setpoint = Setpoint(fr3_limits())
    setpoint.reset(HOME)
    for k in range(1, 2001):
        t = k * STEP
        goal = HOME + 0.1 * (1 - np.cos(np.pi * t))
        setpoint.step(goal, np.full(7, 0.1 * np.pi * np.sin(np.pi * t)))
    assert np.abs(setpoint.q - goal).max() < 1e-3
    assert setpoint.limited["position"] == setpoint.limited["velocity"] == setpoint.limited["acceleration"] == 0


def test_a_far_goal_is_reached_without_passing_it():
    setpoint = Setpoint(fr3_limits())
    setpoint.reset(HOME)
    path = []
    for _ in range(3000):
        setpoint.step(HOME + 1.0, np.zeros(7))
        path.append(setpoint.q)
    assert np.abs(path[-1] - HOME - 1.0).max() < 1e-3
    assert (np.array(path) < HOME + 1.0 + 1e-3).all()


def test_what_limits_hold_back_is_counted():
    setpoint = Setpoint(fr3_limits())
    setpoint.reset(HOME)
    setpoint.step(HOME + 10.0, np.full(7, 50.0))
    assert setpoint.limited["position"] == setpoint.limited["velocity"] == setpoint.limited["jerk"] == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_and_changes_nothing(bad):
    setpoint = Setpoint(fr3_limits())
    setpoint.reset(HOME)
    goal = HOME.copy()
    goal[3] = bad
    for command in ((goal, np.zeros(7)), (HOME, goal)):
        with pytest.raises(DexhotError, match="not finite"):
            setpoint.step(*command)
    assert (setpoint.q == HOME).all()


def test_outside_the_limits_it_moves_inward_only():
    limits = fr3_limits()
    outside = HOME.copy()
    outside[1] = limits.upper[1] + 0.05
    setpoint = Setpoint(limits)
    setpoint.reset(outside)
    path = []
    for goal in [outside + 1.0] * 500 + [HOME] * 3000 + [outside] * 3000:
        setpoint.step(goal, np.zeros(7))
        path.append(setpoint.q[1])
    assert max(path) <= outside[1] + 1e-9
    assert path[-1] <= limits.upper[1] + 1e-9


def test_stopping_takes_the_distance_of_the_jerk_limited_profile():
    v, braking, jerk = 1.0, 5.0, 50.0
    expected = v**2 / (2 * braking) + v * braking / (2 * jerk)
    assert stopping_distance(v, 0.0, braking, jerk) == pytest.approx(expected)


def test_a_clock_that_stops_is_noticed_after_its_patience():
    watch = ClockWatch(0.1)
    frozen_at = next(k for k in range(100) if watch.poll(0.004 * k, 5000) or watch.frozen)
    assert 0.1 <= 0.004 * frozen_at < 0.11


def test_a_poll_that_comes_late_does_not_make_the_robot_frozen():
    watch = ClockWatch(0.1)
    watch.poll(0.0, 5000)
    watch.poll(3.0, 5000)
    assert not watch.frozen
    assert watch.poll(3.004, 5003) == 3
    assert watch.stalled == 0.0


def test_a_step_fits_only_where_the_joint_can_still_stop():
    joint = Setpoint(fr3_limits()).joints[0]
    stop = stopping_distance(1.0, 0.0, joint.braking, joint.jerk) + (joint.reserve + 2 * STEP) * 1.0
    assert _fits(joint, 1.0, 0.0, 1.01 * stop) and not _fits(joint, 1.0, 0.0, 0.99 * stop)
    assert not _fits(joint, 1.01 * joint.velocity, 0.0, 100.0)
    assert not _fits(joint, 0.999 * joint.velocity, joint.acceleration, 100.0)  # jerk carries it beyond
    assert _fits(joint, -1.0, 0.0, 0.0)  # it moves away


def test_the_setpoint_takes_no_step_that_does_not_fit():
    """Goals whose velocities the follower alone would answer with a step out of the limits."""
    limits = some_limits(np.random.default_rng(105))
    q = told("speeds", limits, seed=5)
    assert (q >= limits.lower - ROUNDING).all() and (q <= limits.upper + ROUNDING).all()


def test_the_steps_of_an_advance_are_those_of_single_cycles_to_the_bit():
    """Numbers of the plain implementation, joint by joint in every cycle: judged results rest on them."""
    limits, rng = fr3_limits(), np.random.default_rng(7)
    setpoint = Setpoint(limits)
    setpoint.reset(0.5 * (limits.lower + limits.upper))
    for k in range(200):
        if k % 5 == 0:
            setpoint.command(rng.uniform(limits.lower - 0.5, limits.upper + 0.5), rng.normal(0, 2, 7))
        setpoint.advance(4 + k % 2)
    assert setpoint.q.tolist() == [
        0.35340566359313336,
        -0.17597785763736337,
        -0.16807143759380902,
        -0.8604647017047146,
        -0.797748550160193,
        2.735784826205876,
        -0.7928029433983482,
    ]
    assert setpoint.limited == {"position": 674, "velocity": 894, "acceleration": 900, "jerk": 118}
