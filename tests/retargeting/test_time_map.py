"""The clip is slowed where a joint's limit asks for it, by as much, and nowhere else."""

import numpy as np
import pytest

from dexhot.hardware.franka.limits import fr3_limits
from dexhot.retargeting.time_map import PLANNED, START, STOP, Fingers, demand, slow_where_needed

LIMITS = fr3_limits()
FAST = Fingers(["a", "b", "c"], np.full(3, 8.0))
FRAMES = 301
STILL = np.zeros((FRAMES, 7))
FINGERS = np.zeros((FRAMES, 3))


def bump(where: float, height: float, width: float) -> np.ndarray:
    """(T,) rad, a smooth bump of one joint around a frame."""
    return height * np.exp(-0.5 * ((np.arange(FRAMES) - where) / width) ** 2)


def moving(joint: int, path: np.ndarray) -> np.ndarray:
    q = STILL.copy()
    q[:, joint] = path
    return q


def test_a_clip_that_every_joint_can_follow_keeps_its_time():
    found = slow_where_needed(moving(3, bump(150, 0.1, 20)), FINGERS, LIMITS, FAST)
    np.testing.assert_allclose(found, np.arange(FRAMES), atol=1e-9)


def test_it_is_slow_around_the_fast_moment_and_only_there():
    found = slow_where_needed(moving(3, bump(150, 0.5, 8)), FINGERS, LIMITS, FAST)
    pace = np.diff(found)
    assert found[0] == 0 and found[-1] == FRAMES - 1 and (pace > 0).all() and (pace < 1.02).all()
    inside = np.abs(found[:-1] - 150) < 10
    assert pace[inside].max() < 0.8 and pace[np.abs(found[:-1] - 150) > 70].min() > 0.98


@pytest.mark.parametrize("joint", [0, 4])
def test_afterwards_no_limit_is_passed(joint):
    q = moving(joint, bump(100, 0.8, 9) + bump(220, -0.6, 6))
    at = slow_where_needed(q, FINGERS, LIMITS, FAST)
    warped = np.interp(at, np.arange(FRAMES), q[:, joint])
    assert (np.abs(np.diff(warped)) * 60 <= LIMITS.velocity[joint] * PLANNED * 1.01).all()
    assert demand(q, FINGERS, LIMITS, FAST).stretch.max() > 1.5


def test_the_demand_names_joint_limit_and_moment():
    asked = demand(moving(5, bump(150, 0.5, 8)), FINGERS, LIMITS, FAST)
    assert [peak.joint for peak in asked.too_fast] == ["fr3_joint6"] and len(asked.peaks) == 10
    found = asked.peaks[0]
    assert (found.joint, found.kind, found.limit) == ("fr3_joint6", "acceleration", 10.0)
    assert abs(found.tick - 150) <= 1 and found.value == pytest.approx(0.5 / 64 * 3600, rel=0.03)
    assert str(found).startswith("fr3_joint6: acceleration 28 rad/s2 at 2.50 s (limit 10 rad/s2, planned up to 8)")
    assert asked.stretch.max() == found.stretch == pytest.approx(np.sqrt(found.value / (PLANNED * 10.0)))


def test_fingers_count_too():
    fingers = FINGERS.copy()
    fingers[:, 1] = bump(150, 1.2, 4)
    found = demand(STILL, fingers, LIMITS, FAST).peaks[0]
    assert (found.joint, found.kind) == ("b", "velocity")
    assert len(slow_where_needed(STILL, fingers, LIMITS, FAST)) > FRAMES


@pytest.mark.parametrize(("end", "seconds"), [(0, START), (FRAMES - 1, STOP)])
def test_it_begins_and_ends_slowly_enough_to_start_and_stop(end, seconds):
    ramp = 1.3 * np.abs(np.arange(FRAMES) - (FRAMES - 1 - end)) / 60  # rad at 1.3 rad/s
    found = demand(moving(0, ramp), FINGERS, LIMITS, FAST)
    assert found.peaks[0].kind == "acceleration" and found.stretch[end] == pytest.approx(
        np.sqrt(1.3 / seconds / (PLANNED * 10))
    )
