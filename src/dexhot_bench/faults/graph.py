"""The graph of real_track on the embedded rig, for fault injection, with each node of the control path in its own
process.

The drivers have a real robot's timeouts, not the longer ones of a simulated rig. `RunningGraph` observes
/safety/state, /diagnostics, joint states, which devices are driven, and the plant's motion.
"""

import json
import os
import secrets
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

from dexhot.bringup import launcher
from dexhot.bringup.graph import NodeSpec, Plan, Process, parameters_text, plan
from dexhot.bringup.graphs import load_graph
from dexhot.data.diagnostics import by_node
from dexhot.data.topics import DIAGNOSTICS, LEAP_STATES, SAFETY_STATE
from dexhot.errors import DexhotError
from dexhot.robots.arm import FR3_JOINTS
from dexhot.ros.core import messages
from dexhot.ros.core.qos import publish_profile, subscribe_profile
from dexhot.safety.machine import State
from dexhot_bench.faults.faulty_nodes import FAULTY

STARTING = 90.0  # s
RECOVERY = 40.0  # s
REMEMBERED = 600  # states of the plant that are kept
SILENCE = 0.15  # s: the drivers' and the supervisor's `supervisor_timeout` on a real robot
SETTLED = 0.3  # s, time to come to rest after a hold
BRAKING = 0.15  # rad, of a joint of the arm within that time
STILL = 0.02  # rad, allowed motion of a joint afterwards: creep under load
PATIENCE = 0.017  # s, wait of an embedded tick for commands: one period; a real robot does not wait


Plant = tuple[float, np.ndarray, np.ndarray]  # monotonic time; (n,) joints, rad; (n,) servo commands, rad


class RunningGraph:
    """The graph and its observer. `stopped_at`: monotonic time since which nothing is driven; inf while driven."""

    def __init__(self, folder: Path, silence: float = SILENCE, patience: float = PATIENCE):
        self.folder, self.silence, self.patience = folder, silence, patience
        self.log = (folder / "log.txt").open("w+")
        self.plan = self._plan()
        self.running: dict[str, launcher.Running] = {}
        self.state, self.reason, self.t0 = State.INACTIVE, "", 0.0
        self.changes: list[tuple[float, State, str]] = []  # monotonic time, state, reason
        self.stopped_at = 0.0
        self.statuses: dict[str, tuple[int, str, dict[str, str]]] = {}  # node -> level, message, values
        self.heard: list[tuple[float, float]] = []  # of hand states: monotonic time, stamp
        self.plant: list[Plant] = []

    def _plan(self) -> Plan:
        silence = {"supervisor_timeout": self.silence}
        given = {
            "rig": {"patience": self.patience, "give_up": 0.5},
            **dict.fromkeys(("supervisor", "leap_driver", "franka_driver"), silence),
        }
        (self.folder / "given.json").write_text(json.dumps(given))  # JSON is YAML
        arguments = {"loop": "true", "record": str(self.folder / "run")}
        planned = plan(
            load_graph("real_track"), arguments | {"parameters": str(self.folder / "given.json")}, os.environ
        )
        return replace(planned, processes=tuple(apart(planned.processes)))

    # Start and stop

    def __enter__(self) -> Self:
        self._environment = dict(os.environ)
        os.environ.update(self.plan.environment)
        rclpy.init(args=[])
        self.node = rclpy.create_node("faults", start_parameter_services=False)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        for kind, topic, callback, qos in (
            (DiagnosticArray, SAFETY_STATE, self.on_safety, "latched"),
            (DiagnosticArray, DIAGNOSTICS, self.on_diagnostics, "state"),
            (JointState, LEAP_STATES, self.on_joints, "state"),
            (String, "/faults/driven", self.on_driven, "state"),
            (JointState, "/faults/plant", self.on_plant, "state"),
        ):
            self.node.create_subscription(kind, topic, callback, subscribe_profile(qos))
        self.injections = self.node.create_publisher(String, "/faults/inject", publish_profile("state"))
        for process in self.plan.processes:
            self.start(process.name)
        return self

    def __exit__(self, *exception: object) -> None:
        launcher.stop(list(self.running.values()))
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown()
        self.log.close()
        os.environ.clear()
        os.environ.update(self._environment)

    def start(self, name: str, **parameters: Any) -> None:
        """Start or restart a process, its first node with other `parameters`."""
        process = next(p for p in self.plan.processes if p.name == name)
        planned = replace(self.plan, processes=(process,))
        if parameters:
            node = process.nodes[0].name
            changed = self.plan.parameters | {node: self.plan.parameters[node] | parameters}
            path = self.folder / f"{name}-{secrets.token_hex(3)}.yaml"
            path.write_text(parameters_text(changed))
            planned = replace(planned, parameters_file=path)
        [self.running[name]] = launcher.start(planned, self.log)

    def signal(self, name: str, number: int) -> None:
        self.running[name].popen.send_signal(number)

    def kill(self, name: str) -> None:
        """kill -9."""
        self.signal(name, signal.SIGKILL)
        self.running[name].popen.wait()

    def pid(self, name: str) -> int:
        return self.running[name].popen.pid

    def last_words(self) -> str:
        """The end of the log."""
        self.log.flush()
        text = Path(self.log.name).read_text()
        return text[-1500:]

    # Subscriptions

    def on_safety(self, message: DiagnosticArray) -> None:
        said = messages.read_safety_state(message)
        if said.state is not self.state:
            self.changes.append((time.monotonic(), said.state, said.reason))
        self.state, self.reason, self.t0 = said.state, said.reason, said.t0

    def on_diagnostics(self, message: DiagnosticArray) -> None:
        for node, status in by_node(message).items():
            self.statuses[node] = status.level, status.message, status.values

    def on_joints(self, message: JointState) -> None:
        self.heard.append((time.monotonic(), messages.seconds(message.header.stamp)))

    def on_driven(self, message: String) -> None:
        if message.data:
            self.stopped_at = float("inf")
        elif self.stopped_at == float("inf"):
            self.stopped_at = time.monotonic()

    def on_plant(self, message: JointState) -> None:
        self.plant.append((time.monotonic(), np.array(message.position), np.array(message.effort)))
        del self.plant[:-REMEMBERED]

    # Actions

    def spin_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)
        return condition()

    def inject(self, kind: str) -> float:
        """Inject a fault of faulty_rig.py; returns the monotonic time."""
        self.injections.publish(String(data=kind))
        return time.monotonic()

    def call(self, service: str) -> bool:
        """Call /safety/<service>."""
        client = self.node.create_client(Trigger, f"/safety/{service}")
        try:
            if not client.wait_for_service(timeout_sec=10.0):
                return False
            future = client.call_async(Trigger.Request())
            return self.spin_until(future.done, 10.0) and future.result().success
        finally:
            self.node.destroy_client(client)

    def transition(self, node: str, transition: int) -> bool:
        """Ask a node for a transition of its lifecycle (lifecycle_msgs/Transition)."""
        client = self.node.create_client(ChangeState, f"/{node}/change_state")
        try:
            if not client.wait_for_service(timeout_sec=10.0):
                return False
            future = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
            return self.spin_until(future.done, 10.0) and future.result().success
        finally:
            self.node.destroy_client(client)

    @property
    def moving(self) -> bool:
        return self.state is State.TRACKING and self.stopped_at == float("inf")

    def ready(self, seconds: float = STARTING) -> None:
        """Bring the graph to drive arm and hand, within a clip. Raises DexhotError."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.state is State.FAULT:
                self.call("reset")
            if self.spin_until(lambda: self.moving, 1.5):
                if not self.spin_until(lambda: not self.moving, 0.7):
                    return
            elif self.state is State.READY:  # after a stop or a fault nothing starts automatically
                self.call("start")
        raise DexhotError(f"the graph does not track ({self.state}: {self.reason}):\n{self.last_words()}")

    def value(self, node: str, name: str) -> float:
        """A number in a node's diagnostics; 0 if it has not arrived."""
        return float(self.statuses.get(node, (0, "", {}))[2].get(name, 0))


