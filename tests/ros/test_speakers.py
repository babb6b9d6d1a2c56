"""Authorized publishers: one for each topic that motion depends on; with a second one, named, none is obeyed."""

import os
import signal
import subprocess
import sys
from functools import partial

import pytest
import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import JointState

from dexhot.ros.core import messages, speakers
from dexhot.ros.core.base import DexhotNode
from dexhot.ros.core.qos import publish_profile
from dexhot.ros.core.speakers import SPEAKERS, UNNAMED, Publisher, judge, process_bytes, process_lives
from dexhot.ros.supervise.supervisor_node import SupervisorNode
from dexhot.safety.machine import State
from node_bench import NodeBench

SHAPER = ("/shaper",)


def listed(*names: str) -> list[Publisher]:
    return [Publisher(name, bytes([k] * 16)) for k, name in enumerate(names)]


def test_one_authorized_publisher_is_obeyed_and_so_is_one_that_is_not_named_yet():
    assert judge("/leap/command", listed("/shaper"), SHAPER) == ""
    assert judge("/leap/command", listed(f"{UNNAMED}/{UNNAMED}"), SHAPER) == ""
    assert judge("/leap/command", [], SHAPER) == ""
    assert judge("/object/pose", listed("/mocap"), ()) == ""


def test_a_foreign_publisher_alone_is_named_with_who_may():
    assert "published by /ros2cli_7; only /shaper is authorized" in judge("/leap/command", listed("/ros2cli_7"), SHAPER)


def test_two_are_named_whoever_they_are():
    told = judge("/leap/command", listed("/shaper", "/ros2cli_7"), SHAPER)
    assert "2 publishers (/ros2cli_7, /shaper)" in told and "stop all but /shaper" in told
    assert "does another graph run" in judge("/leap/command", listed("/shaper", "/shaper"), SHAPER)
    assert "/mocap, /other" in judge("/object/pose", listed("/mocap", "/other"), ())
    assert judge("/leap/command", listed("/shaper", f"/{UNNAMED}"), SHAPER)


def test_stops_are_heard_from_everybody():
    assert not [topic for topic in SPEAKERS if "stop" in topic]


def test_a_process_that_has_ended_is_known_by_half_its_id_also_as_a_zombie():
    child = subprocess.Popen(["sleep", "600"])
    low = process_bytes(child.pid)
    assert process_lives(low) and process_lives(process_bytes(os.getpid()))
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie until it is waited for
    assert not process_lives(low)
    child.wait()


class Follower(DexhotNode):
    """Obeys commands, as the driver does."""

    def __init__(self) -> None:
        super().__init__("follower", schema="base")
        self.obeyed: list[float] = []

    def setup(self) -> None:
        self.obey(JointState, "/leap/command", lambda m: self.obeyed.append(m.position[0]), "command")


