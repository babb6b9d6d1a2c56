"""Action spaces: bounds, the running sum, and labels for experts."""

import numpy as np
import pytest

from dexhot.control.action_space import RATE, action_space, of_range
from dexhot.errors import NotFoundError

N = 22


@pytest.fixture
def baseline() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((3, N))


def test_no_action_is_exactly_the_baseline(baseline):
    for space in (
        action_space("residual", 16),
        action_space("cumulative", 16),
        of_range("residual", -np.ones(N), np.ones(N)),
    ):
        target, total = space.target(np.zeros((3, N)), baseline, np.zeros((3, N)))
        np.testing.assert_array_equal(target, baseline)
        np.testing.assert_array_equal(total, 0.0)


def test_a_residual_never_exceeds_its_bound(baseline):
    wild = 100.0 * np.random.default_rng(1).standard_normal((3, N))
    space = action_space("residual", 16)
    target, _ = space.target(wild, baseline, np.zeros((3, N)))
    assert np.abs(target - baseline).max(axis=0) == pytest.approx(space.scale)
    fifth = of_range("residual", np.full(N, -1.0), np.full(N, 2.0), 0.2)
    target, _ = fifth.target(wild, baseline, np.zeros((3, N)))
    assert np.abs(target - baseline).max() == pytest.approx(0.2 * 3.0)


def test_a_cumulative_action_sums_up_to_its_bound(baseline):
    space, total = action_space("cumulative", 16), np.zeros((3, N))
    for k in range(1, 21):
        target, total = space.target(np.ones((3, N)), baseline, total)
        np.testing.assert_allclose(target - baseline, np.broadcast_to(min(1.0, RATE * k) * space.scale, (3, N)))
    _, total = space.target(-np.ones((3, N)), baseline, total)
    np.testing.assert_allclose(total, np.broadcast_to((1 - RATE) * space.scale, (3, N)))  # it leaves the bound at once


def test_a_full_action_needs_no_baseline(baseline):
    space = of_range("full", np.full(N, -1.0), np.full(N, 3.0))
    target, _ = space.target(np.full((3, N), -1.0), baseline, np.zeros((3, N)))
    np.testing.assert_allclose(target, -1.0)
    target, _ = space.target(np.full((3, N), 7.0), baseline, np.zeros((3, N)))
    np.testing.assert_allclose(target, 3.0)


@pytest.mark.parametrize("kind", ["residual", "cumulative"])
def test_the_label_of_a_target_leads_to_it(kind, baseline):
    space = action_space(kind, 16)
    rng = np.random.default_rng(2)
    total = 0.3 * space.scale * rng.uniform(-1, 1, (3, N)) if kind == "cumulative" else np.zeros((3, N))
    near = space.rate if kind == "cumulative" else space.scale
    wanted = baseline + total + near * rng.uniform(-1, 1, (3, N))
    target, _ = space.target(space.output(wanted, baseline, total), baseline, total)
    np.testing.assert_allclose(target, wanted, atol=1e-12)
    assert np.abs(space.output(wanted + 100.0, baseline, total)).max() == 1.0


def test_the_factor_scales_the_bound():
    np.testing.assert_allclose(action_space("residual", 4, 2.0).scale, 2.0 * action_space("residual", 4).scale)


def test_an_unknown_space_is_refused():
    with pytest.raises(NotFoundError, match="cumulative"):
        action_space("absolute", 16)
    with pytest.raises(NotFoundError, match="full"):
        of_range("cumulative", np.zeros(2), np.ones(2))
