"""The frame-by-frame retargeter within joint limits: a joint at its limit is held, and the others do their best."""

import numpy as np
import pytest

from dexhot.geometry.single import rotation_error
from dexhot.retargeting.streaming import StreamingRetargeter
from dexhot.robots.robot_hand import load_hand

HAND = load_hand("leap_right")


def gradient(solver: StreamingRetargeter, q, points, palm):
    """Of half the cost but for the change from the last frame, which has settled."""
    model = solver.model
    model.move(q)
    weighted = (model.point_jacobian() * solver._weight.reshape(-1, 3)[:, :, None] ** 2).reshape(points.size, -1)
    pull = weighted.T @ (points - model.points()).ravel() + solver._posture * (solver._nominal - q)
    pull += solver.palm**2 * model.palm_rotation_jacobian().T @ rotation_error(palm, model.palm_rotation())
    return pull


@pytest.fixture(scope="module")
def far():
    """A hand whose joints bend by 0.1 rad, after one that bends by 0.3: some go to a limit, others make up for it."""
    solver = StreamingRetargeter(HAND, iterations=40)
    solver.model.lower[6:], solver.model.upper[6:] = HAND.nominal - 0.1, HAND.nominal + 0.1
    solver.model.move(solver._nominal + 0.3 * np.r_[np.zeros(6), np.resize([1.0, 1.0, -1.0], 16)])
    points, palm = solver.model.points().copy(), np.eye(3)
    for _ in range(40):
        q = solver.solve(points, palm)
    return solver, points, palm, q


def test_joints_stay_within_their_limits_and_some_are_at_them(far):
    solver, *_, q = far
    assert (q >= solver.model.lower).all() and (q <= solver.model.upper).all()
    assert (q == solver.model.lower).any() and (q == solver.model.upper).any()


def test_free_joints_have_found_their_best_and_held_ones_are_pressed_on_their_limit(far):
    solver, points, palm, q = far
    pull = gradient(solver, q, points, palm)
    low, high = q <= solver.model.lower, q >= solver.model.upper
    assert np.abs(pull[~low & ~high]).max() < 1e-5
    assert (pull[low] <= 0).all() and (pull[high] >= 0).all()


def test_a_step_is_bounded(far):
    solver, points, palm, _ = far
    start = np.r_[np.zeros(6), HAND.nominal]
    after = solver._iterate(start, start, (points + 5.0).ravel(), palm)
    assert np.abs(after - start).max() == pytest.approx(0.3)


def test_the_first_frame_starts_with_the_fingertips_about_their_goals():
    solver = StreamingRetargeter(HAND)
    solver.model.move(solver._nominal)
    points = solver.model.points() + [0.3, -0.2, 0.5]
    points[solver.model.tips :] += 9.0  # links have no say in it
    start = solver._start(points)
    np.testing.assert_allclose(start[:3], [0.3, -0.2, 0.5], atol=1e-12)
    np.testing.assert_array_equal(start[3:], solver._nominal[3:])


def test_each_weight_counts_as_it_is_named():
    solver = StreamingRetargeter(HAND, palm=0.3, posture=0.2, change=0.1, link_weight=0.5)
    k, m = solver.model.tips, len(solver._match.links)
    np.testing.assert_allclose(solver._weight, np.repeat([1.0] * k + [0.5] * m, 3))
    np.testing.assert_allclose(np.diag(solver._damping), [0.01 + 1e-9] * 6 + [0.05 + 1e-9] * 16)
    assert StreamingRetargeter(HAND)._weight[-1] == HAND.retarget["link_weight"]


def test_a_new_frame_is_held_back_by_the_change_it_asks_for():
    """With one iteration a stiff solver moves less, towards the same side."""
    soft, stiff = (StreamingRetargeter(HAND, iterations=1, change=change) for change in (0.01, 1.0))
    soft.model.move(soft._nominal)
    points, palm = soft.model.points() + [0.02, 0, 0], np.eye(3)
    moved = []
    for solver in (soft, stiff):
        solver.q = solver._nominal.copy()
        moved.append(solver.solve(points, palm)[0])
    assert 0.019 < moved[0] < 0.0205 and 0.0 < moved[1] < 0.018
