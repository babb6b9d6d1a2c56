"""The solver of whole clips: its damping, its limits, its smoothness, against problems whose solution is known."""

from types import SimpleNamespace

import numpy as np
import pytest

from dexhot.retargeting import clip_solver
from dexhot.retargeting.clip_solver import ClipProblem, _GapRows, smooth_motion, solve_clip
from dexhot.robots.kinematics.hand import HandModel
from dexhot.robots.robot_hand import load_hand

NO_GAPS = _GapRows(np.zeros(0, int), np.zeros(0), np.zeros(0), np.zeros((0, 2)))


def quadratic(T: int, n: int, **changes) -> ClipProblem:
    """A problem without keypoints: the fields that the solver itself reads."""
    values = {
        "goal": np.zeros((T, 0, 3)),
        "goal_weight": np.zeros((T, 0)),
        "palm": np.tile(np.eye(3), (T, 1, 1)),
        "palm_weight": 0.0,
        "prior": np.zeros((T, n)),
        "prior_weight": np.ones(n),
        "velocity_weight": np.zeros(n),
        "acceleration_weight": np.zeros(n),
        "object_pose": np.zeros((T, 7)),
    }
    return ClipProblem(**(values | changes))


def box(n: int, bound: float = 10.0) -> SimpleNamespace:
    """What the solver needs of a model beside what `_linearise` reads."""
    return SimpleNamespace(lower=np.full(n, -bound), upper=np.full(n, bound))


def pulled(wanted, weight=1.0):
    """A `_linearise` of sum_t weight^2 |q_t - wanted_t|^2."""

    def linearise(model, problem, q):
        T, n = q.shape
        off = q - wanted
        H = np.tile(weight**2 * np.eye(n), (T, 1, 1))
        return H, weight**2 * off, weight**2 * (off**2).sum(1), NO_GAPS

    return linearise


def test_damping_rises_where_a_frame_got_worse_and_falls_elsewhere(monkeypatch):
    costs = iter([[1.0, 1.0], [2.0, 0.5], [4.0, 0.5005], [3.0, 0.51], [2.0, 0.1]])
    seen = []

    def linearise(model, problem, q):
        return np.zeros((2, 1, 1)), np.zeros((2, 1)), np.array(next(costs)), NO_GAPS

    def step(model, problem, q, H, g, smooth, gaps):
        seen.append(H[:, 0, 0].copy())
        return np.ones((2, 1))

    monkeypatch.setattr(clip_solver, "_linearise", linearise)
    monkeypatch.setattr(clip_solver, "_step", step)
    solve_clip(box(1), quadratic(2, 1), np.zeros((2, 1)), iterations=5)
    first = 1e-4 * np.array([0.5, 4.0, 32.0, 16.0, 8.0])
    second = 1e-4 * np.array([0.5, 0.25, 0.125, 1.0, 0.5])  # 1.0 per mille worse is not worse
    np.testing.assert_allclose(seen, np.stack([first, second], axis=1))


@pytest.mark.parametrize(("cost", "bound"), [(lambda k: 10.0**k, 1.0), (lambda k: 0.1**k, 1e-6)])
def test_damping_stays_within_its_bounds(monkeypatch, cost, bound):
    seen = []

    def linearise(model, problem, q):
        return np.zeros((2, 1, 1)), np.zeros((2, 1)), np.full(2, cost(len(seen))), NO_GAPS

    monkeypatch.setattr(clip_solver, "_linearise", linearise)
    monkeypatch.setattr(clip_solver, "_step", lambda *a: seen.append(a[3][0, 0, 0]) or np.ones((2, 1)))
    solve_clip(box(1), quadratic(2, 1), np.zeros((2, 1)), iterations=12)
    assert seen[-1] == pytest.approx(bound)


def test_frames_without_smoothness_go_to_their_own_goals(monkeypatch):
    wanted = np.array([[0.1, -0.2], [0.3, 0.05], [-0.1, 0.2]])
    monkeypatch.setattr(clip_solver, "_linearise", pulled(wanted))
    np.testing.assert_allclose(solve_clip(box(2), quadratic(3, 2), np.zeros((3, 2))), wanted, atol=1e-5)


