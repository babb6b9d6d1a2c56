"""Teleoperation without ROS: the operator's hand, the clutch, relative motion, limits, and what holds the robot."""

import numpy as np
import pytest

from dexhot.control.assistance import FRACTION, Assistance, AssistState, correction_bound
from dexhot.control.teleop import Teleop, TeleopOptions
from dexhot.control.teleop_clutch import Clutch
from dexhot.control.teleop_input import FROZEN, HandLimits, OneEuro, OperatorHand, is_open
from dexhot.control.teleop_motion import VIEWS, RateLimit, RelativeMotion, Workspace
from dexhot.geometry import single
from dexhot.robots.robot_hand import load_hand
from teleop_hand import flat, rows

PALM = 0.095
BASE = np.array([1.0, 0.0, 0.0, 0.0])
START = np.array([0.4, 0.0, 0.4, 0.0, 0.0, 0.0])


class Operator:
    """A hand before a 30 Hz camera and the ticks of the robot."""

    def __init__(self, agent=None, rate: float = 30.0, **options):
        self.hand = load_hand("leap_right")
        self.start = np.concatenate([START, self.hand.nominal])
        options = TeleopOptions(**{"clutch": "auto"} | options)
        self.teleop = Teleop(self.hand, BASE, START[None, :3], options, agent)
        self.teleop.begin(self.start)
        self.period, self.images, self.ticks, self.targets = 1.0 / rate, 0, 0, [self.start]

    def run(self, seconds: float, at=(0.0, 0.0, 0.5), seen: bool = True, **hand) -> str:
        """The hand is at `at`, or at at(time since the call); returns the status at the end."""
        state = AssistState(self.start, np.array([0, 0, 0, 1.0, 0, 0, 0]), np.zeros(6))
        begin, end = self.ticks / 60, self.ticks / 60 + seconds
        while self.ticks / 60 < end - 1e-9:
            now = self.ticks / 60
            while self.images * self.period <= now + 1e-9:
                self.images += 1
                place = at(now - begin) if callable(at) else at
                if seen:
                    self.teleop.see(self.images * self.period, rows(place, **{"seed": self.images} | hand))
            self.ticks += 1
            self.targets.append(self.teleop.step(state))
        return self.teleop.status

    @property
    def target(self) -> np.ndarray:
        return self.targets[-1]


def engaged(**options) -> Operator:
    operator = Operator(**options)
    assert operator.run(0.5) == "engaged"
    return operator


# What ends in a hold


@pytest.mark.parametrize(
    "hand, why",
    [
        ({"seen": False}, "the hand is lost for"),
        ({"confidence": 0.3}, "its confidence is 0.30"),
        ({"at": (np.nan, 0.0, 0.5)}, "of its keypoints are not finite"),
        ({"seed": 7}, "its keypoints are frozen"),
        ({"size": 3.0}, "its palm is 2"),
    ],
)
def test_a_hand_that_cannot_be_trusted_releases_the_clutch_and_holds_the_robot(hand, why):
    operator = engaged()
    operator.run(1.0, **hand)
    assert not operator.teleop.clutch.engaged and why in operator.teleop.status
    held = operator.target
    operator.teleop.clutch.mode = "switch"
    operator.run(0.5, **{"at": (0.1, 0.0, 0.5)} | hand)
    np.testing.assert_array_equal(operator.target, held)


def test_a_lost_hand_that_is_back_must_be_engaged_anew():
    operator = engaged(clutch="auto")
    operator.teleop.clutch.mode = "switch"
    operator.run(0.6, seen=False)
    assert operator.run(1.0).startswith("the hand is lost")
    assert operator.teleop.switch(True) == ""
    assert operator.run(0.2) == "engaged"


def test_a_loss_between_two_ticks_releases_too():
    """The hand is back in the very tick in which it would count as lost."""
    hand = OperatorHand(HandLimits(), PALM)
    for k in range(10):
        assert hand.see(k / 30, rows(seed=k))
        hand.tick()
    assert hand.problem == ""
    assert hand.see(9 / 30 + 0.35, rows(at=(0.3, 0.0, 0.5), seed=99))
    assert "was lost" in hand.tick() and hand.tick() == ""


