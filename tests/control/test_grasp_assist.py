"""The assistance `grasp`: where it leads, when it closes, keeps and lets go."""

import numpy as np
import pytest

from dexhot.control.assist_agents import agent_of
from dexhot.control.assistance import AssistState, correction_bound
from dexhot.control.grasp_assist import GraspAssist, HeldGrasp
from dexhot.geometry.poses import compose
from dexhot.robots.kinematics.wrist import palm_to_wrist
from dexhot.robots.robot_hand import load_hand


class Led:
    """An operator at a place relative to the grasp, whose robot obeys at once."""

    def __init__(self, reference, off=(0.0, 0.0, 0.0)):
        self.reference, self.hand = reference, load_hand(reference.hand)
        self.grasp = HeldGrasp.of(reference, reference.target)
        self.bound = correction_bound(self.hand)
        self.agent = GraspAssist(self.hand, reference.base_quat, self.grasp, self.bound)
        self.pose = reference.object_pose[0]
        palm = compose(self.pose, self.grasp.palm)
        palm[:3] += off
        middle = reference.q[(reference.grasp_start + reference.grasp_end) // 2]
        self.user = np.concatenate([palm_to_wrist(palm, reference.base_quat, middle[:6]), middle[6:]])
        self.q = self.user.copy()

    def run(self, ticks: int) -> np.ndarray:
        """The command after some ticks."""
        for _ in range(ticks):
            correction = self.agent(AssistState(self.q, self.pose, np.zeros(6)), self.user)
            assert (np.abs(correction) <= self.bound + 1e-12).all()
            self.q = self.user - correction
        return self.q


def test_far_from_the_grasp_the_user_input_is_not_changed(lift_reference):
    led = Led(lift_reference, off=(0.0, 0.0, 0.2))
    np.testing.assert_array_equal(led.run(60), led.user)
    assert led.agent.state == "far"


def test_the_fingers_are_shaped_before_they_are_beside_the_object(lift_reference):
    """From above they are a fingers' length ahead of the palm: unshaped, they knock it over."""
    led = Led(lift_reference, off=(0.0, 0.0, 0.09))
    found = led.run(60)
    assert led.agent.state == "near" and np.abs(found[6:] - led.user[6:]).max() > 0.05


def test_near_it_the_palm_is_drawn_there_and_the_fingers_close_to_the_pressing_targets(lift_reference):
    led = Led(lift_reference, off=(0.015, 0.0, 0.0))
    found = led.run(90)
    assert led.agent.state == "held"
    np.testing.assert_allclose(found[:3], compose(led.pose, led.grasp.palm)[:3], atol=0.002)
    np.testing.assert_allclose(found[6:], led.grasp.fingers, atol=1e-9)


def test_a_grip_is_kept_while_the_estimate_jitters_and_ends_when_the_hand_opens(lift_reference):
    led = Led(lift_reference)
    held = led.run(90)[6:]
    closed = led.user.copy()
    led.user = closed + np.r_[np.zeros(6), np.full(len(held), 0.02)]
    np.testing.assert_allclose(led.run(5)[6:], held, atol=1e-9)
    led.user = np.concatenate([closed[:6], led.hand.open])
    led.run(2)
    assert led.agent.state == "held"  # an estimate of one moment is no opening
    led.run(8)
    assert led.agent.state == "let go"


def carried(led, height: float, ticks: int) -> None:
    """The operator's hand and the object move up or down together."""
    for _ in range(ticks):
        step = np.r_[0.0, 0.0, height / ticks, np.zeros(4)]
        led.pose, led.user = led.pose + step, led.user + np.r_[step[:3], np.zeros(len(led.user) - 3)]
        led.run(1)


def test_an_object_that_is_set_down_is_let_go_though_the_estimated_fingers_stay_closed(lift_reference):
    led = Led(lift_reference)
    held = led.run(90)[6:]
    carried(led, 0.05, 60)
    assert led.agent.state == "held"
    carried(led, -0.05, 60)
    led.run(8)
    assert led.agent.state == "let go"
    np.testing.assert_allclose(led.run(30)[6:], led.user[6:])
    assert np.abs(led.user[6:] - held).max() > 0.05 and led.agent.state == "let go"  # and not grasped again
    led.user[2] += 0.15
    led.run(1)
    assert led.agent.state == "far"
    led.user[2] -= 0.15
    led.run(90)
    assert led.agent.state == "held"


def test_an_object_that_was_never_lifted_is_kept(lift_reference):
    led = Led(lift_reference)
    led.run(90)
    carried(led, 0.01, 10)
    carried(led, -0.01, 10)
    led.run(60)
    assert led.agent.state == "held"


def test_it_follows_an_object_that_stands_elsewhere(lift_reference):
    led = Led(lift_reference)
    led.pose = led.pose + np.r_[0.01, -0.01, 0.0, np.zeros(4)]
    found = led.run(90)
    np.testing.assert_allclose(found[:3], compose(led.pose, led.grasp.palm)[:3], atol=0.002)


def test_a_grasp_survives_a_file(lift_reference):
    grasp = HeldGrasp.of(lift_reference, lift_reference.target)
    again = HeldGrasp.from_dict(grasp.as_dict())
    for name in grasp.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(again, name), getattr(grasp, name))


@pytest.mark.parametrize("policy, kind", [("", type(None)), ("grasp", GraspAssist)])
def test_a_name_gives_its_agent(lift_reference, policy, kind):
    from dexhot.bringup.graphs.teleop import scene
    from dexhot.retargeting.placement import place

    assert isinstance(agent_of(policy, scene(place(lift_reference), 2.0)), kind)
