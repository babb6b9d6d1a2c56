"""What a LEAP hand's motion gives away, in simulated time: sound hands raise no alarm, broken ones are named."""

from dataclasses import replace

import numpy as np
import pytest

from dexhot.hardware.dynamixel.plant import Drive, Joints
from dexhot.hardware.dynamixel.registers import COUNT, FULL, LITE, MODES, Block, register
from dexhot.hardware.dynamixel.servo import SimulatedServo
from dexhot.hardware.leap.motion import Bounds, MotionCheck
from dexhot.robots.joint_table import joint_table

STATE = Block(("present_current", "present_velocity", "present_position"))
FINGER = joint_table("leap_right")[4:8]  # side, forward, PIP, DIP
SIDE, FORWARD, PIP, DIP = range(4)
OPEN, CLOSED = np.zeros(4), np.full(4, 0.5)
STEP = 0.008  # s


class Finger:
    """Four simulated servos and their joints, read through their registers; `check` judges every reading."""

    def __init__(self, q: np.ndarray = OPEN, model=FULL, noise: int = 0):
        self.joints = Joints(FINGER, q)
        self.servos = [SimulatedServo(j.motor_id, model, 4_000_000) for j in FINGER]
        self.check = MotionCheck(FINGER, model.safe_current)
        self.now, self.noise, self.rng = 0.0, noise, np.random.default_rng(0)
        for servo, angle in zip(self.servos, self.joints.angle):
            servo.put("operating_mode", MODES["current_based_position"])
            servo.put("position_p_gain", 600)
            servo.put("position_d_gain", 200)
            servo.put("goal_current", round(model.safe_current * 1000))
            servo.put("torque_enable", 1)
            servo.sense(angle, 0.0, 0.0)

    def step(self, goal: np.ndarray):
        """What is found wrong after one more STEP towards `goal` (4,) rad."""
        for servo, j, q in zip(self.servos, FINGER, goal):
            servo.put("goal_position", round(j.to_motor(q) / COUNT))
        self.joints.advance(STEP, Drive(*np.array([s.drive() for s in self.servos]).T))
        for servo, *state in zip(self.servos, self.joints.angle, self.joints.velocity, self.joints.torque):
            servo.sense(*state)
        self.now += STEP
        read = STATE.unpack([s.read(STATE.address, STATE.length) for s in self.servos])
        q = np.array([j.from_motor(a) for j, a in zip(FINGER, read["present_position"])])
        q += COUNT * self.rng.integers(-self.noise, self.noise + 1, 4)
        if jumped := self.check.jump(self.now, self.now, q):
            return jumped
        return self.check.see(self.now, q, read["present_velocity"], read["present_current"], goal)

    def follow(self, path, seconds: float):
        """The first thing found wrong on `path` (s -> (4,) rad), and after how many s; or None."""
        begin = self.now
        while self.now - begin < seconds:
            if wrong := self.step(path(self.now - begin)):
                return wrong, self.now - begin
        return None


def swing(t: float) -> np.ndarray:
    return 0.2 + 0.3 * np.sin(3.0 * t) + OPEN


# Sound hands


@pytest.mark.parametrize("model", [FULL, LITE])
@pytest.mark.parametrize("noise", [0, 1])
def test_a_hand_that_swings_is_sound(model, noise):
    assert Finger(model=model, noise=noise).follow(swing, 10.0) is None


def test_goals_that_leap_from_rest_are_followed_without_alarm():
    finger = Finger()
    assert finger.follow(lambda t: OPEN, 1.0) is None
    assert finger.follow(lambda t: CLOSED * (int(2 * t) % 2), 5.0) is None


@pytest.mark.parametrize("model", [FULL, LITE])
def test_a_minute_of_squeezing_at_the_current_limit_is_normal(model):
    finger = Finger(model=model)
    finger.joints.block(FORWARD)
    finger.joints.block(PIP)
    assert finger.follow(lambda t: OPEN + min(t, 1.0) * CLOSED, 60.0) is None
    assert finger.servos[PIP].get("present_current") == pytest.approx(1000 * model.safe_current, abs=2)
    assert finger.follow(lambda t: CLOSED * (1.0 - min(t, 1.0)), 2.0) is None  # and lets go


def test_a_grip_that_is_eased_and_made_firm_again_is_normal_where_gears_keep_it_still():
    check, q = MotionCheck(FINGER, 0.55), np.full(4, 0.2)
    for k in range(400):
        share = 1.0 if k % 100 < 50 else 0.3
        assert check.see(STEP * k, q, OPEN, np.full(4, 0.55 * share), q + 0.1 * share) is None


def test_a_finger_that_closes_on_its_stop_again_and_again_is_normal():
    finger = Finger(CLOSED)
    finger.joints.upper[1:] = [j.to_motor(0.7) for j in FINGER[1:]]  # as hard as can be, well inside the limits
    assert finger.follow(lambda t: 0.7 + 0.5 * np.sin(2.0 * t) + OPEN, 20.0) is None
    assert finger.joints.angle[PIP] <= finger.joints.upper[PIP]


@pytest.mark.parametrize("noise", [0, 1])
def test_a_hand_that_holds_still_for_long_is_normal(noise):
    assert Finger(CLOSED, noise=noise).follow(lambda t: CLOSED, 60.0) is None


def test_a_paused_simulation_proves_nothing():
    check = MotionCheck(FINGER, 0.55)
    for k in range(200):
        assert check.see(STEP * k, OPEN, OPEN, OPEN, CLOSED) is None


def test_a_long_time_between_two_readings_is_no_jump():
    check = MotionCheck(FINGER, 0.55)
    assert check.jump(0.0, 0.0, OPEN) is None
    assert check.jump(0.1, 0.1, OPEN + 1.5) is None
    assert check.jump(0.101, 0.101, OPEN) is not None