def test_smoothness_is_that_of_first_and_second_differences(monkeypatch):
    T, wanted = 6, np.random.default_rng(0).uniform(-0.2, 0.2, (6, 2))
    problem = quadratic(T, 2, velocity_weight=np.array([2.0, 0.0]), acceleration_weight=np.array([0.5, 3.0]))
    monkeypatch.setattr(clip_solver, "_linearise", pulled(wanted))
    found = solve_clip(box(2), problem, np.zeros((T, 2)))
    first, second = np.diff(np.eye(T), axis=0), np.diff(np.eye(T), n=2, axis=0)
    for j, (v, a) in enumerate(((2.0, 0.5), (0.0, 3.0))):
        A = np.eye(T) + v**2 * first.T @ first + a**2 * second.T @ second
        np.testing.assert_allclose(found[:, j], np.linalg.solve(A, wanted[:, j]), atol=1e-5)


@pytest.mark.parametrize("T", [1, 2, 3, 6])
def test_linearised_frames_are_smoothed_in_one_step(T):
    """Each frame's cost is |q - wanted|^2 / 2, linearised at 0.1."""
    wanted, start = np.random.default_rng(0).uniform(-0.2, 0.2, (T, 2)), np.full((T, 2), 0.1)
    weights = np.array([2.0, 0.0]), np.array([0.5, 3.0])
    found = smooth_motion(box(2), start, np.tile(np.eye(2), (T, 1, 1)), start - wanted, *weights)
    first, second = np.diff(np.eye(T), axis=0), np.diff(np.eye(T), n=2, axis=0)
    for j, (v, a) in enumerate(zip(*weights)):
        A = np.eye(T) + v**2 * first.T @ first + a**2 * second.T @ second
        np.testing.assert_allclose(found[:, j], np.linalg.solve(A, wanted[:, j]), atol=1e-12)


def test_smoothing_keeps_limits_and_the_largest_step():
    """As below, in one step: freely x is 2.8 and y is 0.2; with x <= 0.5, y is 2.04."""
    H, start = np.tile([[1.0, 1.0], [1.0, 1.25]], (2, 1, 1)), np.array([[0.5, 0.5]] * 2)
    g = np.einsum("tij,tj->ti", H, start) - np.array([3.0, 3.05])
    model, none = SimpleNamespace(lower=np.array([-9.0, -9.0]), upper=np.array([0.5, 9.0])), np.zeros(2)
    np.testing.assert_allclose(smooth_motion(model, start, H, g, none, none, largest=5.0), [[0.5, 2.04]] * 2)
    np.testing.assert_allclose(smooth_motion(model, start, H, g, none, none), [[0.5, 0.8]] * 2)


def test_a_joint_at_its_limit_is_held_and_the_others_find_their_best(monkeypatch):
    """Minimise (x + y - 3)^2 / 2 + (y - 0.2)^2 / 8: freely x is 2.8 and y is 0.2; with x <= 0.5, y is 2.04."""
    H = np.array([[1.0, 1.0], [1.0, 1.25]])

    def linearise(model, problem, q):
        g = q @ H.T - np.array([3.0, 3.05])
        return np.tile(H, (len(q), 1, 1)), g, 1.0 / (1.0 + np.arange(len(q))), NO_GAPS

    model = SimpleNamespace(lower=np.array([-9.0, -9.0]), upper=np.array([0.5, 9.0]))
    monkeypatch.setattr(clip_solver, "_linearise", linearise)
    found = solve_clip(model, quadratic(2, 2), np.zeros((2, 2)), iterations=40)
    np.testing.assert_allclose(found, [[0.5, 2.04], [0.5, 2.04]], atol=1e-3)
    model = SimpleNamespace(lower=np.array([2.9, -9.0]), upper=np.array([9.0, 9.0]))
    found = solve_clip(model, quadratic(2, 2), np.full((2, 2), 3.0), iterations=40)
    np.testing.assert_allclose(found, [[2.9, 0.12], [2.9, 0.12]], atol=1e-3)


def test_a_step_moves_no_joint_by_more_than_its_bound(monkeypatch):
    monkeypatch.setattr(clip_solver, "_linearise", pulled(np.full((2, 1), 5.0)))
    problem = quadratic(2, 1, step=0.25)
    assert solve_clip(box(1), problem, np.zeros((2, 1)), iterations=3) == pytest.approx(np.full((2, 1), 0.75))
    monkeypatch.setattr(clip_solver, "_linearise", pulled(np.full((2, 1), -5.0)))
    assert solve_clip(box(1), problem, np.zeros((2, 1)), iterations=3) == pytest.approx(np.full((2, 1), -0.75))


