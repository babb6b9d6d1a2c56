"""A path of the arm for a whole clip: the palm where it should be, the elbow smooth, the joints within limits."""

import numpy as np
import pytest

from dexhot.hardware.franka.limits import MARGIN as DRIVERS
from dexhot.retargeting import arm_path
from dexhot.retargeting.arm_path import POSITION_SIGMA, ROTATION_SIGMA, smooth_path
from dexhot.robots.arm import FR3_HOME
from dexhot.robots.kinematics.arm import ArmChain
from dexhot.robots.kinematics.arm_table import ArmTable
from dexhot.robots.robot_hand import load_hand

CHAIN = ArmChain(load_hand("leap_right"))
TABLE = ArmTable(CHAIN)
FRAMES = 120


def swing(amplitude: float = 0.4) -> np.ndarray:
    """(T, 7) joints that swing once within two seconds."""
    phase = np.linspace(0, 2 * np.pi, FRAMES)[:, None]
    return FR3_HOME + amplitude * np.sin(phase + np.arange(7)) * np.array([1, 0.5, 0.3, 0.5, 1, 0.5, 1])


def acceleration(q: np.ndarray) -> float:
    return float(np.abs(np.diff(q, n=2, axis=0)).max() * 60**2)


def test_a_path_that_is_smooth_already_stays():
    q = swing()
    found = smooth_path(TABLE, CHAIN.forward(q)[0], q)
    assert found.position_error.max() < 0.1 * POSITION_SIGMA and found.rotation_error.max() < 0.5 * ROTATION_SIGMA
    assert acceleration(found.q) <= acceleration(q) + 1e-6


def test_from_a_crooked_start_it_becomes_smooth():
    q = swing()
    crooked = q + np.random.default_rng(0).normal(0, 0.02, q.shape)
    found = smooth_path(TABLE, CHAIN.forward(q)[0], crooked)
    assert found.position_error.max() < 1e-3
    assert acceleration(found.q) < 1.5 * acceleration(q) < 0.1 * acceleration(crooked)


def test_the_palm_gives_way_to_smoothness_where_it_shakes():
    q = swing()
    palms = CHAIN.forward(q)[0]
    shaken = palms.copy()
    shaken[::2, :3, 3] += [0.0, 0.0, 2e-3]
    found = smooth_path(TABLE, shaken, q)
    assert acceleration(found.q) < 2 * acceleration(q)
    assert 0.5e-3 < found.position_error.max() < 2e-3


def test_joints_stay_within_their_limits_and_the_palm_gives_way(monkeypatch):
    q = swing()
    monkeypatch.setattr(CHAIN, "upper", q.max(0) - 0.1)
    found = smooth_path(TABLE, CHAIN.forward(q)[0], np.clip(q, None, CHAIN.upper))
    assert (found.q <= CHAIN.upper - DRIVERS).all() and found.position_error.max() > 0.01


def test_one_joint_at_its_limit_is_made_up_for_by_the_others(monkeypatch):
    q = swing()
    upper = CHAIN.upper.copy()
    upper[2] = q[:, 2].max() - 0.05
    monkeypatch.setattr(CHAIN, "upper", upper)
    found = smooth_path(TABLE, CHAIN.forward(q)[0], np.minimum(q, upper))
    assert (found.q[:, 2] <= upper[2] - DRIVERS).all() and found.position_error.max() < 2e-3


@pytest.mark.parametrize("frames", [3, 4, 9])
def test_bending_is_the_sum_of_squared_second_differences(frames):
    q = np.random.default_rng(frames).normal(size=(frames, 7))
    bent = arm_path._bending(frames)
    energy = (q * arm_path._bend(bent, q)).sum()
    assert energy == pytest.approx((np.diff(q, n=2, axis=0) ** 2).sum())


def test_the_elbow_turns_aside_where_a_link_would_touch_the_table():
    """A posture whose link 5 is 6 mm in the table: the palm can stay while the redundant joint lifts that link."""
    q = np.repeat([[-1.68, 1.37, 0.63, -1.25, -1.74, 3.31, 1.32]], 30, axis=0)
    assert TABLE.heights(q).min() == pytest.approx(-0.006, abs=1e-3)
    found = smooth_path(TABLE, CHAIN.forward(q)[0], q)
    assert not TABLE.touches(found.q).any()
    assert found.position_error.max() < 1e-4


def test_the_palm_gives_way_to_the_table_where_no_elbow_does():
    """Link 6 turns with the palm's axis alone: both share the error."""
    q = np.repeat([[-1.79, 1.25, -0.23, -1.19, -1.87, 1.85, 0.0]], 30, axis=0)
    assert TABLE.heights(q).min() == pytest.approx(-0.005, abs=1e-3)
    found = smooth_path(TABLE, CHAIN.forward(q)[0], q)
    assert not TABLE.touches(found.q).any()
    assert 0.5e-3 < found.position_error.max() < 5e-3 and found.rotation_error.max() < np.radians(3)
