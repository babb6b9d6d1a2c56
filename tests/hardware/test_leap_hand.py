"""The LEAP hand's driver over the simulated bus: what it sets, what it refuses, how it survives faults."""

import os
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from dexhot.errors import DexhotError, FileFormatError
from dexhot.hardware.dynamixel import protocol
from dexhot.hardware.dynamixel.bus import ServoBus
from dexhot.hardware.dynamixel.errors import BusError, UnpluggedError
from dexhot.hardware.dynamixel.plant import Joints
from dexhot.hardware.dynamixel.registers import FULL, LITE, MODES
from dexhot.hardware.leap import calibration
from dexhot.hardware.leap.hand import LONGEST_STEP, LeapHand
from dexhot.hardware.leap.health import GROUP, PERIOD
from dexhot.hardware.leap.health import REGISTERS as REGISTERS_BLOCK
from dexhot.hardware.leap.setup import PROFILE, HandSettings
from dexhot.hardware.real_time import real_time
from dexhot.robots.joint_table import joint_table
from dexhot_bench.leap import wire_limit

pytest.importorskip("dynamixel_sdk")

RIGHT = joint_table("leap_right")
NONE = np.zeros(16)
# slack for a busy machine; no ramp where a test is about something else
BUSY = {"slack": 0.1, "patience": 3.0, "watchdog": 2.5}


@pytest.fixture
def bus():
    with ServoBus() as running:
        yield running


def hand_on(bus: ServoBus, robot: str = "leap_right", offsets: np.ndarray = NONE, **settings) -> LeapHand:
    return LeapHand(robot, bus.path, settings=HandSettings(**(BUSY | settings)), offsets=offsets)