def test_it_stops_when_nothing_moves_and_reports_each_iteration(monkeypatch):
    told = []
    monkeypatch.setattr(clip_solver, "_linearise", pulled(np.zeros((2, 1))))
    solve_clip(box(1), quadratic(2, 1), np.zeros((2, 1)), 9, lambda *now: told.append(now))
    assert told == [(1, 9)]
    told.clear()
    monkeypatch.setattr(clip_solver, "_linearise", pulled(np.full((2, 1), 5.0)))
    solve_clip(box(1), quadratic(2, 1), np.zeros((2, 1)), 3, lambda *now: told.append(now))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_gap_that_a_step_would_close_counts_at_once(monkeypatch):
    """One joint pulled by 0.2 towards a wall at 0.05 m, of which 0.01 m shall be left."""
    wall = _GapRows(np.array([1]), np.array([0.05]), np.array([0.01]), np.array([[-1.0]]))

    def linearise(model, problem, q):
        off = q - 0.2
        gaps = _GapRows(wall.frame, wall.distance - q[1], wall.wanted, wall.jacobian)
        return np.ones((2, 1, 1)), off.copy(), (off**2).sum(1), gaps

    monkeypatch.setattr(clip_solver, "_linearise", linearise)
    once = solve_clip(box(1), quadratic(2, 1, gap_weight=100.0), np.zeros((2, 1)), iterations=1)
    np.testing.assert_allclose(once[:, 0], [0.2, (0.2 + 1e4 * 0.04) / (1 + 1e4)], rtol=1e-3)


@pytest.fixture(scope="module")
def hand():
    return load_hand("leap_right")


def test_gradient_is_that_of_the_cost(hand, lift):
    """Gauss-Newton's g is half the gradient; terms: keypoints, palm and prior."""
    model = HandModel(hand, ("index_medial",), asset=lift[1], table=0.0)
    rng, n = np.random.default_rng(1), model.size
    q = np.concatenate([[-0.1, 0.01, 0.12, 0.2, 0.1, -0.3], hand.nominal])[None]
    points = 5
    problem = quadratic(
        1,
        n,
        goal=rng.normal(0, 0.1, (1, points, 3)),
        goal_weight=rng.uniform(0.5, 2.0, (1, points)),
        palm_weight=0.3,
        prior=rng.normal(0, 0.1, (1, n)),
        prior_weight=rng.uniform(0.1, 0.5, n),
        object_pose=np.array([[0.0, 0, 0.5, 1, 0, 0, 0]]),
    )
    _, g, cost, _ = clip_solver._linearise(model, problem, q)
    for k in range(n):
        step = np.zeros((1, n))
        step[0, k] = 1e-6
        more, less = (clip_solver._linearise(model, problem, q + s * step)[2][0] for s in (1, -1))
        assert g[0, k] == pytest.approx((more - less) / 4e-6, abs=2e-5)
    assert cost[0] > 0


def test_wanted_clearances_of_every_kind_of_gap(hand, lift):
    """A hand whose fingertips are in the table, inside and beside the object."""
    model = HandModel(hand, asset=lift[1], table=0.0)
    model.move(np.concatenate([np.zeros(6), hand.nominal]))
    low = model.points()[: model.tips, 2].min()
    q = np.concatenate([[-0.1, 0.0, -low, 0, 0, 0], hand.nominal])[None]
    pose = np.array([[0.0, 0.0, 0.045, 1, 0, 0, 0]])
    touching = np.array([[True, False, True, True]])
    problem = quadratic(1, model.size, object_pose=pose, gap_weight=2.0, touching=touching)
    problem.goal, problem.goal_weight = np.zeros((1, 4, 3)), np.zeros((1, 4))
    *_, cost, rows = clip_solver._linearise(model, problem, q)
    gaps = model.gaps()
    expected = np.where(gaps.kind == 2, 0.0025, 0.001)
    for i, tip in enumerate(gaps.tip):
        if gaps.kind[i] == 2 and tip in (0, 2, 3):
            expected[i] = -0.0005
    seen = {(int(kind), int(tip)) for kind, tip in zip(gaps.kind, gaps.tip)}
    assert {kind for kind, tip in seen if tip in (0, 2, 3)} >= {2, 4} and (2, -1) in seen
    np.testing.assert_array_equal(rows.wanted, expected)
    prior = ((q - problem.prior) ** 2).sum()
    short = 2.0 * np.maximum(expected - gaps.distance, 0.0)
    assert cost[0] == pytest.approx(prior + short @ short)