class Bench(NodeBench):
    """A node under test, and publishers of plain nodes with names of their choice."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes: list = []

    def named(self, name: str, topic: str = "/leap/command", kind: type = JointState, qos: str = "command"):
        node = rclpy.create_node(name)
        self.nodes.append(node)
        return node.create_publisher(kind, topic, publish_profile(qos))

    def gone(self) -> None:
        self.nodes.pop().destroy_node()

    def clean(self, topic: str = "/leap/command"):
        return lambda: not self.tested.speakers.against(topic)

    def close(self) -> None:
        super().close()
        for node in self.nodes:
            node.destroy_node()


@pytest.fixture
def bench(ros_domain):
    made = Bench()
    yield made
    made.close()


@pytest.mark.ros
def test_with_a_second_publisher_neither_is_obeyed_until_it_is_gone(bench):
    node, refused = bench.start(Follower(), speakers=[]), []
    node.refuse_message = lambda topic, why: refused.append(why)
    rightful = bench.named("shaper")
    assert bench.spin_until(lambda: rightful.get_subscription_count() and bench.clean()())
    rightful.publish(JointState(position=[1.0]))
    assert bench.spin_until(lambda: node.obeyed == [1.0])
    stranger = bench.named("stranger")
    assert bench.spin_until(stranger.get_subscription_count)
    stranger.publish(JointState(position=[2.0]))  # its first message
    rightful.publish(JointState(position=[3.0]))
    assert bench.spin_until(lambda: len(refused) == 2 and "/stranger" in node.speakers.first())
    assert node.obeyed == [1.0]
    bench.gone()
    assert bench.spin_until(bench.clean())
    rightful.publish(JointState(position=[4.0]))
    assert bench.spin_until(lambda: node.obeyed == [1.0, 4.0])


@pytest.mark.ros
def test_a_foreign_publisher_alone_is_not_obeyed_unless_it_is_allowed_by_name(bench):
    node = bench.start(Follower(), speakers=[])
    stranger = bench.named("my_policy")
    assert bench.spin_until(lambda: "published by /my_policy" in node.speakers.first())
    stranger.publish(JointState(position=[1.0]))
    bench.spin_until(lambda: False, 0.1)
    assert not node.obeyed
    bench.stop()
    bench.start(node, speakers=["my_policy"])
    assert bench.spin_until(lambda: stranger.get_subscription_count() and bench.clean()())
    stranger.publish(JointState(position=[1.0]))
    assert bench.spin_until(lambda: node.obeyed == [1.0])


@pytest.mark.ros
def test_a_foreign_publisher_in_place_of_the_authorized_one_is_seen_though_there_is_still_one(bench):
    node = bench.start(Follower(), speakers=[])
    bench.named("shaper")
    assert bench.spin_until(lambda: node.count_publishers("/leap/command") == 1)
    assert not node.speakers.first()
    bench.gone()
    bench.named("stranger")
    assert bench.spin_until(lambda: node.count_publishers("/leap/command") == 1)
    assert bench.spin_until(lambda: "published by /stranger" in node.speakers.first())


@pytest.mark.ros
def test_messages_that_come_just_after_a_foreign_publisher_has_gone_may_be_its_own(bench, monkeypatch):
    monkeypatch.setattr(speakers, "LINGER", 600.0)
    node = bench.start(Follower(), speakers=[])
    bench.named("shaper")
    bench.named("stranger")
    assert bench.spin_until(lambda: "/stranger" in node.speakers.first())
    bench.gone()
    assert bench.spin_until(lambda: node.count_publishers("/leap/command") == 1)
    assert "/stranger" in node.speakers.first()


@pytest.mark.ros
def test_what_a_killed_process_left_in_the_graph_is_no_second_publisher(bench):
    node = bench.start(Follower(), speakers=[])
    code = (
        "import rclpy, time; from sensor_msgs.msg import JointState; rclpy.init();"
        "node = rclpy.create_node('shaper'); node.create_publisher(JointState, '/leap/command', 10); time.sleep(600)"
    )

    def named(count: int) -> bool:
        return [p.node for p in speakers.publishers(node, "/leap/command")] == ["/shaper"] * count

    with subprocess.Popen([sys.executable, "-c", code]) as former:
        seen = bench.spin_until(lambda: named(1))
        former.kill()
    assert seen
    again = bench.named("shaper")
    assert bench.spin_until(lambda: named(2))
    assert bench.spin_until(lambda: again.get_subscription_count() and bench.clean()())
    again.publish(JointState(position=[1.0]))
    assert bench.spin_until(lambda: node.obeyed == [1.0])
    assert node.count_publishers("/leap/command") == 2  # or the test has tried nothing


@pytest.mark.ros
def test_two_living_nodes_of_one_name_are_two(bench):
    node = bench.start(Follower(), speakers=[])
    bench.named("shaper")
    bench.named("shaper")
    assert bench.spin_until(lambda: "does another graph run" in node.speakers.first())


@pytest.mark.ros
def test_a_safety_state_without_the_bringups_token_is_refused(bench):
    class Supervised(Follower):
        def setup(self) -> None:
            self.obey(DiagnosticArray, "/safety/state", lambda m: self.obeyed.append(m.status[0].message), "latched")

    node = bench.start(Supervised(), token="run-1")
    said = bench.publisher(DiagnosticArray, "/safety/state", "latched")
    assert bench.spin_until(said.get_subscription_count)
    refused: list[str] = []
    node.refuse_message = lambda topic, why: refused.append(why)

    def answered(count: int) -> bool:
        return len(refused) + len(node.obeyed) == count

    for k, token in enumerate(("", "run-0", "run-1")):
        said.publish(messages.safety_state(messages.Safety(State.HOLDING), Time(), token))
        assert bench.spin_until(partial(answered, k + 1))
    assert node.obeyed == ["holding"] and len(refused) == 2 and "this bring-up" in refused[0]


@pytest.mark.ros
def test_the_supervisor_holds_for_every_second_publisher_and_names_it(bench):
    node = bench.start(SupervisorNode(), speakers=[], supervisor_timeout=10.0)
    kinds = {
        "/safety/state": DiagnosticArray,
        "/object/pose": PoseWithCovarianceStamped,
        "/rig/episode": DiagnosticArray,
    }

    def held_for(topic: str) -> bool:
        if not node.machine.reason.startswith(topic):  # inputs are stale too, and the first reason stays
            node.machine.state = State.TRACKING
        named = all(name in node.machine.reason for name in (topic, "/stranger", "/second"))
        return named and node.machine.state is State.HOLDING

    for topic in SPEAKERS:
        kind = Odometry if topic == "/object/state" else kinds.get(topic, JointState)
        for name in ("stranger", "second"):
            bench.named(name, topic, kind)
        assert bench.spin_until(partial(held_for, topic))
        bench.gone()
        bench.gone()
        assert bench.spin_until(lambda: "speakers" not in node.wrong)
