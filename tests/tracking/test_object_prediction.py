"""The object filter between two measurements: what it predicts and how its covariance grows."""

import numpy as np
import pytest

from dexhot.geometry import single
from dexhot.tracking.object_filter import FilterOptions, ObjectFilter

OPTIONS = FilterOptions(acceleration=2.0, angular_acceleration=3.0)
START = np.array([0.4, 0.1, 0.05, 1.0, 0.0, 0.0, 0.0])
SEEN = np.diag([0.01, 0.02, 0.03, 0.1, 0.2, 0.3]) ** 2


@pytest.fixture
def standing() -> ObjectFilter:
    made = ObjectFilter(OPTIONS)
    made.update(10.0, START, SEEN)
    return made


def test_white_accelerations_spread_position_and_velocity(standing):
    dt = 0.3
    later = standing.ahead(10.0 + dt).state()
    density, speed = np.repeat([4.0, 9.0], 3), np.repeat([0.25, 4.0], 3)
    P = np.zeros((12, 12))
    k = np.arange(6)
    P[k, k] = np.diag(SEEN) + speed * dt**2 + density * dt**3 / 3
    P[k, 6 + k] = P[6 + k, k] = speed * dt + density * dt**2 / 2
    P[6 + k, 6 + k] = speed + density * dt
    np.testing.assert_allclose(later.covariance, P, atol=1e-12)
    assert later.stamp == 10.3


def test_looking_ahead_changes_nothing(standing):
    before = standing.state()
    standing.ahead(12.0)
    after = standing.state()
    assert after.stamp == 10.0
    np.testing.assert_array_equal(after.covariance, before.covariance)
    np.testing.assert_array_equal(after.pose, START)


def test_a_moving_object_goes_on_and_its_errors_turn_with_it(standing):
    s = standing._state
    s.twist = np.array([0.2, -0.1, 0.3, 0.5, -1.0, 2.0])
    cross = 1e-4 * np.arange(9).reshape(3, 3)  # of position and rotation errors, which turn with the object
    s.P[:3, 3:6], s.P[3:6, :3] = cross, cross.T
    later = standing.ahead(10.5).state()
    np.testing.assert_allclose(later.pose[:3], START[:3] + [0.1, -0.05, 0.15])
    turn = single.exp([0.25, -0.5, 1.0])
    np.testing.assert_allclose(later.pose[3:], turn, atol=1e-12)
    np.testing.assert_allclose(later.covariance[:3, 3:6], cross @ single.matrix(turn).T, atol=1e-12)
    np.testing.assert_array_equal(later.twist, [0.2, -0.1, 0.3, 0.5, -1.0, 2.0])


def test_a_measurement_without_covariance_has_the_default_one():
    for covariance in (None, np.zeros((6, 6))):
        made = ObjectFilter(FilterOptions(position_sigma=0.002, rotation_sigma=0.03))
        made.update(0.0, START, covariance)
        np.testing.assert_allclose(np.diag(made.state().covariance)[:6], [4e-6] * 3 + [9e-4] * 3)


def test_a_measurement_moves_the_state_by_its_weight(standing):
    """Variances of one coordinate: P of the prediction, R of the measurement; the gain is P / (P + R)."""
    moved = START + [0.004, 0, 0, 0, 0, 0, 0]
    P = standing.ahead(10.1).state().covariance
    gain = P[0, 0] / (P[0, 0] + SEEN[0, 0])
    assert standing.update(10.1, moved, SEEN)
    state = standing.state()
    assert state.pose[0] - START[0] == pytest.approx(0.004 * gain, rel=1e-9)
    assert state.twist[0] == pytest.approx(0.004 * P[0, 6] / (P[0, 0] + SEEN[0, 0]), rel=1e-9)
    assert state.covariance[0, 0] == pytest.approx((1 - gain) * P[0, 0], rel=1e-9)


def test_the_gate_is_a_squared_mahalanobis_distance(standing):
    P = standing.ahead(10.1).state().covariance
    sigma = np.sqrt(P[0, 0] + SEEN[0, 0])
    for distance, accepted in ((5.4, True), (5.6, False)):  # sqrt(30) = 5.48
        seen = ObjectFilter(OPTIONS)
        seen.update(10.0, START, SEEN)
        assert seen.update(10.1, START + [distance * sigma, 0, 0, 0, 0, 0, 0], SEEN) is accepted


@pytest.mark.parametrize(("sigma", "lost"), [(0.0299, False), (0.0301, True)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_largest_position_sigma_decides_whether_it_is_lost(standing, axis, sigma, lost):
    standing._state.P[:3, :3] = 0.0
    standing._state.P[axis, axis] = sigma**2
    assert standing.lost(10.0) is lost


def test_a_refused_measurement_does_not_count_as_seen(standing):
    assert not standing.update(11.0, START + [90.0, 0, 0, 0, 0, 0, 0], SEEN)
    assert not standing.update(11.5, START + [90.0, 0, 0, 0, 0, 0, 0], SEEN)
    assert standing.lost(11.5 + 1e-6) and standing.state().stamp == 11.5


def test_after_a_reset_it_starts_anew(standing):
    standing.reset()
    assert standing.lost(10.0)
    assert standing.update(5.0, START + [1.0, 0, 0, 0, 0, 0, 0], SEEN)  # an older stamp and another place
    np.testing.assert_array_equal(standing.state().twist, 0.0)


def test_the_noise_and_the_gates_are_those_of_the_documentation():
    o = FilterOptions()
    assert (o.acceleration, o.angular_acceleration) == (1.0, 10.0)
    assert (o.position_sigma, o.rotation_sigma) == (0.001, 0.01)
    assert (o.gate, o.lost_after, o.lost_sigma) == (30.0, 1.5, 0.03)
