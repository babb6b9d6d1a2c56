"""Action spaces: bounds, the running sum, and labels for experts."""

import numpy as np
import pytest

from dexhot.control.action_space import action_space
from dexhot.errors import NotFoundError

N = 22


def test_no_action_is_exactly_the_baseline():
    for space in (action_space("residual", 16), action_space("cumulative", 16)):
        np.testing.assert_array_equal(space.residual(np.zeros((3, N)), np.zeros((3, N))), 0.0)


@pytest.mark.parametrize("kind", ["residual", "cumulative"])
def test_a_residual_exceeds_neither_limit_nor_step(kind):
    wild = 100.0 * np.random.default_rng(1).standard_normal((30, 3, N))
    space, residual = action_space(kind, 16), np.zeros((3, N))
    for u in [*wild, *[np.full((3, N), 9.0)] * 30]:
        following = space.residual(u, residual)
        assert (np.abs(following - residual) <= space.step + 1e-12).all()
        assert (np.abs(following) <= space.limit + 1e-12).all()
        residual = following
    np.testing.assert_allclose(residual, np.broadcast_to(space.limit, (3, N)))


def test_a_residual_goes_to_its_output_and_a_cumulative_one_adds_up():
    u = np.full((3, N), 0.5)
    for kind, after_two in (("residual", 2.0), ("cumulative", 1.0)):
        space, residual = action_space(kind, 16), np.zeros((3, N))
        for _ in range(2):
            residual = space.residual(u, residual)
        np.testing.assert_allclose(residual, np.broadcast_to(after_two * space.step, (3, N)))
    space, residual = action_space("residual", 16), np.zeros((3, N))
    for _ in range(20):
        residual = space.residual(u, residual)
    np.testing.assert_allclose(residual, np.broadcast_to(0.5 * space.limit, (3, N)))


@pytest.mark.parametrize("kind", ["residual", "cumulative"])
def test_the_label_of_a_residual_leads_to_it(kind):
    space, rng = action_space(kind, 16), np.random.default_rng(2)
    residual = 0.3 * space.limit * rng.uniform(-1, 1, (3, N))
    wanted = residual + space.step * rng.uniform(-1, 1, (3, N))
    np.testing.assert_allclose(space.residual(space.output(wanted, residual), residual), wanted, atol=1e-12)
    assert np.abs(space.output(wanted + 100.0, residual)).max() == 1.0


def test_the_factor_scales_limit_and_step():
    once, twice = action_space("residual", 4), action_space("residual", 4, 2.0)
    np.testing.assert_allclose(twice.limit, 2.0 * once.limit)
    np.testing.assert_allclose(twice.step, 2.0 * once.step)


def test_an_unknown_space_is_refused():
    with pytest.raises(NotFoundError, match="cumulative"):
        action_space("absolute", 16)
