"""The buttons that a supervisor obeys, without a namespace and with one."""

import pytest
import rclpy
from std_msgs.msg import Bool

from dexhot.data.topics import ESTOP_INPUT
from dexhot.ros.supervise.buttons import Buttons
from dexhot.ros.supervise.supervisor_node import SupervisorNode
from dexhot.safety.machine import State

OWN = f"/robot1{ESTOP_INPUT}"


def test_each_button_is_released_for_itself():
    buttons = Buttons(OWN, 0.0)
    buttons.hear(ESTOP_INPUT, True, 1.0)
    buttons.hear(OWN, True, 1.0)
    buttons.hear(OWN, False, 2.0)
    assert buttons.pressed == {ESTOP_INPUT}


def test_each_button_has_a_timeout_of_its_own():
    buttons = Buttons(OWN, 0.0)
    buttons.hear(ESTOP_INPUT, False, 1.0)
    assert buttons.silent(1.2, domain=0.3, own=0.0) == ""
    assert buttons.silent(1.2, domain=0.3, own=0.3) == OWN
    assert buttons.silent(1.5, domain=0.3, own=2.0) == ESTOP_INPUT


def test_without_a_namespace_both_are_one():
    buttons = Buttons(ESTOP_INPUT, 0.0)
    assert buttons.topics == (ESTOP_INPUT,) and buttons.named(ESTOP_INPUT) == "the emergency stop"
    assert buttons.silent(1.0, domain=0.0, own=0.5) == ESTOP_INPUT


@pytest.mark.ros
def test_a_supervisor_in_a_namespace_stays_stopped_until_both_buttons_are_released(ros_domain):
    rclpy.init(args=["--ros-args", "-r", "__ns:=/robot1"])
    supervisor = SupervisorNode()
    try:
        heard = {s.topic_name for s in supervisor.subscriptions}
        assert {ESTOP_INPUT, OWN} <= heard
        assert supervisor.trigger_configure() and supervisor.trigger_activate()
        for topic in (ESTOP_INPUT, OWN):
            supervisor.on_estop(Bool(data=True), topic)
        supervisor.on_estop(Bool(data=False), OWN)
        assert supervisor.machine.state is State.FAULT
        assert supervisor.reset() == f"the emergency stop on {ESTOP_INPUT} is pressed"
        supervisor.on_estop(Bool(data=False), ESTOP_INPUT)
        assert supervisor.reset() == ""
    finally:
        supervisor.trigger_shutdown()
        supervisor.destroy_node()
        rclpy.try_shutdown()