def test_a_jump_is_no_motion_of_the_robot():
    operator = engaged()
    before = operator.target
    status = operator.run(0.25, at=(0.2, 0.0, 0.5))
    np.testing.assert_allclose(operator.target[:3], before[:3], atol=2e-3)
    assert status == "engaged"  # an outlier is left out
    status = operator.run(0.2, at=(0.2, 0.0, 0.5))
    assert "it jumped by 20 cm" in status or "was lost" in status


@pytest.mark.parametrize("rate, drives", [(5.0, False), (15.0, True)])
def test_a_slow_estimator_does_not_drive_the_robot(rate, drives):
    operator = Operator(rate=rate)
    status = operator.run(3.0)
    assert (status == "engaged") is drives
    assert drives or status.startswith("not engaged yet (keypoints arrive at 5.0 Hz")


def test_keypoints_of_one_stamp_are_of_one_image():
    hand = OperatorHand(HandLimits(), PALM)
    assert hand.see(1.0, rows(seed=1)) and not hand.see(1.0, rows(seed=2))
    for _ in range(30):
        hand.tick()
    assert not hand.see(1.0, rows(seed=3)) and "stamps" in hand.tick()
    assert hand.see(0.5, rows(seed=4)) is False  # a clock that was set back counts from its second image on
    assert hand.see(0.6, rows(seed=5))


def test_frozen_keypoints_need_a_row_of_equal_images():
    hand = OperatorHand(HandLimits(), PALM)
    used = [hand.see(k / 30, rows(seed=0)) for k in range(FROZEN + 5)]
    assert used == [True] * FROZEN + [False] * 5


# A hand of another person's size


@pytest.mark.parametrize("size", [0.7, 1.3])
def test_a_smaller_or_larger_hand_gives_the_same_fingers(size):
    one, other = engaged(), Operator()
    other.run(0.5, size=size)
    one.run(1.0, bend=0.9)
    other.run(1.0, bend=0.9, size=size)
    assert np.abs(one.target[6:] - one.start[6:]).max() > 0.3
    np.testing.assert_allclose(other.target[6:], one.target[6:], atol=0.03)


# The clutch


def test_the_switch_engages_only_while_tracking():
    operator = Operator(clutch="switch")
    operator.teleop.stop()
    assert "/safety/start" in operator.teleop.switch(True)
    operator.teleop.begin(operator.start)
    assert operator.run(0.5) == "not engaged yet"  # what was pressed before does not count
    assert operator.teleop.switch(True) == "" and operator.run(0.1) == "engaged"


def test_a_hold_releases_and_a_new_start_does_not_engage():
    operator = Operator(clutch="switch")
    operator.run(0.4)
    operator.teleop.switch(True)
    assert operator.run(0.1) == "engaged"
    operator.teleop.stop()
    assert not operator.teleop.clutch.engaged
    operator.teleop.begin(operator.target)
    assert operator.run(1.0) == "not engaged yet"


def test_the_switch_releases():
    operator = Operator(clutch="switch")
    operator.run(0.4)
    operator.teleop.switch(True)
    operator.run(0.1)
    operator.teleop.switch(False)
    assert operator.run(0.2, at=(0.05, 0.0, 0.5)) == "released by the switch"


def test_the_open_hand_held_still_engages_once():
    operator = Operator(clutch="gesture")
    assert operator.run(1.0, bend=1.2) == "not engaged yet"  # a fist
    assert operator.run(0.7) == "not engaged yet"  # not yet long enough
    assert operator.run(0.7) == "engaged"
    operator.teleop.switch(False)
    assert operator.run(2.0) == "released by the switch"  # the same gesture goes on
    operator.run(0.2, bend=1.2)
    assert operator.run(1.5) == "engaged"


def test_a_waving_hand_is_no_gesture():
    operator = Operator(clutch="gesture")
    assert operator.run(3.0, at=lambda t: (0.08 * np.sin(6 * t), 0.0, 0.5)) == "not engaged yet"


def test_is_open():
    assert is_open(flat()) and not is_open(flat(1.2))


def test_auto_needs_a_steady_hand():
    clutch = Clutch("auto")
    assert not clutch.step("", False, False, np.zeros(3)) and clutch.step("", True, False, np.zeros(3))


# Motion