def apart(processes: tuple[Process, ...]) -> list[Process]:
    """Each node of the tracker in its own process; rig, controller and shaper with injectable faults."""
    found = []
    for process in processes:
        if process.name == "tracker":
            found += [Process(node.name, (faulty(node),)) for node in process.nodes]
        elif process.name == "rig":
            rig = NodeSpec("rig", target="dexhot_bench.faults.faulty_rig:FaultyRig", schema="rig")
            found.append(replace(process, nodes=(rig, *process.nodes[1:])))
        else:
            found.append(process)
    return found


def faulty(node: NodeSpec) -> NodeSpec:
    """The faulty variant of `node`, if there is one."""
    return replace(node, target=FAULTY[node.name], schema=node.name) if node.name in FAULTY else node


def still(plant: list[Plant], since: float, arm: int = len(FR3_JOINTS)) -> bool:
    """Whether from `since` (monotonic time) on no servo command of the plant changed, and no joint moved; the first
    `arm` joints may brake first, within BRAKING and SETTLED: the FR3 cannot stop at once.

    Measured in the physics, independent of the drivers; False without data.
    """
    seen = [(t, q, told) for t, q, told in plant if t > since]
    rest = [q for t, q, _ in seen if t > since + SETTLED]
    if not rest:
        return False
    told = np.array([x for _, _, x in seen])
    settled = told[-len(rest) :]
    brakes = np.abs(told[:, :arm] - told[0, :arm]).max(initial=0.0) < BRAKING
    holds = np.ptp(told[:, arm:], axis=0).max(initial=0.0) < 1e-6 and np.ptp(settled, axis=0).max() < 1e-6
    return bool(brakes and holds and np.ptp(rest, axis=0).max() < STILL)
