"""How much a grasp can hold: two fingertips beside a box, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.retargeting.load_margin import Load, load_margin

DOWN, SIDE = np.array([0.0, 0.0, -1.0]), np.array([1.0, 0.0, 0.0])
TORQUE, LEVER = 0.2, 0.1  # N m, m: 2 N at each fingertip, along x
POINTS = np.array([[-0.02, 0, 0], [0.02, 0, 0]])
NORMALS = np.array([-SIDE, SIDE])
JACOBIAN = np.zeros((2, 3, 2))
JACOBIAN[0, 0, 0] = JACOBIAN[1, 0, 1] = LEVER
LOAD = Load(1.0, np.zeros(3), DOWN[None], 0.5, 0.01, np.full(2, TORQUE))


def margin(load: Load, **changed) -> float:
    return load_margin(replace(load, **changed), POINTS, NORMALS, JACOBIAN)


def test_two_fingertips_hold_twice_friction_times_the_squeeze():
    assert margin(LOAD) == pytest.approx(2 * 0.5 * 2.0, rel=0.02)  # N for a load of 1 N; a pyramid inside the cone
    assert margin(LOAD, friction=0.8) == pytest.approx(2 * 0.8 * 2.0, rel=0.02)
    assert margin(LOAD, weight=4.0) == pytest.approx(0.5, rel=0.02)
    assert margin(LOAD, torque=np.array([TORQUE, TORQUE / 2])) == pytest.approx(1.0, rel=0.02)


def test_along_the_squeeze_the_motors_hold_and_the_weakest_direction_counts():
    assert margin(LOAD, directions=SIDE[None]) == pytest.approx(2.0, rel=0.02)
    away = np.array([0.0, 1.0, 0.0])
    assert margin(LOAD, directions=np.array([SIDE, away]), friction=0.1) == pytest.approx(0.4, rel=0.02)


def test_an_object_held_beside_its_centre_is_as_heavy_as_torsion_allows():
    """The load turns about the fingertips' axis, which soft fingertips alone resist."""
    beside = np.array([0.0, 0.04, 0.0])
    assert margin(LOAD, centre=beside) == pytest.approx(2 * 0.01 * 2.0 / 0.04, rel=0.05)  # torsion of 2 N, twice
    assert margin(LOAD, centre=beside, torsion=0.0) == pytest.approx(0, abs=1e-6)


def test_one_fingertip_holds_nothing_beside_it():
    assert load_margin(LOAD, POINTS[:1], NORMALS[:1], JACOBIAN[:1]) == pytest.approx(0, abs=1e-6)
