"""The LEAP driver node on a hand's servo bus: states out, commands in, a fault and its recovery."""

import json
import time

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState

from dexhot.control.safety import State
from dexhot.data import files
from dexhot.hands.joint_table import joint_table
from dexhot.hardware.dynamixel.bus import ServoBus
from dexhot.nodes import messages
from dexhot.nodes.leap_driver_node import LeapDriverNode
from dexhot.nodes.process import bring_down, bring_up
from dexhot.nodes.qos import publish_profile, subscribe_profile

pytest.importorskip("dynamixel_sdk")
pytestmark = pytest.mark.ros
NAMES = [j.name for j in joint_table("leap_right")]


class Rig:
    """The driver over a simulated bus, and a client that supervises and commands it."""

    def __init__(self, bus: ServoBus, reference: str, folder):
        parameters = {"rig": "real", "port": bus.path, "reference": reference, "slack": 0.06, "bus_watchdog": 2.0}
        parameters |= {"supervisor_timeout": 10.0, "max_age": 1.0}
        file = folder / "parameters.yaml"
        file.write_text(json.dumps({"leap_driver": {"ros__parameters": parameters}}))
        rclpy.init(args=["test", "--ros-args", "--params-file", str(file)])
        self.executor = SingleThreadedExecutor()
        self.node, self.client = LeapDriverNode(), rclpy.create_node("client")
        for node in (self.node, self.client):
            self.executor.add_node(node)
        assert bring_up(self.node), self.node.fault_reason
        self.states: list[JointState] = []
        self.client.create_subscription(
            JointState, "/leap/joint_states", self.states.append, subscribe_profile("state")
        )
        self.commands = self.client.create_publisher(JointState, "/leap/command", publish_profile("command"))
        self.safety = self.client.create_publisher(DiagnosticArray, "/safety/state", publish_profile("latched"))

    def spin_until(self, condition, seconds: float = 20.0) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not condition():
            self.executor.spin_once(timeout_sec=0.02)
        return bool(condition())

    def command(self, q: np.ndarray) -> None:
        stamp = self.client.get_clock().now().to_msg()
        self.safety.publish(messages.safety_state(messages.Safety(State.TRACKING), stamp))
        self.commands.publish(messages.joint_state(NAMES, stamp, q, np.zeros(16), np.zeros(16)))

    def close(self) -> None:
        bring_down(self.node)
        self.executor.shutdown()
        self.node.destroy_node()
        self.client.destroy_node()
        rclpy.try_shutdown()


@pytest.fixture
def bus():
    with ServoBus() as running:
        yield running


@pytest.fixture
def rig(ros_domain, bus, lift_reference, tmp_path, monkeypatch):
    monkeypatch.setenv("DEXHOT_CONFIG", str(tmp_path / "config"))
    made = Rig(bus, str(files.save(lift_reference, tmp_path / "reference.npz")), tmp_path)
    yield made
    made.close()


def test_commands_move_the_hand_and_its_state_comes_back(rig, bus):
    target = np.full(16, 0.2)

    def arrived() -> bool:
        rig.command(target)
        return bool(rig.states) and np.abs(np.array(rig.states[-1].position) - target).max() < 0.02

    assert rig.spin_until(arrived), rig.states[-1:]
    assert rig.states[-1].name == NAMES
    assert all(servo.on for servo in bus.servos.values())


def test_a_servos_fault_is_the_nodes_and_activating_again_recovers(rig, bus):
    bus.faults.inject("overload 3")
    assert rig.spin_until(lambda: rig.node.state == "inactive")
    assert "index_dip (servo 3) has shut down: overload" in rig.node.fault_reason
    assert bus.servos[4].on
    assert not bus.servos[3].on
    rig.node.trigger_activate()
    assert rig.node.state == "active"
    assert bus.servos[3].on


def test_a_pulled_cable_is_a_fault_and_activating_again_opens_the_port(rig, bus):
    bus.faults.inject("unplug")
    assert rig.spin_until(lambda: rig.node.state == "inactive")
    assert "plug it in" in rig.node.fault_reason
    rig.node.trigger_activate()
    assert rig.node.state == "inactive"
    bus.faults.inject("replug")
    rig.node.trigger_activate()
    assert rig.node.state == "active", rig.node.fault_reason


def test_the_servos_warnings_are_the_nodes(rig, bus):
    bus.faults.inject("voltage 4.2")
    assert rig.spin_until(lambda: any("4.2 V" in text for text in rig.node.warnings.values()))
    assert rig.node.values["voltage_min"] == pytest.approx(4.2)
