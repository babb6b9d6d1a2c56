"""The Franka driver node on a simulated arm behind the robot's protocol: states, commands, faults."""

import numpy as np
import pytest
from sensor_msgs.msg import JointState

from dexhot.hardware.franka.simulator import ArmProcess
from dexhot.robots.joint_table import joint_table
from dexhot.ros.core import messages
from dexhot.ros.core.qos import publish_profile
from dexhot.ros.drivers.franka_driver_node import FrankaDriverNode
from dexhot.safety.machine import State
from node_bench import NodeBench

pytestmark = pytest.mark.ros
NAMES = [j.name for j in joint_table("fr3")]


class Rig(NodeBench):
    """The driver over a simulated arm, and who supervises and commands it."""

    def __init__(self, **parameters):
        super().__init__()
        self.states = self.listen(JointState, "/franka/joint_states", "state")
        self.commands = self.publisher(JointState, "/franka/command", "command")
        wire = {"rig": "real", "supervisor_timeout": 10.0, "max_age": 1.0, "realtime": False, "frozen_timeout": 0.9}
        self.node = self.start(FrankaDriverNode(), hand="", **wire, **parameters)

    def command(self, q: np.ndarray, state: State = State.TRACKING) -> None:
        self.supervise(state)
        stamp = self.other.get_clock().now().to_msg()
        self.commands.publish(messages.joint_state(NAMES, stamp, q, np.zeros(7), np.zeros(7)))

    def arrives(self, target: np.ndarray) -> bool:
        def there() -> bool:
            self.command(target)
            return bool(self.states) and np.abs(np.array(self.states[-1].position) - target).max() < 0.02

        return self.spin_until(there)


@pytest.fixture
def process():
    with ArmProcess() as running:
        yield running


@pytest.fixture
def rig(ros_domain, process, tmp_path, monkeypatch):
    monkeypatch.setenv("DEXHOT_CONFIG", str(tmp_path / "config"))
    made = Rig(address=process.address)
    assert made.node.state == "active", made.node.fault_reason
    yield made
    made.close()


def test_commands_move_the_arm_and_its_state_comes_back(rig):
    assert rig.spin_until(lambda: rig.states)
    assert rig.states[-1].name == NAMES
    target = np.array(rig.states[-1].position) + 0.05
    assert rig.arrives(target), rig.states[-1]


def test_commands_are_not_driven_while_holding(rig):
    assert rig.spin_until(lambda: rig.states)
    target = np.array(rig.states[-1].position) + 0.1

    def refused() -> bool:
        rig.command(target, State.HOLDING)
        return rig.node.values["refused"] > 5

    assert rig.spin_until(refused)
    assert rig.node.device.counts["commands"] == 0


def test_a_second_commander_does_not_move_the_arm(rig, process, plain_node):
    assert rig.spin_until(lambda: rig.states)
    here = np.array(rig.states[-1].position)
    assert rig.spin_until(lambda: rig.command(here) or rig.node.previous is not None)
    stranger = plain_node("stranger")
    commands = stranger.create_publisher(JointState, "/franka/command", publish_profile("command"))
    assert rig.spin_until(lambda: rig.command(here) or not rig.node.safety.moving)
    assert "/stranger" in rig.node.safety.reason

    def push() -> None:
        now = stranger.get_clock().now().to_msg()
        commands.publish(messages.joint_state(NAMES, now, here + 0.2, np.zeros(7), np.zeros(7)))
        rig.command(here + 0.2)

    given = rig.node.device.counts["commands"]
    rig.spin_until(push, 0.5)
    stranger.destroy_node()
    assert rig.node.device.counts["commands"] == given
    assert np.abs(np.array(process.state()["q"]) - here).max() < 0.02


def test_a_reflex_is_the_nodes_fault_and_activating_again_recovers(rig, process):
    process.reflex()
    assert rig.spin_until(lambda: rig.node.state == "inactive")
    assert "reflex" in rig.node.fault_reason
    rig.node.trigger_activate()
    assert rig.node.state == "active", rig.node.fault_reason
    target = np.array(process.state()["q"]) - 0.05
    assert rig.arrives(target)


def test_an_arm_that_is_gone_keeps_the_node_inactive_until_it_is_back(rig, process):
    process.kill()
    assert rig.spin_until(lambda: rig.node.state == "inactive")
    rig.node.trigger_activate()
    assert rig.node.state == "inactive"
    assert "no Franka arm" in rig.node.fault_reason
    process.start()
    rig.node.trigger_activate()
    assert rig.node.state == "active", rig.node.fault_reason


def test_a_real_arm_needs_an_address(ros_domain, tmp_path, monkeypatch):
    monkeypatch.setenv("DEXHOT_CONFIG", str(tmp_path / "config"))
    rig = Rig()
    assert rig.node.state == "unconfigured" and "address" in rig.node.fault_reason
    rig.close()
