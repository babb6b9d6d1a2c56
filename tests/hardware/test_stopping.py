"""How the arm's setpoint stops: the closed forms against profiles that are integrated, and each limit at its edge."""

import numpy as np
import pytest

from dexhot.hardware.franka.limits import (
    DECELERATION,
    FLAGS,
    MARGIN,
    OFFSET,
    STEP,
    Setpoint,
    _brake,
    _fits,
    _Joint,
    _safe_speed,
    _surely_fits,
    _walk,
    fr3_limits,
    stopping_distance,
)
from dexhot.hardware.franka.load import hand_load
from dexhot.robots.joint_table import joint_table
from dexhot.robots.joints import columns
from dexhot.robots.robot_hand import load_hand

JOINT = _Joint(-1.0, 1.5, 2.0, 10.0, 100.0, 4.0, 0.05)
ENDS = (-1.0, 1.5)


def integrated(v: float, a: float, braking: float, jerk: float) -> float:
    """Way to rest of jerk down to -p, hold, jerk up to zero, in small steps."""
    p = min(np.sqrt(max(jerk * v + 0.5 * a * a, 0.0)), braking)
    x, dt, furthest = 0.0, 1e-5, 0.0
    rising = False
    for _ in range(400_000):
        if not rising and v <= a * a / (2 * jerk) and a <= 0:
            rising = True  # from here jerk up ends with the velocity
        a = min(a + jerk * dt, 0.0) if rising else max(a - jerk * dt, -p)
        v += a * dt
        if v <= 0.0:
            break
        x += v * dt
        furthest = max(furthest, x)
    return furthest