def test_a_reading_that_a_busy_host_took_late_makes_the_next_no_jump():
    check = MotionCheck(FINGER, 0.55)
    assert check.jump(0.0, 0.1, OPEN) is None  # measured at 0.001, say, and read 0.1 s later
    assert check.jump(0.101, 0.102, OPEN + 1.5) is None
    assert check.jump(0.103, 0.203, OPEN + 1.6) is None  # late again, and slow
    assert check.jump(0.204, 0.205, OPEN) is None


def test_a_reading_that_comes_late_may_have_been_measured_late():
    check = MotionCheck(FINGER, 0.55)
    assert check.jump(0.0, 0.0, OPEN) is None
    assert check.jump(0.008, 0.108, OPEN + 1.5) is None


# Broken ones


@pytest.mark.parametrize("turns", [1, -1])
@pytest.mark.parametrize("after", [STEP, 5.0])
def test_a_jump_by_a_turn_is_reported_however_long_it_took(turns, after):
    check = MotionCheck(FINGER, 0.55)
    assert check.jump(0.0, 0.0, OPEN) is None
    broken = check.jump(after, after, OPEN + 2 * np.pi * turns * (np.arange(4) == PIP))
    assert (broken.index, broken.distrusted) == (PIP, True)
    assert "jumps from 0.00" in broken.why


def test_what_was_before_torque_came_on_does_not_count():
    check = MotionCheck(FINGER, 0.55)
    check.jump(0.0, 0.0, OPEN)
    check.restart()
    assert check.jump(STEP, STEP, OPEN + 1.0) is None


@pytest.mark.parametrize("model", [FULL, LITE])
@pytest.mark.parametrize("joint", range(4))
def test_a_frozen_encoder_is_reported_once_the_goal_has_moved_on(model, joint):
    finger = Finger(model=model)
    assert finger.follow(swing, 2.1) is None
    finger.servos[joint].frozen = float(finger.joints.angle[joint])
    broken, seconds = finger.follow(lambda t: swing(t + 2.1), 1.0)
    assert (broken.index, broken.distrusted) == (joint, True)
    assert seconds < 0.25


def test_a_frozen_encoder_is_reported_where_its_finger_is_blocked():
    finger = Finger(np.full(4, 0.2))
    assert finger.follow(lambda t: np.full(4, 0.2), 0.1) is None
    finger.joints.block(PIP)
    finger.servos[PIP].frozen = float(finger.joints.angle[PIP])
    pip, others = 1.0 * (np.arange(4) == PIP), 1.0 * (np.arange(4) != PIP)

    def moving(t: float) -> np.ndarray:
        return 0.2 + 0.1 * np.sin(3.0 * t) * others

    assert finger.follow(lambda t: moving(t) + 0.3 * pip, 1.0) is None  # as if it held something
    broken, _ = finger.follow(lambda t: moving(t) - 0.3 * pip, 1.0)
    assert broken.index == PIP and "encoder does not change" in broken.why


@pytest.mark.parametrize("joint", range(4))
def test_a_limp_motor_is_reported_once_its_goal_moves_away(joint):
    finger = Finger()
    assert finger.follow(swing, 2.1) is None
    finger.servos[joint].torqueless = True
    broken, seconds = finger.follow(lambda t: swing(t + 2.1), 1.0)
    assert broken.index == joint and "takes no current" in broken.why
    assert seconds < 0.25


@pytest.mark.parametrize("joint", [FORWARD, PIP, DIP])
def test_a_slipped_horn_is_reported_when_the_finger_opens(joint):
    finger = Finger(CLOSED)
    assert finger.follow(lambda t: CLOSED, 0.5) is None
    finger.joints.slip(joint, 0.8)
    broken, _ = finger.follow(lambda t: CLOSED - min(t, 0.8) * np.array([0.0, 1.0, 1.0, 1.0]), 2.0)
    assert broken.index == joint and "does not open" in broken.why
    assert not broken.distrusted


def found_in(joint: int, error: float, velocity: float, share: float, seconds: float = 1.0):
    """What is found wrong with a joint that stays so, beside others that move."""
    check, only = MotionCheck(FINGER, 0.55), 1.0 * (np.arange(4) == joint)
    for k in range(round(seconds / STEP)):
        q = np.where(only, velocity * STEP * k, 1e-3 * (k % 2))
        if broken := check.see(STEP * k, q, velocity * only, 0.55 * share * only, q + error * only):
            return broken.why
    return ""


def test_a_joint_that_coasts_behind_its_goal_without_current_is_sound():
    assert found_in(PIP, 0.1, 0.9, 0.1) == ""
    assert "takes no current" in found_in(PIP, 0.1, 0.0, 0.1)
    assert found_in(PIP, 0.1, 0.0, 0.6) == ""
    assert found_in(PIP, 0.07, 0.0, 0.1) == ""
    assert found_in(PIP, 0.1, 0.0, 0.1, seconds=0.1) == ""


def test_only_a_joint_that_bends_has_a_direction_in_which_there_is_nothing_to_hold():
    assert "does not open" in found_in(DIP, -0.2, 0.0, -1.0)
    assert found_in(DIP, 0.2, 0.0, 1.0) == found_in(SIDE, -0.2, 0.0, -1.0) == ""


def test_bounds_are_those_that_are_given():
    finger = Finger()
    finger.check.bounds = replace(Bounds(), limp_for=1e9, frozen_for=1e9)
    finger.servos[PIP].torqueless = True
    assert finger.follow(swing, 2.0) is None


def test_the_wire_carries_what_is_judged():
    assert register("present_position").scale == COUNT and STATE.length == 10