def drive(hand: LeapHand, q: np.ndarray, seconds: float = 60.0) -> np.ndarray:
    """Command q until the hand is there, or for so long; the measured angles."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        hand.write(q, NONE, NONE)
        measured = hand.read().q
        if np.abs(measured - q).max() < 0.01:
            break
    return measured


def until_it_fails(hand: LeapHand, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        hand.read()


# Setting up


@pytest.mark.parametrize(("model", "current"), [(FULL, 550), (LITE, 350)])
def test_connect_sets_the_registers_of_the_hand_it_finds(model, current):
    with ServoBus(model=model) as bus, hand_on(bus) as hand:
        assert hand.model == model
        for joint, servo in zip(RIGHT, bus.servos.values()):
            soft = 0.75 if joint.name in PROFILE.side_joints else 1.0
            assert servo.get("operating_mode") == MODES["current_based_position"]
            assert servo.get("return_delay_time") == 0
            assert servo.get("current_limit") == servo.get("goal_current") == current
            assert servo.get("position_p_gain") == 600 * soft
            assert servo.get("position_d_gain") == 200 * soft
            assert not servo.on


def test_what_somebody_else_set_is_set_right(bus):
    for servo in bus.servos.values():
        for name, value in (("drive_mode", 1), ("profile_velocity", 20), ("profile_acceleration", 5), ("shutdown", 0)):
            servo.put(name, value)
    with hand_on(bus) as hand:
        hand.hold()
        for servo in bus.servos.values():
            assert not any(servo.get(name) for name in ("drive_mode", "profile_velocity", "profile_acceleration"))
            assert servo.on
            servo.fail("overload")
            assert not servo.on


@pytest.mark.parametrize("model", [FULL, LITE])
def test_a_dip_of_the_supply_does_not_let_go_of_what_is_held(model):
    with ServoBus(model=model) as bus, hand_on(bus) as hand:
        hand.hold()
        bus.faults.inject("voltage 3.2")
        end = time.monotonic() + 60
        while sum("input voltage" in text for text in hand.health.warnings.values()) < 16:
            hand.read()
            assert time.monotonic() < end
        assert all(servo.on for servo in bus.servos.values())


def test_an_error_that_stays_costs_one_read_a_cycle(bus):
    with hand_on(bus) as hand:
        hand.hold()
        bus.faults.inject("voltage 3.2")
        end = time.monotonic() + 60
        while len(hand.servos.alerts) < 16:
            hand.read()
            assert time.monotonic() < end
        bus.packets.clear()
        for _ in range(30):
            hand.read()
        assert bus.packets.get("READ", 0) <= 5 * 30  # the servo whose turn it is, on a slow machine asked again
        assert hand.read().q.shape == (16,)


def test_a_hand_already_set_up_is_not_written_again(bus):
    with hand_on(bus):
        pass
    bus.packets.clear()
    with hand_on(bus):
        assert bus.packets.get("WRITE", 0) == 0


def test_more_current_than_the_motors_bear_is_refused(bus):
    with pytest.raises(BusError, match=r"allow up to 0\.55 A"):
        hand_on(bus, current=0.8).connect()


def test_hold_gives_torque_at_the_measured_pose():
    q = np.linspace(-0.2, 0.3, 16)
    with ServoBus(Joints(RIGHT, q)) as bus, hand_on(bus) as hand:
        hand.hold()
        assert all(servo.on for servo in bus.servos.values())
        assert np.abs(hand.read().q - q).max() < 2e-3
        assert bus.servos[0].get("bus_watchdog") == 125


def test_leaving_turns_the_torque_off(bus):
    with hand_on(bus) as hand:
        hand.hold()
    for _ in range(100):
        if not any(servo.on for servo in bus.servos.values()):
            return
        time.sleep(0.02)
    pytest.fail("torque is on")


def test_a_pose_that_cannot_be_gets_no_torque():
    q = NONE.copy()
    q[2] = 2.6
    plant = Joints(RIGHT, q)
    plant.upper[2] += 2.0
    with ServoBus(plant) as bus:
        with pytest.raises(BusError, match=r"index_pip reads 2\.60 rad, limits -0\.506 to 1\.885"):
            hand_on(bus).connect()
        assert not any(servo.on for servo in bus.servos.values())


def test_without_fast_reads_the_state_comes_by_sync_read():
    with ServoBus(fast=False) as bus, hand_on(bus) as hand:
        assert not hand.servos.fast
        assert hand.read().q.shape == (16,)


def test_signs_and_offsets_are_those_of_the_table_and_the_calibration():
    q, offsets = np.linspace(-0.3, 0.3, 16), np.linspace(0.1, -0.1, 16)
    left = joint_table("leap_left")
    with ServoBus(Joints(left, q, offsets)) as bus, hand_on(bus, "leap_left", offsets) as hand:
        assert np.abs(hand.read().q - q).max() < 2e-3
        hand.hold()
        assert np.abs(hand.read().q - q).max() < 2e-3


# Driving


def test_goals_are_reached_and_effort_has_the_tables_sign(bus):
    with hand_on(bus, ramp=0.1) as hand:
        hand.hold()
        assert np.abs(drive(hand, np.full(16, 0.4)) - 0.4).max() < 0.01


def test_goals_on_the_wire_stay_within_the_limits(bus):
    with hand_on(bus, ramp=0.01) as hand:
        hand.hold()
        for target, limits in ((20.0, hand.upper), (-20.0, hand.lower)):
            end = time.monotonic() + 60
            while not np.allclose(hand.goal, limits):
                hand.write(np.full(16, target), NONE, NONE)
                hand.read()
                assert time.monotonic() < end
        most = RIGHT[0].velocity * LONGEST_STEP / (2 * np.pi / 4096)
        assert 0 < max(goals.step for goals in bus.goals.values()) <= most + 1
        for joint in RIGHT:
            low, high = bus.goals[joint.motor_id].lowest, bus.goals[joint.motor_id].highest
            assert joint.from_motor(low * 2 * np.pi / 4096) >= joint.lower - 1e-3
            assert joint.from_motor(high * 2 * np.pi / 4096) <= joint.upper + 1e-3


def test_after_torque_on_the_speed_rises_from_zero(bus):
    with hand_on(bus, ramp=1000.0) as hand:
        began = time.monotonic()
        hand.hold()
        for _ in range(20):
            hand.write(np.full(16, 0.5), NONE, NONE)
        seconds = time.monotonic() - began
        assert 0 < np.abs(hand.goal).max() < 8.48 * seconds**2 / 1000.0 + 1e-6


def test_a_late_command_makes_no_leap(bus):
    with hand_on(bus, ramp=0.01, velocity_scale=0.1) as hand:
        hand.hold()
        time.sleep(0.3)
        hand.write(np.full(16, 1.0), NONE, NONE)
        assert np.abs(hand.goal).max() <= 0.1 * 8.48 * 0.1 + 1e-3


def test_motion_starts_slowly_again_after_a_pause(bus):
    with hand_on(bus, ramp=0.1) as hand:
        hand.hold()
        time.sleep(0.6)
        hand.write(np.full(16, 1.0), NONE, NONE)
        assert np.abs(hand.goal).max() < 1e-3
        assert np.abs(drive(hand, np.full(16, 0.4)) - 0.4).max() < 0.01


def test_what_is_not_finite_is_not_sent(bus):
    with hand_on(bus) as hand:
        hand.hold()
        with pytest.raises(DexhotError, match="not finite"):
            hand.write(np.full(16, np.nan), NONE, NONE)


def test_without_torque_nothing_is_driven(bus):
    with hand_on(bus) as hand, pytest.raises(DexhotError, match="has torque off"):
        hand.write(NONE, NONE, NONE)


# Faults


def test_a_dead_servo_is_named_and_the_hand_is_back_when_it_is(bus):
    with hand_on(bus) as hand:
        hand.hold()
        hand.settings = replace(hand.settings, patience=0.1)
        bus.faults.inject("kill 5")
        with pytest.raises(BusError, match=r"servos \[5\] do not reply"):
            until_it_fails(hand)
        hand.hold()  # leaves it as it is
        with pytest.raises(BusError, match=r"servos \[5\] do not reply"):
            hand.recover()
        bus.faults.inject("revive 5")
        hand.recover()
        hand.hold()
        assert bus.servos[5].on


def test_an_overload_is_reported_and_only_recovery_reboots_the_servo(bus):
    with hand_on(bus) as hand:
        hand.hold()
        bus.faults.inject("overload 3")
        with pytest.raises(BusError, match=r"index_dip \(servo 3\) has shut down: overload"):
            until_it_fails(hand)
        hand.hold()
        assert bus.servos[4].on
        assert not bus.servos[3].on
        hand.recover()
        hand.hold()
        assert bus.servos[3].on
        assert bus.servos[3].get("position_p_gain") == 600


def test_connecting_to_an_overloaded_servo_names_it(bus):
    bus.faults.inject("overload 3")
    with pytest.raises(BusError, match=r"index_dip: overload.*dexhot leap reboot"):
        hand_on(bus).connect()


def test_overheating_is_reported(bus):
    with hand_on(bus) as hand:
        hand.hold()
        bus.faults.inject("heat 14 80")
        with pytest.raises(BusError, match=r"thumb_pip .* overheating"):
            until_it_fails(hand)


def test_low_voltage_is_a_warning(bus):
    with hand_on(bus) as hand:
        hand.hold()
        bus.faults.inject("voltage 4.2")
        end = time.monotonic() + 60
        while not any("4.2 V" in text for text in hand.health.warnings.values()):
            hand.read()
            assert time.monotonic() < end


def test_a_servo_that_lost_its_torque_is_a_fault(bus):
    with hand_on(bus) as hand:
        hand.hold()
        bus.faults.inject("torque 0")
        with pytest.raises(BusError, match="has lost its torque"):
            until_it_fails(hand)


@pytest.mark.parametrize("fault", ["noise 0.2", "drop 0.05"])
def test_bad_packets_are_survived_and_counted(bus, fault):
    with hand_on(bus, ramp=0.1) as hand:
        hand.hold()
        bus.faults.inject(fault)
        for _ in range(40):
            hand.write(np.full(16, 0.1), NONE, NONE)
            hand.read()
        assert hand.counts["retried"] > 0


def test_unplugged_and_plugged_in_again(bus):
    with hand_on(bus) as hand:
        hand.hold()
        bus.faults.inject("unplug")
        with pytest.raises(UnpluggedError):
            until_it_fails(hand)
        with pytest.raises(BusError, match="cannot be opened"):
            hand.recover()
        bus.faults.inject("replug")
        hand.recover()
        assert hand.on


@pytest.mark.parametrize("what", ["write", "hold"])
def test_whatever_finds_the_cable_pulled_leaves_the_hand_to_be_recovered(bus, what):
    with hand_on(bus) as hand:
        if what == "write":
            hand.hold()
        bus.faults.inject("unplug")
        end = time.monotonic() + 60  # the kernel lets go of the line when the bus's thread has
        with pytest.raises(BusError):
            while time.monotonic() < end:
                hand.hold() if what == "hold" else hand.write(NONE, NONE, NONE)
                time.sleep(0.002)
        assert hand.failed
        bus.faults.inject("replug")
        hand.recover()
        hand.hold()
        assert hand.on and not hand.failed


def test_an_expired_watchdog_is_cleared_and_motion_starts_from_where_it_stopped(bus):
    with hand_on(bus, watchdog=0.3, ramp=0.01) as hand:
        hand.hold()
        hand.write(np.full(16, 0.5), NONE, NONE)
        end = time.monotonic() + 60
        while bus.servos[0].get("bus_watchdog") >= 0:
            time.sleep(0.05)
            assert time.monotonic() < end
        stopped = hand.read().q
        assert hand.counts["watchdog_trips"] >= 1
        assert np.abs(hand.goal - stopped).max() < 0.05
        assert np.abs(drive(hand, np.full(16, 0.4)) - 0.4).max() < 0.01


def test_torque_found_on_goes_on_holding(bus):
    with hand_on(bus, ramp=0.01) as hand:
        hand.hold()
        drive(hand, np.full(16, 0.3))
        hand.close()  # as a process that dies: nothing is said to the servos
    with hand_on(bus) as again:
        assert again.on
        assert np.abs(again.goal - 0.3).max() < 0.01
        assert all(servo.on for servo in bus.servos.values())


def test_torque_found_on_in_another_mode_is_set_right(bus):
    bus.faults.inject("torque 1")
    with hand_on(bus) as hand:
        assert bus.servos[0].get("operating_mode") == MODES["current_based_position"]
        assert not hand.on
        assert hand.counts["registers_set"] >= 16
        hand.hold()
        assert bus.servos[0].on


def test_a_wrong_baud_rate_is_found_out(bus):
    bus.faults.inject("baud 57600")
    with pytest.raises(BusError, match="replies at 57600 baud, not at 4000000"):
        hand_on(bus).connect()


# Calibration


def test_offsets_are_found_kept_and_used(tmp_path, monkeypatch, bus):
    monkeypatch.setenv("DEXHOT_CONFIG", str(tmp_path))
    offsets = np.linspace(-0.1, 0.1, 16)
    angles = np.pi + offsets + np.zeros((20, 1))
    found = calibration.find_offsets(RIGHT, angles)
    calibration.save_offsets("leap_right", found)
    assert calibration.load_offsets("leap_right") == pytest.approx(offsets, abs=1e-4)
    assert calibration.load_offsets("leap_left") == pytest.approx(NONE)
    hand = LeapHand(port=bus.path, settings=HandSettings(**BUSY))
    with hand:
        assert hand.read().q == pytest.approx(-offsets, abs=2e-3)


def test_a_moving_or_closed_hand_is_not_calibrated():
    still = np.full((20, 16), np.pi)
    moving = still + np.linspace(0, 0.1, 20)[:, None] * (np.arange(16) == 3)
    with pytest.raises(DexhotError, match=r"moved.*index_dip"):
        calibration.find_offsets(RIGHT, moving)
    with pytest.raises(DexhotError, match=r"middle_forward \+57 deg"):
        calibration.find_offsets(RIGHT, still + 1.0 * (np.arange(16) == 5))


def test_a_broken_calibration_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("DEXHOT_CONFIG", str(tmp_path))
    path = calibration.save_offsets("leap_right", NONE)
    path.write_text("offsets: {index_side: 0.0}")
    with pytest.raises(FileFormatError, match="dexhot leap calibrate"):
        calibration.load_offsets("leap_right")


def test_a_dry_run_keeps_nothing(tmp_path, monkeypatch, bus, capsys):
    from dexhot.cli import main

    monkeypatch.setenv("DEXHOT_CONFIG", str(tmp_path))
    assert main(["leap", "calibrate", "--port", bus.path, "--dry-run", "--json"]) == 0
    assert '"file": null' in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_check_reports_problems(bus, capsys, tmp_path, monkeypatch):
    from dexhot.cli import main

    monkeypatch.setenv("DEXHOT_CONFIG", str(tmp_path))
    assert main(["leap", "check", "--port", bus.path, "--json"]) == 0
    bus.faults.inject("overload 3")
    assert main(["leap", "check", "--port", bus.path, "--json"]) == 1
    assert "index_dip: overload" in capsys.readouterr().out
    assert main(["leap", "reboot", "--port", bus.path]) == 0
    assert main(["leap", "check", "--port", bus.path]) == 0


# Around it


def test_without_the_extra_the_error_says_how_to_get_it():
    code = "import sys; sys.modules['dynamixel_sdk'] = None\n"
    code += "from dexhot.hardware.leap.hand import LeapHand\nLeapHand(port='/dev/null').open()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingExtraError" in result.stderr
    assert "pip install 'dexhot[hardware]'" in result.stderr


def test_the_wires_limit_is_that_of_its_bytes():
    assert wire_limit() == pytest.approx(4e5 / (94 + 30 + 232))


def test_real_time_priority_is_given_back():
    before = os.sched_getscheduler(0)
    with real_time() as allowed:
        assert (os.sched_getscheduler(0) == os.SCHED_FIFO) == allowed
    assert os.sched_getscheduler(0) == before


# One servo, encoder, motor or master that is not as it should be


@pytest.mark.parametrize("ident", [0, 15])
def test_one_servo_without_torque_is_named_after_one_look_at_each(bus, ident):
    with hand_on(bus) as hand:
        hand.hold()
        bus.faults.inject(f"torque 0 {ident}")
        bus.packets.clear()
        with pytest.raises(BusError, match=rf"\(servo {ident}\) has lost its torque"):
            until_it_fails(hand)
        assert hand.failed


def test_the_registers_of_all_servos_are_read_within_a_sixth_of_a_second():
    assert 16 / GROUP * PERIOD <= 0.16
    answer = len(protocol.fast_status([(i, 0, bytes(REGISTERS_BLOCK.length)) for i in range(GROUP)], GROUP))
    assert (answer + 14 + GROUP) * 10 / 4e6 < 0.4e-3  # s of the wire, for the answer and its question


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("poke 6 84 0", r"middle_pip \(servo 6\) has position_p_gain 0, not 600"),
        ("poke 0 84 600", r"index_side \(servo 0\) has position_p_gain 600, not 450"),
        ("poke 6 102 0", "has goal_current 0, not 550"),
        ("poke 6 100 0", "has goal_pwm 0, not 885"),
        ("poke 6 112 3", "has profile_velocity 3, not 0"),
    ],
)
def test_a_servo_that_no_longer_has_what_was_set_is_named(bus, line, told):
    with hand_on(bus) as hand:
        hand.hold()
        bus.faults.inject(line)
        with pytest.raises(BusError, match=told):
            until_it_fails(hand)
        hand.recover()
        hand.hold()
        hand.read()


def test_a_servo_whose_position_jumps_is_let_go_and_a_reset_reboots_it(bus):
    with hand_on(bus) as hand:
        hand.hold()
        bus.faults.inject("turn 7 4096")
        with pytest.raises(BusError, match=r"middle_dip \(servo 7\): its position jumps .* Its torque is off"):
            until_it_fails(hand)
        assert not bus.servos[7].on and bus.servos[6].on
        hand.recover()
        hand.hold()
        assert bus.servos[7].on and abs(hand.read().q[7]) < 0.5  # not a turn of 2 pi


def test_one_reading_that_cannot_be_is_not_passed_on(bus):
    with hand_on(bus) as hand:
        hand.hold()
        hand.read()
        bus.faults.inject("turn 7 4096")
        while not hand.counts["implausible"]:
            assert abs(hand.read().q[7]) < 0.1
        bus.faults.inject("cure 7")
        for _ in range(5):
            assert abs(hand.read().q[7]) < 0.1
        assert not hand.failed


def test_a_goal_that_a_servo_missed_is_sent_again(bus):
    with hand_on(bus, ramp=0.01) as hand:
        hand.hold()
        bus.faults.inject("ignore 3")
        end = time.monotonic() + 60
        while hand.goal[3] < 0.04:
            hand.write(np.full(16, 0.05), NONE, NONE)
            assert time.monotonic() < end
        hand.measure()  # what was written before has come
        bus.faults.deaf.clear()
        while bus.servos[3].get("goal_position") != hand._counts(hand.goal)[3]:
            hand.read()
            assert time.monotonic() < end
        assert hand.counts["goals_resent"] > 0


def test_goals_that_were_never_sent_are_another_programs(bus):
    with hand_on(bus) as hand:
        hand.hold()
        hand.write(NONE, NONE, NONE)
        bus.faults.inject("steer 100")
        with pytest.raises(BusError, match="another program writes to the servo bus"):
            until_it_fails(hand)


def test_one_look_at_goals_that_were_never_sent_sends_the_right_ones_again(bus):
    with hand_on(bus) as hand:
        hand.hold()
        for ident in range(16):
            bus.faults.inject(f"poke {ident} 116 2000")
        end = time.monotonic() + 60
        while any(servo.get("goal_position") == 2000 for servo in bus.servos.values()):
            hand.read()
            assert time.monotonic() < end
        assert hand.counts["goals_resent"] == 1


def test_another_master_is_reported(bus):
    with hand_on(bus) as hand:
        hand.hold()
        bus.faults.inject("master 100")
        with pytest.raises(BusError, match="another master is on the servo bus"):
            until_it_fails(hand)


@pytest.mark.parametrize("line", ["repeat 1", "late 1"])
def test_answers_that_are_not_to_what_was_asked_are_a_fault(bus, line):
    with hand_on(bus) as hand:
        hand.hold()
        hand.read()
        hand.settings, hand.servos.port.slack = replace(hand.settings, patience=0.3), 20.0  # ms
        bus.faults.inject(line)
        with pytest.raises(BusError, match="repeated or late"):
            until_it_fails(hand)


def test_torque_stays_off_when_the_goal_that_was_written_does_not_come_back():
    with ServoBus(Joints(RIGHT, np.full(16, 0.2))) as bus, hand_on(bus) as hand:
        bus.servos[4].put("goal_position", 2048)
        bus.faults.inject("ignore 4")
        with pytest.raises(BusError, match="did not accept the measured pose"):
            hand.hold()
        assert not any(servo.on for servo in bus.servos.values())


@pytest.mark.parametrize("robot", ["leap_right", "leap_left"])
def test_velocity_has_the_joints_sign(robot):
    with ServoBus(Joints(joint_table(robot))) as bus, hand_on(bus, robot, ramp=0.01) as hand:
        hand.hold()
        moved, begin = np.zeros(16), hand.read().q
        while np.abs(hand.read().q - begin - 0.3).max() > 0.02:
            hand.write(begin + 0.3, NONE, NONE)
            moved += hand.read().qd
        assert (moved > 0.0).all()


@pytest.mark.parametrize("robot", ["leap_right", "leap_left"])
def test_effort_has_the_joints_sign(robot):
    """A finger that closes on something presses in its closing direction, whichever way its motor turns."""
    joints = joint_table(robot)
    with ServoBus(Joints(joints)) as bus, hand_on(bus, robot, ramp=0.01) as hand:
        hand.hold()
        for joint in joints:
            bus.faults.inject(f"block {joint.motor_id}")
        closing = np.zeros(16)
        drive(hand, np.full(16, 0.04), 0.5)
        end = time.monotonic() + 60
        while (closing < 0.05).any():
            hand.write(np.full(16, 0.04), NONE, NONE)
            closing = hand.read().effort
            assert time.monotonic() < end, closing
        assert (closing < 0.15).all()


def test_a_new_servo_is_named_at_connect_and_set_up_by_replace(bus, capsys):
    from dexhot.cli import main

    bus.faults.inject("replace 5")
    with pytest.raises(BusError, match=r"servos \[5\] do not reply.*, but a servo with id 1 does at 57600 baud"):
        hand_on(bus).connect()
    assert main(["leap", "replace", "4", "--port", bus.path]) == 1
    assert "servo 4 replies at 4000000 baud already" in capsys.readouterr().err
    assert main(["leap", "replace", "16", "--port", bus.path]) == 1
    assert main(["leap", "replace", "5", "--port", bus.path]) == 0
    with hand_on(bus) as hand:
        hand.hold()
        assert all(servo.on for servo in bus.servos.values())
    assert main(["leap", "replace", "5", "--port", bus.path]) == 1
