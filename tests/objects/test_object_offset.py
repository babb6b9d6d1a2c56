import numpy as np
import pytest

from dexhot.geometry import single
from dexhot.objects.asset import Symmetry
from dexhot.objects.object_offset import object_offset

EXPECTED = np.concatenate([[0.4, 0.0, 0.05], single.exp((0.2, -0.1, 0.5))])


def seen(turn, shift=(0.0, 0.0, 0.0), about=(0.0, 0.0, 0.0)) -> np.ndarray:
    """EXPECTED moved: turned by a world rotation vector about a point of the mesh, then shifted."""
    q = single.exp(turn)
    point = EXPECTED[:3] + single.rotate(EXPECTED[3:], np.array(about))
    position = point + single.rotate(q, EXPECTED[:3] - point) + shift
    return np.concatenate([position, single.multiply(q, EXPECTED[3:])])


def test_an_object_without_symmetry_gives_shift_and_turn():
    _, shift, turn = object_offset(Symmetry(), EXPECTED, seen((0.0, 0.0, 0.3), (0.01, 0.0, 0.0)))
    np.testing.assert_allclose(shift, [0.01, 0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(turn, [0.0, 0.0, 0.3], atol=1e-12)


def test_a_turn_about_the_axis_of_a_bottle_is_none():
    axis = single.rotate(EXPECTED[3:], np.array([0.0, 0.0, 1.0]))
    _, shift, turn = object_offset(Symmetry("axis"), EXPECTED, seen(2.0 * axis))
    np.testing.assert_allclose(np.r_[shift, turn], 0.0, atol=1e-9)


def test_a_bottle_that_leans_is_turned_upright_the_short_way():
    axis = single.rotate(EXPECTED[3:], np.array([0.0, 0.0, 1.0]))
    lean = np.cross(axis, [1.0, 0.0, 0.0])
    lean *= 0.2 / np.linalg.norm(lean)
    observed = seen(lean)
    observed[3:] = single.multiply(observed[3:], single.exp((0.0, 0.0, 2.5)))
    np.testing.assert_allclose(object_offset(Symmetry("axis"), EXPECTED, observed)[2], lean, atol=1e-9)


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_a_cube_is_never_a_quarter_turn_away(quarter):
    turns = [list(single.exp((0.0, 0.0, k * np.pi / 2))) for k in range(4)]
    observed = seen((0.0, 0.0, 0.0))
    observed[3:] = single.multiply(observed[3:], single.exp((0.0, 0.0, quarter * np.pi / 2 + 0.1)))
    turn = object_offset(Symmetry("discrete", rotations=turns), EXPECTED, observed)[2]
    assert np.linalg.norm(turn) == pytest.approx(0.1)


def test_a_sphere_moves_with_its_centre_and_never_turns():
    symmetry = Symmetry("sphere", center=[0.0, 0.0, 0.04])
    observed = seen((1.0, 0.5, 0.0), (0.02, 0.0, 0.0), about=symmetry.center)
    about, shift, turn = object_offset(symmetry, EXPECTED, observed)
    np.testing.assert_allclose(shift, [0.02, 0.0, 0.0], atol=1e-12)
    assert not turn.any() and np.linalg.norm(about - EXPECTED[:3]) == pytest.approx(0.04)