@pytest.mark.parametrize("v", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("a", [0.0, 2.0, -1.0, 5.0])
def test_the_way_to_rest_is_that_of_the_integrated_profile(v, a):
    assert stopping_distance(v, a, 4.0, 100.0) == pytest.approx(integrated(v, a, 4.0, 100.0), rel=4e-3, abs=2e-5)


def test_a_joint_that_brakes_too_hard_reverses_before_it_rests():
    """v <= a^2 / 2j: it turns round while its acceleration rises to zero; it has gone at most v |a| / j."""
    assert stopping_distance(0.4, -10.0, 4.0, 100.0) == pytest.approx(0.04)
    assert stopping_distance(-0.1, -10.0, 4.0, 100.0) == 0.0
    assert stopping_distance(0.0, 0.0, 4.0, 100.0) == 0.0
    just = stopping_distance(0.4999, -10.0, 4.0, 100.0), stopping_distance(0.5001, -10.0, 4.0, 100.0)
    assert just[0] == pytest.approx(0.04999) and just[1] < just[0]  # the bound is loose below, exact above


def test_where_a_joint_comes_to_rest_from_a_velocity():
    setpoint = Setpoint(fr3_limits())
    q, qd = np.linspace(-1, 1, 7), np.array([1.0, -1.0, 0.5, -0.5, 0.0, 2.0, -2.0])
    found = setpoint.stopping_point(q, qd)
    np.testing.assert_allclose(found, q + np.sign(qd) * qd**2 / (2 * fr3_limits().braking))


@pytest.mark.parametrize("v", [0.3, 1.0])
def test_a_safe_speed_stops_within_its_room(v):
    """With 0.8 of the braking, its reserve, the time to build it up and four steps."""
    b = 0.8 * JOINT.braking
    room = v**2 / (2 * b) + v * (JOINT.reserve + b / JOINT.jerk + 4 * STEP)
    assert _safe_speed(JOINT, room) == pytest.approx(v)
    assert _safe_speed(JOINT, 0.0) == _safe_speed(JOINT, -1.0) == 0.0


@pytest.mark.parametrize("v", [0.2, 1.0, 1.9])
@pytest.mark.parametrize("a", [0.0, 1.0, -1.0])
def test_a_step_fits_with_the_way_to_rest_and_the_reserve_of_its_peak(v, a):
    peak = v + max(a, 0.0) ** 2 / 200.0
    needed = stopping_distance(v, a, 4.0, 100.0) + (0.05 + 2 * STEP) * peak
    assert _fits(JOINT, v, a, needed * 1.0001) and not _fits(JOINT, v, a, needed * 0.9999)


def test_no_step_fits_above_the_velocity_and_every_one_away_from_the_end():
    assert _fits(JOINT, 2.0, 0.0, 9.0) and not _fits(JOINT, 2.0001, 0.0, 9.0)
    assert not _fits(JOINT, 1.99, 2.0, 9.0)  # its peak is 2.01
    assert _fits(JOINT, -0.5, 0.0, -1.0) and _fits(JOINT, 0.0, -5.0, -1.0)
    assert not _fits(JOINT, -0.01, 2.0, 0.0)  # it drifts on to +0.01


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_braking_is_as_hard_as_ends_with_the_velocity(side):
    assert _brake(JOINT, side * 0.08, 0.0) == pytest.approx(-side * 4.0)  # sqrt(2 * 100 * 0.08)
    assert _brake(JOINT, side * 1.0, 0.0) == pytest.approx(-side * 10.0)  # never beyond the acceleration
    assert _brake(JOINT, side * 0.01, -side * 2.0) == pytest.approx(0.0)  # drifts to -0.01: comes to rest by itself
    assert _brake(JOINT, side * 0.03, -side * 2.0) == pytest.approx(-side * np.sqrt(6.0))


def step(q=0.0, v=0.0, a=0.0, goal=0.0, velocity=0.0, ends=ENDS):
    held = [0]
    (_, _, new), _ = _walk(JOINT, (q, v, a), ends, [(goal, velocity)], held)
    return new, {kind for kind, flag in FLAGS.items() if held[0] & flag}


def test_which_limits_hold_a_step_back():
    assert step() == (0.0, set())
    assert step(goal=0.001, velocity=0.0)[1] == {"jerk"}
    assert step(goal=1.5)[1] == {"velocity", "acceleration", "jerk"}
    assert "position" in step(goal=1.5001)[1] and "position" in step(goal=-1.0001)[1]
    assert "velocity" in step(velocity=2.01)[1] and "velocity" not in step(velocity=1.99)[1]
    assert "velocity" in step(velocity=-2.01)[1]


def test_a_goal_beyond_an_end_has_no_velocity():
    """Towards an end, the goal's velocity would only lead out."""
    assert step(q=1.49, goal=1.6, velocity=5.0)[0] == step(q=1.49, goal=1.5, velocity=0.0)[0]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_near_its_goal_the_setpoint_follows_the_critically_damped_law(sign):
    """a = k1 (u + k2 e - v), within one step's change of the acceleration."""
    a, _ = step(v=sign * 0.1, a=0.0, goal=sign * 0.0001, velocity=sign * 0.0975)
    assert a == pytest.approx(sign * 120.0 * (0.0975 + 30 * 0.0001 - 0.1), rel=1e-9) != 0.0
    change = step(a=0.0, goal=sign * 0.5)[0]
    assert change == pytest.approx(sign * 100.0 * STEP)  # jerk


def test_the_fr3s_limits_are_frankas_with_their_margins():
    lower, upper, velocity = columns(joint_table("fr3"), "lower", "upper", "velocity")
    limits = fr3_limits(0.5)
    np.testing.assert_allclose(limits.lower, lower + 0.01)
    np.testing.assert_allclose(limits.upper, upper - 0.01)
    np.testing.assert_allclose(limits.velocity, 0.475 * velocity)
    np.testing.assert_array_equal(limits.acceleration, 10.0)
    np.testing.assert_array_equal(limits.jerk, 5000.0)
    np.testing.assert_allclose(limits.braking, np.minimum(9.0, 0.45 * DECELERATION))
    np.testing.assert_allclose(limits.reserve, 2 * OFFSET / DECELERATION)
    np.testing.assert_array_equal(DECELERATION, [12.0, 5.17, 7.0, 8.0, 34.0, 11.0, 34.0])
    np.testing.assert_array_equal(OFFSET, [0.30, 0.20, 0.20, 0.30, 0.35, 0.35, 0.35])
    assert MARGIN == 0.01


def test_the_load_is_that_of_the_hands_bodies():
    """Mass by sum; inertia by the parallel axis theorem, from a compiled model of the hand at the origin."""
    import mujoco

    hand = load_hand("leap_right")
    found = hand_load(hand)
    model = hand.spec().compile()
    data = mujoco.MjData(model)
    for name, angle in zip(hand.joint_names, hand.nominal):
        data.joint(name).qpos[0] = angle
    mujoco.mj_forward(model, data)
    palm = model.body("palm").id
    mass = model.body_mass[palm:]
    assert found.mass == pytest.approx(mass.sum())
    centre = mass @ data.xipos[palm:] / mass.sum()
    points, weights = [], []
    for body in range(palm, model.nbody):  # each body as six point masses of the same inertia
        ixx, iyy, izz = model.body_inertia[body] / model.body_mass[body]
        spread = np.sqrt(np.maximum(np.array([iyy + izz - ixx, ixx + izz - iyy, ixx + iyy - izz]) / 2, 0.0))
        axes = data.ximat[body].reshape(3, 3)
        for k in range(3):
            for sign in (1, -1):
                points.append(data.xipos[body] + sign * np.sqrt(3.0) * spread[k] * axes[:, k])
                weights.append(model.body_mass[body] / 6)
    off, w = np.array(points) - centre, np.array(weights)
    world = np.einsum("n,nij->ij", w, np.einsum("ni,ni,jk->njk", off, off, np.eye(3)) - off[:, :, None] * off[:, None])
    eigen = np.linalg.eigvalsh
    np.testing.assert_allclose(eigen(found.inertia), eigen(world), rtol=1e-6)
    from dexhot.geometry.rotations import quat_to_matrix

    R = quat_to_matrix(hand.mount[3:]) @ data.xmat[palm].reshape(3, 3).T
    np.testing.assert_allclose(found.inertia, R @ world @ R.T, atol=1e-9)
    np.testing.assert_allclose(found.com, hand.mount[:3] + R @ (centre - data.xpos[palm]), atol=1e-9)


def test_the_cheap_condition_far_from_the_ends_implies_the_exact_one():
    rng, sure = np.random.default_rng(0), 0
    for joint in (JOINT, *Setpoint(fr3_limits()).joints):
        for _ in range(1000):
            v, a = rng.uniform(0, joint.velocity), rng.uniform(-1.5, 1.5) * joint.acceleration
            peak = v + max(a, 0.0) ** 2 / (2 * joint.jerk)
            exact = stopping_distance(v, a, joint.braking, joint.jerk) + (joint.reserve + 2 * STEP) * peak
            sure += _surely_fits(joint, peak, a, 3.0 * exact)
            assert not _surely_fits(joint, peak, a, 0.9999 * exact)
    assert sure > 1000  # or it is of no use
