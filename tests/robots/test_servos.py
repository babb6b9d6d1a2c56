"""Servos: stiffness, damping and torque from the motors' numbers and the registers."""

import numpy as np
import pytest

from dexhot.errors import NotFoundError
from dexhot.hardware.dynamixel.registers import FULL, LITE
from dexhot.hardware.leap.setup import HandSettings
from dexhot.robots.robot_hand import load_hand
from dexhot.robots.servos import motor, profile, profiles, servo


def test_the_full_hand_is_the_makers_simulation():
    """LEAP_Hand_Sim: 3 N m/rad, 0.1 N m s/rad; 550 mA are 0.284 N m."""
    leap = profile("leap")
    assert leap.stiffness == pytest.approx(3.0, rel=0.1) and leap.damping == pytest.approx(0.1, rel=0.2)
    assert leap.torque == pytest.approx(0.284, abs=1e-3)
    assert profile("leap_lite").torque == pytest.approx(0.124, abs=1e-3)


def test_the_paper_s_servo_keeps_its_numbers():
    dextrack = profile("dextrack")
    assert (dextrack.stiffness, dextrack.damping, dextrack.torque, dextrack.motor) == (20.0, 1.0, 0.95, None)


def test_a_p_gain_is_full_voltage_at_885_counts_over_128th_of_it():
    """e-manual: PWM = kP / 128 * error; full voltage stalls at the stall torque."""
    m = motor("XC330-M288")
    error = 885 / (600 / 128) * 2 * np.pi / 4096
    assert m.stiffness(600) * error == pytest.approx(m.stall_torque)
    assert m.damping(0) == pytest.approx(m.stall_torque / m.no_load_speed)  # back-EMF alone
    assert m.damping(200) - m.damping(0) == pytest.approx(0.0086, abs=1e-4)


def test_side_joints_have_three_quarters_of_the_gains():
    names = load_hand("leap_right").joint_names
    fingers = servo("leap", names)
    side = np.array([name in ("index_side", "middle_side", "ring_side") for name in names])
    assert side.sum() == 3
    np.testing.assert_allclose(fingers.kp[side], 0.75 * fingers.kp[~side][0])
    assert (fingers.kv[side] < fingers.kv[~side][0]).all() and (fingers.kv[side] > motor("XC330-M288").line).all()


def test_the_driver_writes_the_profile_s_registers():
    leap, settings = profile("leap"), HandSettings()
    assert (settings.p_gain, settings.d_gain, settings.side_share) == (leap.p_gain, leap.d_gain, leap.side_ratio)
    assert (FULL.safe_current, LITE.safe_current) == (leap.current, profile("leap_lite").current)
    assert FULL.motor is leap.motor


@pytest.mark.parametrize(
    ("hand", "name"),
    [("leap_right", "leap"), ("leap_left", "leap"), ("allegro_right", "dextrack"), ("six_motor_left", "dextrack")],
)
def test_every_hand_names_its_profile(hand, name):
    assert load_hand(hand).servo == name


def test_the_mechanical_effort_stays_the_joint_table_s():
    assert (load_hand("leap_right").effort == 0.95).all()


def test_an_unknown_profile_lists_the_known_ones():
    with pytest.raises(NotFoundError, match="leap_lite"):
        profile("leap_heavy")
    assert profiles() == ["leap", "leap_lite", "dextrack"]
