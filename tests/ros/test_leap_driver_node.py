"""The LEAP driver node on a hand's servo bus: states out, commands in, a fault and its recovery."""

from functools import partial

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import JointState

from dexhot.data import files
from dexhot.hardware.dynamixel.bus import ServoBus
from dexhot.robots.joint_table import joint_table
from dexhot.ros.core import messages, speakers
from dexhot.ros.core.qos import publish_profile
from dexhot.ros.drivers.leap_driver_node import LeapDriverNode
from dexhot.safety.machine import State
from node_bench import NodeBench

pytest.importorskip("dynamixel_sdk")
pytestmark = pytest.mark.ros
NAMES = [j.name for j in joint_table("leap_right")]


class Rig(NodeBench):
    """The driver over a simulated bus, and who supervises and commands it."""

    def __init__(self, bus: ServoBus, reference: str):
        super().__init__()
        wire = {"rig": "real", "port": bus.path, "reference": reference, "slack": 0.06, "bus_watchdog": 2.0}
        self.node = self.start(LeapDriverNode(), **wire, supervisor_timeout=10.0, max_age=1.0)
        assert self.node.state == "active", self.node.fault_reason
        self.states = self.listen(JointState, "/leap/joint_states", "state")
        self.commands = self.publisher(JointState, "/leap/command", "command")

    def command(self, q: np.ndarray, state: State = State.TRACKING, t0: float = 0.0) -> None:
        self.supervise(state, t0)
        stamp = self.other.get_clock().now().to_msg()
        self.commands.publish(messages.joint_state(NAMES, stamp, q, np.zeros(16), np.zeros(16)))


@pytest.fixture
def bus():
    with ServoBus() as running:
        yield running


@pytest.fixture
def rig(ros_domain, bus, lift_reference, tmp_path, monkeypatch):
    monkeypatch.setenv("DEXHOT_CONFIG", str(tmp_path / "config"))
    made = Rig(bus, str(files.save(lift_reference, tmp_path / "reference.npz")))
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


def test_a_foreign_publisher_neither_ends_a_fault_nor_commands_beside_the_shaper(rig, bus, plain_node):
    """Its commands do not reach the bus: no servo gets another goal."""
    stranger = plain_node("stranger")
    state = stranger.create_publisher(DiagnosticArray, "/safety/state", publish_profile("latched"))
    commands = stranger.create_publisher(JointState, "/leap/command", publish_profile("command"))

    def lie(said: State) -> None:
        now = stranger.get_clock().now().to_msg()
        state.publish(messages.safety_state(messages.Safety(State.TRACKING, "", 1.0), now))
        commands.publish(messages.joint_state(NAMES, now, np.full(16, 0.5), np.zeros(16), np.zeros(16)))
        rig.command(np.full(16, 0.2), said)

    assert rig.spin_until(lambda: "/stranger" in rig.node.speakers.first())
    for said in (State.TRACKING, State.FAULT):  # of the supervisor, who is heard no more than the stranger
        rig.spin_until(partial(lie, said), 0.3)
        before = goals(bus)
        rig.spin_until(partial(lie, said), 0.5)
        assert goals(bus) == before and not rig.node.safety.moving


def test_a_second_commander_in_motion_is_a_hold_until_it_is_gone_and_the_supervisor_starts_anew(
    rig, bus, monkeypatch, plain_node
):
    monkeypatch.setattr(speakers, "LINGER", 0.5)  # the supervisor may start before we know that it is gone
    assert rig.spin_until(lambda: rig.command(np.full(16, 0.2)) or rig.node.previous is not None)
    stranger = plain_node("stranger")
    stranger.create_publisher(JointState, "/leap/command", publish_profile("command"))
    assert rig.spin_until(lambda: rig.command(np.full(16, 0.2)) or not rig.node.safety.moving)
    assert "/stranger" in rig.node.safety.reason and rig.node.values["held"] == 1
    before = goals(bus)
    stranger.destroy_node()
    rig.spin_until(lambda: rig.command(np.full(16, 0.4)), 0.3)  # of the same clip: it has not stopped
    assert goals(bus) == before and not rig.node.safety.moving
    assert rig.spin_until(lambda: rig.command(np.full(16, 0.4), t0=2.0) or goals(bus) != before)


def goals(bus: ServoBus) -> list[int]:
    """The goal positions that the servos have been sent."""
    return [servo.get("goal_position") for servo in bus.servos.values()]


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
    assert rig.node.values["voltage_min_v"] == pytest.approx(4.2)


def test_the_hand_holds_when_commands_stop(rig, bus):
    def driven() -> bool:
        rig.command(np.full(16, 0.3))
        return rig.node.device.goal.min() > 0.05

    assert rig.spin_until(driven)
    assert rig.spin_until(lambda: rig.node.values["held"] == 1)
    held = rig.node.device.goal.copy()
    assert rig.spin_until(lambda: rig.node.previous is None)
    assert (rig.node.device.goal == held).all() and all(servo.on for servo in bus.servos.values())
