"""Two robots in one ROS domain, each in its namespace: they do not meet, but for the emergency stop of the domain."""

import os
import subprocess
import sys
import time

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.publisher import Publisher
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from dexhot.bringup import launcher
from dexhot.bringup.graph import environment, plan
from dexhot.bringup.graphs import load_graph
from dexhot.data import bags
from dexhot.rollouts.live import live_rollout
from dexhot.ros.core import messages
from dexhot.ros.core.qos import publish_profile, subscribe_profile
from dexhot.safety.machine import State

pytestmark = pytest.mark.ros

ROBOTS = ("robot1", "robot2")
PATIENCE = 90.0  # s: two graphs share this machine


class Lab:
    """Two graphs and an observer of both."""

    def __init__(self, folder):
        self.log = (folder / "log").open("w+")
        self.plans = {
            robot: plan(
                load_graph("real_track"),
                {"namespace": robot, "loop": "true", "record": str(folder / robot) if robot == "robot1" else "false"},
                os.environ,
            )
            for robot in ROBOTS
        }
        rclpy.init(args=[])
        self.node, self.executor = rclpy.create_node("lab"), SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.said: dict[str, messages.Safety] = {}
        for robot in ROBOTS:
            self.node.create_subscription(
                DiagnosticArray,
                f"/{robot}/safety/state",
                lambda m, robot=robot: self.said.update({robot: messages.read_safety_state(m)}),
                subscribe_profile("latched"),
            )
        self.targets: list[JointState] = []
        self.node.create_subscription(
            JointState, "/robot1/tracker/target", self.targets.append, publish_profile("state")
        )
        self.running = [r for p in self.plans.values() for r in launcher.start(p, self.log)]

    def states(self) -> list[State | None]:
        return [self.said[robot].state if robot in self.said else None for robot in ROBOTS]

    def until(self, condition) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, (self.said, self.words()[-3000:])
            self.executor.spin_once(timeout_sec=0.02)

    def within_the_clip(self) -> bool:
        """Whether robot1 is half a second past its first frame."""
        stamp = messages.seconds(self.targets[-1].header.stamp) if self.targets else 0.0
        return stamp > self.said["robot1"].t0 + 0.5

    def words(self) -> str:
        self.log.flush()
        with open(self.log.name) as log:
            return log.read()

    def press(self, topic: str, robots: int) -> Publisher:
        """A pressed button, once `robots` listen to it, each twice."""
        button = self.node.create_publisher(Bool, topic, publish_profile("latched"))
        self.until(lambda: button.get_subscription_count() == 2 * robots)
        button.publish(Bool(data=True))
        return button

    def reset(self, robot: str) -> bool:
        """Whether the supervisor does it."""
        client = self.node.create_client(Trigger, f"/{robot}/safety/reset")
        self.until(client.service_is_ready)
        answer = client.call_async(Trigger.Request())
        self.until(answer.done)
        return answer.result().success

    def stop(self) -> list[str]:
        """The processes that had to be killed."""
        running, self.running = self.running, []
        return launcher.stop(running)

    def close(self) -> None:
        self.stop()
        self.node.destroy_node()
        self.executor.shutdown()
        rclpy.try_shutdown()
        self.log.close()


@pytest.fixture
def lab(ros_domain, tmp_path, monkeypatch):
    for name, value in environment(os.environ).items():
        monkeypatch.setenv(name, value)
    made = Lab(tmp_path)
    yield made
    made.close()


def test_one_button_stops_both_robots_and_a_robots_own_stops_it_alone(lab, tmp_path):
    lab.until(lambda: lab.states() == [State.TRACKING] * 2 and lab.within_the_clip())
    topics = {name for name, _ in lab.node.get_topic_names_and_types()}
    relative = {"/leap/command", "/object/pose", "/clock", "/diagnostics", "/safety/state"}
    assert {f"/{robot}{topic}" for robot in ROBOTS for topic in relative} <= topics and not relative & topics

    button = lab.press("/safety/estop_input", 2)
    lab.until(lambda: lab.states() == [State.FAULT] * 2)
    assert not lab.reset("robot1") and not lab.reset("robot2")
    button.publish(Bool(data=False))
    for robot in ROBOTS:
        lab.until(lambda robot=robot: lab.reset(robot))
    lab.until(lambda: lab.states() == [State.READY] * 2)

    lab.press("/robot1/safety/estop_input", 1)
    lab.until(lambda: lab.states() == [State.FAULT, State.READY])
    assert lab.said["robot1"].reason == "the emergency stop on /robot1/safety/estop_input is pressed"

    assert "there is one in: robot1, robot2" in dexhot(lab, "safety", "estop", "--timeout", "15", code=3)
    status = dexhot(lab, "safety", "status", "--namespace", "robot1", "--timeout", "60", code=1)
    assert "fault: the emergency stop on" in status
    assert "/robot1/supervisor, /robot2/supervisor" in dexhot(lab, "safety", "estop", "--all", "--timeout", "60")
    lab.until(lambda: lab.states() == [State.FAULT] * 2)
    assert lab.said["robot2"].reason == "the emergency stop on /safety/estop_input is pressed"

    assert not lab.stop(), lab.words()
    with bags.open_bag(tmp_path / "robot1" / "bag", as_recorded=True) as bag:
        recorded = {c.topic for c in bag.connections}
    assert "/robot1/leap/command" in recorded and not [t for t in recorded if t.startswith("/robot2")]
    assert live_rollout(tmp_path / "robot1", part=True).kind == "live"
    assert '"equal": true' in dexhot(lab, "replay", str(tmp_path / "robot1"), "--namespace", "robot3", "--json")


def dexhot(lab: Lab, *words: str, code: int = 0) -> str:
    """What the command prints, with this exit code, while the observer goes on."""
    with subprocess.Popen(
        [sys.executable, "-m", "dexhot", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        lab.until(lambda: process.poll() is not None)
        said = process.stdout.read()
        assert process.returncode == code, said
        return said