@pytest.mark.parametrize("view", VIEWS)
def test_views_are_rotations(view):
    np.testing.assert_allclose(VIEWS[view] @ VIEWS[view].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(VIEWS[view]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "view, camera, world",
    [
        ("front", (0, 0, -1), (1, 0, 0)),  # towards the camera before them: forward
        ("front", (-1, 0, 0), (0, -1, 0)),  # left in the image is the operator's right
        ("behind", (0, 0, 1), (1, 0, 0)),
        ("behind", (0, -1, 0), (0, 0, 1)),
        ("above", (0, -1, 0), (1, 0, 0)),
        ("above", (0, 0, -1), (0, 0, 1)),
    ],
)
def test_views(view, camera, world):
    np.testing.assert_array_equal(VIEWS[view] @ camera, world)


def test_the_palm_moves_relative_to_where_it_engaged():
    operator = engaged()
    first = operator.target[:3].copy()
    np.testing.assert_allclose(first, START[:3], atol=2e-3)  # engaging moves nothing, wherever the hand is
    operator.run(1.5, at=lambda t: (0.0, -0.05 * min(t, 1.0), 0.5 - 0.08 * min(t, 1.0)))
    operator.run(0.5, at=(0.0, -0.05, 0.42))
    np.testing.assert_allclose(operator.target[:3] - first, [0.08, 0.0, 0.05], atol=5e-3)


def test_engaging_elsewhere_goes_on_from_where_the_robot_is():
    operator = Operator(clutch="switch")
    operator.run(0.4)
    operator.teleop.switch(True)
    operator.run(1.5, at=lambda t: (0.0, 0.0, 0.5 - 0.06 * min(t, 1.0)))
    operator.teleop.switch(False)
    operator.run(1.0, at=(0.0, 0.0, 0.44))
    there = operator.target[:3].copy()
    operator.run(0.8, at=lambda t: (0.1 * min(t / 0.5, 1.0), 0.0, 0.44))
    operator.teleop.switch(True)
    operator.run(0.3, at=(0.1, 0.0, 0.44))
    np.testing.assert_allclose(operator.target[:3], there, atol=3e-3)


def test_the_palms_rotation_turns_with_the_view():
    motion = RelativeMotion(VIEWS["front"], 1.0, Workspace(np.full(3, -1.0), np.full(3, 1.0)))
    pose = np.array([0.0, 0.0, 0.5, 1.0, 0.0, 0.0, 0.0])
    motion.engage(pose, np.array([0.4, 0.0, 0.4, 1.0, 0.0, 0.0, 0.0]))
    turned = np.concatenate([pose[:3], single.exp((0.0, 0.0, 0.3))])  # about the camera's axis, which is -x here
    np.testing.assert_allclose(motion(turned)[3:], single.exp((-0.3, 0.0, 0.0)), atol=1e-9)


def test_scale_and_workspace():
    box = Workspace.around(np.array([[0.4, 0.0, 0.4], [0.5, 0.1, 0.3]]), 0.2)
    np.testing.assert_allclose([box.lower, box.upper], [[0.2, -0.2, 0.28], [0.7, 0.3, 0.6]])
    motion = RelativeMotion(VIEWS["front"], 2.0, box)
    pose = np.array([0.0, 0.0, 0.5, 1.0, 0.0, 0.0, 0.0])
    motion.engage(pose, np.array([0.4, 0.0, 0.4, 1.0, 0.0, 0.0, 0.0]))
    np.testing.assert_allclose(motion(pose + [0, 0, -0.05, 0, 0, 0, 0])[:3], [0.5, 0.0, 0.4])
    np.testing.assert_allclose(motion(pose + [0, 0.5, -0.5, 0, 0, 0, 0])[:3], [0.7, 0.0, 0.28])  # not into the table


def test_speeds_are_limited():
    operator = engaged(wrist_speed=0.1, finger_speed=1.0)
    operator.run(1.0, at=lambda t: (0.0, -min(t, 0.3) * 0.9, 0.5), bend=1.2)
    steps = np.abs(np.diff(operator.targets, axis=0))
    assert np.linalg.norm(np.diff(operator.targets, axis=0)[:, :3], axis=1).max() <= 0.1 / 60 + 1e-12
    assert steps[:, 6:].max() == pytest.approx(1.0 / 60)


def test_within_its_limits_the_goal_is_reached_exactly():
    limit, rng = RateLimit(0.25, 1.5, 4.0, 16), np.random.default_rng(1)
    now, goal = rng.uniform(-1, 1, 22), np.zeros(22)
    goal = now + 0.3 * limit.step_limit * rng.uniform(-1, 1, 22)
    np.testing.assert_array_equal(limit(now, goal), goal)


def test_the_filter_is_slow_at_rest_and_swift_in_motion():
    filter, rng = OneEuro(1.5, 8.0), np.random.default_rng(0)
    noise = np.array([filter(1e-3 * rng.standard_normal((1, 3)), 1 / 30) for _ in range(200)])[50:]
    assert noise.std() < 0.5e-3
    filter.reset()
    moved = [filter(np.full((1, 3), 0.5 * k / 30), 1 / 30)[0, 0] for k in range(60)]
    assert 0.5 * 59 / 30 - moved[-1] < 0.5 * 0.06  # 60 ms behind at 0.87 m/s, at most


# Assistance


def constant(value):
    return lambda state, user: np.full(22, value)


def test_without_an_agent_the_user_input_alone_moves_the_robot():
    operator = engaged()
    operator.run(0.5, bend=0.5)
    np.testing.assert_array_equal(operator.target, operator.teleop.user)
    assert "no agent" in operator.teleop.assistance.switch(True)


def test_a_zero_residual_is_exactly_the_user_input():
    operator = engaged(agent=constant(0.0))
    operator.teleop.assistance.switch(True)
    operator.run(1.0, bend=0.5, at=(0.02, 0.0, 0.5))
    assert operator.teleop.assistance.weight == 1.0
    np.testing.assert_array_equal(operator.target, operator.teleop.user)


def test_a_correction_is_bounded_and_fades_in_and_out():
    hand = load_hand("leap_right")
    bound = correction_bound(hand)
    np.testing.assert_allclose(bound[6:], FRACTION * (hand.upper - hand.lower))
    assist, user = Assistance(constant(100.0), bound, 0.5), np.zeros(22)
    state = AssistState(user, np.zeros(7), np.zeros(6))
    np.testing.assert_array_equal(assist(state, user), user)  # it is off
    assist.switch(True)
    sizes = [(-assist(state, user) / bound, assist.size) for _ in range(40)]
    np.testing.assert_allclose([s for _, s in sizes], np.minimum(np.arange(1, 41) / 30, 1.0))
    np.testing.assert_allclose(sizes[14][0], 0.5)  # subtracted, half of the bound after half of the time
    assist.switch(False)
    np.testing.assert_allclose(
        [assist(state, user)[0] / -bound[0] for _ in range(31)], [*np.arange(29, -1, -1) / 30, 0]
    )


@pytest.mark.parametrize("wrong", [np.full(22, np.nan), np.zeros(3)])
def test_an_agent_that_fails_is_switched_off(wrong):
    agent, user = [np.full(22, 0.01)], np.zeros(22)
    assist = Assistance(lambda s, u: agent[0], np.full(22, 0.1), 0.1)
    state = AssistState(user, np.zeros(7), np.zeros(6))
    assist.switch(True)
    for _ in range(6):
        assist(state, user)
    agent[0] = wrong
    found = [assist(state, user) for _ in range(10)]
    assert assist.failure and np.isfinite(found).all() and not assist.wanted
    np.testing.assert_array_equal(found[-1], user)


def test_assistance_that_is_switched_on_anew_begins_anew():
    """What an agent held when it was switched off may be gone."""

    class Holding:
        resets = 0

        def reset(self):
            self.resets += 1

        def __call__(self, state, user):
            return np.zeros(22)

    agent, user = Holding(), np.zeros(22)
    assist = Assistance(agent, np.full(22, 0.1), 0.1)
    state, begun = AssistState(user, np.zeros(7), np.zeros(6)), agent.resets
    for on, ticks, resets in ((True, 6, 1), (True, 1, 1), (False, 3, 1), (True, 6, 1), (False, 6, 1), (True, 1, 2)):
        assist.switch(on)
        for _ in range(ticks):
            assist(state, user)
        assert agent.resets - begun == resets


def test_what_is_held_is_not_dropped_by_assistance_that_fades():
    """While the clutch is released the target stands still, correction included."""
    operator = engaged(agent=constant(0.05))
    operator.teleop.assistance.switch(True)
    operator.run(1.0)
    operator.run(0.6, seen=False)
    held = operator.target
    operator.teleop.assistance.switch(False)
    operator.run(1.0, seen=False)
    np.testing.assert_array_equal(operator.target, held)
    assert np.abs(operator.teleop.user - held).max() > 0.01
